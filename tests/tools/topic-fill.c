/* topic-fill: writes records into a topic, as any producer might.
 *
 *   topic-fill --bootstrap HOST:PORT [--transaction commit|abort] [--count N --keys K [--size BYTES]] TOPIC
 *
 * Without --count a JSON object a line on standard input: "partition" (-1), "key" and "payload" (texts, or
 * null), "key_hex", "headers" (an object of texts, or null), "timestamp" (ms).  With it N records
 * {"n": 1}... of the keys k0... in turn, filled up with blanks to --size.  Exits 1 unless all were delivered. */
#include <getopt.h>
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 30000

struct fill {
    rd_kafka_t *handle;
    const char *topic;
    int64_t failed;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "topic-fill: %s: %s\n", what, why);
    exit(1);
}

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    struct fill *fill = opaque;

    (void)handle;
    fill->failed += message->err != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void check(const char *what, rd_kafka_error_t *error)
{
    if (error)
        die(what, rd_kafka_error_string(error));
}

static void start(struct fill *fill, const char *bootstrap, bool transaction)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[256];
    char id[64];

    snprintf(id, sizeof(id), "fill.%.40s", fill->topic);
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, text, sizeof(text)) != RD_KAFKA_CONF_OK ||
        rd_kafka_conf_set(conf, "enable.idempotence", "true", text, sizeof(text)) != RD_KAFKA_CONF_OK ||
        rd_kafka_conf_set(conf, "partitioner", "murmur2_random", text, sizeof(text)) != RD_KAFKA_CONF_OK ||
        (transaction && rd_kafka_conf_set(conf, "transactional.id", id, text, sizeof(text)) != RD_KAFKA_CONF_OK))
        die("settings", text);
    rd_kafka_conf_set_opaque(conf, fill);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    fill->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (!fill->handle)
        die("producer", text);
    if (!transaction)
        return;
    check("init", rd_kafka_init_transactions(fill->handle, WAIT_MS));
    check("begin", rd_kafka_begin_transaction(fill->handle));
}

struct record {
    int32_t partition;
    const void *key;
    size_t key_size;
    const char *payload; /* NULL: a tombstone */
    rd_kafka_headers_t *headers;
    int64_t timestamp; /* 0: now */
};

static void produce(struct fill *fill, const struct record *record)
{
    rd_kafka_error_t *error;

    for (;;) {
        error = rd_kafka_produceva(
            fill->handle,
            (rd_kafka_vu_t[]){{.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = fill->topic},
                              {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = record->partition},
                              {.vtype = RD_KAFKA_VTYPE_KEY,
                               .u.mem = {(void *)(uintptr_t)record->key, record->key_size}},
                              {.vtype = RD_KAFKA_VTYPE_VALUE,
                               .u.mem = {(void *)(uintptr_t)record->payload,
                                         record->payload ? strlen(record->payload) : 0}},
                              {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->timestamp},
                              {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
                              {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = record->headers}},
            record->headers ? 7 : 6);
        if (!error)
            break;
        if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die("produce", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        rd_kafka_poll(fill->handle, 100);
    }
    rd_kafka_poll(fill->handle, 0);
}

static size_t from_hex(const char *hex, char *ret, size_t room)
{
    size_t size = 0;
    unsigned byte;

    while (size < room && sscanf(hex + 2 * size, "%2x", &byte) == 1)
        ret[size++] = (char)byte;
    return size;
}

static rd_kafka_headers_t *make_headers(json_t *object)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
        rd_kafka_header_add(headers, name, -1, json_string_value(value), json_is_string(value) ? -1 : 0);
    return headers;
}

static void produce_line(struct fill *fill, const char *line)
{
    json_t *object = json_loads(line, 0, NULL);
    json_t *partition = json_object_get(object, "partition");
    const char *hex = json_string_value(json_object_get(object, "key_hex"));
    struct record record = {.partition = partition ? (int32_t)json_integer_value(partition) : -1};
    char key[8192];

    if (!object)
        die("not JSON", line);
    record.payload = json_string_value(json_object_get(object, "payload"));
    record.timestamp = json_integer_value(json_object_get(object, "timestamp"));
    record.key = json_string_value(json_object_get(object, "key"));
    record.key_size = record.key ? strlen(record.key) : 0;
    if (hex) {
        record.key_size = from_hex(hex, key, sizeof(key));
        record.key = key;
    }
    if (json_object_get(object, "headers"))
        record.headers = make_headers(json_object_get(object, "headers"));
    produce(fill, &record);
    json_decref(object);
}

static void produce_count(struct fill *fill, int64_t count, int64_t keys, int size)
{
    for (int64_t n = 1; n <= count; n++) {
        char key[32];
        char payload[1024];
        struct record record = {.partition = -1, .key = key, .payload = payload};

        record.key_size = (size_t)snprintf(key, sizeof(key), "k%lld", (long long)(n % keys));
        snprintf(payload, sizeof(payload), "{\"n\": %lld%*s}", (long long)n, size > 30 ? size - 30 : 0, "");
        produce(fill, &record);
    }
}

static void produce_lines(struct fill *fill)
{
    char *line = NULL;
    size_t room = 0;

    while (getline(&line, &room, stdin) > 0)
        produce_line(fill, line);
    free(line);
}

int main(int argc, char **argv)
{
    static const struct option longopts[] = {{"bootstrap", required_argument, NULL, 'b'},
                                             {"transaction", required_argument, NULL, 't'},
                                             {"count", required_argument, NULL, 'c'},
                                             {"keys", required_argument, NULL, 'k'},
                                             {"size", required_argument, NULL, 's'},
                                             {NULL, 0, NULL, 0}};
    const char *bootstrap = NULL, *transaction = NULL;
    int64_t count = 0, keys = 100;
    struct fill fill = {0};
    int option, size = 0;

    while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        switch (option) {
        case 'b': bootstrap = optarg; break;
        case 't': transaction = optarg; break;
        case 'c': count = strtoll(optarg, NULL, 10); break;
        case 'k': keys = strtoll(optarg, NULL, 10); break;
        case 's': size = (int)strtol(optarg, NULL, 10); break;
        default: return 2;
        }
    }
    if (!bootstrap || optind + 1 != argc || keys < 1)
        die("usage", "topic-fill --bootstrap HOST:PORT [--transaction commit|abort] [--count N --keys K] TOPIC");
    fill.topic = argv[optind];
    start(&fill, bootstrap, transaction != NULL);
    if (count > 0)
        produce_count(&fill, count, keys, size);
    else
        produce_lines(&fill);
    if (rd_kafka_flush(fill.handle, WAIT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("flush", "not all was delivered in time");
    if (transaction)
        check("end", strcmp(transaction, "abort") == 0 ? rd_kafka_abort_transaction(fill.handle, WAIT_MS)
                                                       : rd_kafka_commit_transaction(fill.handle, WAIT_MS));
    rd_kafka_destroy(fill.handle);
    if (fill.failed > 0)
        die("produce", "some were not delivered");
    return 0;
}
