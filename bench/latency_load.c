/* latency-load DSN BOOTSTRAP TOPIC RATE SECONDS CONNECTIONS: transactions with one event each, RATE a
 * second over CONNECTIONS connections at fixed times, and a consumer of committed records that
 * notes when each event arrives.  Prints the time from the end of COMMIT to the arrival in
 * milliseconds: p50 p99 max, and how many events there were.
 *
 * With exactly_once or at_least_once for DSN there is no database: librdkafka produces the events
 * itself, those that are due in one transaction, or each by itself.  Then the time runs from the
 * moment in which an event was due. */
#include <inttypes.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <outbox/outbox.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/clock.h"

#define PATIENCE SECONDS(30)
#define WARM_UP 0.1 /* of the events are not counted: connections, metadata, the JVM's compiler */

struct load {
    const char *dsn; /* NULL: librdkafka alone */
    bool transactions;
    const char *bootstrap;
    const char *topic;
    int connections;
    int64_t count;
    double interval; /* microseconds between two events of all */
    mono_us begin;
    int64_t *committed; /* when, by number of the event */
    int64_t *arrived;
    atomic_llong missing;
    rd_kafka_t *consumer;
    atomic_bool stop;
};

struct writer {
    pthread_t thread;
    struct load *load;
    int first;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "latency-load: %s: %s\n", what, why);
    exit(1);
}

static void sleep_until(mono_us at)
{
    mono_us left = at - clock_now();
    const struct timespec pause = {.tv_sec = left / 1000000, .tv_nsec = left % 1000000 * 1000};

    if (left > 0)
        nanosleep(&pause, NULL);
}

static void exec(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);

    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        die(sql, PQerrorMessage(conn));
    PQclear(result);
}

static void *write_events(void *argument)
{
    const struct writer *writer = argument;
    struct load *load = writer->load;
    PGconn *conn = PQconnectdb(load->dsn);
    outbox_event *ev = outbox_event_new();
    outbox_error *err = NULL;
    char payload[300];

    if (PQstatus(conn) != CONNECTION_OK || !ev)
        die("connect", PQerrorMessage(conn));
    memset(payload, 'x', sizeof(payload));
    outbox_event_set_type(ev, "bench");
    outbox_event_set_topic(ev, load->topic);
    outbox_event_set_content_type(ev, "text/plain");
    outbox_event_set_payload(ev, payload, sizeof(payload));
    if (outbox_emit_prepare(conn, &err) != OUTBOX_OK)
        die("prepare", outbox_error_message(err));
    for (int64_t n = writer->first; n < load->count; n += load->connections) {
        char key[24];

        snprintf(key, sizeof(key), "%" PRId64, n);
        outbox_event_set_key(ev, key);
        sleep_until(load->begin + (mono_us)((double)n * load->interval));
        exec(conn, "BEGIN");
        if (outbox_emit(conn, ev, NULL, &err) != OUTBOX_OK)
            die("emit", outbox_error_message(err));
        exec(conn, "COMMIT");
        load->committed[n] = clock_now();
    }
    PQfinish(conn);
    outbox_event_free(ev);
    return NULL;
}

/* ---- librdkafka alone ---- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value);

/* Between two transactions, as the relay does (sink/settle.h). */
#define SETTLE MILLISECONDS(3)

static void must(const char *what, rd_kafka_error_t *error)
{
    if (error)
        die(what, rd_kafka_error_string(error));
}

static rd_kafka_t *open_producer(const struct load *load)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *producer;
    char text[256];

    set(conf, "bootstrap.servers", load->bootstrap);
    set(conf, "linger.ms", "0");
    set(conf, "retry.backoff.ms", "2");
    set(conf, "socket.nagle.disable", "true");
    set(conf, "enable.idempotence", "true");
    if (load->transactions)
        set(conf, "transactional.id", "latency-load");
    producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (!producer)
        die("producer", text);
    if (load->transactions)
        must("init", rd_kafka_init_transactions(producer, 30000));
    return producer;
}

static void produce(rd_kafka_t *producer, const struct load *load, int64_t n)
{
    char key[24], payload[300];

    memset(payload, 'x', sizeof(payload));
    snprintf(key, sizeof(key), "%" PRId64, n);
    if (rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(load->topic), RD_KAFKA_V_KEY(key, strlen(key)),
                          RD_KAFKA_V_VALUE(payload, sizeof(payload)), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_END))
        die("produce", "refused");
    rd_kafka_poll(producer, 0);
}

