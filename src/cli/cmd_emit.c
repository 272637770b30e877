#include "cli/cli.h"
const struct command emit_command = {.name = "emit", .operands = "", .summary = "x"};
