/* kafka-alone BOOTSTRAP TOPIC EVENTS BATCH HEADERS: librdkafka alone produces EVENTS records like those
 * of the relay (300 bytes, a key, HEADERS: all, none), BATCH to a transaction, with the relay's own
 * settings; prints how many a second.  The bytes are made beforehand: what is measured is
 * librdkafka and the broker. */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/clock.h"
#include "sink/client.h"
#include "sink/kafka.h"

#define PAYLOAD_SIZE 300
#define KEYS 1000
#define WAIT_MS 60000

struct alone {
    struct kafka_client client; /* first: librdkafka's opaque */
    rd_kafka_t *handle;
    rd_kafka_topic_t *topic;
    bool headers;
    char payload[PAYLOAD_SIZE];
    int64_t failed;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "kafka-alone: %s: %s\n", what, why);
    exit(1);
}

static void check(const char *what, rd_kafka_error_t *error)
{
    if (error)
        die(what, rd_kafka_error_string(error));
}

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    struct alone *alone = opaque;

    (void)handle;
    alone->failed += message->err != 0;
}

static void start(struct alone *alone, const char *bootstrap, const char *topic)
{
    const struct kafka_property properties[] = {{"bootstrap.servers", bootstrap}};
    const struct kafka_settings settings = {.properties = properties,
                                            .property_count = 1,
                                            .prefix = "alone",
                                            .topic_partitions = -1,
                                            .topic_replication = -1,
                                            .transaction_timeout = SECONDS(60)};
    outbox_error *err = NULL;
    rd_kafka_conf_t *conf;
    char text[256];

    alone->client.kafka = kafka_new(&settings, &err);
    if (!alone->client.kafka)
        die("settings", outbox_error_message(err));
    conf = kafka_producer_conf(alone->client.kafka, &alone->client, "alone.1", &err);
    if (!conf)
        die("settings", outbox_error_message(err));
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    alone->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (!alone->handle)
        die("producer", text);
    alone->topic = rd_kafka_topic_new(alone->handle, topic, NULL);
    check("init", rd_kafka_init_transactions(alone->handle, WAIT_MS));
    memset(alone->payload, 'x', sizeof(alone->payload));
}

static rd_kafka_headers_t *make_headers(const struct alone *alone, int64_t n)
{
    static const struct {
        const char *name;
        const char *value;
    } same[] = {{"outbox-id", "01234567-89ab-4cde-8f01-23456789abcd"},
                {"outbox-type", "bench"},
                {"outbox-time", "2026-01-02T03:04:05.678901Z"},
                {"content-type", "application/json"}};
    rd_kafka_headers_t *headers;
    char seq[24];

    if (!alone->headers)
        return NULL;
    headers = rd_kafka_headers_new(5);
    for (size_t i = 0; i < 4; i++)
        rd_kafka_header_add(headers, same[i].name, -1, same[i].value, -1);
    snprintf(seq, sizeof(seq), "%" PRId64, n);
    rd_kafka_header_add(headers, "outbox-seq", -1, seq, -1);
    return headers;
}

static void produce(struct alone *alone, int64_t n)
{
    char key[24];
    int size = snprintf(key, sizeof(key), "%" PRId64, n % KEYS);
    rd_kafka_headers_t *headers = make_headers(alone, n);

    while (rd_kafka_producev(alone->handle, RD_KAFKA_V_RKT(alone->topic), RD_KAFKA_V_PARTITION(-1),
                             RD_KAFKA_V_KEY(key, (size_t)size),
                             RD_KAFKA_V_VALUE(alone->payload, sizeof(alone->payload)),
                             RD_KAFKA_V_TIMESTAMP(INT64_C(1767323045678)), RD_KAFKA_V_MSGFLAGS(0),
                             RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END))
        rd_kafka_poll(alone->handle, 100);
    if (n % 512 == 0)
        rd_kafka_poll(alone->handle, 0);
}

static void run(struct alone *alone, int64_t events, int64_t batch)
{
    for (int64_t n = 0; n < events;) {
        int64_t end = n + batch < events ? n + batch : events;

        check("begin", rd_kafka_begin_transaction(alone->handle));
        while (n < end)
            produce(alone, n++);
        rd_kafka_flush(alone->handle, WAIT_MS);
        check("commit", rd_kafka_commit_transaction(alone->handle, WAIT_MS));
        if (alone->failed > 0)
            die("delivery", "failed");
    }
}

int main(int argc, char **argv)
{
    struct alone alone = {0};
    int64_t events, batch;
    mono_us began;

    if (argc != 6)
        die("usage", "kafka-alone BOOTSTRAP TOPIC EVENTS BATCH all|none");
    events = strtoll(argv[3], NULL, 10);
    batch = strtoll(argv[4], NULL, 10);
    alone.headers = strcmp(argv[5], "all") == 0;
    start(&alone, argv[1], argv[2]);
    run(&alone, batch, batch); /* metadata, connections */
    began = clock_now();
    run(&alone, events, batch);
    printf("%.1f\n", (double)events * 1e6 / (double)(clock_now() - began));
    rd_kafka_topic_destroy(alone.topic);
    rd_kafka_destroy(alone.handle);
    kafka_free((struct kafka *)(uintptr_t)alone.client.kafka);
    return 0;
}
