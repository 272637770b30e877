/* A lane's decisions: when to take it over, what to read, publish and acknowledge,
 * and when to stop.  Pure: things that happened go in as events, things to do come out
 * as actions; no I/O, no clock, no randomness but the seed given at the start.
 *
 * The one who drives it executes each action and reports its end by one event.  At most
 * one action is open per executor (database, Kafka, keeper); lane_next_timer() tells
 * when the driver must report LANE_EVENT_TIMER if nothing else happens before.
 *
 * Takeover, in this order: lease, read the marker (read only: a clone must not fence
 * anybody), open the producer (fences the predecessor), read the marker again, verify
 * it against the database, acknowledge what it has and the database has not, check the
 * lease once more.  A marker that is missing or behind at the first look may be on its
 * way: the second decides.  Every failure that is not plainly retriable ends in a
 * takeover: the outcome of a failed commit is unknown, and only the marker read anew
 * decides.
 *
 * At least once, several pages are in flight without a transaction, and the confirmed
 * position is that of the last one before which nothing is missing.  The takeover is the
 * same until the lease is checked; then the way of publishing is recorded in the database
 * and the idempotent producer takes the transactional one's place.  What the database has
 * recorded tells the next owner whether anybody may have to be fenced, and whether the
 * marker must have kept up.
 *
 * What Kafka refuses is parked (core/lane_parking.c): it is committed in the database
 * before the batch is read again without it.  A page that is refused without a word on
 * which event is at fault convicts none: pages begin with one event then.  Parked events
 * are released by a page of their own, whose marker names it; it is acknowledged before
 * anything else is begun. */
#ifndef CORE_LANE_H
#define CORE_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/position.h"

struct lane;

struct lane_settings {
    int64_t lease;            /* microseconds, here and below */
    int64_t lease_renew;
    int64_t lease_margin;     /* nothing is begun when less than this is left */
    int64_t acknowledge_interval; /* without endpoints to serve */
    int64_t marker_interval;  /* while nothing but empty batches come by */
    int64_t commit_timeout;   /* of a transaction, from its begin */
    bool at_least_once;       /* and then: */
    int64_t delivery_timeout; /* of a page, from its begin; less than lease_margin */
    int flight_pages;         /* at most, up to FLIGHT_PAGES */
    int64_t flight_bytes;     /* no page is begun while there are as many */
    int64_t backoff_min;
    int64_t backoff_max;
    int64_t release_interval; /* while events are parked: between two looks for what may go on */
    int batch_events;         /* events of one Kafka transaction */
    uint64_t seed;            /* of the jitter */
};

/* Where a lane stands; named in logs and in outboxctl status. */
#define LANE_STATE_MAP(X)                                                                                    \
    X(LANE_WAITING, "waiting")                 /* for the lease, or after a failure */                       \
    X(LANE_ACQUIRING, "acquiring")                                                                           \
    X(LANE_COMPARING, "comparing")             /* reads the marker, before fencing */                        \
    X(LANE_FENCING, "fencing")                 /* opens the producer */                                      \
    X(LANE_LOCATING, "locating")               /* reads the marker, after fencing */                         \
    X(LANE_VERIFYING, "verifying")             /* compares it with the database */                           \
    X(LANE_CATCHING_UP, "catching_up")         /* acknowledges what a predecessor published */               \
    X(LANE_CHECKING_LEASE, "checking_lease")                                                                 \
    X(LANE_MARKING_START, "marking_start")     /* first marker of a new lane, or after at least once */      \
    X(LANE_RECORDING, "recording")             /* how it publishes from now on */                            \
    X(LANE_OPENING, "opening")                 /* opens the idempotent producer */                           \
    X(LANE_RUNNING, "running")                                                                               \
    X(LANE_CLOSING, "closing")                 /* gives the producer up, then waits or ends */               \
    X(LANE_RELEASING, "releasing")             /* gives the lease back */                                    \
    X(LANE_STOPPED, "stopped")                                                                               \
    X(LANE_HALTED, "halted")                   /* will not go on without an operator */

enum lane_state {
#define LANE_STATE_ENUM(constant, name) constant,
    LANE_STATE_MAP(LANE_STATE_ENUM)
#undef LANE_STATE_ENUM
};

/* Why a lane halted; the names, and the order, which gives the relay's exit code, are part of
 * the interface to operators. */
