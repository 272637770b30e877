/* topic-dump: prints what is in topics, as a consumer with the given isolation sees it.
 *
 *   topic-dump --bootstrap HOST:PORT [--isolation read_committed|read_uncommitted]
 *              [--header NAME] [--json] [--timeout SECONDS] [--set PROPERTY=VALUE]...
 *              TOPIC...|--all-except PREFIX
 *
 * From the beginning to where each partition ended at the start.  Per record: topic,
 * partition, offset, key and the header (default outbox-id), between tabs; or with
 * --json an object with all headers and the payload.  It says "incomplete" on standard
 * error and exits 1 rather than print less than there is: it is what the tests believe. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/clock.h"

struct part {
    rd_kafka_topic_t *topic;
    int32_t number;
    int64_t begin;
    int64_t end;
    bool done;
};

struct dump {
    rd_kafka_t *handle;
    const char *header;
    bool json;
    mono_us deadline;
    struct part *parts;
    size_t count;
    size_t open; /* parts that are not done */
    size_t records;
};

static _Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("topic-dump: incomplete: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    fflush(stdout);
    _Exit(1);
}

static int left_ms(const struct dump *dump)
{
    int left = clock_until_ms(dump->deadline);

    if (left == 0)
        die("the deadline passed with %zu of %zu partitions unfinished", dump->open, dump->count);
    return left;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
        die("%s", text);
}

/* "property=value", of librdkafka. */
static void set_pair(rd_kafka_conf_t *conf, char *pair)
{
    char *equals = strchr(pair, '=');

    if (!equals)
        die("--set %s: no value", pair);
    *equals = '\0';
    set(conf, pair, equals + 1);
}

static rd_kafka_t *connect_to(rd_kafka_conf_t *conf, const char *bootstrap, const char *isolation)
{
    rd_kafka_t *handle;
    char text[256];

    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "isolation.level", isolation);
    set(conf, "enable.partition.eof", "true");
    set(conf, "auto.offset.reset", "error");
    set(conf, "enable.auto.commit", "false");
    set(conf, "fetch.wait.max.ms", "10");
    set(conf, "fetch.error.backoff.ms", "50");
    set(conf, "queued.max.messages.kbytes", "16384");
    set(conf, "log.connection.close", "false");
    handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (!handle)
        die("%s", text);
    return handle;
}

/* ---- which partitions ---- */

/* For read_committed the end is the last stable offset.  A partition that was just
 * created, or whose leader changes, is asked again. */
static void query_bounds(struct dump *dump, struct part *part)
{
    const char *name = rd_kafka_topic_name(part->topic);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;

    do {
        int left = clock_until_ms(dump->deadline);

        if (left == 0)
            die("end of %s [%" PRId32 "]: %s", name, part->number, rd_kafka_err2str(code));
        if (code)
            rd_kafka_poll(dump->handle, left < 20 ? left : 20);
        code = rd_kafka_query_watermark_offsets(dump->handle, name, part->number, &part->begin, &part->end,
                                                left);
    } while (code);
}

static void add_part(struct dump *dump, rd_kafka_topic_t *topic, int32_t number)
{
    struct part *part;

    dump->parts = realloc(dump->parts, (dump->count + 1) * sizeof(*dump->parts));
    if (!dump->parts)
        die("out of memory");
    part = &dump->parts[dump->count++];
    *part = (struct part){.topic = topic, .number = number};
    query_bounds(dump, part);
}

static void add_topic(struct dump *dump, const struct rd_kafka_metadata_topic *found)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(dump->handle, found->topic, NULL);

    if (!topic)
        die("topic %s: %s", found->topic, rd_kafka_err2str(rd_kafka_last_error()));
    for (int i = 0; i < found->partition_cnt; i++)
        add_part(dump, topic, found->partitions[i].id);
}

