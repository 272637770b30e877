/* consumer-driver: a program on <outbox/consumer.h> alone, for tests.
 *
 *   consumer-driver [--name N] [--dsn DSN] [--set PROPERTY=VALUE]... [--batch N] [--workers N]
 *                   [--start beginning|end|time:US|offset:N] [--retries ATTEMPTS,FIRST_MS,LAST_MS]
 *                   [--stop-on-failure] [--continue] [--dead-letter TOPIC] [--drain MS] [--transaction MS]
 *                   [--emit TOPIC] [--pause] TOPIC...
 *
 * Each record becomes a row of the table effect (which forbids no duplicates: the tests look for them) and adds one
 * to its key's row of the table total; with --emit also an event.  What a payload contains tells what else happens:
 * "poison" RETRY, "reject" REJECT, "badsql" a statement that fails, "crash" the end of the session,
 * "sleep:S" S seconds in PostgreSQL, "hang" a handler that does not return, "halt" STOP, "commit" a handler that
 * ends the transaction; "once" fails until it has failed twice, "nap" sleeps 3 s
 * before it writes anything; "hold:PATH" a handler that returns when there is such a file, or after three minutes.
 * SIGTERM stops, SIGUSR1 pauses, SIGUSR2 resumes.  The log is on standard error; the last line tells the counts. */
#include <getopt.h>
#include <libpq-fe.h>
#include <outbox/consumer.h>
#include <outbox/emit.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static outbox_consumer *consumer;

struct driver {
    const char *emit_topic;
};

static int run_sql(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);

    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static int has(const outbox_record *record, const char *word)
{
    size_t size;
    const void *payload = outbox_record_payload(record, &size);

    return payload && memmem(payload, size, word, strlen(word)) != NULL;
}

static int write_effect(PGconn *conn, const outbox_record *record)
{
    size_t key_size, payload_size;
    char partition[16], offset[24];
    const void *key = outbox_record_key(record, &key_size);
    const void *payload = outbox_record_payload(record, &payload_size);
    const char *values[6] = {outbox_record_topic(record), partition, offset, key, payload, outbox_record_id(record)};
    const int sizes[6] = {0, 0, 0, (int)key_size, (int)payload_size, 0};
    const int formats[6] = {0, 0, 0, 1, 1, 0};
    PGresult *result;
    int fine;

    snprintf(partition, sizeof(partition), "%d", (int)outbox_record_partition(record));
    snprintf(offset, sizeof(offset), "%lld", (long long)outbox_record_offset(record));
    result = PQexecParams(conn,
                          "WITH counted AS (INSERT INTO total AS t (topic, partition, n) VALUES ($1, $2, 1)"
                          " ON CONFLICT (topic, partition) DO UPDATE SET n = t.n + 1)"
                          " INSERT INTO effect (topic, partition, off, key, payload, id)"
                          " VALUES ($1, $2, $3, $4::bytea, $5::bytea, $6::uuid)",
                          6, NULL, values, sizes, formats, 0);
    fine = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return fine;
}

static int emit(PGconn *conn, const outbox_record *record, const char *topic)
{
    outbox_event *event = outbox_event_new();
    size_t size;
    const void *payload = outbox_record_payload(record, &size);
    const void *key = outbox_record_key(record, &size);
    char text[256];
    int r;

    snprintf(text, sizeof(text), "%.*s", (int)size, key ? (const char *)key : "");
    outbox_event_set_type(event, "followed");
    outbox_event_set_topic(event, topic);
    outbox_event_set_key(event, key ? text : NULL);
    (void)outbox_record_payload(record, &size);
    outbox_event_set_payload(event, payload, size);
    r = outbox_emit(conn, event, NULL, NULL);
    outbox_event_free(event);
    return r == OUTBOX_OK;
}

static int sleep_there(PGconn *conn, const outbox_record *record)
{
    size_t size;
    const char *payload = outbox_record_payload(record, &size);
    const char *at = memmem(payload, size, "sleep:", 6);
    char sql[64];

    snprintf(sql, sizeof(sql), "SELECT pg_sleep(%.1f)", strtod(at + 6, NULL));
    return run_sql(conn, sql);
}

