/* One relay process: src/core's lanes, ticker, shares and deliveries, with executors that the
 * world plays.  A runner is one lane of one process.  Only relay*.c and runner*.c know of
 * core/lane.h's actions and events. */
#ifndef SIM_RELAY_H
#define SIM_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lane.h"
#include "core/share.h"
#include "core/ticker.h"
#include "sim/kafka.h"
#include "sim/pg.h"
#include "sim/workload.h"
#include "sim/world.h"

#define RELAYS_MAX PG_RELAYS
#define PAGES 16
#define PAGE_ROWS 8
#define CLAIMS 4
#define EVENT_BYTES 100

#define LEASE (5 * SEC)
#define LEASE_RENEW (1 * SEC)
#define LEASE_MARGIN (1 * SEC)
#define STATEMENT_TIMEOUT (4 * SEC)
#define TRANSACTION_TIMEOUT (10 * SEC)
#define COMMIT_SLICE (1 * SEC)
#define SOCKET_TIMEOUT (700 * MS)
#define HTTP_TIMEOUT (2 * SEC)
#define DELIVERY_MARGIN (4 * SEC)

/* One that failed in Kafka is believed to go on failing for so long. */
#define UNABLE_FOR (5 * SEC)

struct page_copy {
    uint64_t id; /* 0: free */
    int count;
    struct kafka_record records[PAGE_ROWS];
};

/* What src/relay/parking.c knows. */
struct parking {
    bool open;    /* something waits */
    int64_t last; /* no event beyond this seq was ever parked */
};

/* An action that a server is asked for. */
struct call {
    struct lane_action action;
    struct owner owner;
    int low, high; /* buckets */
    int64_t asked_at;
    int boot;
    bool answer_lost;
    bool slow;
    int64_t last; /* of a tick: the newest that the ticker knows */
    struct lane_event answer;
    struct page_copy page;
    int faults[PAGE_ROWS]; /* events to be parked */
    int fault_count;
    struct parking parking;
};

struct producer {
    int epoch;
    int sequence[2];
    bool lost; /* a request failed in transport */
    int ends;
    int stray; /* for a planted bug: another transactional id than the lane's */
};

#define PIPE_PAGES 16

struct pipe_page {
    int slot; /* its number in the pipe */
    int tries;
    bool arrived;
    int64_t begun_at;
    struct page_copy copy;
};

struct pipe {
    int id;
    int count;     /* pages that were handed over */
    int confirmed; /* of them, without a gap */
    bool failed;   /* nothing overtakes what is lost: it sends no more */
    bool closing, drains;
    struct pipe_page pages[PIPE_PAGES];
};

/* What the Kafka executor is about. */
struct kafka_job {
    uint64_t serial;
    struct lane_action action;
    struct producer *producer;
    int step;
    int64_t deadline;
    struct page_copy page;
};

struct tick_worker {
    struct ticker ticker;
    bool active;
    bool connected;
    int boot;
    int session; /* counts connections; what belongs to an earlier one is void */
    bool sleeping;
    uintptr_t naps;
    struct call *open; /* the tick that is asked for */
    int64_t pause;
    bool wanted, forced;
    bool notified;
    int64_t last_tick;
};

struct claim {
    bool open;
    bool done; /* sent; to be recorded */
    int delivery;
    int64_t token;
    int64_t begin_before;
    int attempts, sends;
    int64_t age;
    int event, endpoint;
    struct delivery_step step;
    enum delivery_outcome outcome;
};

struct webhook_worker {
    bool running;
    int session;
    bool connected;
    bool busy; /* a statement is under way */
    int boot;
    bool stopping;
    bool woken;
    int64_t recover_at;
    int64_t poll_at;
    struct claim claims[CLAIMS];
};

/* Of a request on its way to Kafka, after a fault. */
struct request_fate {
    bool answer_lost;
    bool refused, failed;
    bool fails_after; /* carried out, and an error all the same */
};

/* What src/relay/lane_runner.c and the lane's two executors know. */
struct runner {
    int relay, number; /* process and lane */
    int map;
    struct lane *lane; /* NULL: it never had it */
    bool wanted;       /* by the process's own judgement */
    enum lane_state seen;
    int64_t ended_at;  /* when it stopped or halted */
    bool asked;        /* by the check-in that is under way */
    int64_t asked_epoch;
    int64_t started_at; /* the process */
    enum lane_state told;
    int64_t timer;
    int64_t spun_at;
    int spins;
    int low, high; /* buckets, as of its takeover */
    int incarnation;
    struct call *call; /* of the database */
    struct kafka_job kafka;
    bool kafka_committing;
    struct producer *producer;
    struct pipe *pipe; /* then there is no producer */
    struct kafka_marker compared; /* for a planted bug */
    bool has_compared;
    struct position acked;        /* likewise */
    struct page_copy pages[PAGES];
    uint64_t last_page;
    int faults[PAGE_ROWS]; /* events that the last refusal named */
    int fault_count;
    struct parking parking;
};

