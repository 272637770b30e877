#include "webhook/task.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "webhook/headers.h"

/* Signs now: every attempt has a timestamp of its own. */
static bool make_request(struct task *task, const struct claim *claim)
{
    struct http_exchange *exchange = &task->exchange;

    if (claim->payload_size > 0) {
        task->body = malloc(claim->payload_size);
        if (!task->body)
            return false;
        memcpy(task->body, claim->payload, claim->payload_size);
    }
    task->headers = headers_new(claim, task->endpoint, clock_wall() / 1000000);
    if (!task->headers)
        return false;
    exchange->url = task->endpoint->url;
    exchange->tls = task->endpoint->tls;
    exchange->headers = task->headers;
    exchange->body = task->body;
    exchange->body_size = claim->payload_size;
    exchange->timeout = task->endpoint->timeout;
    exchange->fresh = task->endpoint->rules.policy != DELIVERY_RESEND;
    return true;
}

static void give_up(struct task *task, const char *why)
{
    struct http_evidence *evidence = &task->exchange.evidence;

    http_evidence_clear(evidence);
    snprintf(evidence->error, sizeof(evidence->error), "%s", why);
    task->hopeless = true;
    task->outcome = DELIVERY_OUTCOME_NOT_SENT;
    task->step = (struct delivery_step){DELIVERY_STATE_DEAD, false, 0};
}

struct task *task_new(const struct claim *claim, struct endpoint *endpoint, mono_us asked,
                      mono_us lease_margin)
{
    struct task *task = calloc(1, sizeof(*task));

    if (!task)
        return NULL;
    task->endpoint = endpoint_ref(endpoint);
    task->delivery = claim->delivery;
    task->token = claim->token;
    task->send = claim->send;
    task->attempts = claim->attempts;
    task->age_us = claim->age_us;
    /* By our clock it was claimed no earlier: the answer may have been long on its way, or we
     * stopped, and the lease runs on.  The other half of the margin is for recording. */
    task->claimed_at = asked;
    task->exchange.begin_before = task->claimed_at + lease_margin / 2;
    if (!claim->present) {
        give_up(task, "the event is gone: its partition was removed");
    } else if (!make_request(task, claim)) {
        task_free(task);
        return NULL;
    }
    return task;
}

void task_free(struct task *task)
{
    if (!task)
        return;
    curl_slist_free_all(task->headers);
    endpoint_unref(task->endpoint);
    free(task->body);
    free(task);
}

void task_conclude(struct task *task, uint64_t random)
{
    const struct http_evidence *evidence = &task->exchange.evidence;
    struct delivery_facts facts = {
        .status = evidence->reached.status,
        .held_back = evidence->held_back,
        .attempts = task->attempts,
        .sends = task->send,
        .age = task->age_us + clock_now() - task->claimed_at,
        .retry_after = evidence->retry_after_us,
        .random = random,
    };

    task->outcome = delivery_outcome(&evidence->reached, task->endpoint->rules.policy);
    facts.outcome = task->outcome;
    task->step = delivery_next(&task->endpoint->rules, &facts);
}
