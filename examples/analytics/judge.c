/* A bucket is closed when all partitions have come to events lateness_us younger than its end; then its count will
 * not grow any more, and the same events give the same alerts, however fast they come, from whichever partitions.
 * A partition without records for idle_ms is not waited for.  The first bucket that is not closed yet is judged, too:
 * its count can only grow, so what is too much already will be.
 *
 * Instances may judge at the same time; a lock lets one of them.  Alert, its event and how far the judge has come
 * commit together, so each alert is raised once. */
#include "judge.h"

#include <inttypes.h>
#include <math.h>
#include <outbox/outbox.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "robust.h"

#define PASS_BUCKETS 1000 /* that one transaction judges at most */

static const char lock_sql[] = "SELECT pg_try_advisory_xact_lock(hashtextextended('analytics.judge', 0))";

/* All in microseconds: to where events are complete, where the judge has come to, and the first bucket after that
 * with a count.  Null where there is none.  Of a partition that the consumer was just given, and that had no record
 * yet, nobody knows what it has. */
static const char clock_sql[] =
    "WITH part AS ("
    "    SELECT g.event_time, greatest(p.acquired_at, p.advanced_at)"
    "                         < clock_timestamp() - make_interval(secs => $2::int / 1e3) AS idle"
    "      FROM outbox.consumer_position p LEFT JOIN analytics.progress g USING (topic, partition)"
    "     WHERE p.consumer = $1),"
    " edge AS (SELECT CASE WHEN bool_or(NOT idle AND event_time IS NULL) THEN NULL"
    "                      WHEN bool_and(idle) THEN max(event_time)"
    "                      ELSE min(event_time) FILTER (WHERE NOT idle) - make_interval(secs => $3::bigint / 1e6) END"
    "                     AS complete FROM part)"
    " SELECT (extract(epoch FROM e.complete) * 1000000)::bigint,"
    "        (extract(epoch FROM s.closed_to) * 1000000)::bigint,"
    "        (extract(epoch FROM (SELECT min(at) FROM analytics.count"
    "                              WHERE at >= coalesce(s.closed_to, '-infinity'))) * 1000000)::bigint"
    "   FROM analytics.settings s, edge e";

/* A row for each type and bucket with a count; first is the type's first bucket of all. */
static const char counts_sql[] =
    "SELECT type, (extract(epoch FROM at) * 1000000)::bigint, sum(n),"
    "       (SELECT (extract(epoch FROM min(f.at)) * 1000000)::bigint FROM analytics.count f WHERE f.type = c.type)"
    "  FROM analytics.count c"
    " WHERE at >= to_timestamp($1::bigint / 1e6) AND at <= to_timestamp($2::bigint / 1e6)"
    " GROUP BY type, at ORDER BY type, at";

/* An alert goes on as long as each next bucket is unusual. */
static const char prolong_sql[] =
    "UPDATE analytics.alert SET until = greatest(until, to_timestamp($2::bigint / 1e6))"
    " WHERE type = $1 AND at <= to_timestamp($2::bigint / 1e6) AND until >= to_timestamp($3::bigint / 1e6)"
    " RETURNING id";
static const char raise_sql[] =
    "INSERT INTO analytics.alert (type, at, until, n, median, scale, z)"
    " VALUES ($1, to_timestamp($2::bigint / 1e6), to_timestamp($2::bigint / 1e6), $3::bigint, $4::float8, $5::float8,"
    "         $6::float8)"
    " RETURNING json_build_object('alert_id', id, 'type', type, 'at', at, 'count', n, 'median', median,"
    "                             'scale', scale, 'z', round(z::numeric, 1))";

static const char advance_sql[] = "UPDATE analytics.settings SET closed_to = to_timestamp($1::bigint / 1e6)";
static const char forget_sql[] = "DELETE FROM analytics.count WHERE at < to_timestamp($1::bigint / 1e6)";

/* NULL after a failure, which it has told. */
static PGresult *run(PGconn *conn, const char *sql, int count, const char *const *params)
{
    PGresult *result = PQexecParams(conn, sql, count, NULL, params, NULL, NULL, 0);

    if (PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK)
        return result;
    fprintf(stderr, "analytics: judge: %s", PQerrorMessage(conn));
    PQclear(result);
    return NULL;
}

