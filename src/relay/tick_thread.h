/* The thread that ticks and keeps the doorbell, while it is for this relay to tick. */
#ifndef RELAY_TICK_THREAD_H
#define RELAY_TICK_THREAD_H

#include "relay/settings.h"
#include "runtime/mailbox.h"
#include "source/tick_memory.h"

struct tick_thread;

/* Starts idle.  New ticks go to `answers` as LANE_EVENT_TICK, and before into `ticks`; a
 * connection on which LISTEN cannot work as RELAY_FATAL.  NULL on failure. */
struct tick_thread *tick_thread_start(struct settings *settings, struct mailbox *answers, struct tick_memory *ticks);
/* Any thread. */
void tick_thread_set_active(struct tick_thread *thread, bool active);
/* Other relays publish, too: they are told of each tick. */
void tick_thread_set_company(struct tick_thread *thread, bool company);
void tick_thread_want(struct tick_thread *thread, bool forced);
/* False if it did not end by the deadline.  NULL is allowed. */
bool tick_thread_stop(struct tick_thread *thread, mono_us deadline);

#endif
