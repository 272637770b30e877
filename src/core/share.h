/* Who publishes which lane: the relays that are alive share them evenly.  Pure.
 *
 * Every relay decides for itself by the same rule, from what the database told it last.
 * They may have been told different things: then two want one lane, and its lease decides,
 * or for a moment nobody does. */
#ifndef CORE_SHARE_H
#define CORE_SHARE_H

#include <stdbool.h>
#include <stddef.h>

#define SHARE_LANES 16 /* as outbox.lane_set() allows */
#define SHARE_RELAYS 64

enum { SHARE_NOBODY = -1 };

struct share_lane {
    int holder; /* index of a relay; SHARE_NOBODY: free, or held by one that is not in the list */
    int pinned; /* index of the relay that an operator chose, or SHARE_NOBODY */
    bool closed; /* nobody may have it */
};

struct share_picture {
    size_t relay_count;
    bool able[SHARE_RELAYS]; /* of each relay, in the order of their names: it does not fail */
    size_t lane_count;
    struct share_lane lanes[SHARE_LANES];
};

/* Fills in for each lane whose turn it is, or SHARE_NOBODY.
 *
 * Each able relay gets as many as the others, or one more; if none is able, all count as
 * able.  Whoever has a lane keeps it as long as that does not give it more than its part. */
void share_lanes(const struct share_picture *picture, int ret_owner[SHARE_LANES]);

#endif
