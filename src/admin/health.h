/* Is the relay well?  Decided from facts that others gather; pure. */
#ifndef ADMIN_HEALTH_H
#define ADMIN_HEALTH_H

#include <stdbool.h>

#include "base/buf.h"
#include "runtime/clock.h"

/* Moments of the monotonic clock; 0: not so. */
struct health_facts {
    mono_us now;
    mono_us patience;               /* for what may pass by itself */
    bool stopping;
    bool ready;                     /* has had the lane, or stood by, before */
    const char *state;              /* what it does with the lane */
    const char *halt;               /* the lane waits for an operator, for this reason; NULL: it does not */
    mono_us idle_since;             /* neither owner nor standing by */
    mono_us database_failing_since;
    mono_us kafka_failing_since;
    mono_us stalled_since;          /* owner, with a backlog, without progress */
    int partitions_ahead;           /* -1: not known */
    int overdue;                    /* threads whose wait has passed its deadline, and the one for longest: */
    const char *overdue_thread;
    const char *overdue_for;
    mono_us overdue_since;
    const char *grant;              /* without which nothing can be removed; NULL: it is there */
};

#define HEALTH_PARTITIONS 2 /* fewer ahead than this are too few */

/* Writes one line for each complaint, or one that says what the relay does.  True if there
 * is none. */
bool health_judge(const struct health_facts *facts, struct outbox__buf *out);

#endif
