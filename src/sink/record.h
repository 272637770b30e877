/* A record, on its way from an event into librdkafka: for both kinds of producers. */
#ifndef SINK_RECORD_H
#define SINK_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "sink/result.h"
#include "sink/topics.h"

struct rd_kafka_conf_s;
struct rd_kafka_s;
struct rd_kafka_topic_s;

struct sink_header {
    const char *name;
    const char *value; /* NULL: null */
    size_t size;
};

struct sink_record {
    const char *topic;
    int partition;   /* -1: by the key, as the Java client does; without a key any */
    const char *key; /* NULL: none */
    size_t key_size;
    const char *payload; /* NULL: a tombstone */
    size_t payload_size;
    int64_t timestamp_ms; /* since 1970; 0: now */
    const struct sink_header *headers;
    size_t header_count;
};

/* What the records of one producer are checked against. */
struct record_checks {
    struct topics *topics;
    size_t message_max;
    ptrdiff_t refused; /* out: the index of the record at fault, or -1 */
};

/* Of a configuration, for record_checks. */
size_t record_message_max(const struct rd_kafka_conf_s *conf);

/* All that can be known without producing: topics (created if they may be), partitions,
 * sizes.  SINK_OK, SINK_TIMEOUT, SINK_TOPIC_MISSING, SINK_REFUSED. */
enum sink_result records_check(struct record_checks *checks, const struct sink_record *records, size_t count,
                               mono_us deadline, outbox_error **reterr);
/* The partition alone, of a topic that is known. */
enum sink_result record_check_partition(struct record_checks *checks, const struct sink_record *record,
                                        size_t index, mono_us deadline, outbox_error **reterr);

/* Hands one over without waiting.  The payload stays where it is until the delivery
 * report, which gets the opaque.  A rd_kafka_resp_err_t. */
int record_produce(struct rd_kafka_s *handle, struct rd_kafka_topic_s *topic, const struct sink_record *record,
                   void *opaque);

#endif
