/* The thread that learns of the ticks which another relay takes, while that one does.  It asks
 * the database only when a lane wants a tick and there is one. */
#ifndef RELAY_FOLLOWER_H
#define RELAY_FOLLOWER_H

#include "relay/settings.h"
#include "runtime/mailbox.h"
#include "source/tick_memory.h"

struct follower;

/* Starts idle.  Ticks go to `answers` as LANE_EVENT_TICK, and before into `ticks`.  NULL on failure. */
struct follower *follower_start(struct settings *settings, struct mailbox *answers, struct tick_memory *ticks);
/* Any thread. */
void follower_set_active(struct follower *follower, bool active);
/* A lane has read all that it knows of; forced: it may have missed the newest tick. */
void follower_want(struct follower *follower, bool forced);
/* There is this tick: should a notification have got lost. */
void follower_hint(struct follower *follower, int64_t newest);
/* False if it did not end by the deadline.  NULL is allowed. */
bool follower_stop(struct follower *follower, mono_us deadline);

#endif
