#include "sink/record.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

/* What a record costs on the wire beside its parts, at most. */
#define RECORD_OVERHEAD 70

size_t record_message_max(const struct rd_kafka_conf_s *conf)
{
    char text[32];
    size_t size = sizeof(text);

    return rd_kafka_conf_get(conf, "message.max.bytes", text, &size) == RD_KAFKA_CONF_OK
               ? strtoul(text, NULL, 10)
               : 0;
}

static size_t record_size(const struct sink_record *record)
{
    size_t size = record->key_size + record->payload_size + RECORD_OVERHEAD;

    for (size_t i = 0; i < record->header_count; i++)
        size += strlen(record->headers[i].name) + record->headers[i].size + 10;
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

static enum sink_result check_size(struct record_checks *checks, const struct sink_record *record,
                                   size_t index, outbox_error **reterr)
{
    size_t size = record_size(record);

    if (size <= checks->message_max)
        return SINK_OK;
    outbox__fail(
        reterr, OUTBOX_ELIMIT, "payload",
        "a record for topic \"%s\" has %zu bytes, over kafka.message.max.bytes = %zu; raise that and "
        "the topic's max.message.bytes",
        record->topic, size, checks->message_max);
    return refuse(checks, index);
}

enum sink_result records_check(struct record_checks *checks, const struct sink_record *records, size_t count,
                               mono_us deadline, outbox_error **reterr)
{
    enum sink_result result = SINK_OK;

    checks->refused = -1;
    for (size_t i = 0; i < count && result == SINK_OK; i++) {
        result = topics_ensure(checks->topics, &records[i].topic, 1, deadline, reterr);
        if (result == SINK_TOPIC_MISSING || result == SINK_REFUSED)
            checks->refused = (ptrdiff_t)i;
        if (result == SINK_OK)
            result = record_check_partition(checks, &records[i], i, deadline, reterr);
        if (result == SINK_OK)
            result = check_size(checks, &records[i], i, reterr);
    }
    return result;
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
