/* One claimed delivery on its way through the dispatcher: claimed, sent, recorded. */
#ifndef WEBHOOK_TASK_H
#define WEBHOOK_TASK_H

#include <stdint.h>

#include "base/uuid.h"
#include "core/delivery.h"
#include "webhook/endpoint.h"
#include "webhook/http.h"

/* A delivery as it was claimed; what it points to is borrowed. */
struct claim {
    int64_t delivery;
    int64_t token;
    int send;
    int attempts;
    int64_t age_us;
    int replay;
    bool present; /* false: the event is gone */
    struct outbox__uuid endpoint;
    struct outbox__uuid event_id;
    const char *event_type;
    const char *content_type; /* NULL: none */
    const char *payload;      /* NULL: none */
    size_t payload_size;
    const char *headers;     /* the event's own, "name: value" lines; NULL: none */
    const char *traceparent; /* NULL: none */
    const char *tracestate;  /* NULL: none */
};

enum task_fate {
    TASK_OPEN,     /* not recorded yet */
    TASK_RECORDED, /* its result stands in the database */
    TASK_DROPPED,  /* not so: its token was not the delivery's any more */
    TASK_REFUSED   /* nor so: the server cannot take it */
};

struct task {
    struct http_exchange exchange; /* first: they come back by its address */
    struct task *left, *right;     /* all tasks that exist */
    struct task *next;             /* finished, to be recorded */
    struct endpoint *endpoint;     /* counted */
    int64_t delivery;
    int64_t token;
    int send;
    int attempts;
    int64_t age_us; /* when it was claimed */
    mono_us claimed_at;
    struct curl_slist *headers;
    char *body;
    bool hopeless; /* there is nothing to send; the conclusion stands */
    enum delivery_outcome outcome;
    struct delivery_step step;
    enum task_fate fate;
};

/* A task with a signed request, or one that is concluded at once if the event is gone.
 * asked: when the statement that claimed it was begun.  lease_margin: the claim outlives
 * the endpoint's timeout by this.  NULL without memory. */
struct task *task_new(const struct claim *claim, struct endpoint *endpoint, mono_us asked,
                      mono_us lease_margin);
/* NULL is allowed. */
void task_free(struct task *task);

/* Draws the conclusion from the evidence of the exchange. */
void task_conclude(struct task *task, uint64_t random);

#endif