static void *produce_events(void *argument)
{
    const struct writer *writer = argument;
    struct load *load = writer->load;
    rd_kafka_t *producer = open_producer(load);
    mono_us ended = 0;

    for (int64_t n = 0; n < load->count;) {
        mono_us due = load->begin + (mono_us)((double)n * load->interval);

        sleep_until(load->transactions && ended + SETTLE > due ? ended + SETTLE : due);
        if (load->transactions)
            must("begin", rd_kafka_begin_transaction(producer));
        do {
            load->committed[n] = due;
            produce(producer, load, n++);
            due = load->begin + (mono_us)((double)n * load->interval);
        } while (n < load->count && due <= clock_now());
        if (load->transactions)
            must("commit", rd_kafka_commit_transaction(producer, 30000));
        ended = clock_now();
    }
    if (rd_kafka_flush(producer, 30000))
        die("flush", "some events are still on their way");
    rd_kafka_destroy(producer);
    return NULL;
}

/* ---- the consumer ---- */

static void *consume(void *argument)
{
    struct load *load = argument;

    while (!atomic_load(&load->stop)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(load->consumer, 100);

        if (message && !message->err && message->key_len < 20) {
            char key[24];
            int64_t n;

            memcpy(key, message->key, message->key_len);
            key[message->key_len] = '\0';
            n = strtoll(key, NULL, 10);
            if (n < load->count && load->arrived[n] == 0) {
                load->arrived[n] = clock_now();
                atomic_fetch_sub(&load->missing, 1);
            }
        }
        if (message)
            rd_kafka_message_destroy(message);
    }
    return NULL;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
        die(name, text);
}

static void open_consumer(struct load *load, const char *bootstrap)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[256];

    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "group.id", "latency-load");
    set(conf, "isolation.level", "read_committed");
    set(conf, "auto.offset.reset", "earliest");
    set(conf, "enable.auto.commit", "false");
    set(conf, "fetch.wait.max.ms", "100");
    set(conf, "socket.nagle.disable", "true");
    load->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (!load->consumer)
        die("consumer", text);
    for (int i = 0; i < 4; i++)
        rd_kafka_topic_partition_list_add(list, load->topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_poll_set_consumer(load->consumer);
    if (rd_kafka_assign(load->consumer, list))
        die("assign", "failed");
    rd_kafka_topic_partition_list_destroy(list);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void report(const struct load *load)
{
    int64_t first = (int64_t)((double)load->count * WARM_UP);
    size_t count = (size_t)(load->count - first);
    int64_t *took = calloc(count, sizeof(*took));

    if (!took)
        die("memory", "none left");
    for (size_t i = 0; i < count; i++) /* the consumer may see it before COMMIT has returned */
        took[i] = load->arrived[first + (int64_t)i] - load->committed[first + (int64_t)i];
    qsort(took, count, sizeof(*took), by_value);
    printf("%.3f %.3f %.3f %" PRId64 "\n", (double)took[count / 2] / 1000, (double)took[count * 99 / 100] / 1000,
           (double)took[count - 1] / 1000, load->count);
    free(took);
}

static void run(struct load *load)
{
    struct writer *writers = calloc((size_t)load->connections, sizeof(*writers));
    pthread_t consumer;
    mono_us deadline;

    if (!writers || pthread_create(&consumer, NULL, consume, load) != 0)
        die("thread", "cannot start");
    load->begin = clock_now() + SECONDS(1);
    for (int i = 0; i < load->connections; i++) {
        writers[i] = (struct writer){.load = load, .first = i};
        if (pthread_create(&writers[i].thread, NULL, load->dsn ? write_events : produce_events,
                           &writers[i]) != 0)
            die("thread", "cannot start");
    }
    for (int i = 0; i < load->connections; i++)
        pthread_join(writers[i].thread, NULL);
    deadline = clock_now() + PATIENCE;
    while (atomic_load(&load->missing) > 0 && clock_now() < deadline)
        sleep_until(clock_now() + MILLISECONDS(10));
    atomic_store(&load->stop, true);
    pthread_join(consumer, NULL);
    free(writers);
    if (atomic_load(&load->missing) > 0)
        die("arrival", "some events did not arrive");
}

int main(int argc, char **argv)
{
    struct load load = {0};
    double rate;

    if (argc != 7)
        die("usage", "latency-load DSN BOOTSTRAP TOPIC RATE SECONDS CONNECTIONS");
    rate = strtod(argv[4], NULL);
    load.transactions = strcmp(argv[1], "exactly_once") == 0;
    load.dsn = load.transactions || strcmp(argv[1], "at_least_once") == 0 ? NULL : argv[1];
    load.bootstrap = argv[2];
    load.topic = argv[3];
    load.connections = load.dsn ? (int)strtol(argv[6], NULL, 10) : 1;
    load.count = (int64_t)(rate * strtod(argv[5], NULL));
    load.interval = 1e6 / rate;
    load.committed = calloc((size_t)load.count, sizeof(int64_t));
    load.arrived = calloc((size_t)load.count, sizeof(int64_t));
    if (!load.committed || !load.arrived)
        die("memory", "none left");
    atomic_store(&load.missing, load.count);
    open_consumer(&load, argv[2]);
    run(&load);
    report(&load);
    rd_kafka_consumer_close(load.consumer);
    rd_kafka_destroy(load.consumer);
    free(load.committed);
    free(load.arrived);
    return 0;
}
