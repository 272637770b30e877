#include "cli/cli.h"
const struct command status_command = {.name = "status", .operands = "", .summary = "x"};
