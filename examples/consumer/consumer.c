/* Copies of a shop's users and orders, kept by its events: `user_created` becomes rows of copy.users, `order_placed`
 * rows of copy.orders.  Two consumers, each with its own name, position and pace: a bad order holds up no user. */
#include <getopt.h>
#include <libpq-fe.h>
#include <outbox/consumer.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char setup_sql[] =
    "SET client_min_messages = warning;"
    "CREATE SCHEMA IF NOT EXISTS copy;"
    "CREATE TABLE IF NOT EXISTS copy.users (id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL);"
    "CREATE TABLE IF NOT EXISTS copy.orders (id bigint PRIMARY KEY, user_id bigint NOT NULL, item text NOT NULL,"
    "    amount numeric(12,2) NOT NULL);";

/* Idempotent, though each event comes once: so an operator may set the position back (outbox.consumer_seek).
 * An order may come before its user, as the topics are consumed independently: hence no foreign key. */
static const char user_sql[] =
    "INSERT INTO copy.users (id, name, email)"
    " SELECT (e.j->>'user_id')::bigint, e.j->>'name', e.j->>'email'"
    "   FROM (SELECT convert_from($1, 'UTF8')::jsonb) AS e(j)"
    " ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email";
static const char order_sql[] =
    "INSERT INTO copy.orders (id, user_id, item, amount)"
    " SELECT (e.j->>'order_id')::bigint, (e.j->>'user_id')::bigint, e.j->>'item', (e.j->>'amount')::numeric"
    "   FROM (SELECT convert_from($1, 'UTF8')::jsonb) AS e(j)"
    " ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, item = excluded.item, amount = excluded.amount";

#define NAME_SIZE 250 /* Kafka's limit of a topic's name, and a zero */
#define PROPERTIES 20

struct options {
    const char *dsn;
    const char *kafka;
    const char *prefix;
    char *properties[PROPERTIES]; /* NAME=VALUE, of librdkafka */
    size_t property_count;
};

struct copier {
    const char *name;
    const char *topic;
    const char *sql;
    outbox_consumer *consumer;
    pthread_t thread;
    int failed;
};

static struct copier copiers[] = {{.name = "copy-users", .topic = "user_created", .sql = user_sql},
                                  {.name = "copy-orders", .topic = "order_placed", .sql = order_sql}};
#define COPIERS (sizeof(copiers) / sizeof(copiers[0]))

/* One record.  What is no such event at all (class 22 and 23: its data) will not become one. */
static int apply_one(PGconn *conn, outbox_record *record, const char *sql)
{
    size_t size;
    const void *payload = outbox_record_payload(record, &size);
    const char *values[1] = {payload};
    const int sizes[1] = {(int)size};
    const int formats[1] = {1};
    PGresult *result = PQexecParams(conn, sql, 1, (const Oid[]){17}, values, sizes, formats, 0);
    int answer = OUTBOX_CONSUMER_DONE;

    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

        outbox_record_set_reason(record, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
        answer = sqlstate && (strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0)
                     ? OUTBOX_CONSUMER_REJECT
                     : OUTBOX_CONSUMER_RETRY;
    }
    PQclear(result);
    return answer;
}

static int apply(struct pg_conn *conn, outbox_record *const records[], size_t count, void *context)
{
    const struct copier *copier = context;
    int answer = OUTBOX_CONSUMER_DONE;

    for (size_t i = 0; i < count && answer == OUTBOX_CONSUMER_DONE; i++)
        answer = apply_one(conn, records[i], copier->sql);
    return answer;
}

static void tell(int level, const char *event, const char *text, void *context)
{
    const struct copier *copier = context;

    if (level <= OUTBOX_CONSUMER_INFO)
        fprintf(stderr, "%s: %s: %s\n", copier->name, event, text);
}

static void stop_all(int number)
{
    (void)number;
    for (size_t i = 0; i < COPIERS; i++)
        outbox_consumer_stop(copiers[i].consumer);
}

static void *run(void *argument)
{
    struct copier *copier = argument;
    outbox_error *err = NULL;

    if (outbox_consumer_run(copier->consumer, &err) < 0) {
        fprintf(stderr, "%s: %s\n", copier->name, outbox_error_message(err));
        copier->failed = 1;
        stop_all(0);
    }
    outbox_error_free(err);
    return NULL;
}

