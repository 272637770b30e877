/* What the tests against a real broker have in common. */
#ifndef TESTS_SINK_WORLD_H
#define TESTS_SINK_WORLD_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/kafka.h"
#include "sink/producer.h"
#include "sink/progress.h"
#include "sink/topics.h"

/* A test's own names in the cluster. */
struct world {
    char prefix[64];
    char topic[80]; /* made with 4 partitions when first used */
    char id[80];    /* transactional */
    struct kafka *kafka;
};

/* OUTBOX_TEST_KAFKA and OUTBOX_BUILD; false with a message if they are missing. */
bool world_find_servers(void);
const char *world_bootstrap(void);
int set_up(void **state);
int tear_down(void **state);

mono_us soon(void);
/* reterr: NULL if an error of an earlier call may still be in it. */
void expect(enum sink_result got, enum sink_result wanted, outbox_error **reterr);

struct kafka *make_kafka(const struct world *world, bool create, const char *name, const char *value);
void make_topic(const struct world *world, const char *name, int partitions, const char *property,
                const char *value);

struct producer *open_producer_with(struct kafka *kafka, const char *id);
struct producer *open_producer(const struct world *world);
void close_producer(struct producer *producer);
struct marker make_marker(int incarnation, int64_t seq);
struct sink_record make_record(const struct world *world, const char *key, const char *payload);
/* With a marker of incarnation 1. */
enum sink_result try_publish(struct producer *producer, const struct sink_record *records, size_t count,
                             int64_t seq, outbox_error **reterr);
void publish(struct producer *producer, const struct sink_record *records, size_t count, int64_t seq);
enum sink_result commit(struct producer *producer, outbox_error **reterr);
void publish_and_commit(struct producer *producer, const struct sink_record *records, size_t count,
                        int64_t seq);

/* What topic-dump says, one object per record. */
json_t *dump(const char *isolation, const char *topic);
size_t count_records(const char *isolation, const char *topic);
/* Until as many records are on the broker, committed or not. */
void await_on_broker(const char *topic, size_t count);
/* A commit is answered before the partitions have heard of it. */
json_t *await_committed(const char *topic, size_t count);
/* The init of a successor waits for what the last commit still has to tell the
 * partitions: then nothing is on its way. */
void settle(const struct world *world);
const char *text_of(const json_t *record, const char *member);
struct progress_answer read_progress(struct kafka *kafka, int incarnation);

#endif
