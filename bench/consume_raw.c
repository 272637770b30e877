/* consume-raw BOOTSTRAP DSN TOPIC GROUP EVENTS BATCH: what the consumer library is measured against: a bare loop of
 * librdkafka that writes each batch to PostgreSQL by hand, with one connection, and then tells Kafka its
 * offset.  Effects are at least once, as a crash between the two does a batch again.  Prints records a second. */
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

#include "consume_rows.h"
#include "runtime/clock.h"

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "consume-raw: %s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
        die(name, text);
}

static rd_kafka_t *subscribe(const char *bootstrap, const char *topic, const char *group)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_t *handle;
    char text[256];

    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "group.id", group);
    set(conf, "isolation.level", "read_committed");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.auto.offset.store", "true"); /* of what was taken from the queue, all of which is written */
    set(conf, "auto.offset.reset", "earliest");
    handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (!handle)
        die("consumer", text);
    rd_kafka_poll_set_consumer(handle);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(handle, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("subscribe", topic);
    rd_kafka_topic_partition_list_destroy(list);
    return handle;
}

static void execute(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);

    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        die(sql, PQerrorMessage(conn));
    PQclear(result);
}

static void write_batch(PGconn *conn, rd_kafka_message_t **messages, size_t count)
{
    struct rows rows = {0};

    for (size_t i = 0; i < count; i++)
        rows_add(&rows, messages[i]->partition, messages[i]->offset, messages[i]->payload, messages[i]->len);
    execute(conn, "BEGIN");
    if (!rows_insert(&rows, conn))
        die("insert", PQerrorMessage(conn));
    execute(conn, "COMMIT");
    rows_free(&rows);
}

int main(int argc, char **argv)
{
    rd_kafka_message_t **messages;
    rd_kafka_queue_t *queue;
    rd_kafka_t *handle;
    int64_t events, done = 0;
    size_t batch;
    mono_us began = 0;
    PGconn *conn;

    if (argc != 7)
        die("usage", "consume-raw BOOTSTRAP DSN TOPIC GROUP EVENTS BATCH");
    events = strtoll(argv[5], NULL, 10);
    batch = (size_t)strtoll(argv[6], NULL, 10);
    messages = calloc(batch, sizeof(rd_kafka_message_t *));
    conn = PQconnectdb(argv[2]);
    handle = subscribe(argv[1], argv[3], argv[4]);
    queue = rd_kafka_queue_get_consumer(handle);
    while (done < events) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, 100, messages, batch);
        size_t kept = 0;

        for (ssize_t i = 0; i < count; i++) {
            if (messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR)
                messages[kept++] = messages[i];
            else
                rd_kafka_message_destroy(messages[i]);
        }
        if (kept == 0)
            continue;
        if (done == 0) /* joining the group and fetching the first is not what is measured */
            began = clock_now();
        write_batch(conn, messages, kept);
        rd_kafka_commit(handle, NULL, 1);
        for (size_t i = 0; i < kept; i++)
            rd_kafka_message_destroy(messages[i]);
        done += (int64_t)kept;
    }
    printf("%.1f\n", (double)done * 1e6 / (double)(clock_now() - began));
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(handle);
    rd_kafka_destroy(handle);
    PQfinish(conn);
    free(messages);
    return 0;
}