#define LANE_HALT_MAP(X)                                                                                     \
    X(LANE_HALT_NONE, "none", "")                                                                            \
    X(LANE_HALT_MARKER_MISSING, "marker_missing",                                                            \
      "the progress topic has no marker of this lane although it has published before: "                     \
      "the topic was deleted or emptied, or the relay talks to another Kafka")                               \
    X(LANE_HALT_MARKER_FOREIGN, "marker_foreign",                                                            \
      "the progress topic belongs to another incarnation of this outbox: "                                   \
      "this database is a restore or a clone, or two outboxes share a topic prefix")                         \
    X(LANE_HALT_MARKER_BEHIND, "marker_behind",                                                              \
      "the marker in Kafka lies behind what the database has acknowledged: Kafka lost data")                 \
    X(LANE_HALT_MARKER_AHEAD, "marker_ahead",                                                                \
      "the marker in Kafka names ticks that the database does not have, or there are markers of a later "    \
      "lane map than its own: the database went back in time")     \
    X(LANE_HALT_MARKER_CONFLICT, "marker_conflict",                                                          \
      "the marker in Kafka and the position in the database contradict each other")                          \
    X(LANE_HALT_WRONG_SERVER, "wrong_server",                                                                \
      "this database runs on another PostgreSQL system than the outbox was enabled on: "                     \
      "it is a restore or a copy")                                                                           \
    X(LANE_HALT_NOT_ENABLED, "not_enabled",                                                                  \
      "this database, its address or its timeline is not the one that the outbox was enabled on: "           \
      "it is a clone or a promoted standby, or it has moved")                                                \
    X(LANE_HALT_XIDS_AHEAD, "xids_ahead",                                                                    \
      "events or ticks have transaction ids that this PostgreSQL has not reached: "                          \
      "they came from another one, by a dump or a copy")

enum lane_halt {
#define LANE_HALT_ENUM(constant, name, text) constant,
    LANE_HALT_MAP(LANE_HALT_ENUM)
#undef LANE_HALT_ENUM
};

enum lane_action_kind {
    /* database */
    LANE_DO_ACQUIRE,      /* take the lease and read the position */
    LANE_DO_VERIFY,       /* do the ticks of `position` exist with these nonces? */
    LANE_DO_CHECK_LEASE,  /* renew it by a synchronous commit */
    LANE_DO_READ,         /* read the page after `position` (seq), at most `limit` events */
    LANE_DO_ACKNOWLEDGE,  /* move the database from `old` to `position`, count `published`; what has
                           * `release` is published too */
    LANE_DO_RECORD,       /* note `at_least_once` by a synchronous commit */
    LANE_DO_PARK,         /* park what the last refusal named; it was in the batch of `position` */
    LANE_DO_TAKE_RELEASE, /* choose at most `limit` parked events to be published now */
    LANE_DO_RELEASE,      /* give the lease back; `fenced`: nobody of an earlier tenure can publish */
    LANE_DO_NOTE_HALT,    /* record `halt` and give the lease back, likewise */
    /* Kafka */
    LANE_DO_READ_MARKER,
    LANE_DO_OPEN_PRODUCER,
    LANE_DO_OPEN_PIPELINE, /* close the producer if there is one, open an idempotent one */
    LANE_DO_PUBLISH,      /* begin, produce page `page` (0: none), marker at `position` with `release`; in a pipeline:
                           * produce the page */
    LANE_DO_COMMIT,       /* a finite slice of it */
    LANE_DO_CLOSE_PRODUCER, /* `drain`: wait for what is in flight, else purge it */
    /* keeper: a connection of its own, so that a long read delays no renewal */
    LANE_DO_RENEW,
    /* nothing to report about */
    LANE_DO_FREE_PAGE,    /* page `page` is needed no more */
    LANE_DO_WANT_TICK     /* everything known is read: tick if there is news */
};

struct lane_action {
    enum lane_action_kind kind;
    int64_t epoch;
    struct position position;
    struct position old;
    int64_t published; /* events since the last acknowledgement; with PUBLISH: ever */
    int limit;
    uint64_t page;
    int64_t release;
    bool force; /* WANT_TICK: even without news */
    bool fenced;
    bool drain;
    bool at_least_once;
    enum lane_halt halt;
};

#define LANE_ACTIONS_MAX 16

struct lane_actions {
    size_t count;
    struct lane_action list[LANE_ACTIONS_MAX];
};

