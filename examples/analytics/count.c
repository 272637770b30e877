#include "count.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 100      /* as many records as a handler is given, unless it is told otherwise */
#define TYPE_SIZE 256  /* of a type's name that is kept */

/* A partition is handled by one transaction at a time.  With topic and partition in the keys, no two instances wait
 * for one another's rows, and who wants a sum adds them up.
 *
 * amount: train.py takes its logarithm, and sums of it; to PostgreSQL 'NaN', which JSON may have as a text, is a number
 * above all others.
 *
 * closed_to: where the judge has come to (judge.c).  until: the last bucket of an alert, which may grow. */
static const char setup_sql[] =
    "SET client_min_messages = warning;"
    "CREATE SCHEMA IF NOT EXISTS analytics;"
    "CREATE TABLE IF NOT EXISTS analytics.settings (one boolean PRIMARY KEY DEFAULT true CHECK (one),"
    "    width interval NOT NULL, closed_to timestamptz);"
    "CREATE TABLE IF NOT EXISTS analytics.count (type text, at timestamptz, topic text, partition integer,"
    "    n bigint NOT NULL, PRIMARY KEY (type, at, topic, partition));"
    "CREATE INDEX IF NOT EXISTS count_at_idx ON analytics.count (at);"
    "CREATE TABLE IF NOT EXISTS analytics.progress (topic text, partition integer, event_time timestamptz NOT NULL,"
    "    PRIMARY KEY (topic, partition));"
    "CREATE TABLE IF NOT EXISTS analytics.alert (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    "    type text NOT NULL, at timestamptz NOT NULL, until timestamptz NOT NULL, n bigint NOT NULL,"
    "    median double precision NOT NULL, scale double precision NOT NULL, z double precision NOT NULL,"
    "    raised_at timestamptz NOT NULL DEFAULT clock_timestamp(), UNIQUE (type, at));"
    "CREATE TABLE IF NOT EXISTS analytics.customer (user_id bigint PRIMARY KEY, orders bigint NOT NULL,"
    "    spent numeric NOT NULL, last_order bigint NOT NULL, last_at timestamptz NOT NULL);"
    "CREATE TABLE IF NOT EXISTS analytics.feature (order_id bigint PRIMARY KEY, user_id bigint NOT NULL,"
    "    at timestamptz NOT NULL, amount numeric NOT NULL CHECK (amount >= 0 AND amount < 'Infinity'),"
    "    orders_before bigint NOT NULL,"
    "    spent_before numeric NOT NULL, seconds_since_last double precision, next_at timestamptz);"
    "CREATE TABLE IF NOT EXISTS analytics.model (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    "    trained_at timestamptz NOT NULL DEFAULT now(), model jsonb NOT NULL);";
static const char width_sql[] = "INSERT INTO analytics.settings (width) VALUES (make_interval(secs => $1::int / 1e3))"
                                " ON CONFLICT (one) DO NOTHING";
static const char get_width_sql[] = "SELECT (extract(epoch FROM width) * 1000000)::bigint FROM analytics.settings";

static const char count_sql[] =
    "INSERT INTO analytics.count AS c (type, at, topic, partition, n)"
    " VALUES ($1, to_timestamp($2::bigint / 1e6), $3, $4::int, $5::bigint)"
    " ON CONFLICT (type, at, topic, partition) DO UPDATE SET n = c.n + excluded.n";

/* An event from the future, whose clock is wrong, must not make all others look late. */
static const char progress_sql[] =
    "INSERT INTO analytics.progress AS p (topic, partition, event_time)"
    " VALUES ($1, $2::int, least(to_timestamp($3::bigint / 1e6), clock_timestamp()))"
    " ON CONFLICT (topic, partition) DO UPDATE SET event_time = greatest(p.event_time, excluded.event_time)";

/* What was known when the order was placed, and nothing of later: next_at, from which a label is made, comes with
 * the customer's next order.  Orders of a customer share a partition, so they come in order. */
