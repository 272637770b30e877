#include "pg/args.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static int next(struct pg_args *args)
{
    int at = args->count++;

    assert(at < PG_ARGS_MAX);
    args->lengths[at] = 0;
    args->formats[at] = 0;
    return at;
}

void pg_arg_text(struct pg_args *args, const char *text)
{
    args->values[next(args)] = text;
}

void pg_arg_int(struct pg_args *args, int64_t number)
{
    int at = next(args);

    snprintf(args->numbers[at], sizeof(args->numbers[at]), "%" PRId64, number);
    args->values[at] = args->numbers[at];
}

void pg_arg_bool(struct pg_args *args, bool value)
{
    args->values[next(args)] = value ? "t" : "f";
}

void pg_arg_bytes(struct pg_args *args, const void *data, size_t size)
{
    int at = next(args);

    args->values[at] = data;
    args->lengths[at] = (int)size;
    args->formats[at] = 1;
}

void pg_arg_interval_us(struct pg_args *args, int64_t us)
{
    int at = next(args);

    snprintf(args->numbers[at], sizeof(args->numbers[at]), "%" PRId64 "us", us);
    args->values[at] = args->numbers[at];
}
