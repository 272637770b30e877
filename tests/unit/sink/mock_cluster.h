/* librdkafka's mock cluster, for one test after the other. */
#ifndef TESTS_MOCK_CLUSTER_H
#define TESTS_MOCK_CLUSTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "runtime/log.h"
#include "base/error.h"
#include "sink/errors.h"
#include "sink/kafka.h"
#include "sink/record.h"

enum { PRODUCE = 0, LIST_OFFSETS = 2, INIT_PRODUCER_ID = 22, ADD_PARTITIONS = 24, END_TXN = 26 };

#define TOPIC "orders"
#define LONG_ENOUGH SECONDS(30)

static rd_kafka_t *host;
static rd_kafka_mock_cluster_t *cluster;
static struct kafka *kafka;

static const struct sink_record record = {
    .topic = TOPIC, .partition = 0, .key = "k", .key_size = 1, .payload = "v", .payload_size = 1};

static int brokers = 1;

static int set_up(void **state)
{
    /* The mock cluster of later versions has control records, without a checksum. */
    struct kafka_property properties[] = {{"bootstrap.servers", NULL}, {"check.crcs", "false"}};
    const struct kafka_settings settings = {.properties = properties,
                                            .property_count = 2,
                                            .prefix = "shop",
                                            .topic_partitions = 4,
                                            .topic_replication = 1,
                                            .transaction_timeout = SECONDS(5)};
    char text[256];

    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    host = rd_kafka_new(RD_KAFKA_PRODUCER, NULL, text, sizeof(text));
    cluster = host ? rd_kafka_mock_cluster_new(host, brokers) : NULL;
    if (!cluster)
        return -1;
    rd_kafka_mock_topic_create(cluster, TOPIC, 4, 1);
    rd_kafka_mock_topic_create(cluster, "shop.progress", 4, 1);
    properties[0].value = rd_kafka_mock_cluster_bootstraps(cluster);
    kafka = kafka_new(&settings, NULL);
    return kafka ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    kafka_free(kafka);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(host);
    return 0;
}

/* ---- helpers ---- */

static inline mono_us soon(void)
{
    return clock_now() + LONG_ENOUGH;
}

static inline void expect(enum sink_result got, enum sink_result wanted, outbox_error **reterr)
{
    if (got != wanted)
        fail_msg("%s instead of %s: %s", sink_result_name(got), sink_result_name(wanted),
                 *reterr ? outbox_error_message(*reterr) : "no message");
    outbox_error_free(*reterr);
    *reterr = NULL;
}

static inline rd_kafka_t *open_consumer(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[256];
    rd_kafka_t *handle;

    rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster), text,
                      sizeof(text));
    rd_kafka_conf_set(conf, "check.crcs", "false", text, sizeof(text));
    rd_kafka_conf_set(conf, "enable.partition.eof", "true", text, sizeof(text));
    handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    assert_non_null(handle);
    return handle;
}

static inline int records_in(const char *name, int partition)
{
    rd_kafka_t *handle = open_consumer();
    rd_kafka_topic_t *topic = rd_kafka_topic_new(handle, name, NULL);
    mono_us end = soon();
    bool finished = false;
    int count = 0;

    assert_int_equal(rd_kafka_consume_start(topic, partition, RD_KAFKA_OFFSET_BEGINNING), 0);
    while (!finished) {
        rd_kafka_message_t *message = rd_kafka_consume(topic, partition, 100);

        assert_true(clock_now() < end);
        if (!message)
            continue;
        finished = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (!message->err)
            count++;
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consume_stop(topic, partition);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(handle);
    return count;
}

#endif
