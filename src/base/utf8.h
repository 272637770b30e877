#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Is this well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms) without a
 * zero byte, which PostgreSQL's text cannot hold? */
bool outbox__utf8_valid(const char *text, size_t size);

/* The number of characters (code points); text must be valid. */
size_t outbox__utf8_length(const char *text, size_t size);

/* The size of a text of which size bytes were kept, without a last character that is not whole. */
size_t outbox__utf8_cut(const char *text, size_t size);

/* Has it a control character (below 0x20, or 0x7f)? */
bool outbox__has_control(const char *text, size_t size);

#endif
