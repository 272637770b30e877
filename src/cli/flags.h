/* The words after a command, sorted into flags and operands. */
#ifndef CLI_FLAGS_H
#define CLI_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/clock.h"

struct flag_spec {
    const char *name;
    const char *value; /* what the help calls its value; NULL: it has none */
    const char *help;
};

struct argument {
    const char *name;  /* of the flag, or NULL: an operand */
    const char *value; /* NULL: a flag without */
};

struct arguments {
    struct argument *list;
    size_t count;
};

/* Adds the words to arguments.  A flag is in one of the two tables (either may be NULL);
 * "--" ends the flags.  stop_at_operand: leave the first operand and what follows alone.
 * Returns how many words were taken, or a negative error. */
int flags_parse(struct arguments *arguments, int count, char *const words[], const struct flag_spec *own,
                const struct flag_spec *common, bool stop_at_operand, outbox_error **reterr);
void flags_free(struct arguments *arguments);

/* The last value of a flag, or NULL. */
const char *flag_text(const struct arguments *arguments, const char *name);
bool flag_given(const struct arguments *arguments, const char *name);
/* The values of a flag that may be repeated: *at starts at 0; NULL after the last. */
const char *flag_next(const struct arguments *arguments, const char *name, size_t *at);
/* The nth operand, from 0, or NULL. */
const char *operand(const struct arguments *arguments, size_t n);
size_t operand_count(const struct arguments *arguments);

/* Numbers and times; fallback if the flag is not given. */
int flag_integer(const struct arguments *arguments, const char *name, int64_t low, int64_t high,
                 int64_t fallback, int64_t *ret, outbox_error **reterr);
int flag_duration(const struct arguments *arguments, const char *name, mono_us low, mono_us high,
                  mono_us fallback, mono_us *ret, outbox_error **reterr);

#endif
