/* Endpoints as the database describes them, and what becomes of a delivery there.  Lines: id,
 * name, URL, policy, schedule, secrets, max_age, then outcome, status, age, sends, attempts,
 * Retry-After, random. */
#include "fuzz.h"

#include <limits.h>
#include <string.h>

#include "webhook/endpoint.h"

static void check_endpoint(const struct endpoint *endpoint)
{
    FUZZ_CHECK(endpoint->secret_count >= 1 && endpoint->secret_count <= ENDPOINT_SECRETS_MAX);
    FUZZ_CHECK(endpoint->rules.schedule_count >= 1 && endpoint->rules.schedule_count <= ENDPOINT_SCHEDULE_MAX);
    for (int i = 0; i < endpoint->rules.schedule_count; i++)
        FUZZ_CHECK(endpoint->rules.schedule[i] >= 0);
    FUZZ_CHECK(strlen(endpoint->label) < sizeof(endpoint->label));
}

static int small(struct fuzz_input *input, int count)
{
    return (int)((uint64_t)fuzz_number(input) % (uint64_t)count);
}

/* A delivery ends, or waits no longer than it may live. */
static void check_next(const struct endpoint *endpoint, struct fuzz_input *input)
{
    struct delivery_facts facts = {.outcome = (enum delivery_outcome)small(input, 4), .status = small(input, 1000)};
    struct delivery_step step;

    facts.age = (int64_t)((uint64_t)fuzz_number(input) >> 2); /* the clock has not so many */
    facts.sends = small(input, INT_MAX - 1);
    facts.attempts = small(input, INT_MAX - 1);
    facts.retry_after = small(input, INT_MAX) - 1;
    facts.random = (uint64_t)fuzz_number(input);
    step = delivery_next(&endpoint->rules, &facts);
    FUZZ_CHECK(step.retry_in >= 0);
    if (step.state == DELIVERY_STATE_FAILED && facts.outcome != DELIVERY_OUTCOME_NOT_SENT)
        FUZZ_CHECK(step.retry_in <= endpoint->rules.max_age - facts.age);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    struct endpoint_row row = {.timeout = 1, .concurrency = 1};
    struct endpoint *endpoint;
    outbox_error *err = NULL;

    row.id = fuzz_line(&input);
    row.name = fuzz_optional(&input);
    row.url = fuzz_line(&input);
    row.policy = fuzz_line(&input);
    row.schedule = fuzz_optional(&input);
    row.secrets = fuzz_optional(&input);
    row.max_age_us = fuzz_number(&input);
    endpoint = endpoint_new(&row, &err);
    FUZZ_CHECK((endpoint != NULL) == (err == NULL));
    if (err)
        FUZZ_CHECK(!row.secrets || strlen(row.secrets) < 20 || !strstr(outbox_error_message(err), row.secrets));
    if (endpoint) {
        check_endpoint(endpoint);
        check_next(endpoint, &input);
    }
    endpoint_unref(endpoint);
    outbox_error_free(err);
    fuzz_end(&input);
    return 0;
}
