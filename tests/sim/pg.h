/* PostgreSQL, as far as the algorithm needs it: transaction ids and snapshots, a sequence, a
 * WAL that is flushed later than it is written, ticks step by step, lanes, leases, relays,
 * the change of the lane map, deliveries. */
#ifndef SIM_PG_H
#define SIM_PG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/delivery.h"
#include "core/lane.h"
#include "core/position.h"
#include "core/share.h"

struct sim;
struct call;

#define PG_TXNS 128
#define PG_ROWS 256
#define PG_TICKS 512
#define PG_RUNNING 32
#define PG_ENDPOINTS 2
#define PG_DELIVERIES (PG_ROWS * PG_ENDPOINTS)
#define PG_SEQUENCE_LOG 64
#define PG_TICKINGS 24
#define PG_RELAYS 3
#define PG_LANES 4
#define PG_BUCKETS 256

enum pg_txn_state {
    PG_RUNS,
    PG_COMMITTING, /* its commit is in the WAL, not flushed; nobody sees it */
    PG_COMMITTED,  /* visible; flushed if lsn <= flushed */
    PG_ABORTED,
    PG_LOST        /* was visible, and a crash took it back */
};

/* A writer's transaction. */
struct pg_txn {
    int64_t xid;
    enum pg_txn_state state;
    int64_t lsn;       /* of its commit */
    int64_t commit_no; /* in order of visibility */
    int boot;
    bool holds_bell;   /* shared */
    bool notifies;
};

/* What there is of it in outbox.parked_event. */
enum pg_parked {
    PG_NOT_PARKED,
    PG_HELD,   /* an operator decides */
    PG_BEHIND,
    PG_RETRY,
    PG_RELEASED,
    PG_DISCARDED
};

/* A row of outbox.event. */
struct pg_row {
    int64_t seq;
    int64_t lsn;
    int event;    /* its identity in this run */
    int key;      /* negative: none */
    int bucket;
    int txn;
    bool undone;  /* by a rollback to a savepoint */
    enum pg_parked parked;
    int64_t tick;    /* if parked: the from_tick of its batch */
    int64_t release; /* 0: none */
    int map;         /* whose lanes it waits in */
};

struct pg_snapshot {
    int64_t xmin;
    int64_t xmax;
    int count;
    int64_t xip[PG_RUNNING];
};

struct pg_tick {
    struct tick_id id;
    struct pg_snapshot snapshot;
    int64_t last_seq;
    int64_t self_xid;
    int64_t lsn;
};

/* A call of outbox.tick() under way, or of outbox.lane_set(), which takes the same lock. */
struct pg_ticking {
    bool open;
    int lanes;        /* of the next map; 0: it is a tick */
    int64_t patience;
    int64_t known;    /* newest tick that the caller knows */
    int step;
    int boot;
    bool waits;       /* for the lock */
    bool forced;
    bool fails, unreplicated;
    bool inserted;
    bool tells;       /* NOTIFY outbox_ticks */
    int64_t pause;    /* with the lock held, before the next step */
    struct pg_tick tick;
    struct call *call; /* NULL: nobody waits for the answer */
};

struct pg_delivery {
    int event;
    int64_t seq;
    int endpoint;
    int state; /* enum pg_delivery_state */
    int attempts;
    int sends;
    int64_t token;
    int worker;
    int64_t next_at;
    int64_t lease_until; /* 0: none */
    int64_t created_at;
};

enum pg_delivery_state {
    PG_PENDING,
    PG_SENDING,
    PG_DELIVERED,
    PG_FAILED,
    PG_UNKNOWN,
    PG_PARKED,
    PG_DEAD
};

struct pg_endpoint {
    bool enabled;
    enum delivery_policy policy;
};