static void hold(const outbox_record *record)
{
    size_t size;
    const char *payload = outbox_record_payload(record, &size);
    const char *at = memmem(payload, size, "hold:", 5);
    char path[256];

    snprintf(path, sizeof(path), "%.*s", (int)(payload + size - at) - 5, at + 5);
    for (int i = 0; i < 3600 && access(path, F_OK) != 0; i++)
        (void)usleep(50000);
}

static int handle_one(PGconn *conn, outbox_record *record, const struct driver *driver)
{
    if (has(record, "nap"))
        (void)usleep(3000000);
    if (!write_effect(conn, record) || (driver->emit_topic && !emit(conn, record, driver->emit_topic)))
        return OUTBOX_CONSUMER_RETRY;
    if (has(record, "poison")) {
        outbox_record_set_reason(record, "this is poison");
        return OUTBOX_CONSUMER_RETRY;
    }
    if (has(record, "reject")) {
        outbox_record_set_reason(record, "not\nacceptable");
        return OUTBOX_CONSUMER_REJECT;
    }
    if (has(record, "once") && outbox_record_failures(record) < 2)
        return OUTBOX_CONSUMER_RETRY;
    if (has(record, "badsql"))
        (void)run_sql(conn, "SELECT 1/0");
    if (has(record, "crash"))
        (void)run_sql(conn, "SELECT pg_terminate_backend(pg_backend_pid())");
    if (has(record, "commit"))
        (void)run_sql(conn, "COMMIT");
    if (has(record, "sleep:") && !sleep_there(conn, record))
        return OUTBOX_CONSUMER_RETRY;
    if (has(record, "hold:"))
        hold(record);
    while (has(record, "hang"))
        pause();
    return has(record, "halt") ? OUTBOX_CONSUMER_STOP : OUTBOX_CONSUMER_DONE;
}

static int handle(struct pg_conn *conn, outbox_record *const records[], size_t count, void *context)
{
    for (size_t i = 0; i < count; i++) {
        int answer = handle_one(conn, records[i], context);

        if (answer != OUTBOX_CONSUMER_DONE)
            return answer;
    }
    return OUTBOX_CONSUMER_DONE;
}

static void on_log(int level, const char *event, const char *text, void *context)
{
    (void)context;
    fprintf(stderr, "level=%d event=%s %s\n", level, event, text);
}

static void on_signal(int number)
{
    if (number == SIGTERM)
        outbox_consumer_stop(consumer);
    else if (number == SIGUSR1)
        outbox_consumer_pause(consumer);
}

static void set_start(outbox_consumer_options *options, const char *text)
{
    if (strcmp(text, "end") == 0)
        outbox_consumer_options_set_start(options, OUTBOX_CONSUMER_END, 0);
    else if (strncmp(text, "time:", 5) == 0)
        outbox_consumer_options_set_start(options, OUTBOX_CONSUMER_TIME, strtoll(text + 5, NULL, 10));
    else if (strncmp(text, "offset:", 7) == 0)
        outbox_consumer_options_set_start(options, OUTBOX_CONSUMER_OFFSET, strtoll(text + 7, NULL, 10));
}

static void set_retries(outbox_consumer_options *options, const char *text)
{
    int attempts, first, last;

    if (sscanf(text, "%d,%d,%d", &attempts, &first, &last) == 3)
        outbox_consumer_options_set_retries(options, attempts, first, last);
}

static void set_property(outbox_consumer_options *options, char *text)
{
    char *value = strchr(text, '=');

    if (value) {
        *value++ = '\0';
        outbox_consumer_options_set_property(options, text, value);
    }
}

enum { RETRIES = 256, STOP_ON_FAILURE, CONTINUE, DEAD_LETTER, DRAIN, TRANSACTION, PAUSE, QUEUE };

static const struct option longopts[] = {{"name", required_argument, NULL, 'n'},
                                         {"dsn", required_argument, NULL, 'd'},
                                         {"set", required_argument, NULL, 's'},
                                         {"batch", required_argument, NULL, 'b'},
                                         {"workers", required_argument, NULL, 'w'},
                                         {"start", required_argument, NULL, 'S'},
                                         {"emit", required_argument, NULL, 'e'},
                                         {"retries", required_argument, NULL, RETRIES},
                                         {"stop-on-failure", no_argument, NULL, STOP_ON_FAILURE},
                                         {"continue", no_argument, NULL, CONTINUE},
                                         {"dead-letter", required_argument, NULL, DEAD_LETTER},
                                         {"drain", required_argument, NULL, DRAIN},
                                         {"transaction", required_argument, NULL, TRANSACTION},
                                         {"queue", required_argument, NULL, QUEUE},
                                         {"pause", no_argument, NULL, PAUSE},
                                         {NULL, 0, NULL, 0}};

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

