#include "webhook/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "webhook/url.h"

/* A century, in microseconds: what is longer is as good as for ever, and can be added up. */
#define LONGEST (INT64_C(100) * 366 * 86400 * 1000000)

static int64_t limited(int64_t us)
{
    return us > LONGEST ? LONGEST : us;
}

static int parse_schedule(const char *text, struct endpoint *endpoint, outbox_error **reterr)
{
    int count = 0;

    endpoint->rules.schedule = endpoint->schedule;
    if (!text) {
        memcpy(endpoint->schedule, delivery_schedule, sizeof(delivery_schedule));
        endpoint->rules.schedule_count = DELIVERY_SCHEDULE_COUNT;
        return OUTBOX_OK;
    }
    while (*text) {
        char *end;
        long long wait = strtoll(text, &end, 10);

        if (end == text || wait < 0)
            return outbox__fail(reterr, OUTBOX_EINVAL, "schedule", "schedule: a wait is negative or null");
        if (count == ENDPOINT_SCHEDULE_MAX)
            return outbox__fail(reterr, OUTBOX_ELIMIT, "schedule", "schedule: has more than %d waits",
                                ENDPOINT_SCHEDULE_MAX);
        endpoint->schedule[count++] = limited(wait);
        text = *end == ',' ? end + 1 : end;
    }
    endpoint->rules.schedule_count = count;
    if (count == 0)
        return outbox__fail(reterr, OUTBOX_EINVAL, "schedule", "schedule: is empty");
    return OUTBOX_OK;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One secret of size hexadecimal digits. */
static bool parse_secret(const char *text, size_t size, struct outbox__secret *ret)
{
    if (size % 2 != 0 || size / 2 < 1 || size / 2 > sizeof(ret->bytes))
        return false;
    for (size_t i = 0; i < size; i += 2) {
        int high = digit(text[i]);
        int low = digit(text[i + 1]);

        if (high < 0 || low < 0)
            return false;
        ret->bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    ret->size = size / 2;
    return true;
}

static int parse_secrets(const char *text, struct endpoint *endpoint, outbox_error **reterr)
{
    while (text && *text) {
        size_t size = strcspn(text, ",");

        if (endpoint->secret_count == ENDPOINT_SECRETS_MAX)
            return outbox__fail(reterr, OUTBOX_ELIMIT, "secrets", "secrets: there are more than %d live ones",
                                ENDPOINT_SECRETS_MAX);
        if (!parse_secret(text, size, &endpoint->secrets[endpoint->secret_count]))
            return outbox__fail(reterr, OUTBOX_EINVAL, "secrets", "secrets: one has more than %d bytes",
                                OUTBOX__SECRET_MAX);
        endpoint->secret_count++;
        text += size + (text[size] == ',');
    }
    if (endpoint->secret_count == 0)
        return outbox__fail(reterr, OUTBOX_ESTATE, "secrets",
                            "secrets: there is no live one of kind v1; webhooks are never sent unsigned");
    return OUTBOX_OK;
}

static int fill(struct endpoint *endpoint, const struct endpoint_row *row, outbox_error **reterr)
{
    int status;

    if (!outbox__uuid_parse(row->id, &endpoint->id) ||
        !delivery_policy_parse(row->policy, &endpoint->rules.policy))
        return outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "the endpoint's id or policy is not understood");
    snprintf(endpoint->label, sizeof(endpoint->label), "%s", row->name ? row->name : row->id);
    endpoint->rules.max_age = row->max_age_us > 0 ? limited(row->max_age_us) : 0;
    endpoint->timeout = row->timeout;
    endpoint->concurrency = row->concurrency;
    endpoint->url = strdup(row->url);
    if (!endpoint->url)
        return outbox__fail_memory(reterr);
    status = url_check(endpoint->url, &endpoint->tls, reterr);
    if (status == OUTBOX_OK)
        status = parse_schedule(row->schedule, endpoint, reterr);
    if (status == OUTBOX_OK)
        status = parse_secrets(row->secrets, endpoint, reterr);
    return status;
}

struct endpoint *endpoint_new(const struct endpoint_row *row, outbox_error **reterr)
{
    struct endpoint *endpoint = calloc(1, sizeof(*endpoint));

    if (!endpoint) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    endpoint->references = 1;
    if (fill(endpoint, row, reterr) < 0) {
        endpoint_unref(endpoint);
        return NULL;
    }
    return endpoint;
}

struct endpoint *endpoint_ref(struct endpoint *endpoint)
{
    endpoint->references++;
    return endpoint;
}

void endpoint_unref(struct endpoint *endpoint)
{
    if (!endpoint || --endpoint->references > 0)
        return;
    for (size_t i = 0; i < ENDPOINT_SECRETS_MAX; i++)
        outbox__secret_wipe(&endpoint->secrets[i]);
    free(endpoint->url);
    free(endpoint);
}
