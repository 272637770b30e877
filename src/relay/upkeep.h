/* One round of maintenance on a connection of its own: partitions ahead of need, rotation,
 * partitions that go, rows that expire. */
#ifndef RELAY_UPKEEP_H
#define RELAY_UPKEEP_H

#include <stdatomic.h>

#include "config/config.h"
#include "pg/conn.h"

struct upkeep {
    const struct relay_config *config; /* in force for this round */
    struct pg *pg;
    bool may_remove;
    const atomic_bool *quit; /* between two statements */
    /* kept from round to round */
    int held_number; /* the partition of which it was logged last, and what held it */
    char held[16];
    int64_t deliveries_after; /* where the sweep of the deliveries goes on */
    /* what came of the round */
    bool want_tick; /* a partition waits for the lane to pass a tick that is not there yet */
    bool more;      /* there is more to be done than one round should take */
};

/* Does what is due.  Another relay that is at it: nothing, which is success. */
int upkeep_round(struct upkeep *upkeep, outbox_error **reterr);

#endif
