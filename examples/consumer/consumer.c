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

static int make(struct copier *copier, const char *dsn, const char *kafka)
{
    outbox_consumer_options *options = outbox_consumer_options_new();
    outbox_error *err = NULL;
    int r;

    /* The answers of setters need not be looked at: outbox_consumer_new() tells of all. */
    outbox_consumer_options_set_name(options, copier->name);
    outbox_consumer_options_set_dsn(options, dsn);
    outbox_consumer_options_set_property(options, "bootstrap.servers", kafka);
    outbox_consumer_options_add_topic(options, copier->topic);
    outbox_consumer_options_set_handler(options, apply, copier);
    outbox_consumer_options_set_log(options, tell, copier);
    r = outbox_consumer_new(options, &copier->consumer, &err);
    if (r < 0)
        fprintf(stderr, "consumer: %s\n", outbox_error_message(err));
    outbox_error_free(err);
    outbox_consumer_options_free(options);
    return r;
}

static int set_up(const char *dsn)
{
    PGconn *conn = PQconnectdb(dsn);
    PGresult *result = PQexec(conn, setup_sql);
    int done = PQresultStatus(result) == PGRES_COMMAND_OK;

    if (!done)
        fprintf(stderr, "consumer: %s", PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
    return done ? 0 : 1;
}

static int consume(const char *dsn, const char *kafka)
{
    int failed = 0;

    for (size_t i = 0; i < COPIERS; i++) {
        if (make(&copiers[i], dsn, kafka) < 0)
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
    for (size_t i = 0; i < COPIERS; i++)
        outbox_consumer_free(copiers[i].consumer);
    return failed;
}

int main(int argc, char **argv)
{
    static const struct option longopts[] = {{"dsn", required_argument, NULL, 'd'},
                                             {"kafka", required_argument, NULL, 'k'},
                                             {NULL, 0, NULL, 0}};
    const char *dsn = getenv("OUTBOX_DSN");
    const char *kafka = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (option == 'd')
            dsn = optarg;
        else if (option == 'k')
            kafka = optarg;
    }
    if (dsn && optind + 1 == argc && strcmp(argv[optind], "setup") == 0)
        return set_up(dsn);
    if (dsn && kafka && optind == argc)
        return consume(dsn, kafka);
    fputs("usage: consumer [--dsn DSN] setup\n"
          "       consumer [--dsn DSN] --kafka HOST:PORT\n"
          "The DSN is also taken from OUTBOX_DSN.\n",
          stderr);
    return 2;
}
