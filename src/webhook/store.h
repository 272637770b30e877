/* Deliveries and endpoints in PostgreSQL.  Every call is a transaction of its own and
 * has committed when it returns OUTBOX_OK.  After OUTBOX_ECONNECTION or OUTBOX_ETIMEOUT
 * the store must be closed, and what was asked for may have happened. */
#ifndef WEBHOOK_STORE_H
#define WEBHOOK_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/clock.h"
#include "webhook/endpoint.h"
#include "webhook/task.h"

#define STORE_BATCH 500 /* deliveries per claim, and results per recording */

struct store;

struct store *store_open(const char *dsn, const char *application_name, const char *worker, mono_us deadline,
                         outbox_error **reterr);
/* NULL is allowed. */
void store_close(struct store *store);

/* Calls take with each enabled endpoint. */
int store_endpoints(struct store *store, mono_us deadline,
                    void (*take)(void *argument, const struct endpoint_row *row), void *argument,
                    outbox_error **reterr);

/* Undoes claims whose lease is over and, if mine, all that an earlier process of this
 * worker's name left behind; but none of the count tokens in held. */
int store_recover(struct store *store, bool mine, const int64_t *held, size_t count, mono_us deadline,
                  int64_t *ret_recovered, outbox_error **reterr);

struct store_want {
    const struct outbox__uuid *endpoint;
    int slots;
};

struct store_claim {
    const struct store_want *wants; /* endpoints named first come first */
    size_t count;
    int limit;
    mono_us margin; /* a claim outlives its endpoint's timeout by this */
    void (*take)(void *argument, const struct claim *claim);
    void *argument;
};

/* Claims due deliveries and calls take with each, once the claim is committed. */
int store_claim(struct store *store, const struct store_claim *request, mono_us deadline,
                outbox_error **reterr);

/* Records the conclusions of up to STORE_BATCH tasks.  ret_accepted[i] is false if the
 * task's token was not the delivery's any more: its result was dropped. */
int store_finish(struct store *store, struct task *const *tasks, size_t count, mono_us deadline,
                 bool *ret_accepted, outbox_error **reterr);

#endif
