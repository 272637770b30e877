/* A record, on its way from an event into librdkafka: for both kinds of producers. */
#ifndef SINK_RECORD_H
#define SINK_RECORD_H

#include <stdbool.h>
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

/* Why a record cannot be published, whatever is tried. */
#define RECORD_FAULT_MAP(X)                                                                                  \
    X(RECORD_TOO_LARGE, "too_large")                                                                         \
    X(RECORD_NO_PARTITION, "no_partition")                                                                   \
    X(RECORD_REJECTED, "rejected")           /* by the broker, alone in its transaction */                   \
    X(RECORD_TOPIC_MISSING, "topic_missing") /* these are the topic's fault, not the record's */             \
    X(RECORD_TOPIC_DENIED, "topic_denied")

enum record_fault_kind {
#define RECORD_FAULT_ENUM(constant, name) constant,
    RECORD_FAULT_MAP(RECORD_FAULT_ENUM)
#undef RECORD_FAULT_ENUM
};

#define RECORD_FAULTS 32
#define RECORD_FAULT_TEXT 400

struct record_fault {
    size_t index;
    enum record_fault_kind kind;
    char error[RECORD_FAULT_TEXT];
};

/* What the records of one producer are checked against. */
struct record_checks {
    struct topics *topics;
    size_t message_max;
    bool compressed;   /* then the broker's limit is not one of a record's size here */
    ptrdiff_t refused; /* out: the index of the first record at fault, or -1 */
    struct record_fault faults[RECORD_FAULTS]; /* out: known ones; of a topic's only the first */
    size_t fault_count;
};

/* "too_large", ... : part of the interface to operators. */
const char *record_fault_name(enum record_fault_kind kind);
bool record_fault_is_topics(enum record_fault_kind kind);
/* Notes the record at fault, and why, if there is room. */
void record_blame(struct record_checks *checks, size_t index, enum record_fault_kind kind, const outbox_error *why);

/* From a configuration; the topics come later. */
void record_checks_init(struct record_checks *checks, const struct rd_kafka_conf_s *conf);

/* All that can be known without producing: topics (created if they may be), partitions,
 * sizes.  SINK_OK, SINK_TIMEOUT, SINK_TOPIC_MISSING, SINK_REFUSED: with the first fault as the
 * error, and all of them in checks. */
enum sink_result records_check(struct record_checks *checks, const struct sink_record *records, size_t count,
                               mono_us deadline, outbox_error **reterr);
/* What was said of records that have been handed over. */
struct sink_verdict {
    int code;          /* rd_kafka_resp_err_t */
    const char *topic; /* of which; NULL: not known */
};

/* Who is at fault, if that is known: a topic that may not be written, or the one record that
 * there was.  A batch with a bad record is refused as a whole, so among several nobody is. */
void record_blame_failure(struct record_checks *checks, const struct sink_record *records, size_t count,
                          const struct sink_verdict *verdict, const outbox_error *why);
/* The partition alone, of a topic that is known. */
enum sink_result record_check_partition(struct record_checks *checks, const struct sink_record *record,
                                        size_t index, mono_us deadline, outbox_error **reterr);

/* Hands one over without waiting.  The payload stays where it is until the delivery
 * report, which gets the opaque.  A rd_kafka_resp_err_t. */
int record_produce(struct rd_kafka_s *handle, struct rd_kafka_topic_s *topic, const struct sink_record *record,
                   void *opaque);

#endif
