/* A connection to PostgreSQL that comes back: after a failure there is a pause, longer each
 * time, and then another one.  One thread. */
#ifndef WEBHOOK_LINK_H
#define WEBHOOK_LINK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "runtime/clock.h"
#include "runtime/repeat.h"
#include "webhook/store.h"

struct link {
    const char *dsn;
    const char *worker;
    const char *application_name;
    const _Atomic mono_us *stop_at; /* nothing takes longer than until then */
    struct store *store;            /* NULL: no connection */
    mono_us connect_at;             /* not before; while there is none */
    mono_us backoff;
    struct repeat repeat;
};

/* Borrows what it is given. */
void link_init(struct link *link, const char *dsn, const char *worker, const char *application_name,
               const _Atomic mono_us *stop_at);
/* Connects, if there is no connection and it is time.  True if there is a new one; tell
 * link_proved() when it has turned out to be of use. */
bool link_connect(struct link *link, mono_us now);
void link_proved(struct link *link);
/* Every failure ends in a new connection: after most of them this one is of no use, and
 * after the others a pause is.  Takes the error. */
void link_lose(struct link *link, const char *what, outbox_error *error);
/* For a statement that begins now. */
mono_us link_deadline(const struct link *link);
void link_close(struct link *link);

#endif
