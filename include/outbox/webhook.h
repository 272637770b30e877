/* Receiving webhooks: is a request authentic?
 *
 *     outbox_webhook hook = {
 *         .id = header(request, OUTBOX_WEBHOOK_ID),
 *         .timestamp = header(request, OUTBOX_WEBHOOK_TIMESTAMP),
 *         .signature = header(request, OUTBOX_WEBHOOK_SIGNATURE),
 *         .body = body, .body_size = body_size,
 *     };
 *     const char *secrets[] = {"whsec_..."};
 *
 *     if (outbox_webhook_verify(&hook, secrets, 1, 0, 0, &err) != OUTBOX_OK)
 *         answer 400 and say no more: the reason in err is for your log
 *
 * The format is Standard Webhooks 1.0 with signature scheme v1 (HMAC-SHA256), so this
 * verifies what any sender of that format sends, not only outbox-relay.
 * Source: https://www.standardwebhooks.com/
 *
 * Verifying is one half.  A sender that got no answer sends again, with the same
 * webhook-id: the receiver must remember the ids it has worked on, in the same
 * transaction as its work.  examples/webhook-receiver shows how.
 */
#ifndef OUTBOX_WEBHOOK_H
#define OUTBOX_WEBHOOK_H

#include <stddef.h>
#include <stdint.h>

#include <outbox/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The names of the three headers; case does not count in them. */
#define OUTBOX_WEBHOOK_ID "webhook-id"               /* of the event: the same in every attempt */
#define OUTBOX_WEBHOOK_TIMESTAMP "webhook-timestamp" /* of the attempt */
#define OUTBOX_WEBHOOK_SIGNATURE "webhook-signature" /* or several, separated by spaces */

/* How far, in seconds, webhook-timestamp may be off to either side, unless told otherwise. */
#define OUTBOX_WEBHOOK_TOLERANCE 300

/* A request as it was received.  Everything is borrowed; texts end with a zero byte. */
typedef struct outbox_webhook {
    const char *id;        /* value of webhook-id; NULL if the request has none */
    const char *timestamp; /* value of webhook-timestamp; NULL if the request has none */
    const char *signature; /* value of webhook-signature; NULL if the request has none */
    const void *body;      /* the raw bytes, before any decoding of their content; NULL if there are none */
    size_t body_size;      /* bytes of it */
} outbox_webhook;

/* Is the webhook signed with one of the secrets, and is its timestamp recent?
 *
 * The signature covers id, timestamp and body.  The body must be the bytes as they
 * came: JSON that was parsed and printed again does not verify.
 *
 * secrets are count texts (at least one): base64 of 16 to 75 bytes, with or without
 * "whsec_" before it.  (The specification asks for 24 to 64; some senders do not keep to
 * it.)  Give the old and the new one while a secret is being replaced.
 * The header may carry several signatures, separated by spaces; one that any of the
 * secrets makes is enough.  Signatures of other schemes (v1a, or later ones) are passed over.
 *
 * now is the present time in seconds since 1970; 0 takes the system's clock.
 * tolerance is the number of seconds that the timestamp may be off to either side;
 * 0 means OUTBOX_WEBHOOK_TOLERANCE.
 *
 * Returns OUTBOX_OK;
 * OUTBOX_ESIGNATURE: not authentic, too old or too new.  The message says which check
 *     failed and the field names the header ("webhook-signature"; all that mismatch at
 *     once name that one).  Do not send the message to the peer.
 * OUTBOX_EINVAL: an argument is missing, or a secret is malformed (the field is
 *     "secrets"): a fault of the receiver, not of the sender;
 * OUTBOX_EINTERNAL: OpenSSL cannot compute HMAC-SHA256, or is out of memory.
 *
 * Comparing takes the same time however much of a signature is right.
 * Threads: any number at once.  Blocks nowhere; the work is proportional to the body.
 * Since 0.1. */
OUTBOX_API int outbox_webhook_verify(const outbox_webhook *webhook, const char *const *secrets, size_t count,
                                     int64_t now, int64_t tolerance, outbox_error **reterr);

#ifdef __cplusplus
}
#endif

#endif
