#include <outbox/webhook.h>

#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "base/signature.h"

/* No clock is further off than this; it also keeps the sums below from overflowing. */
#define TOLERANCE_MAX INT64_C(31536000000)
#define SECRETS_MAX 64

static int check_headers(const outbox_webhook *webhook, outbox_error **reterr)
{
    const struct {
        const char *name;
        const char *value;
    } headers[] = {
        {OUTBOX_WEBHOOK_ID, webhook->id},
        {OUTBOX_WEBHOOK_TIMESTAMP, webhook->timestamp},
        {OUTBOX_WEBHOOK_SIGNATURE, webhook->signature},
    };

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (!headers[i].value || !*headers[i].value)
            return outbox__fail(reterr, OUTBOX_ESIGNATURE, headers[i].name,
                                "%s: the request has no such header", headers[i].name);
    }
    return OUTBOX_OK;
}

static int report(enum outbox__verdict verdict, int64_t tolerance, outbox_error **reterr)
{
    switch (verdict) {
    case OUTBOX__VERDICT_GOOD:
        return OUTBOX_OK;
    case OUTBOX__VERDICT_TIMESTAMP:
        return outbox__fail(reterr, OUTBOX_ESIGNATURE, OUTBOX_WEBHOOK_TIMESTAMP,
                            "webhook-timestamp: is not a number of seconds since 1970");
    case OUTBOX__VERDICT_OLD:
        return outbox__fail(
            reterr, OUTBOX_ESIGNATURE, OUTBOX_WEBHOOK_TIMESTAMP,
            "webhook-timestamp: is more than %lld seconds old: a replayed request, or a clock is wrong",
            (long long)tolerance);
    case OUTBOX__VERDICT_NEW:
        return outbox__fail(reterr, OUTBOX_ESIGNATURE, OUTBOX_WEBHOOK_TIMESTAMP,
                            "webhook-timestamp: is more than %lld seconds in the future: a clock is wrong",
                            (long long)tolerance);
    case OUTBOX__VERDICT_SCHEME:
        return outbox__fail(reterr, OUTBOX_ESIGNATURE, OUTBOX_WEBHOOK_SIGNATURE,
                            "webhook-signature: has no signature of scheme v1");
    case OUTBOX__VERDICT_MISMATCH:
        return outbox__fail(
            reterr, OUTBOX_ESIGNATURE, OUTBOX_WEBHOOK_SIGNATURE,
            "webhook-signature: none of the signatures is made with one of the secrets over this id, "
            "timestamp and body: compare the secrets, and pass the body as it was received");
    case OUTBOX__VERDICT_FAULT:
        break;
    }
    return outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "OpenSSL cannot compute HMAC-SHA256");
}

static int parse_secrets(const char *const *texts, size_t count, struct outbox__secret *ret,
                         outbox_error **reterr)
{
    for (size_t i = 0; i < count; i++) {
        if (!texts[i] || !outbox__secret_parse(texts[i], &ret[i]))
            return outbox__fail(
                reterr, OUTBOX_EINVAL, "secrets",
                "secrets: number %zu is not base64 of %d to %d bytes, with or without whsec_ before it", i,
                OUTBOX__SECRET_MIN, OUTBOX__SECRET_MAX);
    }
    return OUTBOX_OK;
}

static int check_arguments(const outbox_webhook *webhook, const char *const *secrets, size_t count,
                           int64_t now, int64_t tolerance, outbox_error **reterr)
{
    if (!webhook || !secrets || (!webhook->body && webhook->body_size > 0))
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "an argument is NULL that must not be");
    if (count < 1 || count > SECRETS_MAX)
        return outbox__fail(reterr, OUTBOX_EINVAL, "secrets", "secrets: there are %zu, must be 1 to %d",
                            count, SECRETS_MAX);
    if (now < 0 || now > INT64_MAX - TOLERANCE_MAX)
        return outbox__fail(reterr, OUTBOX_EINVAL, "now", "now: is not a number of seconds since 1970");
    if (tolerance < 0 || tolerance > TOLERANCE_MAX)
        return outbox__fail(reterr, OUTBOX_EINVAL, "tolerance", "tolerance: must be 0 to %lld seconds",
                            (long long)TOLERANCE_MAX);
    return check_headers(webhook, reterr);
}

int outbox_webhook_verify(const outbox_webhook *webhook, const char *const *secrets, size_t count,
                          int64_t now, int64_t tolerance, outbox_error **reterr)
{
    struct outbox__secret *parsed;
    int status = check_arguments(webhook, secrets, count, now, tolerance, reterr);

    if (status < 0)
        return status;
    if (now == 0)
        now = (int64_t)time(NULL);
    if (tolerance == 0)
        tolerance = OUTBOX_WEBHOOK_TOLERANCE;
    parsed = calloc(count, sizeof(*parsed));
    if (!parsed)
        return outbox__fail_memory(reterr);
    status = parse_secrets(secrets, count, parsed, reterr);
    if (status == OUTBOX_OK) {
        const struct outbox__signed message = {webhook->id, webhook->timestamp, webhook->body,
                                               webhook->body_size};

        status = report(outbox__signature_check(&message, webhook->signature, parsed, count, now, tolerance),
                        tolerance, reterr);
    }
    for (size_t i = 0; i < count; i++)
        outbox__secret_wipe(&parsed[i]);
    free(parsed);
    return status;
}