/* A lane of the present map, with its lease. */
struct pg_lane {
    int low, high; /* buckets */
    int holder;    /* of the lease, or -1 */
    int64_t lease_epoch;
    int64_t ended_epoch; /* nobody who had it up to then can publish */
    int64_t expires_at;
    int64_t epoch; /* of the lane */
    struct position position;
    bool started;
    int64_t published;
    bool at_least_once; /* how it was published last */
    bool halted;
    int64_t halted_at;
    int pinned; /* to a relay, or -1 */
};

/* A row of outbox.relay. */
struct pg_member {
    int64_t expires_at; /* 0: there is none */
    int64_t started_at;
    bool able;
};

/* outbox.lane_change */
struct pg_change {
    bool open;
    int lanes; /* of the next map */
    struct tick_id stop;
    int64_t expires_at;
};

struct pg {
    bool up;
    int boot;
    int64_t clock_offset;
    int64_t lsn, flushed;
    int64_t next_xid, latest_completed, flushed_xid;
    int64_t running[PG_RUNNING];
    int running_count;
    int64_t sequence, sequence_logged;
    struct {
        int64_t value, lsn;
    } sequence_log[PG_SEQUENCE_LOG];
    int sequence_logs;
    int64_t left_below;    /* numbers of a partition that is left, and may be dropped; 0: none */
    int64_t fence_after;   /* the newest tick when it was left */
    int64_t dropped_below; /* numbers */
    int64_t tick_sequence;
    int64_t commits;
    struct pg_txn txns[PG_TXNS];
    int txn_count;
    struct pg_row rows[PG_ROWS];
    int row_count;
    struct pg_tick ticks[PG_TICKS]; /* visible, by id */
    int tick_count;
    struct pg_ticking tickings[PG_TICKINGS];
    int tick_lock; /* the ticking that has it, or -1 */

    int bell_relay; /* whose connection holds the bell, or -1 */
    int bell_shared;

    int map;
    int lane_count;
    struct pg_lane lanes[PG_LANES];
    struct pg_member members[PG_RELAYS];
    int ticker; /* who has its lease, or -1 */
    int64_t ticker_until;
    struct pg_change change;
    int incarnation;
    bool other_server;

    struct pg_endpoint endpoints[PG_ENDPOINTS];
    struct pg_delivery deliveries[PG_DELIVERIES];
    int delivery_count;
    int64_t last_token;
    int64_t last_release;
};

void pg_init(struct sim *sim);
int64_t pg_clock(const struct sim *sim);

/* Transactions. */
int64_t pg_xid(struct sim *sim);                   /* of one that runs from now on */
void pg_complete(struct pg *pg, int64_t xid);
void pg_statement_commit(struct sim *sim);         /* of a statement that is flushed at once */
int64_t pg_nextval(struct pg *pg);
void pg_sequence_set(struct pg *pg, int64_t value);
/* Into the next partition; false if the last one is there yet. */
bool pg_rotate(struct sim *sim);
void pg_snapshot_take(const struct pg *pg, int64_t own, struct pg_snapshot *ret);
bool pg_snapshot_sees(const struct pg_snapshot *snapshot, int64_t xid);
void pg_flush(struct pg *pg, int64_t lsn);
void pg_crash(struct sim *sim);
void pg_start(struct sim *sim);
void pg_restore(struct sim *sim, const struct pg *backup);

/* Ticks. */
const struct pg_tick *pg_tick_find(const struct sim *sim, const struct tick_id *id);
const struct pg_tick *pg_tick_by_id(const struct pg *pg, int64_t id);
bool pg_row_live(const struct pg *pg, const struct pg_row *row);
bool pg_batch_has(const struct sim *sim, const struct pg_tick *a, const struct pg_tick *b,
                  const struct pg_row *row);
