#include "cli/cli.h"
const struct command delivery_list_command = {.name = "delivery list", .operands = "", .summary = "x"};
const struct command delivery_show_command = {.name = "delivery show", .operands = "", .summary = "x"};
