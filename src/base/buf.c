#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct outbox__buf *buf, size_t more)
{
    size_t wanted;
    char *data;

    if (buf->failed)
        return false;
    if (more > buf->limit || buf->size > buf->limit - more) {
        buf->failed = true;
        return false;
    }
    wanted = buf->size + more + 1;
    if (wanted <= buf->allocated)
        return true;
    if (wanted < buf->allocated * 2)
        wanted = buf->allocated * 2;
    if (wanted < 64)
        wanted = 64;
    data = realloc(buf->data, wanted);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->allocated = wanted;
    return true;
}

void outbox__buf_append(struct outbox__buf *buf, const void *data, size_t size)
{
    if (!reserve(buf, size))
        return;
    if (size > 0)
        memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
}

void outbox__buf_puts(struct outbox__buf *buf, const char *text)
{
    outbox__buf_append(buf, text, strlen(text));
}

void outbox__buf_printf(struct outbox__buf *buf, const char *format, ...)
{
    va_list args;
    va_list again;
    int size;

    va_start(args, format);
    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, args);
    if (size < 0) {
        buf->failed = true;
    } else if (reserve(buf, (size_t)size)) {
        vsnprintf(buf->data + buf->size, (size_t)size + 1, format, again);
        buf->size += (size_t)size;
    }
    va_end(again);
    va_end(args);
}

void outbox__buf_put_int32(struct outbox__buf *buf, uint32_t value)
{
    unsigned char bytes[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                              (unsigned char)(value >> 8), (unsigned char)value};

    outbox__buf_append(buf, bytes, sizeof(bytes));
}

void outbox__buf_put_int64(struct outbox__buf *buf, uint64_t value)
{
    outbox__buf_put_int32(buf, (uint32_t)(value >> 32));
    outbox__buf_put_int32(buf, (uint32_t)value);
}

const char *outbox__buf_text(const struct outbox__buf *buf)
{
    return buf->data ? buf->data : "";
}

void outbox__buf_clear(struct outbox__buf *buf)
{
    buf->size = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

void outbox__buf_free(struct outbox__buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->size = 0;
    buf->allocated = 0;
}
