#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "consumer/state.h"

struct partition *partition_new(outbox_consumer *consumer, const char *topic, int32_t number)
{
    struct partition *partition = calloc(1, sizeof(*partition));

    if (!partition)
        return NULL;
    partition->held = calloc((size_t)consumer->options->batch, sizeof(rd_kafka_message_t *));
    if (!partition->held) {
        free(partition);
        return NULL;
    }
    partition->consumer = consumer;
    snprintf(partition->topic, sizeof(partition->topic), "%s", topic);
    partition->number = number;
    partition->stage = STAGE_ACQUIRE;
    partition->done = partition->mirrored = -1;
    partition->position = partition->fetched = -1;
    return partition;
}

void partition_free(struct partition *partition)
{
    if (!partition)
        return;
    partition_drop(partition, partition->held_count);
    if (partition->queue) {
        /* That of an orphan was disabled when it was let go: what is called by now is its successor's. */
        if (!partition->orphaned)
            rd_kafka_queue_cb_event_enable(partition->queue, NULL, NULL);
        rd_kafka_queue_destroy(partition->queue);
    }
    keyset_free(&partition->parked);
    free(partition->held);
    free(partition);
}

rd_kafka_message_t *partition_held(const struct partition *partition, size_t index)
{
    return partition->held[partition->held_first + index];
}

void partition_drop(struct partition *partition, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rd_kafka_message_destroy(partition->held[partition->held_first++]);
    partition->held_count -= count;
    if (partition->held_count == 0)
        partition->held_first = 0;
}

void partition_drop_below(struct partition *partition, int64_t offset)
{
    while (partition->held_count > 0 && partition_held(partition, 0)->offset < offset)
        partition_drop(partition, 1);
}

/* What librdkafka says of a partition instead of a record.  Returns false if all must end. */
static bool judge_error(const struct partition *partition, const rd_kafka_message_t *message, outbox_error **reterr)
{
    switch (message->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        return true;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        outbox__fail(reterr, OUTBOX_ESTATE, "position",
                     "Kafka has no offset %lld in partition %d of topic %s any more: records were deleted before they"
                     " were consumed, or the topic was made anew; choose where to go on: SELECT"
                     " outbox.consumer_seek(consumer, topic, partition, offset)",
                     (long long)partition->fetched, (int)partition->number, partition->topic);
        return false;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        outbox__fail(reterr, OUTBOX_ECONNECTION, "topic", "Kafka refuses topic %s: give its user the right to read it",
                     partition->topic);
        return false;
    default:
        consumer_log(partition->consumer, OUTBOX_CONSUMER_WARNING, "kafka", "topic %s, partition %d: %s",
                     partition->topic, (int)partition->number, rd_kafka_message_errstr(message));
        return true;
    }
}

bool partition_fetch(struct partition *partition, outbox_error **reterr)
{
    ssize_t count = rd_kafka_consume_batch_queue(partition->queue, 0, partition->held,
                                                 (size_t)partition->consumer->options->batch);
    size_t kept = 0;
    bool fine = true;

    for (ssize_t i = 0; i < count; i++) {
        rd_kafka_message_t *message = partition->held[i];

        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            fine = fine && judge_error(partition, message, reterr);
        } else if (fine && message->offset >= partition->fetched) {
            partition->fetched = message->offset + 1;
            partition->held[kept++] = message;
            continue;
        }
        rd_kafka_message_destroy(message);
    }
    partition->held_first = 0;
    partition->held_count = kept;
    if (count > 0) { /* more may be there, and nobody tells */
        pthread_mutex_lock(&partition->consumer->lock);
        partition->signalled = true;
        pthread_mutex_unlock(&partition->consumer->lock);
    }
    return fine;
}
