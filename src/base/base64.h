/* Base64 (RFC 4648, section 4: the standard alphabet with padding). */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Characters that size bytes need, with the closing 0. */
#define OUTBOX__BASE64_TEXT(size) (((size) + 2) / 3 * 4 + 1)

/* ret_text has room for OUTBOX__BASE64_TEXT(size). */
void outbox__base64_encode(const void *data, size_t size, char *ret_text);

/* Decodes size characters into ret, which has room for room bytes.  Missing padding
 * is accepted, anything else that is not base64 is not.  Returns the bytes, or -1. */
ssize_t outbox__base64_decode(const char *text, size_t size, void *ret, size_t room);

#endif
