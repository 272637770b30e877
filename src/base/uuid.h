/* UUIDs (RFC 9562) in their two forms: 16 bytes, and 36 characters of text. */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#define OUTBOX__UUID_TEXT 37 /* with the closing 0 */

struct outbox__uuid {
    uint8_t bytes[16];
};

/* Accepts the form with four hyphens only, in either case. */
bool outbox__uuid_parse(const char *text, struct outbox__uuid *ret);
void outbox__uuid_format(const struct outbox__uuid *uuid, char ret_text[OUTBOX__UUID_TEXT]);
/* A random one (version 4).  False if the system has no random bits. */
bool outbox__uuid_draw(struct outbox__uuid *ret);
bool outbox__uuid_equal(const struct outbox__uuid *a, const struct outbox__uuid *b);

#endif