/* Does a lane at this position have this row behind it? */
bool pg_covered(const struct sim *sim, const struct position *position, const struct pg_row *row);
/* Indexes of rows, in order of seq. */
struct pg_interval {
    const struct position *position;
    int64_t upto;
    int low, high;
};
int pg_batch(const struct sim *sim, const struct pg_interval *what, int limit, int *ret);
/* outbox.tick_newest(): NULL if there is none after that one. */
const struct pg_tick *pg_tick_newest(struct sim *sim, int64_t after);
void pg_tick_begin(struct sim *sim, struct pg_ticking ticking, int64_t last);
void pg_ticks_after_crash(struct sim *sim, const struct pg_ticking *open, int count);

/* Lanes.  A statement of an owner that is not it any more finds nothing. */
struct owner {
    int map, lane;
    int64_t epoch;
};

struct pg_grant {
    bool granted;
    bool raised; /* there is no such lane */
    int64_t retry_after;
    int64_t epoch;
};

struct pg_lane *pg_lane_find(struct pg *pg, int map, int lane);
struct pg_lane *pg_lane_owned(struct pg *pg, const struct owner *owner);
struct pg_grant pg_lane_acquire(struct sim *sim, const struct owner *lane, int holder, int64_t ttl);
bool pg_lane_renew(struct sim *sim, const struct owner *owner, int64_t ttl);
bool pg_lane_record(struct sim *sim, const struct owner *owner, bool at_least_once);
void pg_lane_release(struct sim *sim, const struct owner *owner, bool fenced);
void pg_lane_halt(struct sim *sim, const struct owner *owner);
enum pg_acknowledged {
    PG_ACCEPTED,
    PG_NOT_ACCEPTED,
    PG_RAISED
};
enum pg_acknowledged pg_lane_acknowledge(struct sim *sim, const struct owner *owner, const struct lane_action *action);
int pg_endpoints(const struct pg *pg);

/* The relays and the lane map: pg_map.c. */
struct check_in {
    int relay;
    bool first, leaving, able, may_tick;
    int map;
    int count;
    int lanes[PG_LANES];
    int64_t epochs[PG_LANES];
};

/* What it tells. */
struct picture {
    int64_t asked_at;
    int map;
    bool ticking;
    int ticker; /* who has the tick, or -1 */
    struct tick_id stop;
    int64_t newest_tick;
    int relays[PG_RELAYS]; /* by their place in the share */
    int self;
    struct share_picture share;
    struct {
        int holder; /* a relay, or -1 */
        int64_t lease_left;
        bool renewed;
    } lanes[PG_LANES];
};

void pg_check_in(struct sim *sim, const struct check_in *what, int64_t ttl, struct picture *ret);
/* With the lock of the tick. */
void pg_lane_set(struct sim *sim, int lanes, int64_t patience);
bool pg_map_changes(const struct sim *sim);
/* The next to check in begins another. */
bool pg_map_has_ended(const struct sim *sim);
/* Is there a release of which only the lane's marker tells whether it is published? */
bool pg_release_pending(const struct sim *sim, const struct pg_lane *lane);
bool pg_lane_has(const struct pg_lane *lane, const struct pg_row *row);

/* Parking: false, or -1, when another owns the lane. */
bool pg_is_parked(const struct pg_row *row); /* and its way is not decided */
bool pg_park(struct sim *sim, const struct owner *owner, int64_t tick, const int *events, int count);
/* Parks those of a page's rows that wait behind others. */
bool pg_park_behind(struct sim *sim, const struct owner *owner, int64_t tick, const int *rows, int count);
/* The rows, in the lane's order; *ret_release: their id. */
int pg_take_release(struct sim *sim, const struct owner *owner, int limit, int *ret, int64_t *ret_release);
void pg_released(struct sim *sim, int64_t release);
void pg_operate_later(struct sim *sim);

/* Deliveries. */
void pg_delivery_insert(struct sim *sim, const struct pg_row *row);
int pg_delivery_claim(struct sim *sim, int worker, int limit, int *ret);
bool pg_delivery_finish(struct sim *sim, int delivery, int64_t token, const struct delivery_step *step);
int pg_delivery_recover(struct sim *sim, int worker, const int64_t *held, int held_count);

#endif
