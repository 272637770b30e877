#include "webhook/array.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/utf8.h"

void array_begin(struct outbox__buf *array)
{
    outbox__buf_clear(array);
    outbox__buf_puts(array, "{");
}

void array_end(struct outbox__buf *array)
{
    outbox__buf_puts(array, "}");
}

static void separate(struct outbox__buf *array)
{
    if (array->size > 1)
        outbox__buf_puts(array, ",");
}

void array_null(struct outbox__buf *array)
{
    separate(array);
    outbox__buf_puts(array, "NULL");
}

void array_int(struct outbox__buf *array, int64_t number)
{
    char text[24];

    separate(array);
    outbox__buf_append(array, text, (size_t)snprintf(text, sizeof(text), "%" PRId64, number));
}

/* The bytes of the character that text begins with; 0 if it is none. */
static size_t character(const char *text, size_t size)
{
    for (size_t length = 1; length <= 4 && length <= size; length++) {
        if (outbox__utf8_valid(text, length))
            return length;
    }
    return 0;
}

void array_text(struct outbox__buf *array, const char *text, size_t size)
{
    separate(array);
    outbox__buf_puts(array, "\"");
    while (size > 0) {
        size_t length = character(text, size);

        if (length == 0) {
            outbox__buf_puts(array, "?");
            length = 1;
        } else {
            if (*text == '"' || *text == '\\')
                outbox__buf_puts(array, "\\");
            outbox__buf_append(array, text, length);
        }
        text += length;
        size -= length;
    }
    outbox__buf_puts(array, "\"");
}

void array_interval(struct outbox__buf *array, int64_t us)
{
    separate(array);
    outbox__buf_printf(array, "%" PRId64 "us", us);
}

void array_time(struct outbox__buf *array, int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm utc;
    char text[32];

    separate(array);
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &utc);
    outbox__buf_printf(array, "\"%s.%06d+00\"", text, (int)(us % 1000000));
}
