/* One relay process: src/core's lane, ticker and deliveries, with executors that the world
 * plays.  Only the relay*.c files know of core/lane.h's actions and events. */
#ifndef SIM_RELAY_H
#define SIM_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lane.h"
#include "core/ticker.h"
#include "sim/kafka.h"
#include "sim/pg.h"
#include "sim/workload.h"
#include "sim/world.h"

#define RELAYS_MAX 3
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

enum executor {
    EXECUTOR_DB,
    EXECUTOR_KAFKA,
    EXECUTOR_KEEPER,
    EXECUTORS
};

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
    bool closed;
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

struct relay {
    int id;
    int life;
    bool alive;
    bool stopping;
    int64_t started_at;
    int64_t paused_until;
    bool stale_stamp; /* the next thing that it handles after a pause was stamped before */
    int64_t paused_at;
    struct lane *lane;
    enum lane_state told;
    int64_t timer;
    int64_t spun_at;
    int spins;
    int incarnation;
    struct call *calls[EXECUTORS];
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
    struct tick_worker tick;
    struct webhook_worker webhooks;
};

void relay_start(struct sim *sim, int relay);
void relay_kill(struct sim *sim, int relay);
void relay_pause(struct sim *sim, int relay, int64_t duration);
void relay_stop(struct sim *sim, int relay);
void relay_reload(struct sim *sim, int relay, int batch_events);
void relay_restart_later(struct sim *sim, int relay, int64_t delay);
/* Its lane's state, or -1 if there is no such process. */
int relay_state(const struct relay *relay);
void relays_free(struct sim *sim);

/* For the executors: */
struct moment relay_moment(struct sim *sim, int relay, int64_t delay, moment_run *run, void *data);
/* Is the process there and not paused?  If it is paused, the moment comes again. */
bool relay_ready(struct sim *sim, const struct moment *moment);
void relay_handle(struct sim *sim, struct relay *relay, struct lane_event event);
void relay_answer(struct sim *sim, struct relay *relay, enum executor executor, struct lane_event event);
struct page_copy *relay_page(struct sim *sim, struct relay *relay, uint64_t id);

/* Notes the page's events that Kafka says this to; returns how many there are. */
int relay_blame(struct sim *sim, struct relay *relay, const struct page_copy *page, enum nature nature);

void relay_db_submit(struct sim *sim, struct relay *relay, const struct lane_action *action);
void relay_keeper_submit(struct sim *sim, struct relay *relay, const struct lane_action *action);
void relay_kafka_submit(struct sim *sim, struct relay *relay, const struct lane_action *action);

void relay_pipe_open(struct sim *sim, struct relay *relay);
void relay_pipe_publish(struct sim *sim, struct relay *relay, uint64_t id);
void relay_pipe_close(struct sim *sim, struct relay *relay, bool drain);

void relay_tick_init(struct relay *relay);
void relay_tick_set_active(struct sim *sim, struct relay *relay, bool active);
void relay_tick_want(struct sim *sim, struct relay *relay, bool forced);
void relay_tick_answer(struct sim *sim, const struct moment *moment);
void relay_tick_notify(struct sim *sim, struct relay *relay);
/* The database ends its connection. */
void relay_tick_disconnect(struct sim *sim, struct relay *relay);

void relay_webhooks_start(struct sim *sim, struct relay *relay);
void relay_webhooks_stop(struct sim *sim, struct relay *relay);
void relay_webhooks_wake(struct sim *sim, struct relay *relay);

#endif