/* What src/relay/lanes.c knows. */
struct roster {
    int map; /* of the runners that go; 0: none yet */
    bool asking, asking_to_leave;
    bool answered; /* ever */
    bool failing;
    bool left;
    int64_t asked_at;
    int64_t ask_at;
    int64_t timer;
    int64_t unable_until;
    int64_t failing_since; /* in Kafka; 0: it does not */
    int64_t ticking_until;
    uintptr_t serial; /* of the check-in */
    struct picture picture;
};

/* What src/relay/follower.c knows. */
struct follower {
    bool active;
    bool connected;
    int session;
    int boot;
    bool asking;
    bool outstanding; /* a lane wants a tick */
    bool forced;
    bool news;
    int64_t last;
    int64_t newest; /* by hearsay */
};

struct relay {
    int id;
    int life;
    bool alive;
    bool stopping;
    bool at_least_once;
    int64_t started_at;
    int64_t paused_until;
    bool stale_stamp; /* the next thing that it handles after a pause was stamped before */
    int64_t paused_at;
    struct runner runners[PG_LANES];
    struct roster roster;
    struct follower follower;
    struct tick_worker tick;
    struct webhook_worker webhooks;
};

void relay_start(struct sim *sim, int relay);
void relay_kill(struct sim *sim, int relay);
void relay_pause(struct sim *sim, int relay, int64_t duration);
void relay_stop(struct sim *sim, int relay);
void relay_reload(struct sim *sim, int relay, int batch_events);
void relay_restart_later(struct sim *sim, int relay, int64_t delay);
void relays_free(struct sim *sim);

/* For the executors: */
struct moment relay_moment(struct sim *sim, int relay, int64_t delay, moment_run *run, void *data);
/* Is the process there and not paused?  If it is paused, the moment comes again. */
bool relay_ready(struct sim *sim, const struct moment *moment);
/* A tick for all its lanes. */
void relay_tell_tick(struct sim *sim, struct relay *relay, const struct tick_id *tick);

/* --- lanes of a process: relay_lanes.c --- */
void relay_lanes_start(struct sim *sim, struct relay *relay);
void relay_lanes_leave(struct sim *sim, struct relay *relay);
void relay_lanes_ask_soon(struct sim *sim, struct relay *relay);
/* After whatever may have moved a lane. */
void relay_lanes_note(struct sim *sim, struct runner *runner);
void relay_lanes_note_kafka(struct sim *sim, struct runner *runner, enum lane_event_kind kind);
/* The database tells all that something has changed: NOTIFY outbox_relays. */
void relays_poke(struct sim *sim);
/* Who is running, and who ticks, may have changed. */
void relay_look(struct sim *sim, struct relay *relay);

/* --- one lane: runner.c --- */
struct runner *runner_of(struct sim *sim, const struct moment *moment);
struct moment runner_moment(struct sim *sim, const struct runner *runner, int64_t delay, moment_run *run, void *data);
/* Its lane's state, or -1 if it does not go. */
int runner_state(const struct runner *runner);
bool runner_goes(const struct runner *runner);
void runner_begin(struct sim *sim, struct runner *runner, int map);
void runner_free(struct runner *runner);
void runner_handle(struct sim *sim, struct runner *runner, struct lane_event event);
/* Of the database's statement if it is one of those. */
void runner_answer(struct sim *sim, struct runner *runner, struct lane_event event);
struct page_copy *runner_page(struct sim *sim, struct runner *runner, uint64_t id);
/* Notes the page's events that Kafka says this to; returns how many there are. */
int runner_blame(struct sim *sim, struct runner *runner, const struct page_copy *page, enum nature nature);

void runner_db_submit(struct sim *sim, struct runner *runner, const struct lane_action *action);
void runner_kafka_submit(struct sim *sim, struct runner *runner, const struct lane_action *action);

/* A fault of Kafka strikes a request.  range: so long after its sender gave it up a late one
 * may arrive. */
void runner_strike_request(const struct fault *fault, int64_t range, struct request_fate *fate,
                           struct moment *arrival);
void runner_pipe_open(struct sim *sim, struct runner *runner);
void runner_pipe_publish(struct sim *sim, struct runner *runner, uint64_t id);
void runner_pipe_close(struct sim *sim, struct runner *runner, bool drain);

void relay_tick_init(struct relay *relay);
void relay_tick_set_active(struct sim *sim, struct relay *relay, bool active);
void relay_tick_want(struct sim *sim, struct relay *relay, bool forced);
void relay_tick_answer(struct sim *sim, const struct moment *moment);
void relay_tick_notify(struct sim *sim, struct relay *relay);
/* The database ends its connection. */
void relay_tick_disconnect(struct sim *sim, struct relay *relay);

void relay_follow_set_active(struct sim *sim, struct relay *relay, bool active);
void relay_follow_want(struct sim *sim, struct relay *relay, bool forced);
void relay_follow_hint(struct sim *sim, struct relay *relay, int64_t newest);
/* NOTIFY outbox_ticks, or the end of its connection. */
void relay_follow_notify(struct sim *sim, struct relay *relay);

void relay_webhooks_start(struct sim *sim, struct relay *relay);
void relay_webhooks_stop(struct sim *sim, struct relay *relay);
void relay_webhooks_wake(struct sim *sim, struct relay *relay);

#endif
