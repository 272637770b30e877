/* The parameters of a statement.  Texts are borrowed and must outlive the call;
 * numbers are kept inside.  Every value travels as a parameter, never inside SQL. */
#ifndef PG_ARGS_H
#define PG_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PG_ARGS_MAX 24

struct pg_args {
    int count;
    const char *values[PG_ARGS_MAX];
    int lengths[PG_ARGS_MAX];
    int formats[PG_ARGS_MAX]; /* 0 text, 1 binary */
    char numbers[PG_ARGS_MAX][24];
};

#define PG_ARGS_INIT {.count = 0}

void pg_arg_text(struct pg_args *args, const char *text); /* NULL: SQL null */
void pg_arg_int(struct pg_args *args, int64_t number);
void pg_arg_bool(struct pg_args *args, bool value);
void pg_arg_bytes(struct pg_args *args, const void *data, size_t size); /* bytea, binary */
/* A length of time as an interval. */
void pg_arg_interval_us(struct pg_args *args, int64_t us);

#endif
