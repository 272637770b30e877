/* Webhooks as they are received.  Lines: secret, webhook-id, webhook-timestamp,
 * webhook-signature, now; the rest is the body. */
#include "fuzz.h"

#include <string.h>

#include <outbox/webhook.h>

#include "base/signature.h"

#define GOOD_SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static bool is_good(const outbox_webhook *hook, const char *secret, int64_t now)
{
    outbox_error *err = NULL;
    int r = outbox_webhook_verify(hook, &secret, 1, now, 0, &err);

    FUZZ_CHECK((r == OUTBOX_OK) == (err == NULL));
    FUZZ_CHECK(r == OUTBOX_OK || r == OUTBOX_ESIGNATURE || r == OUTBOX_EINVAL);
    if (err)
        FUZZ_CHECK(outbox_error_code(err) == r && !strstr(outbox_error_message(err), "MfKQ9r8G"));
    outbox_error_free(err);
    return r == OUTBOX_OK;
}

/* What is good is signed with this secret over just these bytes, and with no other. */
static void check_good(const outbox_webhook *hook, const char *text, int64_t now)
{
    const struct outbox__signed message = {hook->id, hook->timestamp, hook->body, hook->body_size};
    char signature[OUTBOX__SIGNATURE_TEXT];
    struct outbox__secret secret;
    outbox_webhook other = *hook;

    FUZZ_CHECK(outbox__secret_parse(text, &secret) && outbox__sign(&message, &secret, signature));
    FUZZ_CHECK(strstr(hook->signature, signature) != NULL);
    secret.bytes[0] ^= 1;
    FUZZ_CHECK(outbox__sign(&message, &secret, signature) && !strstr(hook->signature, signature));
    other.body_size = hook->body_size > 0 ? hook->body_size - 1 : 0;
    if (hook->body_size > 0)
        FUZZ_CHECK(!is_good(&other, text, now));
    FUZZ_CHECK(!is_good(hook, text, now + 2 * OUTBOX_WEBHOOK_TOLERANCE + 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    const char *secret = fuzz_line(&input);
    outbox_webhook hook = {0};
    int64_t now;

    hook.id = fuzz_optional(&input);
    hook.timestamp = fuzz_optional(&input);
    hook.signature = fuzz_optional(&input);
    now = fuzz_number(&input);
    if (now == 0)
        now = 1; /* else the clock would count */
    hook.body = fuzz_bytes(&input, &hook.body_size);
    if (is_good(&hook, secret, now))
        check_good(&hook, secret, now);
    /* Whatever it is, it is not signed with this one, unless a seed says so. */
    if (hook.signature && !strstr(hook.signature, "v1,"))
        FUZZ_CHECK(!is_good(&hook, GOOD_SECRET, now));
    fuzz_end(&input);
    return 0;
}
