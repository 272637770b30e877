/* What outboxctl says of itself, for people and, as JSON, for who makes a manual of it. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stddef.h>
#include <stdio.h>

#include "cli/cli.h"

extern const struct flag_spec common_flags[];

void help_print_command(FILE *out, const struct command *command);
void help_print_all(FILE *out, const struct command *const *commands, size_t count);
void help_print_json(FILE *out, const struct command *const *commands, size_t count);

#endif
