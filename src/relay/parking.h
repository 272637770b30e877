/* What a lane's database side does about events that cannot be published.  One thread. */
#ifndef RELAY_PARKING_H
#define RELAY_PARKING_H

#include "relay/records.h"
#include "source/parking.h"

/* What this owner knows; nobody else adds to what is parked. */
struct parking {
    struct parking_owner owner;
    bool open;    /* something waits */
    int64_t last; /* no event beyond this seq was ever parked */
};

/* At the beginning of a tenure. */
int parking_begin(struct parking *parking, struct pg *pg, const struct parking_owner *owner, mono_us deadline,
                  outbox_error **reterr);
/* Leaves out of the page what is parked, after parking what has to wait behind it. */
int parking_filter(struct parking *parking, struct pg *pg, int64_t tick, struct page *page, mono_us deadline,
                   outbox_error **reterr);
/* Parks what the faults name. */
int parking_park(struct parking *parking, struct pg *pg, int64_t tick, const char *faults, mono_us deadline,
                 outbox_error **reterr);

/* The faults as outbox.lane_park takes them, for free(), and a line in the log for each.  NULL
 * without memory. */
char *parking_describe(int lane, const struct records *records, const struct record_fault *faults, size_t count);

#endif