static const char feature_sql[] =
    "WITH e AS MATERIALIZED ("
    "    SELECT (j->>'order_id')::bigint AS order_id, (j->>'user_id')::bigint AS user_id,"
    "           (j->>'amount')::numeric AS amount, to_timestamp($2::bigint / 1e6) AS at"
    "      FROM (SELECT convert_from($1::bytea, 'UTF8')::jsonb) AS p(j)),"
    " was AS MATERIALIZED (SELECT c.* FROM analytics.customer c JOIN e USING (user_id)),"
    " made AS (INSERT INTO analytics.feature (order_id, user_id, at, amount, orders_before, spent_before,"
    "                                         seconds_since_last)"
    "    SELECT e.order_id, e.user_id, e.at, e.amount, coalesce(was.orders, 0), coalesce(was.spent, 0),"
    "           extract(epoch FROM e.at - was.last_at)"
    "      FROM e LEFT JOIN was USING (user_id)"
    "    ON CONFLICT (order_id) DO NOTHING RETURNING *),"
    " told AS (UPDATE analytics.feature f SET next_at = made.at FROM made JOIN was USING (user_id)"
    "           WHERE f.order_id = was.last_order)"
    " INSERT INTO analytics.customer AS c (user_id, orders, spent, last_order, last_at)"
    " SELECT user_id, 1, amount, order_id, at FROM made"
    " ON CONFLICT (user_id) DO UPDATE SET orders = c.orders + 1, spent = c.spent + excluded.spent,"
    "        last_order = excluded.last_order, last_at = excluded.last_at";

static const char report_sql[] =
    "SELECT format('%s: %s events in %s buckets of %s s', c.type, sum(c.n), $1,"
    "              round(extract(epoch FROM s.width), 3))"
    "  FROM analytics.settings s JOIN analytics.count c"
    "       ON c.at > (SELECT max(at) FROM analytics.count) - $1::int * s.width"
    " GROUP BY c.type, s.width"
    " UNION ALL "
    "SELECT format('alert %s: %s: %s events from %s on, usual are %s (z = %s)', id, type, n, at, median,"
    "              round(z::numeric, 1)) FROM analytics.alert";

/* How many events of a type a bucket gets from the records at hand. */
struct tally {
    char type[TYPE_SIZE];
    int64_t at;
    int64_t n;
};