/* "PREFIX.NAME", or NAME. */
static const char *full_name(char buffer[NAME_SIZE], const char *prefix, const char *name)
{
    snprintf(buffer, NAME_SIZE, "%s%s%s", prefix, *prefix ? "." : "", name);
    return buffer;
}

static int make(struct copier *copier, const struct options *options)
{
    outbox_consumer_options *made = outbox_consumer_options_new();
    outbox_error *err = NULL;
    char name[NAME_SIZE];
    int r;

    /* The answers of setters need not be looked at: outbox_consumer_new() tells of all. */
    outbox_consumer_options_set_name(made, full_name(name, options->prefix, copier->name));
    outbox_consumer_options_set_dsn(made, options->dsn);
    outbox_consumer_options_set_property(made, "bootstrap.servers", options->kafka);
    outbox_consumer_options_add_topic(made, full_name(name, options->prefix, copier->topic));
    for (size_t i = 0; i < options->property_count; i++) {
        const char *value = strchr(options->properties[i], '=');

        snprintf(name, sizeof(name), "%.*s", (int)(value - options->properties[i]), options->properties[i]);
        outbox_consumer_options_set_property(made, name, value + 1);
    }
    outbox_consumer_options_set_handler(made, apply, copier);
    outbox_consumer_options_set_log(made, tell, copier);
    r = outbox_consumer_new(made, &copier->consumer, &err);
    if (r < 0)
        fprintf(stderr, "consumer: %s\n", outbox_error_message(err));
    outbox_error_free(err);
    outbox_consumer_options_free(made);
    return r;
}

static int set_up(const char *dsn)
{
    const char *const names[] = {"dbname", "connect_timeout", "tcp_user_timeout", NULL};
    const char *const values[] = {dsn, "5", "10000", NULL};
    PGconn *conn = PQconnectdbParams(names, values, 1);
    PGresult *result = PQexec(conn, setup_sql);
    int done = PQresultStatus(result) == PGRES_COMMAND_OK;

    if (!done)
        fprintf(stderr, "consumer: %s", PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
    return done ? 0 : 1;
}

static int consume(const struct options *options)
{
    int failed = 0;

    for (size_t i = 0; i < COPIERS; i++) {
        if (make(&copiers[i], options) < 0)
            return 1;
    }
    signal(SIGTERM, stop_all);
    signal(SIGINT, stop_all);
    for (size_t i = 0; i < COPIERS; i++) {
        if (pthread_create(&copiers[i].thread, NULL, run, &copiers[i]) != 0)
            abort();
    }
    for (size_t i = 0; i < COPIERS; i++) {
        pthread_join(copiers[i].thread, NULL);
        failed |= copiers[i].failed;
    }
    /* Another signal must not touch what is freed: it ends the process, whose work is committed. */
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    for (size_t i = 0; i < COPIERS; i++)
        outbox_consumer_free(copiers[i].consumer);
    return failed;
}

static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option longopts[] = {{"dsn", required_argument, NULL, 'd'},
                                             {"kafka", required_argument, NULL, 'k'},
                                             {"prefix", required_argument, NULL, 'p'},
                                             {"set", required_argument, NULL, 's'},
                                             {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (option == 'd')
            options->dsn = optarg;
        else if (option == 'k')
            options->kafka = optarg;
        else if (option == 'p')
            options->prefix = optarg;
        else if (option == 's' && strchr(optarg, '=') && options->property_count < PROPERTIES)
            options->properties[options->property_count++] = optarg;
        else
            return 0;
    }
    return options->dsn && strlen(options->prefix) < 200;
}

int main(int argc, char **argv)
{
    struct options options = {.dsn = getenv("OUTBOX_DSN"), .prefix = ""};
    int good = parse_options(argc, argv, &options);

    if (good && optind + 1 == argc && strcmp(argv[optind], "setup") == 0)
        return set_up(options.dsn);
    if (good && options.kafka && optind == argc)
        return consume(&options);
    fputs("usage: consumer [--dsn DSN] setup\n"
          "       consumer [--dsn DSN] --kafka HOST:PORT [--prefix P] [--set NAME=VALUE]...\n"
          "The DSN is also taken from OUTBOX_DSN.  With --prefix topics and consumers are named P.user_created, ...;\n"
          "--set is for properties of librdkafka: TLS, SASL and so on.\n",
          stderr);
    return 2;
}
