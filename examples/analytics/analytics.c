/* Counts events in a sliding window, by their own time, and raises an alert when a count is unusual (judge.c); keeps
 * features of orders for train.py. */
#include <getopt.h>
#include <outbox/consumer.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "count.h"
#include "judge.h"

#define NAME_SIZE 250 /* Kafka's limit of a topic's name, and a zero */
#define WORDS 20
#define JUDGE_EVERY_MS 250
#define RECONNECT_MS 2000

struct options {
    const char *dsn;
    const char *kafka;
    const char *prefix;
    char *topics[WORDS];
    size_t topic_count;
    char *properties[WORDS]; /* NAME=VALUE, of librdkafka */
    size_t property_count;
    long width_ms;
    long lateness_ms;
    struct judge judge;
};

/* The judge's thread. */
struct bench {
    const char *dsn;
    struct judge judge;
    pthread_mutex_t mutex;
    pthread_cond_t change;
    bool stopping;
};

static outbox_consumer *consumer;

/* "PREFIX.NAME", or NAME. */
static const char *full_name(char buffer[NAME_SIZE], const char *prefix, const char *name)
{
    snprintf(buffer, NAME_SIZE, "%s%s%s", prefix, *prefix ? "." : "", name);
    return buffer;
}

static void tell(int level, const char *event, const char *text, void *context)
{
    (void)context;
    if (level <= OUTBOX_CONSUMER_INFO)
        fprintf(stderr, "analytics: %s: %s\n", event, text);
}

static void stop(int number)
{
    (void)number;
    outbox_consumer_stop(consumer);
}

static int make(const struct options *options, int64_t *width)
{
    outbox_consumer_options *made = outbox_consumer_options_new();
    outbox_error *err = NULL;
    char name[NAME_SIZE];
    int r;

    /* The answers of setters need not be looked at: outbox_consumer_new() tells of all. */
    outbox_consumer_options_set_name(made, options->judge.consumer);
    outbox_consumer_options_set_dsn(made, options->dsn);
    outbox_consumer_options_set_property(made, "bootstrap.servers", options->kafka);
    for (size_t i = 0; i < options->topic_count; i++)
        outbox_consumer_options_add_topic(made, full_name(name, options->prefix, options->topics[i]));
    /* Topics that are made later are to be found soon. */
    outbox_consumer_options_set_property(made, "topic.metadata.refresh.interval.ms", "5000");
    for (size_t i = 0; i < options->property_count; i++) {
        char *value = strchr(options->properties[i], '=');

        snprintf(name, sizeof(name), "%.*s", (int)(value - options->properties[i]), options->properties[i]);
        outbox_consumer_options_set_property(made, name, value + 1);
    }
    outbox_consumer_options_set_handler(made, count_apply, width);
    /* An order that cannot be read is missing among the features; it should not keep the customer's others away. */
    outbox_consumer_options_set_followers(made, OUTBOX_CONSUMER_CONTINUE);
    outbox_consumer_options_set_log(made, tell, NULL);
    r = outbox_consumer_new(made, &consumer, &err);
    if (r < 0)
        fprintf(stderr, "analytics: %s\n", outbox_error_message(err));
    outbox_error_free(err);
    outbox_consumer_options_free(made);
    return r;
}

static PGconn *connect_database(const char *dsn)
{
    const char *const names[] = {"dbname", "options", "client_encoding", "fallback_application_name",
                                 /* a server that is gone without a word is noticed, too */
                                 "connect_timeout", "tcp_user_timeout", "keepalives_idle", "keepalives_interval",
                                 "keepalives_count", NULL};
    const char *const values[] = {dsn, "-c statement_timeout=30s -c TimeZone=UTC", "UTF8", "analytics-judge",
                                  "5", "10000", "5", "2", "3", NULL};
    PGconn *conn = PQconnectdbParams(names, values, 1);

    if (PQstatus(conn) != CONNECTION_OK)
        fprintf(stderr, "analytics: %s", PQerrorMessage(conn));
    return conn;
}

/* Returns false when it is to stop. */
static bool rest(struct bench *bench, long milliseconds)
{
    struct timespec until;
    bool stopping;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += milliseconds % 1000 * 1000000;
    until.tv_sec += milliseconds / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&bench->mutex);
    while (!bench->stopping && pthread_cond_timedwait(&bench->change, &bench->mutex, &until) == 0)
        ;
    stopping = bench->stopping;
    pthread_mutex_unlock(&bench->mutex);
    return !stopping;
}

static void *judge_all_the_while(void *argument)
{
    struct bench *bench = argument;
    int more = 0;

    do {
        if (!bench->judge.conn)
            bench->judge.conn = connect_database(bench->dsn);
        more = PQstatus(bench->judge.conn) == CONNECTION_OK ? judge_pass(&bench->judge) : -1;
        if (more < 0) {
            PQfinish(bench->judge.conn);
            bench->judge.conn = NULL;
        }
    } while (rest(bench, more < 0 ? RECONNECT_MS : more > 0 ? 0 : JUDGE_EVERY_MS));
    PQfinish(bench->judge.conn);
    return NULL;
}

static void stop_bench(struct bench *bench, pthread_t thread)
{
    pthread_mutex_lock(&bench->mutex);
    bench->stopping = true;
    pthread_cond_signal(&bench->change);
    pthread_mutex_unlock(&bench->mutex);
    pthread_join(thread, NULL);
}