static bool wanted(const char *name, char *const *names, size_t count, const char *except)
{
    if (except)
        return strncmp(name, except, strlen(except)) != 0 && strncmp(name, "__", 2) != 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static void add_topics(struct dump *dump, char *const *names, size_t count, const char *except)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code = rd_kafka_metadata(dump->handle, 1, NULL, &metadata, left_ms(dump));
    size_t found = 0;

    if (code)
        die("list of topics: %s", rd_kafka_err2str(code));
    for (int i = 0; i < metadata->topic_cnt; i++) {
        if (!wanted(metadata->topics[i].topic, names, count, except))
            continue;
        if (metadata->topics[i].err)
            die("topic %s: %s", metadata->topics[i].topic, rd_kafka_err2str(metadata->topics[i].err));
        add_topic(dump, &metadata->topics[i]);
        found++;
    }
    rd_kafka_metadata_destroy(metadata);
    if (!except && found != count)
        die("%zu of %zu topics do not exist", count - found, count);
}

/* ---- printing ---- */

static void print_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < 0x20 || c == 0x7f || c == '\\')
            printf("\\x%02x", c);
        else
            putchar(c);
    }
}

static void print_line(const struct dump *dump, const rd_kafka_message_t *message,
                       const rd_kafka_headers_t *headers)
{
    const void *value = NULL;
    size_t size = 0;

    if (headers && rd_kafka_header_get_last(headers, dump->header, &value, &size))
        value = NULL;
    printf("%s\t%" PRId32 "\t%" PRId64 "\t", rd_kafka_topic_name(message->rkt), message->partition,
           message->offset);
    print_text(message->key ? message->key : "", message->key_len);
    putchar('\t');
    print_text(value ? value : "", size);
    putchar('\n');
}

/* Bytes that are not UTF-8 become an object with them in hexadecimal. */
static json_t *json_bytes(const void *bytes, size_t size)
{
    json_t *text;
    char *hex;

    if (!bytes)
        return json_null();
    text = json_stringn(bytes, size);
    if (text)
        return text;
    hex = malloc(size * 2 + 1);
    if (!hex)
        die("out of memory");
    for (size_t i = 0; i < size; i++)
        snprintf(hex + i * 2, 3, "%02x", ((const unsigned char *)bytes)[i]);
    text = json_pack("{s:s}", "hex", size ? hex : "");
    free(hex);
    return text;
}

static json_t *json_headers(const rd_kafka_headers_t *headers)
{
    json_t *array = json_array();
    const char *name;
    const void *value;
    size_t size;

    for (size_t i = 0; headers && !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++)
        json_array_append_new(array, json_pack("[s,o]", name, json_bytes(value, size)));
    return array;
}

static void print_json(const rd_kafka_message_t *message, const rd_kafka_headers_t *headers)
{
    json_t *object =
        json_pack("{s:s, s:i, s:I, s:I, s:o, s:o, s:o}", "topic", rd_kafka_topic_name(message->rkt),
                  "partition", (int)message->partition, "offset", (json_int_t)message->offset, "timestamp",
                  (json_int_t)rd_kafka_message_timestamp(message, NULL), "key",
                  json_bytes(message->key, message->key_len), "headers", json_headers(headers), "payload",
                  json_bytes(message->payload, message->len));

    if (!object || json_dumpf(object, stdout, JSON_COMPACT) != 0)
        die("cannot print a record");
    putchar('\n');
    json_decref(object);
}

/* ---- reading ---- */

static struct part *part_of(struct dump *dump, const rd_kafka_message_t *message)
{
    for (size_t i = 0; i < dump->count; i++) {
        if (dump->parts[i].number == message->partition &&
            strcmp(rd_kafka_topic_name(dump->parts[i].topic), rd_kafka_topic_name(message->rkt)) == 0)
            return &dump->parts[i];
    }
    die("a message of a partition nobody asked for");
}