enum lane_event_kind {
    LANE_EVENT_START,
    LANE_EVENT_STOP,          /* finish what is open, give the lease back */
    LANE_EVENT_TIMER,
    LANE_EVENT_TICK,          /* tick: a new one, durably committed */
    LANE_EVENT_ACQUIRED,      /* epoch, lease_until, position, started, at_least_once, standing, published,
                               * endpoints, parked */
    LANE_EVENT_NOT_ACQUIRED,  /* retry_after */
    LANE_EVENT_VERIFIED,      /* found: the ticks are there */
    LANE_EVENT_LEASE_CHECKED, /* found: still ours; lease_until */
    LANE_EVENT_PAGE,          /* page, count of those that are not parked, bytes, position.seq of the last, parked or
                               * not (0: there are none), found: the batch ends here, parked */
    LANE_EVENT_ACKNOWLEDGED,  /* found: accepted; endpoints */
    LANE_EVENT_RECORDED,      /* found: accepted */
    LANE_EVENT_PARKED,
    LANE_EVENT_RELEASE,       /* page, count, bytes, release; parked: there are parked events */
    LANE_EVENT_RELEASED,
    LANE_EVENT_MARKER,        /* found, position, published, release, foreign, outdated */
    LANE_EVENT_PRODUCER_OPEN,
    LANE_EVENT_PUBLISHED,
    LANE_EVENT_REFUSED,       /* instead of published: nothing was begun, and it is known which events are at fault */
    LANE_EVENT_COMMITTED,     /* tainted */
    LANE_EVENT_COMMIT_AGAIN,
    LANE_EVENT_PRODUCER_CLOSED, /* page: the last one that was confirmed while it closed, or 0 */
    LANE_EVENT_RENEWED,       /* found: still ours; lease_until */
    LANE_EVENT_RENEW_FAILED,  /* could not ask; the lease runs on */
    LANE_EVENT_DB_FAILED,     /* a database action failed; the connection is given up */
    LANE_EVENT_KAFKA_FAILED,  /* a Kafka action failed; refused: an operator is needed; at_fault: it is known for
                               * which events */
    LANE_EVENT_CONFIRMED,     /* unasked: all pages up to `page` are on the brokers */
    LANE_EVENT_DELIVERY_FAILED /* unasked: records in flight are lost; refused, at_fault */
};

struct lane_event {
    enum lane_event_kind kind;
    int64_t now; /* always */
    bool found;
    bool started;
    bool at_least_once;
    bool foreign;
    bool outdated; /* there are markers of a later lane map */
    bool tainted;
    bool refused;
    enum lane_halt standing; /* of the database: NONE, or why it must not publish */
    bool at_fault;
    bool parked;
    int64_t epoch;
    int64_t lease_until;
    int64_t retry_after;
    int64_t published;
    struct position position;
    struct tick_id tick;
    uint64_t page;
    int count;
    int64_t bytes;
    int64_t release;
    int endpoints;
};

/* NULL if there is no memory.  Starts in LANE_WAITING; LANE_EVENT_START sets it going, also
 * again when it has stopped or halted. */
struct lane *lane_new(const struct lane_settings *settings);
void lane_free(struct lane *lane);

/* Takes in one event; *ret gets the actions that follow from it. */
void lane_handle(struct lane *lane, const struct lane_event *event, struct lane_actions *ret);

/* When LANE_EVENT_TIMER is due, INT64_MAX for never. */
int64_t lane_next_timer(const struct lane *lane);

/* The lane stops by itself once everything up to this tick, after which there is none, is
 * acknowledged.  Id 0: it does not.  Until it has stopped; to be told before the next event. */
void lane_drain(struct lane *lane, const struct tick_id *tick);

/* Of the pages read from now on. */
void lane_set_batch_events(struct lane *lane, int batch_events);

enum lane_state lane_state(const struct lane *lane);
enum lane_halt lane_halt(const struct lane *lane);
int64_t lane_epoch(const struct lane *lane);
/* It has a lease, as far as it knows, which is to be renewed. */
bool lane_holds(const struct lane *lane);
/* How often it found that another has its lease, or that its time is over. */
int64_t lane_leases_lost(const struct lane *lane);
const char *lane_state_name(enum lane_state state);
const char *lane_halt_name(enum lane_halt halt);
/* False if there is none of that name. */
bool lane_halt_by_name(const char *name, enum lane_halt *ret);
const char *lane_halt_text(enum lane_halt halt);

#endif
