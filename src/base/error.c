#include "base/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

struct outbox_error {
    int code;
    bool fixed; /* not from the heap; told here, since liboutbox-consumer has a copy of this file */
    char field[32];
    char sqlstate[6];
    char message[512];
};

/* What is reported when there is no memory for a report. */
static struct outbox_error no_memory = {OUTBOX_ENOMEM, true, "", "", "out of memory"};

/* One line of UTF-8 for people: what a server said may hold anything. */
static void tidy(char *message, size_t room)
{
    size_t size = strlen(message);

    for (size_t i = 0; i < size; i++) {
        if (outbox__has_control(message + i, 1))
            message[i] = ' ';
    }
    if (size + 1 >= room)
        message[outbox__utf8_cut(message, size)] = '\0';
}

static void set_error(outbox_error **reterr, int code, const char *field, const char *sqlstate,
                      const char *format, va_list args) __attribute__((format(printf, 5, 0)));

static void set_error(outbox_error **reterr, int code, const char *field, const char *sqlstate,
                      const char *format, va_list args)
{
    outbox_error *err;

    if (!reterr)
        return;
    outbox_error_free(*reterr);
    err = calloc(1, sizeof(*err));
    if (!err) {
        *reterr = &no_memory;
        return;
    }
    err->code = code;
    snprintf(err->field, sizeof(err->field), "%s", field ? field : "");
    snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", sqlstate ? sqlstate : "");
    vsnprintf(err->message, sizeof(err->message), format, args);
    tidy(err->message, sizeof(err->message));
    *reterr = err;
}

int outbox__fail(outbox_error **reterr, int code, const char *field, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_error(reterr, code, field, NULL, format, args);
    va_end(args);
    return code;
}

int outbox__fail_sqlstate(outbox_error **reterr, int code, const char *field, const char *sqlstate,
                          const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_error(reterr, code, field, sqlstate, format, args);
    va_end(args);
    return code;
}

int outbox__fail_memory(outbox_error **reterr)
{
    return outbox__fail(reterr, OUTBOX_ENOMEM, NULL, "out of memory");
}

int outbox_error_code(const outbox_error *err)
{
    return err->code;
}

const char *outbox_error_message(const outbox_error *err)
{
    return err->message;
}

const char *outbox_error_field(const outbox_error *err)
{
    return err->field;
}

const char *outbox_error_sqlstate(const outbox_error *err)
{
    return err->sqlstate;
}

void outbox_error_free(outbox_error *err)
{
    if (err && !err->fixed)
        free(err);
}

const char *outbox_status_name(int code)
{
    switch (code) {
#define STATUS_NAME(constant, value, name, meaning)                                                          \
    case value:                                                                                              \
        return name;
        OUTBOX_ERROR_MAP(STATUS_NAME)
#undef STATUS_NAME
    default:
        return "unknown";
    }
}

const char *outbox_status_text(int code)
{
    switch (code) {
#define STATUS_TEXT(constant, value, name, meaning)                                                          \
    case value:                                                                                              \
        return meaning;
        OUTBOX_ERROR_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    default:
        return "unknown code";
    }
}