static int run_only(PGconn *conn, const char *sql, int count, const char *const *params)
{
    PGresult *result = run(conn, sql, count, params);

    PQclear(result);
    return result ? 0 : -1;
}

struct number {
    char text[32];
};

static struct number number(int64_t value)
{
    struct number made;

    snprintf(made.text, sizeof(made.text), "%" PRId64, value);
    return made;
}

static struct number fraction(double value)
{
    struct number made;

    snprintf(made.text, sizeof(made.text), "%.6f", value);
    return made;
}

static int emit(const struct judge *judge, const char *type, const char *payload)
{
    outbox_event *event = outbox_event_new();
    outbox_error *error = NULL;
    int r;

    outbox_event_set_type(event, "alert_raised");
    outbox_event_set_topic(event, judge->topic);
    outbox_event_set_key(event, type);
    outbox_event_set_payload_json(event, payload);
    /* The answers of setters need not be looked at: this one tells of all. */
    r = outbox_emit(judge->conn, event, NULL, &error);
    if (r < 0)
        fprintf(stderr, "analytics: judge: %s\n", outbox_error_message(error));
    outbox_error_free(error);
    outbox_event_free(event);
    return r < 0 ? -1 : 0;
}

/* A bucket that is unusual: its alert goes on, or a new one is raised. */
static int alert(const struct judge *judge, const char *type, int64_t at, int64_t n, const struct usual *usual)
{
    struct number here = number(at), before = number(at - judge->width_us), count = number(n);
    struct number median = fraction(usual->median), scale = fraction(usual->scale);
    struct number z = fraction(robust_z(usual, n));
    const char *const goes_on[] = {type, here.text, before.text};
    const char *const made[] = {type, here.text, count.text, median.text, scale.text, z.text};
    PGresult *result = run(judge->conn, prolong_sql, 3, goes_on);
    int known = PQntuples(result) > 0;
    int r = -1;

    if (!result || known) {
        PQclear(result);
        return result ? 0 : -1;
    }
    PQclear(result);
    result = run(judge->conn, raise_sql, 6, made);
    if (result)
        r = emit(judge, type, PQgetvalue(result, 0, 0));
    PQclear(result);
    return r;
}

/* What one pass looks at: buckets from..to, the last of which is still open, and the window before them.  counts
 * has them all, from base on. */
struct span {
    int64_t from;
    int64_t to;
    int64_t base;
    size_t size;
    int64_t *counts;
    int64_t *sorted; /* room for a window */
};

static int judge_bucket(const struct judge *judge, const struct span *span, const char *type, int64_t first,
                        size_t place)
{
    int64_t at = span->base + (int64_t)place * judge->width_us;
    int64_t known = (at - first) / judge->width_us; /* buckets since the type's first */
    size_t size = known < judge->window ? (size_t)(known > 0 ? known : 0) : (size_t)judge->window;
    int64_t n = span->counts[place];
    struct usual usual;
    double z;

    if (size < (size_t)judge->history || size > place)
        return 0;
    memcpy(span->sorted, span->counts + place - size, size * sizeof(*span->sorted));
    usual = robust_usual(span->sorted, size);
    z = robust_z(&usual, n);
    if (z >= judge->threshold ? n < judge->least : z > -judge->threshold || at == span->to)
        return 0;
    return alert(judge, type, at, n, &usual);
}

static int judge_type(const struct judge *judge, const struct span *span, const char *type, int64_t first)
{
    int r = 0;

    for (size_t i = (size_t)((span->from - span->base) / judge->width_us); i < span->size && r == 0; i++)
        r = judge_bucket(judge, span, type, first, i);
    return r;
}