static int consume(const struct options *options, int64_t width)
{
    struct bench bench = {.dsn = options->dsn, .judge = options->judge, .mutex = PTHREAD_MUTEX_INITIALIZER};
    pthread_condattr_t monotonic;
    outbox_error *err = NULL;
    pthread_t thread;
    int status = 0;

    bench.judge.width_us = width;
    if (make(options, &width) < 0)
        return 1;
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    if (pthread_condattr_init(&monotonic) != 0 || pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(&bench.change, &monotonic) != 0 ||
        pthread_create(&thread, NULL, judge_all_the_while, &bench) != 0)
        abort();
    if (outbox_consumer_run(consumer, &err) < 0) {
        fprintf(stderr, "analytics: %s\n", outbox_error_message(err));
        status = 1;
    }
    stop_bench(&bench, thread);
    outbox_error_free(err);
    /* Another signal must not touch what is freed: it ends the process, whose work is committed. */
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    outbox_consumer_free(consumer);
    return status;
}

static int dispatch(const struct options *options, const char *verb)
{
    PGconn *conn = connect_database(options->dsn);
    int64_t width = -1;
    int status = 2;

    if (PQstatus(conn) != CONNECTION_OK)
        status = 1;
    else if (strcmp(verb, "setup") == 0)
        status = count_set_up(conn, options->width_ms);
    else if (strcmp(verb, "report") == 0)
        status = count_report(conn, options->judge.window);
    else if (strcmp(verb, "run") == 0 && options->kafka)
        status = (width = count_width_us(conn)) > 0 ? 0 : 1;
    PQfinish(conn);
    return width > 0 ? consume(options, width) : status;
}

static bool parse_number(const char *text, long min, long max, long *ret_number)
{
    char *end;

    *ret_number = strtol(text, &end, 10);
    return end != text && *end == '\0' && *ret_number >= min && *ret_number <= max;
}

static bool take_option(struct options *options, int option)
{
    switch (option) {
    case 'k':
        options->kafka = optarg;
        return true;
    case 'p':
        options->prefix = optarg;
        return strlen(optarg) < 200;
    case 't':
        options->topics[options->topic_count] = optarg;
        return ++options->topic_count < WORDS;
    case 's':
        options->properties[options->property_count] = optarg;
        return strchr(optarg, '=') && ++options->property_count < WORDS;
    case 'w':
        return parse_number(optarg, 1, 86400000, &options->width_ms);
    case 'W':
        return parse_number(optarg, 3, 10000, &options->judge.window);
    case 'h':
        return parse_number(optarg, 3, 10000, &options->judge.history);
    case 'm':
        return parse_number(optarg, 1, 1000000000, &options->judge.least);
    case 'l':
        return parse_number(optarg, 0, 86400000, &options->lateness_ms);
    case 'i':
        return parse_number(optarg, 100, 86400000, &options->judge.idle_ms);
    case 'z':
        options->judge.threshold = strtod(optarg, NULL);
        return options->judge.threshold >= 1;
    default:
        return false;
    }
}

static int usage(void)
{
    fputs("usage: analytics [--width-ms 1000] setup\n"
          "       analytics [--window 60] report\n"
          "       analytics --kafka HOST:PORT [--topic T]... [--set NAME=VALUE]... [--window 60] [--history 10]\n"
          "                 [--threshold 6] [--least 10] [--lateness-ms 2000] [--idle-ms 5000] run\n"
          "  --prefix P   topics and the consumer are named P.order_placed, ...\n"
          "The DSN is taken from OUTBOX_DSN.\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option longopts[] = {
        {"kafka", required_argument, NULL, 'k'},     {"prefix", required_argument, NULL, 'p'},
        {"topic", required_argument, NULL, 't'},     {"set", required_argument, NULL, 's'},
        {"width-ms", required_argument, NULL, 'w'},  {"window", required_argument, NULL, 'W'},
        {"history", required_argument, NULL, 'h'},   {"threshold", required_argument, NULL, 'z'},
        {"least", required_argument, NULL, 'm'},     {"lateness-ms", required_argument, NULL, 'l'},
        {"idle-ms", required_argument, NULL, 'i'},   {NULL, 0, NULL, 0}};
    static char order_placed[] = "order_placed", user_created[] = "user_created", users[] = "users";
    struct options options = {
        .dsn = getenv("OUTBOX_DSN"), /* everybody on the machine can read a command line */
        .prefix = "",
        .width_ms = 1000,
        .lateness_ms = 2000,
        .judge = {.idle_ms = 5000, .window = 60, .history = 10, .least = 10, .threshold = 6},
    };
    char name[NAME_SIZE], topic[NAME_SIZE];
    int option, status;

    while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (!take_option(&options, option))
            return usage();
    }
    if (!options.dsn || optind + 1 != argc || options.judge.history > options.judge.window)
        return usage();
    if (options.topic_count == 0) {
        char *const all[] = {order_placed, user_created, users};

        memcpy(options.topics, all, sizeof(all));
        options.topic_count = sizeof(all) / sizeof(all[0]);
    }
    options.judge.consumer = full_name(name, options.prefix, "analytics");
    options.judge.topic = full_name(topic, options.prefix, "alert_raised");
    options.judge.lateness_us = options.lateness_ms * 1000;
    status = dispatch(&options, argv[optind]);
    return status == 2 ? usage() : status;
}
