#include "cli/cli.h"
const struct command tail_command = {.name = "tail", .operands = "", .summary = "x"};