static int set_option(outbox_consumer_options *options, struct driver *driver, int option, char *value)
{
    switch (option) {
    case 'n': return outbox_consumer_options_set_name(options, value);
    case 'd': return outbox_consumer_options_set_dsn(options, value);
    case 's': set_property(options, value); return 0;
    case 'b': return outbox_consumer_options_set_batch(options, number(value));
    case 'w': return outbox_consumer_options_set_workers(options, number(value));
    case 'S': set_start(options, value); return 0;
    case 'e': driver->emit_topic = value; return 0;
    case RETRIES: set_retries(options, value); return 0;
    case STOP_ON_FAILURE: return outbox_consumer_options_set_failure(options, OUTBOX_CONSUMER_FAIL_STOP, NULL);
    case CONTINUE: return outbox_consumer_options_set_followers(options, OUTBOX_CONSUMER_CONTINUE);
    case DEAD_LETTER: return outbox_consumer_options_set_failure(options, OUTBOX_CONSUMER_DEAD_LETTER, value);
    case DRAIN: return outbox_consumer_options_set_drain_timeout(options, number(value));
    case TRANSACTION: return outbox_consumer_options_set_transaction_timeout(options, number(value));
    case QUEUE: return outbox_consumer_options_set_queue_bytes(options, strtoll(value, NULL, 10));
    default: return OUTBOX_EINVAL;
    }
}

/* SIGUSR2 resumes, which takes a lock and so is not for a handler of signals. */
static void *resume_main(void *set)
{
    int got;

    while (sigwait(set, &got) == 0)
        outbox_consumer_resume(consumer);
    return NULL;
}

static void take_signals(void)
{
    static sigset_t resume;
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t thread;

    sigemptyset(&resume);
    sigaddset(&resume, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &resume, NULL);
    if (pthread_create(&thread, NULL, resume_main, &resume) == 0)
        pthread_detach(thread);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    fputs("ready\n", stderr); /* signals are understood from here on */
}

int main(int argc, char **argv)
{
    outbox_consumer_options *options = outbox_consumer_options_new();
    struct driver driver = {0};
    outbox_error *err = NULL;
    int paused = 0;
    int option, r;

    while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (option == PAUSE)
            paused = 1;
        else
            set_option(options, &driver, option, optarg);
    }
    for (; optind < argc; optind++)
        outbox_consumer_options_add_topic(options, argv[optind]);
    outbox_consumer_options_set_handler(options, handle, &driver);
    outbox_consumer_options_set_log(options, on_log, NULL);
    r = outbox_consumer_new(options, &consumer, &err);
    outbox_consumer_options_free(options);
    if (r == OUTBOX_OK) {
        if (paused)
            outbox_consumer_pause(consumer);
        take_signals();
        r = outbox_consumer_run(consumer, &err);
        fprintf(stderr, "records=%lld transactions=%lld retries=%lld dead_letters=%lld takeovers=%lld fenced=%lld\n",
                (long long)outbox_consumer_get(consumer, OUTBOX_CONSUMER_RECORDS),
                (long long)outbox_consumer_get(consumer, OUTBOX_CONSUMER_TRANSACTIONS),
                (long long)outbox_consumer_get(consumer, OUTBOX_CONSUMER_RETRIES),
                (long long)outbox_consumer_get(consumer, OUTBOX_CONSUMER_DEAD_LETTERS),
                (long long)outbox_consumer_get(consumer, OUTBOX_CONSUMER_TAKEOVERS),
                (long long)outbox_consumer_get(consumer, OUTBOX_CONSUMER_FENCED));
    }
    if (r != OUTBOX_OK)
        fprintf(stderr, "consumer-driver: %s: %s\n", outbox_status_name(r), err ? outbox_error_message(err) : "");
    outbox_error_free(err);
    outbox_consumer_free(consumer);
    return r == OUTBOX_OK ? 0 : 1;
}
