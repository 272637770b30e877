/* A consumer from within: what its threads share.
 *
 * Threads: the one that runs outbox_consumer_run() polls librdkafka and alone changes the list of
 * partitions; workers handle records.  A partition is one worker's while `busy`: what stands below
 * "the worker's" is then touched by it alone, and by nobody without a lock.
 *
 * Locks: librdkafka calls on_records() with a lock of its own, and that takes ours.  So librdkafka is
 * never called with ours held. */
#ifndef CONSUMER_STATE_H
#define CONSUMER_STATE_H

#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "consumer/keyset.h"
#include "consumer/options.h"
#include "consumer/plan.h"
#include "pg/conn.h"

#define COUNTS (OUTBOX_CONSUMER_PARTITIONS + 1)
#define REASON_SIZE 501
#define TOPIC_SIZE 250

enum stage {
    STAGE_ACQUIRE,  /* a worker is to take it over in PostgreSQL */
    STAGE_ACQUIRED, /* the polling thread is to have librdkafka fetch from its position */
    STAGE_FETCHING
};

struct partition {
    struct partition *next;
    outbox_consumer *consumer;
    char topic[TOPIC_SIZE];
    int32_t number;

    /* The lock's. */
    enum stage stage;
    bool busy;
    bool revoked;      /* nobody takes it up any more */
    bool abandoned;    /* its handler did not return in time, and is not waited for again */
    bool orphaned;     /* out of the list: whoever is busy with it frees it */
    bool signalled;    /* there may be records */
    bool check_due;    /* does the fence still stand? */
    bool has_held;     /* records are at hand */
    mono_us not_before;
    uint64_t turn;     /* when it was taken up last */
    int64_t done;      /* the position as far as it is committed; -1: not known */

    /* The polling thread's. */
    rd_kafka_queue_t *queue; /* also the worker's, while librdkafka fetches */
    bool assigned;
    int64_t mirrored; /* what Kafka has been told of `done` */

    /* The worker's. */
    int64_t fence;
    int64_t position; /* in PostgreSQL; -1: not decided */
    int64_t fetched;  /* librdkafka delivers from here on; -1: nothing yet */
    struct plan plan;
    struct keyset parked;
    rd_kafka_message_t **held; /* fetched and not yet done, in order */
    size_t held_first;
    size_t held_count;
    char reason[REASON_SIZE]; /* why the next record failed last */
};

struct worker {
    outbox_consumer *consumer;
    pthread_t thread;
    bool started;
    struct pg *pg;            /* changed under the lock, so that the polling thread may cut it off */
    struct partition *partition; /* the lock's: it is busy with it */
    bool cut;                 /* the lock's: the connection was */
    int connect_failures;
    mono_us connect_after;
    outbox_record *records;   /* room for a batch */
    outbox_record **pointers;
    bool ended;               /* the lock's */
};

struct outbox_consumer {
    struct kafka_client client; /* first: librdkafka's opaque */
    outbox_consumer_options *options;
    rd_kafka_t *handle;
    rd_kafka_queue_t *queue; /* the group's: what is polled */
    char owner[64];
    struct worker *workers;
    int worker_count;
    bool ran;

    pthread_mutex_t lock;
    pthread_cond_t work;    /* for workers */
    pthread_cond_t settled; /* for the polling thread: a worker has finished something */
    struct partition *partitions;
    uint64_t turn;
    char *cluster;       /* once known */
    outbox_error *fatal; /* why all must end */
    int fatal_code;
    bool connected_once;
    bool joining; /* when it was closed: a member of the group without any assignment so far */
    atomic_bool assigned_once;

    atomic_bool stop;     /* asked for */
    atomic_bool stopping; /* workers begin nothing */
    atomic_bool paused;
    _Atomic int64_t counts[COUNTS];
};

/* consumer.c ---- */

/* Tells the host. */
void consumer_log(const outbox_consumer *consumer, int level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The first call tells why outbox_consumer_run() ends; takes the error. */
void consumer_fail(outbox_consumer *consumer, outbox_error *err);
void consumer_count(outbox_consumer *consumer, enum outbox_consumer_count count, int64_t add);
/* Waits for the condition, holding the lock. */
void consumer_wait(outbox_consumer *consumer, pthread_cond_t *condition, mono_us deadline);

/* handle.c ---- */

/* A client of the group, not subscribed yet.  False with an error. */
bool handle_open(outbox_consumer *consumer, outbox_error **reterr);
/* Leaves the group; waits for the deadline at most. */
void handle_close(outbox_consumer *consumer, mono_us deadline);
/* Once it is closed.  Else it must be left as it is, with all that its threads use. */
bool handle_may_be_destroyed(const outbox_consumer *consumer);

/* partition.c ---- */

struct partition *partition_new(outbox_consumer *consumer, const char *topic, int32_t number);
void partition_free(struct partition *partition);
/* Fetches into an empty hand what there is.  Returns false if it met an error that ends all. */
bool partition_fetch(struct partition *partition, outbox_error **reterr);
/* Lets go of the first count records at hand. */
void partition_drop(struct partition *partition, size_t count);
/* Lets go of those at hand below the offset. */
void partition_drop_below(struct partition *partition, int64_t offset);
rd_kafka_message_t *partition_held(const struct partition *partition, size_t index);

/* group.c ---- */

/* librdkafka's rebalance_cb. */
void group_rebalance(rd_kafka_t *handle, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque);
/* Subscribes and polls until told to stop.  An error is the consumer's `fatal`. */
void group_poll(outbox_consumer *consumer);
/* Ends what workers do, by force at the deadline.  False: a handler does not return. */
bool group_drain(outbox_consumer *consumer);
/* Tells Kafka the positions, for monitoring. */
void group_mirror(outbox_consumer *consumer);
/* Frees those that are left, when no worker is. */
void group_free_partitions(outbox_consumer *consumer);

/* worker.c ---- */

/* False: the consumer has failed. */
bool workers_start(outbox_consumer *consumer);
/* Joins them; false: one did not end before the deadline and is left behind. */
bool workers_join(outbox_consumer *consumer, mono_us deadline);
void workers_free(outbox_consumer *consumer);
/* Cuts the connection of the worker that is busy with the partition.  The lock is held. */
void worker_cut(outbox_consumer *consumer, const struct partition *partition);
/* A connection, made anew if need be; false: not now. */
bool worker_connect(struct worker *worker);
void worker_disconnect(struct worker *worker);
/* Something failed in PostgreSQL: ends the consumer if another try would not help. */
void worker_trouble(struct worker *worker, const char *what, outbox_error *err);

/* work.c ---- */

/* Takes one step with a partition that this worker is busy with. */
void work(struct worker *worker, struct partition *partition);

#endif
