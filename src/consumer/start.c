#include "consumer/start.h"

#include <stdlib.h>

#include "base/error.h"

#define KAFKA_PATIENCE_MS 5000

static int fail(const struct partition *partition, rd_kafka_resp_err_t code, outbox_error **reterr)
{
    return outbox__fail(reterr, OUTBOX_ETIMEOUT, NULL, "cannot ask Kafka for the offsets of topic %s, partition %d: %s",
                        partition->topic, (int)partition->number, rd_kafka_err2str(code));
}

static int at_time(const struct partition *partition, int64_t high, int64_t *ret_offset, outbox_error **reterr)
{
    const outbox_consumer *consumer = partition->consumer;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *entry =
        rd_kafka_topic_partition_list_add(list, partition->topic, partition->number);
    rd_kafka_resp_err_t code;

    /* Rounded up, so that nothing older is among them. */
    entry->offset = consumer->options->start_value / 1000 + (consumer->options->start_value % 1000 > 0);
    code = rd_kafka_offsets_for_times(consumer->handle, list, KAFKA_PATIENCE_MS);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = entry->err;
    *ret_offset = entry->offset >= 0 ? entry->offset : high; /* nothing is so recent */
    rd_kafka_topic_partition_list_destroy(list);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? OUTBOX_OK : fail(partition, code, reterr);
}

int start_resolve(const struct partition *partition, int64_t *ret_offset, outbox_error **reterr)
{
    const outbox_consumer_options *options = partition->consumer->options;
    int64_t low, high;
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(partition->consumer->handle, partition->topic,
                                                                partition->number, &low, &high, KAFKA_PATIENCE_MS);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fail(partition, code, reterr);
    switch (options->start) {
    case OUTBOX_CONSUMER_END:
        *ret_offset = high;
        return OUTBOX_OK;
    case OUTBOX_CONSUMER_TIME:
        return at_time(partition, high, ret_offset, reterr);
    case OUTBOX_CONSUMER_OFFSET:
        *ret_offset = options->start_value < low ? low : options->start_value;
        if (*ret_offset > high)
            return outbox__fail(reterr, OUTBOX_ESTATE, "start",
                                "start: offset %lld is beyond the end of topic %s, partition %d, which is %lld",
                                (long long)options->start_value, partition->topic, (int)partition->number,
                                (long long)high);
        return OUTBOX_OK;
    case OUTBOX_CONSUMER_BEGINNING:
        break;
    }
    *ret_offset = low;
    return OUTBOX_OK;
}

const char *start_cluster(outbox_consumer *consumer, outbox_error **reterr)
{
    const char *cluster;
    char *told;

    pthread_mutex_lock(&consumer->lock);
    cluster = consumer->cluster;
    pthread_mutex_unlock(&consumer->lock);
    if (cluster)
        return cluster;
    told = rd_kafka_clusterid(consumer->handle, KAFKA_PATIENCE_MS);
    pthread_mutex_lock(&consumer->lock);
    if (!consumer->cluster && told) {
        consumer->cluster = told;
        told = NULL;
    }
    cluster = consumer->cluster;
    pthread_mutex_unlock(&consumer->lock);
    if (told)
        rd_kafka_mem_free(consumer->handle, told);
    if (!cluster)
        outbox__fail(reterr, OUTBOX_ETIMEOUT, NULL, "Kafka does not tell the id of its cluster");
    return cluster;
}
