/* Signatures of webhooks: Standard Webhooks 1.0, scheme v1 (HMAC-SHA256).
 * Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
#ifndef BASE_SIGNATURE_H
#define BASE_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The specification says 24 to 64 bytes.  Senders in use go up to 75, and down to 18 in
 * their documentation; what is shorter than this could be guessed. */
#define OUTBOX__SECRET_MIN 16
#define OUTBOX__SECRET_MAX 75
#define OUTBOX__SIGNATURE_TEXT 48 /* "v1," and 44 characters, with the closing 0 */
#define OUTBOX__SIGNATURE_TOLERANCE 300

struct outbox__secret {
    uint8_t bytes[OUTBOX__SECRET_MAX];
    size_t size;
};

/* What is signed: "id.timestamp.body".  Everything is borrowed. */
struct outbox__signed {
    const char *id;
    const char *timestamp; /* seconds since 1970, as it stands in the header */
    const void *body;
    size_t size;
};

/* Base64 of 16 to 75 bytes, with or without "whsec_" before it. */
bool outbox__secret_parse(const char *text, struct outbox__secret *ret);
void outbox__secret_wipe(struct outbox__secret *secret);

/* Writes "v1,<base64>".  Returns false without memory, or if OpenSSL has no HMAC-SHA256. */
bool outbox__sign(const struct outbox__signed *message, const struct outbox__secret *secret,
                  char ret_text[OUTBOX__SIGNATURE_TEXT]);

enum outbox__verdict {
    OUTBOX__VERDICT_GOOD,
    OUTBOX__VERDICT_TIMESTAMP, /* not a number of seconds */
    OUTBOX__VERDICT_OLD,
    OUTBOX__VERDICT_NEW,
    OUTBOX__VERDICT_SCHEME,   /* no v1 signature among them */
    OUTBOX__VERDICT_MISMATCH, /* made with another secret, or something was altered */
    OUTBOX__VERDICT_FAULT     /* outbox__sign() failed */
};

/* Is any of the space-separated signatures one that any of the secrets makes, and the
 * timestamp within tolerance seconds of now?  How long this takes does not tell how
 * much of a signature is right. */
enum outbox__verdict outbox__signature_check(const struct outbox__signed *message, const char *signatures,
                                             const struct outbox__secret *secrets, size_t count, int64_t now,
                                             int64_t tolerance);

#endif
