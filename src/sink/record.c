#include "sink/record.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a record costs on the wire beside its parts, at most. */
#define RECORD_OVERHEAD 70
#define HEADER_OVERHEAD 10

void record_checks_init(struct record_checks *checks, const struct rd_kafka_conf_s *conf)
{
    char text[32];
    size_t size = sizeof(text);

    checks->refused = -1;
    if (rd_kafka_conf_get(conf, "message.max.bytes", text, &size) == RD_KAFKA_CONF_OK)
        checks->message_max = strtoul(text, NULL, 10);
    size = sizeof(text);
    checks->compressed = rd_kafka_conf_get(conf, "compression.codec", text, &size) != RD_KAFKA_CONF_OK ||
                         strcmp(text, "none") != 0;
}

const char *record_fault_name(enum record_fault_kind kind)
{
    static const char *const names[] = {
#define RECORD_FAULT_NAME(constant, name) name,
        RECORD_FAULT_MAP(RECORD_FAULT_NAME)
#undef RECORD_FAULT_NAME
    };

    return names[kind];
}

bool record_fault_is_topics(enum record_fault_kind kind)
{
    return kind == RECORD_TOPIC_MISSING || kind == RECORD_TOPIC_DENIED;
}

void record_blame(struct record_checks *checks, size_t index, enum record_fault_kind kind, const outbox_error *why)
{
    struct record_fault *fault = &checks->faults[checks->fault_count];

    if (checks->fault_count == RECORD_FAULTS)
        return;
    checks->fault_count++;
    fault->index = index;
    fault->kind = kind;
    snprintf(fault->error, sizeof(fault->error), "%s", why ? outbox_error_message(why) : "unknown");
}

static size_t record_size(const struct sink_record *record)
{
    size_t size = record->key_size + record->payload_size + RECORD_OVERHEAD;

    for (size_t i = 0; i < record->header_count; i++)
        size += strlen(record->headers[i].name) + record->headers[i].size + HEADER_OVERHEAD;
    return size;
}

static enum sink_result refuse(struct record_checks *checks, size_t index)
{
    checks->refused = (ptrdiff_t)index;
    return SINK_REFUSED;
}

/* A partition beyond the known ones may be new: then the cluster is asked. */
enum sink_result record_check_partition(struct record_checks *checks, const struct sink_record *record,
                                        size_t index, mono_us deadline, outbox_error **reterr)
{
    int partitions = topics_partitions(checks->topics, record->topic);
    enum sink_result result;

    if (record->partition < partitions && record->partition >= -1)
        return SINK_OK;
    result = topics_query(checks->topics, record->topic, deadline, &partitions, reterr);
    if (result != SINK_OK)
        return result;
    if (record->partition >= -1 && record->partition < partitions)
        return SINK_OK;
    outbox__fail(reterr, OUTBOX_ESERVER, "partition",
                 "partition %d of topic \"%s\" does not exist, it has %d; add partitions to it, or emit for "
                 "one that exists",
                 record->partition, record->topic, partitions);
    return refuse(checks, index);
}

/* Most records are smaller than any topic's limit: of them nothing has to be asked. */
#define SURELY_FITS 4096
/* What the broker counts beside the record: the head of its batch. */
#define BATCH_OVERHEAD 61

/* The topic's own limit.  It may have been raised since it was read: nobody is convicted by
 * an old one. */
static bool fits_topic(struct record_checks *checks, const struct sink_record *record, size_t size,
                       mono_us deadline, size_t *ret_limit)
{
    /* What is only estimated is left to the broker. */
    size_t least = size - RECORD_OVERHEAD - HEADER_OVERHEAD * record->header_count + BATCH_OVERHEAD;

    if (size <= SURELY_FITS || checks->compressed)
        return true;
    *ret_limit = topics_message_max(checks->topics, record->topic, false, deadline);
    if (least <= *ret_limit)
        return true;
    *ret_limit = topics_message_max(checks->topics, record->topic, true, deadline);
    return least <= *ret_limit;
}

static enum sink_result check_size(struct record_checks *checks, const struct sink_record *record,
                                   size_t index, mono_us deadline, outbox_error **reterr)
{
    size_t size = record_size(record), limit = 0;

    if (size > checks->message_max)
        outbox__fail(reterr, OUTBOX_ELIMIT, "payload",
                     "a record for topic \"%s\" has %zu bytes, over kafka.message.max.bytes = %zu; raise that and "
                     "the topic's max.message.bytes",
                     record->topic, size, checks->message_max);
    else if (!fits_topic(checks, record, size, deadline, &limit))
        outbox__fail(reterr, OUTBOX_ELIMIT, "payload",
                     "a record for topic \"%s\" has %zu bytes, over the topic's max.message.bytes = %zu; raise that",
                     record->topic, size, limit);
    else
        return SINK_OK;
    return refuse(checks, index);
}

