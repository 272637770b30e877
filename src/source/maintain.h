/* What keeps the outbox bounded, one statement or a few at a time: partitions ahead of
 * need, partitions that go, rows that expire.  What may go is decided in the database.
 *
 * Times of retention are in microseconds; MAINTAIN_FOREVER: nothing expires. */
#ifndef SOURCE_MAINTAIN_H
#define SOURCE_MAINTAIN_H

#include <stdbool.h>

#include "pg/conn.h"

#define MAINTAIN_FOREVER INT64_MAX

/* Prepares the session: how long it may wait for anything, and the role outbox_maintenance
 * if it may take that; else it may not remove anything. */
int maintain_begin(struct pg *pg, mono_us deadline, bool *ret_may_remove, outbox_error **reterr);
/* One session at a time; until maintain_leave() or the session's end. */
int maintain_enter(struct pg *pg, mono_us deadline, bool *ret_alone, outbox_error **reterr);
int maintain_leave(struct pg *pg, mono_us deadline, outbox_error **reterr);

/* ---- partitions ahead ---- */

/* How many are ahead, and is it time to enter the next one? */
int maintain_ahead(struct pg *pg, mono_us every, int64_t events, mono_us deadline, int *ret_ahead, bool *ret_due,
                   outbox_error **reterr);
int maintain_add(struct pg *pg, mono_us deadline, int *ret_number, outbox_error **reterr);
/* The number is -1 if none is ready to be entered. */
int maintain_rotate(struct pg *pg, mono_us deadline, int *ret_number, outbox_error **reterr);

/* ---- partitions that go ---- */

struct maintain_oldest {
    int number;
    char held[16]; /* what holds it, as outbox.partition_held() says; "": it goes */
};

int maintain_retire(struct pg *pg, mono_us retention, mono_us deadline, struct maintain_oldest *ret,
                    outbox_error **reterr);
int maintain_keep(struct pg *pg, int number, int limit, mono_us deadline, int64_t *ret_kept, outbox_error **reterr);
/* Takes the next step of a retired partition on its way: detach, finalize, drop, forget.  What
 * waits too long for others is cancelled, and goes on from there the next time. */
int maintain_drop_step(struct pg *pg, int number, mono_us deadline, bool *ret_gone, outbox_error **reterr);

/* ---- rows that expire; each call at most limit of them ---- */

/* Looks at the deliveries beyond *after and moves it on; 0 when there is nothing more. */
int maintain_expire_deliveries(struct pg *pg, mono_us retention, int limit, mono_us deadline, int64_t *after,
                               int64_t *ret_removed, outbox_error **reterr);
/* The slot of a ring ("emitted", "inbox") of so many days ago.  limit 0: only by TRUNCATE. */
int maintain_expire_slot(struct pg *pg, const char *ring, int age, int limit, mono_us deadline, bool *ret_emptied,
                         int64_t *ret_removed, outbox_error **reterr);
int maintain_expire_audit(struct pg *pg, mono_us retention, int limit, mono_us deadline, int64_t *ret_removed,
                          outbox_error **reterr);
int maintain_expire_kept(struct pg *pg, int limit, mono_us deadline, int64_t *ret_removed, outbox_error **reterr);

#endif
