/* Sends webhooks: claims due deliveries, sends them, records what came of it.
 *
 * A claim is committed before the first byte of its request, so whatever happens there
 * is a record that something may have been sent; a result is recorded only by the
 * bearer of the claim's token.  Several dispatchers, here or elsewhere, share the work. */
#ifndef WEBHOOK_DISPATCHER_H
#define WEBHOOK_DISPATCHER_H

#include <stdbool.h>

#include "base/error.h"
#include "runtime/clock.h"

struct dispatcher_settings {
    const char *dsn;
    const char *worker;            /* a name of its own: on start it takes back what an earlier one of
                                      that name left behind */
    const char *allowed_addresses; /* networks that are not public but allowed, "127.0.0.0/8,::1/128" */
    const char *ca_file;           /* NULL or "": the system's certificates */
    bool insecure;                 /* http without TLS to public addresses, too */
    int max_in_flight;             /* requests at once, over all endpoints; one gets at most half of it */
    mono_us lease_margin;          /* a claim outlives its endpoint's timeout by this */
    mono_us poll_interval;         /* looks for due deliveries at least so often */
    mono_us connect_timeout;       /* of an endpoint; its own timeout covers the whole request */
};

struct dispatcher;

/* Copies the settings.  Does not wait for PostgreSQL: without it, it keeps trying.  NULL
 * on failure. */
struct dispatcher *dispatcher_start(const struct dispatcher_settings *settings, outbox_error **reterr);
/* New deliveries may be due.  Any thread. */
void dispatcher_wake(struct dispatcher *dispatcher);
/* How many relays send webhooks, this one included: each looks the less often for what nobody
 * tells it of.  Any thread. */
void dispatcher_set_company(struct dispatcher *dispatcher, int relays);
/* What a reload may change; for the requests that follow.  Any thread.  Negative: nothing has
 * changed. */
int dispatcher_change(struct dispatcher *dispatcher, const char *allowed_addresses, mono_us connect_timeout,
                      outbox_error **reterr);
/* Claims nothing more, waits for what is in flight until shortly before the deadline,
 * breaks off the rest, records.  True if every result was recorded; what was not, is
 * recovered later by its lease or by the worker's name.  Frees the dispatcher.  NULL: true. */
bool dispatcher_stop(struct dispatcher *dispatcher, mono_us deadline);

#endif