static void finish(struct dump *dump, struct part *part)
{
    if (part->done)
        return;
    part->done = true;
    dump->open--;
}

static void print_record(struct dump *dump, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers = NULL;

    rd_kafka_message_headers(message, &headers);
    if (dump->json)
        print_json(message, headers);
    else
        print_line(dump, message, headers);
    dump->records++;
}

static void take(struct dump *dump, const rd_kafka_message_t *message)
{
    struct part *part;

    if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (message->err == RD_KAFKA_RESP_ERR__TRANSPORT ||
            message->err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || message->err == RD_KAFKA_RESP_ERR__RESOLVE)
            return; /* these mend, or the deadline passes */
        die("%s", rd_kafka_message_errstr(message));
    }
    part = part_of(dump, message);
    if (part->done)
        return; /* came after the start */
    if (!message->err && message->offset < part->end)
        print_record(dump, message);
    if (message->err ? message->offset >= part->end : message->offset >= part->end - 1)
        finish(dump, part);
}

static void read_all(struct dump *dump)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(dump->handle);

    for (size_t i = 0; i < dump->count; i++) {
        struct part *part = &dump->parts[i];

        if (part->begin >= part->end) {
            part->done = true;
            continue;
        }
        dump->open++;
        if (rd_kafka_consume_start_queue(part->topic, part->number, part->begin, queue) != 0)
            die("%s [%" PRId32 "]: %s", rd_kafka_topic_name(part->topic), part->number,
                rd_kafka_err2str(rd_kafka_last_error()));
    }
    while (dump->open > 0) {
        int left = left_ms(dump);
        rd_kafka_message_t *message = rd_kafka_consume_queue(queue, left < 100 ? left : 100);

        rd_kafka_poll(dump->handle, 0);
        if (!message)
            continue;
        take(dump, message);
        rd_kafka_message_destroy(message);
    }
}

static _Noreturn void usage(void)
{
    fputs("usage: topic-dump --bootstrap HOST:PORT [--isolation LEVEL] [--header NAME] [--json]\n"
          "                  [--timeout SECONDS] [--set PROPERTY=VALUE]... TOPIC...|--all-except PREFIX\n",
          stderr);
    exit(2);
}

static int parse_seconds(const char *text)
{
    char *end;
    long seconds = strtol(text, &end, 10);

    if (*end || seconds < 1 || seconds > 86400)
        usage();
    return (int)seconds;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"bootstrap", required_argument, NULL, 'b'}, {"isolation", required_argument, NULL, 'i'},
        {"header", required_argument, NULL, 'h'},    {"json", no_argument, NULL, 'j'},
        {"timeout", required_argument, NULL, 't'},   {"all-except", required_argument, NULL, 'a'},
        {"set", required_argument, NULL, 's'},       {NULL, 0, NULL, 0}};
    struct dump dump = {.header = "outbox-id", .deadline = clock_now() + SECONDS(60)};
    const char *bootstrap = NULL, *isolation = "read_committed", *except = NULL;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int option;

    set(conf, "check.crcs", "true");
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'b':
            bootstrap = optarg;
            break;
        case 'i':
            isolation = optarg;
            break;
        case 'h':
            dump.header = optarg;
            break;
        case 'j':
            dump.json = true;
            break;
        case 't':
            dump.deadline = clock_now() + SECONDS(parse_seconds(optarg));
            break;
        case 'a':
            except = optarg;
            break;
        case 's':
            set_pair(conf, optarg);
            break;
        default:
            usage();
        }
    }
    if (!bootstrap || (!except) == (optind == argc))
        usage();
    dump.handle = connect_to(conf, bootstrap, isolation);
    add_topics(&dump, argv + optind, (size_t)(argc - optind), except);
    read_all(&dump);
    if (fflush(stdout) != 0 || ferror(stdout))
        die("cannot write");
    /* Everything has been read; librdkafka's threads need not be waited for. */
    _Exit(0);
}
