/* What can go wrong, when, and where it has been seen to: the schedule of one seed, and the
 * table of lane states x faults; one of its columns is no state, but the time in which the lane
 * map changes. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/lane.h"

struct sim;

/* Which steps a fault strikes. */
enum fault_class {
    FAULT_AT_ONCE,   /* itself a step */
    FAULT_OF_DB,     /* the next statement of a lane */
    FAULT_OF_RENEWAL,
    FAULT_OF_TICK,
    FAULT_OF_KAFKA,  /* the next request of a producer, or a read of the marker */
    FAULT_OF_HTTP,
    FAULT_OF_WEBHOOK_DB, /* the next statement of the dispatcher */
    FAULT_OF_DATA    /* a loss, while no relay runs */
};

#define FAULT_MAP(X)                                                                                         \
    X(FAULT_CRASH, "relay_crash", FAULT_AT_ONCE)               /* kill -9; it starts again */                \
    X(FAULT_PAUSE, "relay_pause", FAULT_AT_ONCE)               /* SIGSTOP, beyond its lease or not */        \
    X(FAULT_STOP, "relay_stop", FAULT_AT_ONCE)                 /* SIGTERM */                                 \
    X(FAULT_RELOAD, "relay_reload", FAULT_AT_ONCE)             /* SIGHUP: pages of another size */          \
    X(FAULT_DB_CRASH, "db_crash", FAULT_AT_ONCE)               /* what is not flushed is gone */             \
    X(FAULT_CLOCK_STEP, "db_clock_step", FAULT_AT_ONCE)        /* forth or back */                           \
    X(FAULT_STRAY_TICK, "stray_tick", FAULT_AT_ONCE)           /* of another session, slow with the lock */  \
    X(FAULT_LONG_WRITER, "long_writer", FAULT_AT_ONCE)                                                       \
    X(FAULT_ROTATE, "rotate", FAULT_AT_ONCE)                   /* and dropped when nothing holds it */       \
    X(FAULT_LANE_SET, "lane_set", FAULT_AT_ONCE)               /* an operator: other lanes */                \
    X(FAULT_LANE_MOVE, "lane_move", FAULT_AT_ONCE)             /* an operator: to that relay, or any */      \
    X(FAULT_BROKER_DOWN, "broker_down", FAULT_AT_ONCE)                                                       \
    X(FAULT_DB_LOST_REQUEST, "db_lost_request", FAULT_OF_DB)                                                 \
    X(FAULT_DB_LOST_ANSWER, "db_lost_answer", FAULT_OF_DB)                                                   \
    X(FAULT_DB_LATE_REQUEST, "db_late_request", FAULT_OF_DB)   /* carried out when its client gave up */     \
    X(FAULT_DB_SLOW, "db_slow", FAULT_OF_DB)                                                                 \
    X(FAULT_RENEWAL_LOST, "renewal_lost", FAULT_OF_RENEWAL)                                                  \
    X(FAULT_RENEWAL_SLOW, "renewal_slow", FAULT_OF_RENEWAL)                                                  \
    X(FAULT_TICK_FAILS, "tick_fails", FAULT_OF_TICK)           /* rolled back */                             \
    X(FAULT_TICK_ANSWER_LOST, "tick_answer_lost", FAULT_OF_TICK)                                             \
    X(FAULT_TICK_UNREPLICATED, "tick_unreplicated", FAULT_OF_TICK) /* a cancelled wait for a standby */      \
    X(FAULT_TICK_SLOW, "tick_slow", FAULT_OF_TICK)                                                           \
    X(FAULT_KAFKA_LOST_REQUEST, "kafka_lost_request", FAULT_OF_KAFKA)                                        \
    X(FAULT_KAFKA_LOST_ANSWER, "kafka_lost_answer", FAULT_OF_KAFKA)                                          \
    X(FAULT_KAFKA_LATE_REQUEST, "kafka_late_request", FAULT_OF_KAFKA) /* its retry overtakes it */           \
    X(FAULT_KAFKA_SLOW, "kafka_slow", FAULT_OF_KAFKA)                                                        \
    X(FAULT_KAFKA_ERROR, "kafka_error", FAULT_OF_KAFKA)        /* carried out or not */                      \
    X(FAULT_KAFKA_REFUSED, "kafka_refused", FAULT_OF_KAFKA)    /* topic missing, no rights */                \
    X(FAULT_HTTP_LOST_REQUEST, "http_lost_request", FAULT_OF_HTTP)                                           \
    X(FAULT_HTTP_LOST_ANSWER, "http_lost_answer", FAULT_OF_HTTP)                                             \
    X(FAULT_HTTP_NOT_SENT, "http_not_sent", FAULT_OF_HTTP)     /* no connection */                           \
    X(FAULT_HTTP_REFUSED, "http_refused", FAULT_OF_HTTP)       /* 500, 429 */                                \
    X(FAULT_HTTP_SLOW, "http_slow", FAULT_OF_HTTP)                                                           \
    X(FAULT_WEBHOOK_DB_LOST, "webhook_db_lost", FAULT_OF_WEBHOOK_DB) /* request or answer */                \
    X(FAULT_WEBHOOK_PAUSE, "webhook_db_pause", FAULT_OF_WEBHOOK_DB) /* SIGSTOP before the answer */         \
    X(FAULT_MARKER_LOST, "marker_lost", FAULT_OF_DATA)        /* the progress topic is emptied */           \
    X(FAULT_MARKER_BACK, "marker_back", FAULT_OF_DATA)        /* it loses its newest records */             \
    X(FAULT_DB_BACK, "db_back", FAULT_OF_DATA)                /* restored to an earlier time */             \
    X(FAULT_FOREIGN, "db_foreign", FAULT_OF_DATA)             /* another incarnation */                     \
    X(FAULT_OTHER_SERVER, "db_other_server", FAULT_OF_DATA)

