/* The client half of sink_late_end: does what it is told by its first argument, and asks
 * the proxy through standard output and input, a word each way. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink/producer.h"
#include "sink/progress.h"

static const char *bootstrap;
static const char *prefix;
static char topic[128], id[128];

#define PATIENCE SECONDS(30)

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void check(bool good, const char *what)
{
    if (!good)
        die(what, "is not so");
}

/* "hold": keep back the next EndTxn; "await-N": until N records are on the broker;
 * "release": hand the kept one over, until the broker has answered it. */
static void ask(const char *word)
{
    char answer[32];

    puts(word);
    fflush(stdout);
    if (!fgets(answer, sizeof(answer), stdin) || strcmp(answer, "ok\n") != 0)
        die(word, "no answer");
}

/* ---- as the relay does it ---- */

static struct producer *open_producer(const struct kafka *kafka)
{
    outbox_error *error = NULL;
    struct producer *producer = producer_new(kafka, id, &error);

    if (!producer || producer_init(producer, clock_now() + PATIENCE, &error) != SINK_OK)
        die("producer", outbox_error_message(error));
    return producer;
}

static void publish(struct producer *producer, int64_t seq, const char *text)
{
    const struct marker marker = {.incarnation = {1}, .map = 1, .position = {.seq = seq}};
    const struct sink_record record = {
        .topic = topic, .partition = 0, .payload = text, .payload_size = strlen(text)};
    outbox_error *error = NULL;

    if (producer_publish(producer, &record, 1, &marker, clock_now() + PATIENCE, &error) != SINK_OK)
        die("publish", outbox_error_message(error));
}

static void commit(struct producer *producer)
{
    mono_us end = clock_now() + PATIENCE;
    outbox_error *error = NULL;
    enum sink_result result;

    do
        result = producer_commit(producer, clock_now() + MILLISECONDS(500), &error);
    while (result == SINK_AGAIN && clock_now() < end);
    if (result != SINK_OK)
        die("commit", outbox_error_message(error));
}

static int64_t position(const struct kafka *kafka)
{
    const uint8_t incarnation[16] = {1};
    outbox_error *error = NULL;
    struct progress *progress = progress_open(kafka, &error);
    struct progress_answer answer;

    if (!progress ||
        progress_read(progress, incarnation, 1, 0, clock_now() + PATIENCE, &answer, &error) != SINK_OK)
        die("position", outbox_error_message(error));
    progress_close(progress);
    return answer.found ? answer.marker.position.seq : -1;
}

static struct kafka *make_kafka(void)
{
    const struct kafka_property properties[] = {{"bootstrap.servers", bootstrap},
                                                {"socket.timeout.ms", "3000"}};
    const struct kafka_settings settings = {.properties = properties,
                                            .property_count = 2,
                                            .prefix = prefix,
                                            .create_topics = true,
                                            .topic_partitions = 1,
                                            .topic_replication = 1,
                                            .transaction_timeout = SECONDS(60)};
    outbox_error *error = NULL;
    struct kafka *kafka = kafka_new(&settings, &error);
    struct progress *progress;

    if (!kafka)
        die("settings", outbox_error_message(error));
    progress = progress_open(kafka, &error);
    if (!progress || progress_ensure(progress, 1, clock_now() + PATIENCE, &error) != SINK_OK)
        die("progress topic", outbox_error_message(error));
    progress_close(progress);
    return kafka;
}

/* The late EndTxn comes while the successor's transaction is open, which then crashes. */
static void recycle(void)
{
    struct kafka *kafka = make_kafka();
    struct producer *producer = open_producer(kafka);

    publish(producer, 1, "first");
    ask("hold");
    commit(producer);
    check(producer_tainted(producer), "the producer is tainted");
    check(producer_close(producer, clock_now() + PATIENCE), "the producer is closed");
    producer = open_producer(kafka);
    check(position(kafka) == 1, "the position is that of the first transaction");
    publish(producer, 2, "second");
    ask("await-2");
    ask("release");
    check(producer_close(producer, clock_now() + PATIENCE), "the producer is closed");
    producer = open_producer(kafka);
    check(position(kafka) == 1, "the position is still that of the first transaction");
    publish(producer, 3, "third");
    commit(producer);
    check(!producer_tainted(producer), "the last producer is not tainted");
    producer_close(producer, clock_now() + PATIENCE);
    kafka_free(kafka);
}

/* ---- as it must not be done ---- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
        die(name, text);
}

static void produce(rd_kafka_t *handle, const char *text)
{
    rd_kafka_resp_err_t code = rd_kafka_producev(handle, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                                                 RD_KAFKA_V_VALUE((void *)(uintptr_t)text, strlen(text)),
                                                 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);

    if (code)
        die("produce", rd_kafka_err2str(code));
}

static void must(const char *what, rd_kafka_error_t *error)
{
    if (error)
        die(what, rd_kafka_error_string(error));
}

/* Goes on with the producer whose EndTxn was retried, and aborts. */
static void reuse(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *handle;
    char text[256];

    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "transactional.id", id);
    set(conf, "socket.timeout.ms", "3000");
    handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (!handle)
        die("producer", text);
    must("init", rd_kafka_init_transactions(handle, 30000));
    must("begin", rd_kafka_begin_transaction(handle));
    produce(handle, "first");
    ask("hold");
    must("commit", rd_kafka_commit_transaction(handle, 30000));
    must("begin", rd_kafka_begin_transaction(handle));
    produce(handle, "aborted");
    if (rd_kafka_flush(handle, 10000))
        die("flush", "timed out");
    ask("await-2");
    ask("release");
    rd_kafka_error_destroy(rd_kafka_abort_transaction(handle, 10000)); /* whatever it says */
    rd_kafka_destroy(handle);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        die("usage", "sink-late-end recycle|reuse BOOTSTRAP PREFIX");
    bootstrap = argv[2];
    prefix = argv[3];
    snprintf(topic, sizeof(topic), "%s.events", prefix);
    snprintf(id, sizeof(id), "%s.0", prefix);
    if (strcmp(argv[1], "recycle") == 0)
        recycle();
    else
        reuse();
    return 0;
}
