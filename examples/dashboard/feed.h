/* What there is to be shown: read from the database once, however many look at it. */
#ifndef DASHBOARD_FEED_H
#define DASHBOARD_FEED_H

#include <stdbool.h>
#include <stdint.h>

#define FEED_ALERTS 100 /* that are kept for those who missed them */

struct feed;

/* Starts a thread that looks at the database every interval_ms.  NULL without memory. */
struct feed *feed_new(const char *dsn, long window, long interval_ms);

/* All who wait are told to end. */
void feed_stop(struct feed *feed);

/* After feed_stop(), and when nobody waits any more. */
void feed_free(struct feed *feed);

/* How far somebody has seen it. */
struct cursor {
    uint64_t generation; /* 0: nothing yet */
    int64_t alert;       /* the last id */
};

/* Waits until there is something that the cursor has not seen, for wait_ms at most, and moves the cursor there.
 * Returns false when the feed has been stopped.  *ret_text is to be freed: messages of an event stream, "" if nothing
 * is new, NULL without memory. */
bool feed_wait(struct feed *feed, struct cursor *cursor, long wait_ms, char **ret_text);

#endif