/* The rows come by type. */
static int judge_rows(const struct judge *judge, const struct span *span, const PGresult *rows)
{
    int r = 0;

    for (int i = 0, next; i < PQntuples(rows) && r == 0; i = next) {
        const char *type = PQgetvalue(rows, i, 0);

        memset(span->counts, 0, span->size * sizeof(*span->counts));
        for (next = i; next < PQntuples(rows) && strcmp(PQgetvalue(rows, next, 0), type) == 0; next++) {
            int64_t at = strtoll(PQgetvalue(rows, next, 1), NULL, 10);

            span->counts[(at - span->base) / judge->width_us] = strtoll(PQgetvalue(rows, next, 2), NULL, 10);
        }
        r = judge_type(judge, span, type, strtoll(PQgetvalue(rows, i, 3), NULL, 10));
    }
    return r;
}

static int judge_span(const struct judge *judge, struct span *span)
{
    struct number base = number(span->base), to = number(span->to);
    const char *const params[] = {base.text, to.text};
    PGresult *rows = run(judge->conn, counts_sql, 2, params);
    int r = -1;

    span->counts = calloc(span->size, sizeof(*span->counts));
    span->sorted = calloc((size_t)judge->window, sizeof(*span->sorted));
    if (rows && span->counts && span->sorted)
        r = judge_rows(judge, span, rows);
    free(span->counts);
    free(span->sorted);
    PQclear(rows);
    return r;
}

/* Where to judge.  Returns 0 if there is nothing, -1 after a failure. */
static int find_span(const struct judge *judge, struct span *ret)
{
    struct number idle = number(judge->idle_ms), lateness = number(judge->lateness_us);
    const char *const params[] = {judge->consumer, idle.text, lateness.text};
    PGresult *row = run(judge->conn, clock_sql, 3, params);
    int64_t complete, next;
    int r = -1;

    if (!row)
        return -1;
    r = 0;
    if (PQntuples(row) == 1 && !PQgetisnull(row, 0, 0) && !PQgetisnull(row, 0, 2)) {
        complete = strtoll(PQgetvalue(row, 0, 0), NULL, 10);
        next = strtoll(PQgetvalue(row, 0, 2), NULL, 10);
        ret->from = PQgetisnull(row, 0, 1) ? next : strtoll(PQgetvalue(row, 0, 1), NULL, 10);
        /* After so long a silence nothing is usual: no need to go through it bucket by bucket. */
        if (next - ret->from > judge->window * judge->width_us)
            ret->from = next;
        ret->to = complete - complete % judge->width_us;
        if (ret->to - ret->from > PASS_BUCKETS * judge->width_us)
            ret->to = ret->from + PASS_BUCKETS * judge->width_us;
        ret->base = ret->from - judge->window * judge->width_us;
        ret->size = ret->to < ret->from ? 0 : (size_t)((ret->to - ret->base) / judge->width_us) + 1;
        r = ret->to >= ret->from;
    }
    PQclear(row);
    return r;
}

static int advance(const struct judge *judge, const struct span *span)
{
    struct number to = number(span->to), old = number(span->to - 10 * judge->window * judge->width_us);
    const char *const reached[] = {to.text};
    const char *const forgotten[] = {old.text};

    if (span->to == span->from)
        return 0;
    return run_only(judge->conn, advance_sql, 1, reached) == 0 && run_only(judge->conn, forget_sql, 1, forgotten) == 0
               ? 0
               : -1;
}

/* In the transaction.  1: there may be more. */
static int judge_steps(const struct judge *judge)
{
    PGresult *result = run(judge->conn, lock_sql, 0, NULL);
    int mine = result && strcmp(PQgetvalue(result, 0, 0), "t") == 0;
    struct span span = {0};
    int r;

    PQclear(result);
    if (!mine)
        return result ? 0 : -1;
    r = find_span(judge, &span);
    if (r <= 0)
        return r;
    if (judge_span(judge, &span) < 0 || advance(judge, &span) < 0)
        return -1;
    return span.to - span.from == PASS_BUCKETS * judge->width_us;
}

int judge_pass(const struct judge *judge)
{
    int r;

    if (run_only(judge->conn, "BEGIN", 0, NULL) < 0)
        return -1;
    r = judge_steps(judge);
    if (run_only(judge->conn, r < 0 ? "ROLLBACK" : "COMMIT", 0, NULL) < 0)
        return -1; /* if it did commit, the next pass sees it */
    return r;
}