static enum record_fault_kind kind_of_topic(enum sink_result result, const outbox_error *why)
{
    bool missing = result == SINK_TOPIC_MISSING || !why || !strstr(outbox_error_message(why), "authorization failed");

    return missing ? RECORD_TOPIC_MISSING : RECORD_TOPIC_DENIED;
}

/* One record.  What is wrong with it is noted. */
static enum sink_result check(struct record_checks *checks, const struct sink_record *record, size_t index,
                              mono_us deadline, outbox_error **reterr)
{
    enum sink_result result = topics_ensure(checks->topics, &record->topic, 1, deadline, reterr);
    enum record_fault_kind kind = kind_of_topic(result, *reterr);

    if (result == SINK_OK) {
        result = record_check_partition(checks, record, index, deadline, reterr);
        kind = RECORD_NO_PARTITION;
    }
    if (result == SINK_OK) {
        result = check_size(checks, record, index, deadline, reterr);
        kind = RECORD_TOO_LARGE;
    }
    if (result == SINK_TOPIC_MISSING || result == SINK_REFUSED)
        record_blame(checks, index, kind, *reterr);
    return result;
}

/* A topic that is at fault is not looked up again for each of its records. */
static bool topic_is_blamed(const struct record_checks *checks, const struct sink_record *records, const char *topic)
{
    for (size_t i = 0; i < checks->fault_count; i++) {
        if (record_fault_is_topics(checks->faults[i].kind) &&
            strcmp(records[checks->faults[i].index].topic, topic) == 0)
            return true;
    }
    return false;
}

enum sink_result records_check(struct record_checks *checks, const struct sink_record *records, size_t count,
                               mono_us deadline, outbox_error **reterr)
{
    enum sink_result result = SINK_OK;

    checks->refused = -1;
    checks->fault_count = 0;
    for (size_t i = 0; i < count && checks->fault_count < RECORD_FAULTS; i++) {
        outbox_error *err = NULL;
        enum sink_result one;

        if (checks->fault_count > 0 && topic_is_blamed(checks, records, records[i].topic))
            continue;
        one = check(checks, &records[i], i, deadline, &err);
        if (one == SINK_OK)
            continue;
        if (result == SINK_OK) {
            result = one;
            checks->refused = checks->fault_count > 0 ? (ptrdiff_t)i : -1;
            if (reterr)
                *reterr = err;
            else
                outbox_error_free(err);
        } else {
            outbox_error_free(err);
        }
        if (one != SINK_TOPIC_MISSING && one != SINK_REFUSED)
            break; /* what was found so far is at fault all the same */
    }
    return result;
}

/* What the broker says of a batch, or librdkafka of a record. */
static bool is_about_record(int code, enum record_fault_kind *ret_kind)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        *ret_kind = RECORD_TOO_LARGE;
        return true;
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
        *ret_kind = RECORD_REJECTED;
        return true;
    default:
        return false;
    }
}

void record_blame_failure(struct record_checks *checks, const struct sink_record *records, size_t count,
                          const struct sink_verdict *verdict, const outbox_error *why)
{
    enum record_fault_kind kind = RECORD_TOPIC_DENIED;
    bool alone = count == 1 && is_about_record(verdict->code, &kind);

    if (!verdict->topic || (!alone && verdict->code != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED))
        return;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(records[i].topic, verdict->topic) == 0) {
            record_blame(checks, i, kind, why);
            return;
        }
    }
}

static rd_kafka_headers_t *make_headers(const struct sink_record *record)
{
    rd_kafka_headers_t *headers;

    if (record->header_count == 0)
        return NULL;
    headers = rd_kafka_headers_new(record->header_count);
    for (size_t i = 0; i < record->header_count; i++) {
        const struct sink_header *header = &record->headers[i];

        rd_kafka_header_add(headers, header->name, -1, header->value,
                            header->value ? (ssize_t)header->size : 0);
    }
    return headers;
}

int record_produce(struct rd_kafka_s *handle, struct rd_kafka_topic_s *topic, const struct sink_record *record,
                   void *opaque)
{
    rd_kafka_headers_t *headers = make_headers(record);
    rd_kafka_resp_err_t code;

    code = rd_kafka_producev(handle, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(record->partition),
                             RD_KAFKA_V_KEY((void *)(uintptr_t)record->key, record->key_size),
                             RD_KAFKA_V_VALUE((void *)(uintptr_t)record->payload, record->payload_size),
                             RD_KAFKA_V_TIMESTAMP(record->timestamp_ms), RD_KAFKA_V_MSGFLAGS(0),
                             RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
    if (code && headers)
        rd_kafka_headers_destroy(headers);
    return code;
}