enum fault_kind {
#define FAULT_ENUM(constant, name, class) constant,
    FAULT_MAP(FAULT_ENUM)
#undef FAULT_ENUM
    FAULT_COUNT
};

#define FAULTS_MAX 24
/* While the lane map changes, whatever the lanes' states. */
#define FAULT_CHANGING ((int)LANE_HALTED + 1)
#define FAULT_STATES (FAULT_CHANGING + 1)
#define ANY (-1)
#define ALL_LANES (~0u)

struct fault {
    enum fault_kind kind;
    int64_t at;     /* from then on it may strike */
    int relay;      /* whom, or ANY */
    int state;      /* only while a lane of that relay is there, or ANY */
    int what;       /* only this request or action, or ANY */
    uint64_t dice;  /* its details */
    bool struck;
};

struct faults {
    struct fault list[FAULTS_MAX];
    int count;
    uint32_t left_out; /* bits: by the shrinker */
    int strikes;
};

struct fault_table {
    int64_t cell[FAULT_STATES][FAULT_COUNT];
};

void faults_draw(struct sim *sim, uint64_t seed, int64_t duration);
/* A fault for the step that this relay is about to take for some of its lanes (bits), or NULL;
 * what: an enum kafka_api, an enum lane_action_kind. */
const struct fault *faults_take(struct sim *sim, enum fault_class class, int relay, unsigned lanes, int what);
/* A lane of a relay has come to another state. */
void faults_watch(struct sim *sim, int relay, int lane);
/* The change of the lane map has begun. */
void faults_watch_change(struct sim *sim);
/* A lane is taken by the first who starts after data is lost. */
void faults_record_loss(struct sim *sim, int relay, int lane);
const char *fault_state_name(int state);
void faults_print(const struct fault *fault, int index, FILE *out);

const char *fault_name(enum fault_kind kind);
enum fault_class fault_class(enum fault_kind kind);

/* NULL if the cell can be reached, else why it cannot. */
const char *fault_unreachable(enum fault_kind kind, int state);
/* It can, but too seldom for a run to depend on it. */
bool fault_seldom(enum fault_kind kind, int state);
/* Prints the table; returns how many cells are wrong: unvisited, or visited though unreachable. */
int fault_table_judge(const struct fault_table *table, bool complete, FILE *out);

#endif
