/* A broker, as the transaction protocol that librdkafka speaks has it: an epoch of each
 * transactional id, one transaction of it at a time, sequences that drop duplicates; and its hole:
 * EndTxn does not say which transaction it ends.  All events are in one partition, whose
 * read_committed consumers wait for the oldest transaction that is open; each lane has a partition
 * of the progress topic, of which the same is true. */
#ifndef SIM_KAFKA_H
#define SIM_KAFKA_H

#include <stdbool.h>
#include <stdint.h>

#include "core/position.h"

struct sim;

#define KAFKA_LOG 2048
#define KAFKA_ROWS 8
#define KAFKA_IDS 40
#define KAFKA_MARKERS 1024
#define KAFKA_PIPES 256
#define KAFKA_PARTITIONS 4 /* of the progress topic: one to a lane */

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

enum kafka_fate {
    KAFKA_OPEN,
    KAFKA_COMMITTED,
    KAFKA_ABORTED
};

struct kafka_marker {
    int map, lane;
    struct position position;
    int64_t published;
    int64_t release;
    int incarnation;
    short id;   /* whose transaction it is in */
    short fate;
};

struct kafka_request {
    enum kafka_api api;
    int epoch;
    int pipe;     /* the producer, without transactions */
    int sequence; /* of its first record in its partition */
    int count;
    struct kafka_record records[KAFKA_ROWS];
    struct kafka_marker marker;
    int map, lane; /* they name the transactional id, and the marker that is read */
    int incarnation; /* of the marker that is read */
    bool fenced; /* the reader has fenced the lane's producer: nothing may be hidden from it */
    bool commit;
    int64_t lane_epoch; /* whose it is, for the oracle */
    int relay, life;
    int64_t started_at; /* that process */
};

struct kafka_answer {
    enum kafka_error error;
    int epoch;
    bool found;
    bool foreign; /* there are markers of another incarnation */
    bool outdated; /* of a later map, in any partition */
    struct kafka_marker marker;
};

/* What the broker knows of a transactional id. */
struct kafka_id {
    int map, lane; /* map 0: it is nobody's yet */
    int epoch;
    enum kafka_state state;
    bool committed; /* what was decided */
    int pending;    /* partitions that do not know yet */
    int64_t serial; /* of the transaction */
    int64_t lane_epoch, started_at; /* of the lane and the process that began it */
    int sequence[2]; /* next of events and of markers */
    int open_count;
    bool open_marked;
    struct kafka_marker open_marker;
    int64_t records; /* committed, ever */
    int64_t before;  /* by the lanes of former maps, as far as its markers count them */
};

struct kafka_entry {
    struct kafka_record record;
    short id; /* -1: of no transaction */
    short fate;
};

struct kafka {
    int64_t down_until;
    struct kafka_id ids[KAFKA_IDS];

    int pipes;
    int pipe_next[KAFKA_PIPES]; /* sequence of each */

    struct kafka_entry log[KAFKA_LOG];
    int log_count;
    int stable;      /* what read_committed consumers see lies before */
    int64_t visible; /* events among it */
    struct kafka_marker markers[KAFKA_MARKERS]; /* of all partitions, in the order of their arrival */
    int marker_count;
    int markers_stable[KAFKA_PARTITIONS]; /* as above, of the partition of each lane */
};

void kafka_serve(struct sim *sim, const struct kafka_request *request, struct kafka_answer *ret);
struct kafka_id *kafka_id_of(struct kafka *kafka, int map, int lane);
/* Does a read_committed consumer see it? */
bool kafka_sees(const struct kafka *kafka, const struct kafka_marker *marker);
/* The last of this lane that is seen; NULL if there is none. */
const struct kafka_marker *kafka_last_marker(const struct kafka *kafka, int map, int lane);
/* ... and that is committed, or decided to be. */
const struct kafka_marker *kafka_decided_marker(const struct kafka *kafka, int map, int lane);
void kafka_lose_markers(struct kafka *kafka);
/* Is a transaction open, or not yet over? */
bool kafka_is_busy(const struct kafka *kafka);

#endif
