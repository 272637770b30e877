/* Ticks and the doorbell, on a connection of their own. */
#ifndef SOURCE_TICK_H
#define SOURCE_TICK_H

#include <stdbool.h>

#include "core/position.h"
#include "pg/conn.h"

/* What a batch query needs to know of a tick.  Texts as PostgreSQL prints them. */
struct tick {
    struct tick_id id;
    int64_t last_seq;
    char *snapshot;
    char *xip;  /* array of the xids that were running */
    char *xmax;
    char *self;
};

void tick_clear(struct tick *tick);
/* Is it loaded, and this one? */
bool tick_is(const struct tick *tick, const struct tick_id *id);
/* False without memory. */
bool tick_copy(struct tick *ret, const struct tick *tick);

/* Takes a tick, by a synchronous commit; without `forced` only if there is news, which a
 * tick newer than `last`, the caller's own last one, is too.
 * *ret_made tells whether there is a new one, in *ret, which the caller clears with
 * tick_clear().  OUTBOX_ESERVER also when the commit was not waited for (then the tick
 * must not be published). */
int tick_take(struct pg *pg, bool forced, int64_t last, mono_us deadline, bool *ret_made, struct tick *ret,
              outbox_error **reterr);

/* The newest tick after that one, whoever took it, by a synchronous commit: then it is durable.
 * The rest as for tick_take(). */
int tick_newest(struct pg *pg, int64_t after, mono_us deadline, bool *ret_found, struct tick *ret,
                outbox_error **reterr);
/* Tells the relays that do not tick themselves, and listens to that. */
int tick_tell(struct pg *pg, mono_us deadline, outbox_error **reterr);
int tick_listen(struct pg *pg, mono_us deadline, outbox_error **reterr);

/* Reads a tick by its id.  *ret_found is false, and ret untouched, when there is none or
 * its nonce is another.  The caller clears it with tick_clear(). */
int tick_load(struct pg *pg, const struct tick_id *id, mono_us deadline, bool *ret_found, struct tick *ret,
              outbox_error **reterr);

/* Listens to the bell's channel. */
int bell_listen(struct pg *pg, mono_us deadline, outbox_error **reterr);
/* Tries to take the bell's lock; *ret_granted tells. */
int bell_try(struct pg *pg, mono_us deadline, bool *ret_granted, outbox_error **reterr);
/* Ends the session that holds the bell, if it is another than this: a former ticker that
 * hangs would make every writer notify for ever.  *ret_ended is its pid, 0 if there is none. */
int bell_end_holder(struct pg *pg, mono_us deadline, int *ret_ended, outbox_error **reterr);
int bell_release(struct pg *pg, mono_us deadline, outbox_error **reterr);
/* Is this a direct connection?  LISTEN and session locks do not survive a pooler. */
int bell_check_direct(struct pg *pg, mono_us deadline, bool *ret_direct, outbox_error **reterr);

#endif
