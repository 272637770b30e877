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

    struct position acked;     /* in the database */
    struct position confirmed; /* in Kafka; exactly once: the marker */
    bool started;              /* the database knows that there is a marker */
    bool loose;                /* the database knows that the lane publishes at least once:
                                * its marker need not have kept up */
    bool marked;               /* there is one, not behind the database */
    bool producer_open;        /* the transactional one (no predecessor can commit), or the idempotent one */
    bool piping;               /* the idempotent one */
    bool marker_ahead;         /* of the database */
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
    struct tick_id drain;   /* where the lane ends, 0: nowhere */
    bool wanted_tick;
    bool missed_tick;       /* one came while there was no room for more: there is news */
    int limit;              /* events of the next page */
    struct lane_page ready; /* read, not begun */
    struct flight flight;   /* begun, not confirmed; exactly once: one, id 0 for a marker alone */
    bool committing;
    int64_t marked_at;      /* when confirmed last moved */

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
