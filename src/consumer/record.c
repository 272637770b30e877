#include "consumer/record.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

const char *outbox_record_topic(const outbox_record *record)
{
    return rd_kafka_topic_name(record->message->rkt);
}

int32_t outbox_record_partition(const outbox_record *record)
{
    return record->message->partition;
}

int64_t outbox_record_offset(const outbox_record *record)
{
    return record->message->offset;
}

int64_t outbox_record_timestamp(const outbox_record *record)
{
    rd_kafka_timestamp_type_t type;
    int64_t milliseconds = rd_kafka_message_timestamp(record->message, &type);

    return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || milliseconds < 0 ? -1 : milliseconds * 1000;
}

const void *outbox_record_key(const outbox_record *record, size_t *ret_size)
{
    *ret_size = record->message->key ? record->message->key_len : 0;
    return record->message->key;
}

const void *outbox_record_payload(const outbox_record *record, size_t *ret_size)
{
    *ret_size = record->message->payload ? record->message->len : 0;
    return record->message->payload;
}

const void *outbox_record_header(const outbox_record *record, const char *name, size_t *ret_size)
{
    rd_kafka_headers_t *headers;
    const void *value = NULL;
    size_t size = 0;

    if (rd_kafka_message_headers(record->message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR || !value)
        return NULL;
    if (ret_size)
        *ret_size = size;
    return value;
}

int outbox_record_header_at(const outbox_record *record, size_t index, const char **ret_name, const void **ret_value,
                            size_t *ret_size)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size;

    if (rd_kafka_message_headers(record->message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_all(headers, index, &name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return OUTBOX_EINVAL;
    if (ret_name)
        *ret_name = name;
    if (ret_value)
        *ret_value = value;
    if (ret_size)
        *ret_size = size;
    return OUTBOX_OK;
}

const char *outbox_record_id(const outbox_record *record)
{
    size_t size;
    const char *id = outbox_record_header(record, "outbox-id", &size);

    return id && size == 36 ? id : NULL;
}

const char *outbox_record_type(const outbox_record *record)
{
    return outbox_record_header(record, "outbox-type", NULL);
}

int outbox_record_failures(const outbox_record *record)
{
    return record->failures;
}

void record_write_reason(char reason[REASON_SIZE], const char *text)
{
    size_t size;

    snprintf(reason, REASON_SIZE, "%s", text);
    size = strlen(reason);
    while (size > 0 && !outbox__utf8_valid(reason, size))
        reason[--size] = '\0';
    for (size_t i = 0; i < size; i++) {
        if (outbox__has_control(reason + i, 1))
            reason[i] = ' ';
    }
}

void outbox_record_set_reason(outbox_record *record, const char *text)
{
    record_write_reason(record->reason, text ? text : "");
}
