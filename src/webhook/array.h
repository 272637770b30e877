/* PostgreSQL arrays in text form, built element by element: "{1,NULL,3}". */
#ifndef WEBHOOK_ARRAY_H
#define WEBHOOK_ARRAY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

void array_begin(struct outbox__buf *array);
void array_end(struct outbox__buf *array);

void array_null(struct outbox__buf *array);
void array_int(struct outbox__buf *array, int64_t number);
/* Quoted and escaped.  What PostgreSQL's text cannot hold (bytes that are not UTF-8,
 * zero bytes) becomes "?". */
void array_text(struct outbox__buf *array, const char *text, size_t size);
/* A length of time, for interval[]. */
void array_interval(struct outbox__buf *array, int64_t us);
/* Microseconds since 1970, for timestamptz[]. */
void array_time(struct outbox__buf *array, int64_t us);

#endif
