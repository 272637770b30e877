#include "cli/cli.h"
const struct command route_list_command = {.name = "route list", .operands = "", .summary = "x"};
const struct command route_add_command = {.name = "route add", .operands = "", .summary = "x"};
const struct command route_remove_command = {.name = "route remove", .operands = "", .summary = "x"};