static int failure(outbox_record *record, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    outbox_record_set_reason(record, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    /* What is no order at all (class 22 and 23: its data) will not become one. */
    return state && (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0) ? OUTBOX_CONSUMER_REJECT
                                                                                   : OUTBOX_CONSUMER_RETRY;
}

static int run(PGconn *conn, outbox_record *record, const char *sql, int count, const char *const *params)
{
    PGresult *result = PQexecParams(conn, sql, count, NULL, params, NULL, NULL, 0);
    int answer = PQresultStatus(result) == PGRES_COMMAND_OK ? OUTBOX_CONSUMER_DONE : failure(record, result);

    PQclear(result);
    return answer;
}

static int keep_feature(PGconn *conn, outbox_record *record)
{
    size_t size;
    const void *payload = outbox_record_payload(record, &size);
    char time[24];
    const char *const values[] = {payload, time};
    const int sizes[] = {(int)size, 0};
    const int formats[] = {1, 0};
    PGresult *result;
    int answer;

    snprintf(time, sizeof(time), "%" PRId64, outbox_record_timestamp(record));
    result = PQexecParams(conn, feature_sql, 2, NULL, values, sizes, formats, 0);
    answer = PQresultStatus(result) == PGRES_COMMAND_OK ? OUTBOX_CONSUMER_DONE : failure(record, result);
    PQclear(result);
    return answer;
}

/* Rounds down, also before 1970. */
static int64_t bucket_of(int64_t time, int64_t width)
{
    int64_t rest = time % width;

    return time - (rest < 0 ? rest + width : rest);
}

static void add(struct tally *tallies, size_t *count, const outbox_record *record, int64_t width)
{
    const char *type = outbox_record_type(record);
    struct tally one = {.at = bucket_of(outbox_record_timestamp(record), width), .n = 1};

    snprintf(one.type, sizeof(one.type), "%s", type ? type : "(none)");
    for (size_t i = 0; i < *count; i++) {
        if (tallies[i].at == one.at && strcmp(tallies[i].type, one.type) == 0) {
            tallies[i].n++;
            return;
        }
    }
    tallies[(*count)++] = one;
}

/* The records are of one partition. */
static int keep_tallies(PGconn *conn, outbox_record *record, const struct tally *tallies, size_t count)
{
    char partition[12], at[24], n[24];
    int answer = OUTBOX_CONSUMER_DONE;

    snprintf(partition, sizeof(partition), "%" PRId32, outbox_record_partition(record));
    for (size_t i = 0; i < count && answer == OUTBOX_CONSUMER_DONE; i++) {
        const char *const params[] = {tallies[i].type, at, outbox_record_topic(record), partition, n};

        snprintf(at, sizeof(at), "%" PRId64, tallies[i].at);
        snprintf(n, sizeof(n), "%" PRId64, tallies[i].n);
        answer = run(conn, record, count_sql, 5, params);
    }
    return answer;
}

static int keep_progress(PGconn *conn, outbox_record *record, int64_t latest)
{
    char partition[12], time[24];
    const char *const params[] = {outbox_record_topic(record), partition, time};

    snprintf(partition, sizeof(partition), "%" PRId32, outbox_record_partition(record));
    snprintf(time, sizeof(time), "%" PRId64, latest);
    return run(conn, record, progress_sql, 3, params);
}

int count_apply(struct pg_conn *conn, outbox_record *const records[], size_t count, void *context)
{
    const int64_t *width = context;
    struct tally tallies[BATCH];
    size_t kinds = 0;
    int64_t latest = INT64_MIN;
    int answer = OUTBOX_CONSUMER_DONE;

    for (size_t i = 0; i < count && answer == OUTBOX_CONSUMER_DONE; i++) {
        const char *type = outbox_record_type(records[i]);

        add(tallies, &kinds, records[i], *width);
        if (outbox_record_timestamp(records[i]) > latest)
            latest = outbox_record_timestamp(records[i]);
        if (type && strcmp(type, "order_placed") == 0)
            answer = keep_feature(conn, records[i]);
    }
    if (answer == OUTBOX_CONSUMER_DONE)
        answer = keep_tallies(conn, records[0], tallies, kinds);
    if (answer == OUTBOX_CONSUMER_DONE)
        answer = keep_progress(conn, records[0], latest);
    return answer;
}

int count_set_up(PGconn *conn, long width_ms)
{
    char text[24];
    const char *const params[] = {text};
    PGresult *result = PQexec(conn, setup_sql);
    int done = PQresultStatus(result) == PGRES_COMMAND_OK;

    PQclear(result);
    if (done) {
        snprintf(text, sizeof(text), "%ld", width_ms);
        result = PQexecParams(conn, width_sql, 1, NULL, params, NULL, NULL, 0);
        done = PQresultStatus(result) == PGRES_COMMAND_OK;
        PQclear(result);
    }
    if (!done)
        fprintf(stderr, "analytics: %s", PQerrorMessage(conn));
    return done ? 0 : 1;
}

int count_report(PGconn *conn, long buckets)
{
    char text[24];
    const char *const params[] = {text};
    PGresult *result;
    int done;

    snprintf(text, sizeof(text), "%ld", buckets);
    result = PQexecParams(conn, report_sql, 1, NULL, params, NULL, NULL, 0);
    done = PQresultStatus(result) == PGRES_TUPLES_OK;
    for (int i = 0; i < PQntuples(result); i++)
        printf("%s\n", PQgetvalue(result, i, 0));
    if (!done)
        fprintf(stderr, "analytics: %s", PQerrorMessage(conn));
    PQclear(result);
    return done ? 0 : 1;
}

int64_t count_width_us(PGconn *conn)
{
    PGresult *result = PQexec(conn, get_width_sql);
    int64_t width = -1;

    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
        width = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    else
        fprintf(stderr, "analytics: no settings: run `analytics setup`: %s\n", PQerrorMessage(conn));
    PQclear(result);
    return width;
}
