/* What the files of the lane share; for them alone. */
#ifndef CORE_LANE_INTERNAL_H
#define CORE_LANE_INTERNAL_H

#include "core/flight.h"
#include "core/lane.h"

struct lane {
    struct lane_settings settings;
    enum lane_state state;
    enum lane_halt halt;
    bool stopping;
    int64_t now;

    int64_t epoch;
    bool holding; /* the lease, as far as we know */
    int64_t lease_until;
    int64_t renew_at;
    int64_t leases_lost;
    bool fenced;  /* or needless: of those who had the lane before nobody can publish */

    struct position acked;     /* in the database */
    struct position confirmed; /* in Kafka; exactly once: the marker */
    bool started;              /* the database knows that there is a marker */
    bool loose;                /* the database knows that the lane publishes at least once:
                                * its marker need not have kept up */
    bool marked;               /* there is one, not behind the database */
    bool producer_open;        /* the transactional one (no predecessor can commit), or the idempotent one */
    bool piping;               /* the idempotent one */
    bool marker_ahead;         /* of the database */
    bool outdated;             /* a later map has markers */
    struct position kept;      /* at least once: confirmed under kept_epoch, in memory alone */
    int64_t kept_published;
    int64_t kept_epoch;        /* 0: nothing */
    int64_t published;         /* ever, with the marker */
    int64_t acked_published;   /* ever, as acknowledged */
    int endpoints;
    int64_t acknowledge_at;

    struct position cursor; /* read so far */
    bool batch_open;        /* there may be more of the cursor's batch */
    struct tick_id latest;  /* newest tick, 0: none yet */
    bool release_taken;     /* since it runs */
    struct tick_id drain;   /* where the lane ends, 0: nowhere */
    bool wanted_tick;
    bool missed_tick;       /* one came while there was no room for more: there is news */
    int limit;              /* events of the next page */
    struct lane_page ready; /* read, not begun */
    struct flight flight;   /* begun, not confirmed; exactly once: one, id 0 for a marker alone */
    bool committing;
    int64_t marked_at;      /* when confirmed last moved */

    bool parked;            /* there are parked events */
    bool parking;           /* the last refusal is not in the database yet */
    struct position parking_at;
    int64_t release_at;     /* when to look for what may go on */
    int release_limit;      /* events of the next release */
    struct lane_page release; /* taken, not begun */
    int64_t unacknowledged_release; /* in Kafka; 0: none */
    int64_t acknowledging_release;
    bool reading;           /* a page is being read ... */
    bool stale;             /* ... from where the cursor is no more */

    bool db_busy;
    bool kafka_busy;
    bool keeper_busy;
    struct position acknowledging;
    int64_t acknowledging_published;

    int failures;
    int64_t wake_at;
    uint64_t random;
};

/* lane.c */
struct lane_action *lane_act(struct lane *lane, struct lane_actions *actions, enum lane_action_kind kind);
void lane_lose_lease(struct lane *lane);
void lane_stop_as(struct lane *lane, enum lane_halt reason);
void lane_begin_running(struct lane *lane);
void lane_publish(struct lane *lane, struct lane_actions *actions, const struct lane_page *page);
void lane_acknowledge(struct lane *lane, struct lane_actions *actions);
bool lane_unacknowledged(const struct lane *lane);
void lane_free_page(struct lane *lane, struct lane_actions *actions, struct lane_page *page);

/* lane_parking.c */
void lane_on_refused(struct lane *lane, struct lane_actions *actions);
void lane_on_parked(struct lane *lane);
void lane_on_release(struct lane *lane, const struct lane_event *event, struct lane_actions *actions);
/* A page that was refused in flight: is it known why, or does a smaller one tell? */
void lane_judge_failure(struct lane *lane, const struct lane_event *event, bool *ret_soon);
/* After a page has been confirmed. */
void lane_grow(struct lane *lane, const struct lane_page *page);
/* Is there something to be parked, or to be taken from what is parked? */
bool lane_drive_parking(struct lane *lane, struct lane_actions *actions);
/* May it still be parked, before the lane is given up?  True while that is under way. */
bool lane_park_last(struct lane *lane, struct lane_actions *actions);
bool lane_may_take_release(const struct lane *lane);

/* lane_takeover.c */
void lane_on_acquired(struct lane *lane, const struct lane_event *event);
void lane_on_marker(struct lane *lane, const struct lane_event *event);
void lane_on_verified(struct lane *lane, const struct lane_event *event);
void lane_on_lease_checked(struct lane *lane, const struct lane_event *event);
void lane_on_recorded(struct lane *lane, const struct lane_event *event);
void lane_on_producer_open(struct lane *lane);
/* One step of the takeover; each waits for the executor that it needs. */
void lane_drive_takeover(struct lane *lane, struct lane_actions *actions);

#endif
