/* A broker, as the transaction protocol that librdkafka speaks has it: an epoch of the
 * transactional id, one transaction at a time, sequences that drop duplicates; and its hole:
 * EndTxn does not say which transaction it ends. */
#ifndef SIM_KAFKA_H
#define SIM_KAFKA_H

#include <stdbool.h>
#include <stdint.h>

#include "core/position.h"

struct sim;

#define KAFKA_LOG 512
#define KAFKA_TXN_ROWS 64
#define KAFKA_MARKERS 1024
#define KAFKA_PIPES 256

enum kafka_api {
    KAFKA_INIT,
    KAFKA_ADD_PARTITIONS,
    KAFKA_PRODUCE,
    KAFKA_PRODUCE_MARKER,
    KAFKA_END,
    KAFKA_READ_MARKER,
    KAFKA_CONNECT, /* of a producer without transactions */
    KAFKA_PIPE     /* its records */
};

enum kafka_error {
    KAFKA_OK,
    KAFKA_CONCURRENT, /* ask again soon */
    KAFKA_FENCED,
    KAFKA_INVALID     /* not in that state */
};

enum kafka_state {
    KAFKA_EMPTY,
    KAFKA_ONGOING,
    KAFKA_PREPARED, /* decided; partitions do not know yet */
    KAFKA_COMPLETE
};

struct kafka_record {
    int event;
    int key;
    int64_t seq;
    int64_t tick;
};

struct kafka_marker {
    struct position position;
    int64_t published;
    int64_t release;
    int incarnation;
};

struct kafka_request {
    enum kafka_api api;
    int epoch;
    int pipe;     /* the producer, without transactions */
    int sequence; /* of its first record in its partition */
    int count;
    struct kafka_record records[KAFKA_TXN_ROWS];
    struct kafka_marker marker;
    bool commit;
    int64_t lane_epoch; /* whose it is, for the oracle */
    int relay, life;
    int64_t started_at; /* that process */
};

struct kafka_answer {
    enum kafka_error error;
    int epoch;
    bool found;
    struct kafka_marker marker;
};

struct kafka {
    int64_t down_until;
    int epoch;
    enum kafka_state state;
    bool committed; /* what was decided */
    int pending;    /* partitions that do not know yet */
    int64_t serial; /* of the transaction */
    int64_t lane_epoch, started_at; /* of the lane and the process that began it */
    int sequence[2]; /* next of events and of markers */
    struct kafka_record open[KAFKA_TXN_ROWS];
    int open_count;
    bool open_marked;
    struct kafka_marker open_marker;

    int pipes;
    int pipe_next[KAFKA_PIPES]; /* sequence of each */

    struct kafka_record log[KAFKA_LOG]; /* what read_committed consumers see */
    int log_count;
    struct kafka_marker markers[KAFKA_MARKERS];
    int marker_count;
};

void kafka_serve(struct sim *sim, const struct kafka_request *request, struct kafka_answer *ret);
const struct kafka_marker *kafka_last_marker(const struct kafka *kafka);

#endif
