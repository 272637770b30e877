#include "cli/cli.h"
const struct command endpoint_add_command = {.name = "endpoint add", .operands = "", .summary = "x"};
const struct command endpoint_list_command = {.name = "endpoint list", .operands = "", .summary = "x"};
const struct command endpoint_show_command = {.name = "endpoint show", .operands = "", .summary = "x"};
const struct command endpoint_remove_command = {.name = "endpoint remove", .operands = "", .summary = "x"};
