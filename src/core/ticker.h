/* When to tick and when to sleep: the decisions of the one who ticks.  Pure, like lane.h.
 *
 * Sleeping is safe because of the doorbell: the ticker sleeps only while it holds the
 * bell's lock exclusively, and only after it looked once more with the lock held.  A
 * writer that found the lock free before is visible by then; one that comes later finds
 * it held and notifies. */
#ifndef CORE_TICKER_H
#define CORE_TICKER_H

#include <stdbool.h>
#include <stdint.h>

struct ticker_settings {
    bool bell;             /* false: poll mode, no LISTEN */
    int64_t poll_interval; /* microseconds: poll mode's pause */
    int64_t fallback_poll; /* the longest sleep, bell or not */
    int64_t refused_min;   /* pause while writers hold the bell's lock, doubling */
    int64_t refused_max;
};

struct ticker {
    struct ticker_settings settings;
    bool holding_bell;
    bool forced;      /* a tick even without news */
    int64_t pause;    /* of the last refusal */
    int64_t pace;     /* others publish, too, and cannot say when they want a tick; 0: nobody */
};

enum ticker_action_kind {
    TICKER_TICK,         /* forced: unconditionally; else only if there is news */
    TICKER_TRY_BELL,
    TICKER_RELEASE_BELL,
    TICKER_SLEEP         /* until `duration` has passed, a notification, or a wish */
};

struct ticker_action {
    enum ticker_action_kind kind;
    bool forced;
    int64_t duration;
};

enum ticker_event {
    TICKER_TICKED,        /* a new tick was made */
    TICKER_NOTHING_NEW,
    TICKER_BELL_GRANTED,
    TICKER_BELL_REFUSED,
    TICKER_BELL_RELEASED,
    TICKER_SLEPT,         /* the time has passed */
    TICKER_NOTIFIED,
    TICKER_WISHED,        /* the lane wants a tick */
    TICKER_WISHED_FORCED, /* whatever there is */
    TICKER_RECONNECTED    /* a new connection: the bell is lost, news may have been missed */
};

void ticker_init(struct ticker *ticker, const struct ticker_settings *settings);

/* Other times from the next action on; poll mode or not cannot change. */
void ticker_set_polls(struct ticker *ticker, int64_t poll_interval, int64_t fallback_poll);

/* At the latest so long after a tick it looks for the next; 0: when the lanes want it. */
void ticker_set_pace(struct ticker *ticker, int64_t pace);

/* The first action. */
struct ticker_action ticker_start(struct ticker *ticker);

/* What follows from what happened. */
struct ticker_action ticker_handle(struct ticker *ticker, enum ticker_event event);

#endif
