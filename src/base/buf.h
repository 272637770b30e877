/* A buffer that grows up to a limit given at its start, and remembers failure: append
 * as often as needed, check once at the end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbox__buf {
    char *data;   /* data[size] is always 0 once anything was appended */
    size_t size;
    size_t allocated;
    size_t limit; /* bytes, without the closing 0 */
    bool failed;  /* out of memory, or beyond the limit */
};

#define OUTBOX__BUF_INIT(max) {NULL, 0, 0, (max), false}

void outbox__buf_append(struct outbox__buf *buf, const void *data, size_t size);
void outbox__buf_puts(struct outbox__buf *buf, const char *text);
void outbox__buf_printf(struct outbox__buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Big-endian integers, as PostgreSQL's binary formats want them. */
void outbox__buf_put_int32(struct outbox__buf *buf, uint32_t value);
void outbox__buf_put_int64(struct outbox__buf *buf, uint64_t value);
/* The text, "" when empty.  Not to be used after failure. */
const char *outbox__buf_text(const struct outbox__buf *buf);
/* Empties the buffer and forgets a failure, but keeps the memory. */
void outbox__buf_clear(struct outbox__buf *buf);
void outbox__buf_free(struct outbox__buf *buf);

#endif
