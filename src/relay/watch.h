/* The thread that looks at the database for those who ask how things are: lag, halts,
 * partitions, deliveries.  On a connection of its own, so that it holds up nobody; every
 * few seconds, and when somebody asks, but not more than once a second. */
#ifndef RELAY_WATCH_H
#define RELAY_WATCH_H

#include "relay/settings.h"
#include "source/outlook.h"

/* Moments are 0 for "not so". */
struct watch_view {
    mono_us sampled_at;
    mono_us failing_since;
    mono_us stalled_since; /* a lane that runs here has a backlog and does not move */
    int partitions_ahead;  /* -1: not known yet */
    char halt[32];         /* of the first lane that is halted, "": none is */
};

struct watch;

/* NULL on failure. */
struct watch *watch_start(struct settings *settings);
/* Waits until there is news, or the deadline passes, and returns what is known.  Any thread. */
void watch_look(struct watch *watch, mono_us deadline, struct watch_view *ret);
/* How many relays look, this one included: each does it the less often unasked. */
void watch_set_company(struct watch *watch, int relays);
/* Nobody may be looking.  False if it did not end by the deadline.  NULL is allowed. */
bool watch_stop(struct watch *watch, mono_us deadline);

#endif
