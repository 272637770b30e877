#include "feed.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A line of JSON, as an event stream needs it: jsonb has no line breaks. */
static const char counts_sql[] =
    "WITH edge AS (SELECT width, (SELECT max(at) FROM analytics.count) AS last FROM analytics.settings),"
    " sums AS MATERIALIZED (SELECT c.type, c.at, sum(c.n) AS n FROM analytics.count c, edge e"
    "         WHERE c.at > e.last - $1::int * e.width AND c.at <= e.last GROUP BY c.type, c.at),"
    " kinds AS (SELECT type, sum(n) AS n FROM sums GROUP BY type ORDER BY n DESC LIMIT 20),"
    " series AS (SELECT k.type, k.n, (SELECT jsonb_agg(coalesce(s.n, 0) ORDER BY i)"
    "                                   FROM generate_series(1 - $1::int, 0) i"
    "                                   LEFT JOIN sums s ON s.type = k.type AND s.at = e.last + i * e.width) AS counts"
    "              FROM kinds k, edge e)"
    " SELECT jsonb_build_object('width', extract(epoch FROM e.width), 'last', extract(epoch FROM e.last),"
    "          'types', (SELECT coalesce(jsonb_agg(jsonb_build_object('type', type, 'sum', n, 'counts', counts)"
    "                                              ORDER BY type), '[]') FROM series))"
    "   FROM edge e";
static const char alerts_sql[] =
    "SELECT id, jsonb_build_object('id', id, 'type', type, 'at', extract(epoch FROM at), 'count', n,"
    "                              'median', median, 'z', round(z::numeric, 1))"
    "  FROM (SELECT * FROM analytics.alert WHERE id > $1::bigint ORDER BY id DESC LIMIT 100) AS a ORDER BY id";

struct alert {
    int64_t id;
    char *text;
};

struct feed {
    char *dsn;
    long window;
    long interval_ms;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t change;
    /* Under the mutex. */
    bool stopping;
    uint64_t generation; /* of counts */
    char *counts;
    bool away;           /* the database does not answer: counts are of before */
    struct alert alerts[FEED_ALERTS]; /* the newest, in order */
    size_t alert_count;
};

static struct timespec after(long milliseconds)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += milliseconds % 1000 * 1000000;
    until.tv_sec += milliseconds / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

/* ---- the thread that reads ---- */

static PGresult *query(PGconn *conn, const char *sql, int64_t parameter)
{
    char text[24];
    const char *const params[] = {text};
    PGresult *result;

    snprintf(text, sizeof(text), "%" PRId64, parameter);
    result = PQexecParams(conn, sql, 1, NULL, params, NULL, NULL, 0);
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        return result;
    fprintf(stderr, "dashboard: %s", PQerrorMessage(conn));
    PQclear(result);
    return NULL;
}

static void put_alert(struct feed *feed, int64_t id, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        return;
    if (feed->alert_count == FEED_ALERTS) {
        free(feed->alerts[0].text);
        memmove(feed->alerts, feed->alerts + 1, (FEED_ALERTS - 1) * sizeof(feed->alerts[0]));
        feed->alert_count--;
    }
    feed->alerts[feed->alert_count++] = (struct alert){.id = id, .text = copy};
}

static int64_t newest_alert(const struct feed *feed)
{
    return feed->alert_count > 0 ? feed->alerts[feed->alert_count - 1].id : 0;
}

/* Nobody is woken if nothing is new. */
static void publish(struct feed *feed, const char *counts, const PGresult *alerts)
{
    bool away = !counts;
    bool changed;

    pthread_mutex_lock(&feed->mutex);
    changed = away != feed->away || (counts && (!feed->counts || strcmp(counts, feed->counts) != 0));
    feed->away = away;
    if (changed && counts) {
        free(feed->counts);
        feed->counts = strdup(counts);
    }
    for (int i = 0; i < PQntuples(alerts); i++)
        put_alert(feed, strtoll(PQgetvalue(alerts, i, 0), NULL, 10), PQgetvalue(alerts, i, 1));
    if (changed)
        feed->generation++;
    if (changed || PQntuples(alerts) > 0)
        pthread_cond_broadcast(&feed->change);
    pthread_mutex_unlock(&feed->mutex);
}

static bool look(struct feed *feed, PGconn *conn)
{
    PGresult *counts = query(conn, counts_sql, feed->window);
    /* Only this thread writes it. */
    PGresult *alerts = counts ? query(conn, alerts_sql, newest_alert(feed)) : NULL;
    bool good = counts && alerts;

    publish(feed, good && PQntuples(counts) == 1 ? PQgetvalue(counts, 0, 0) : NULL, alerts);
    PQclear(alerts);
    PQclear(counts);
    return good;
}

static PGconn *connect_database(const char *dsn)
{
    /* It only reads, and has no time for queries that take long. */
    const char *const names[] = {"dbname", "options", "client_encoding", "fallback_application_name",
                                 /* and notices a server that is gone without a word */
                                 "connect_timeout", "tcp_user_timeout", "keepalives_idle", "keepalives_interval",
                                 "keepalives_count", NULL};
    const char *const values[] = {dsn, "-c statement_timeout=5s -c default_transaction_read_only=on -c TimeZone=UTC",
                                  "UTF8", "dashboard", "5", "10000", "5", "2", "3", NULL};
    PGconn *conn = PQconnectdbParams(names, values, 1);

    if (PQstatus(conn) != CONNECTION_OK)
        fprintf(stderr, "dashboard: %s", PQerrorMessage(conn));
    return conn;
}

static bool rest(struct feed *feed)
{
    struct timespec until = after(feed->interval_ms);
    bool stopping;

    pthread_mutex_lock(&feed->mutex);
    while (!feed->stopping && pthread_cond_timedwait(&feed->change, &feed->mutex, &until) == 0)
        ;
    stopping = feed->stopping;
    pthread_mutex_unlock(&feed->mutex);
    return !stopping;
}

static void *read_all_the_while(void *argument)
{
    struct feed *feed = argument;
    PGconn *conn = NULL;

    do {
        if (!conn)
            conn = connect_database(feed->dsn);
        if (PQstatus(conn) != CONNECTION_OK || !look(feed, conn)) {
            publish(feed, NULL, NULL);
            PQfinish(conn);
            conn = NULL;
        }
    } while (rest(feed));
    PQfinish(conn);
    return NULL;
}

/* ---- those who look ---- */

/* Without a mark of the alerts' order in the stream a browser that reconnects could not say what it has seen: so
 * alerts have an id.  Counts have none, as the next ones say all anew. */
static bool compose(const struct feed *feed, struct cursor *cursor, FILE *out)
{
    for (size_t i = 0; i < feed->alert_count; i++) {
        if (feed->alerts[i].id > cursor->alert)
            fprintf(out, "id: %" PRId64 "\nevent: alert\ndata: %s\n\n", feed->alerts[i].id, feed->alerts[i].text);
    }
    if (newest_alert(feed) > cursor->alert)
        cursor->alert = newest_alert(feed);
    if (feed->generation != cursor->generation) {
        if (feed->counts)
            fprintf(out, "event: counts\ndata: %s\n\n", feed->counts);
        fprintf(out, "event: database\ndata: %s\n\n", feed->away ? "\"away\"" : "\"there\"");
        cursor->generation = feed->generation;
    }
    return fflush(out) == 0;
}

bool feed_wait(struct feed *feed, struct cursor *cursor, long wait_ms, char **ret_text)
{
    struct timespec until = after(wait_ms);
    size_t size;
    FILE *out = open_memstream(ret_text, &size);
    bool composed = false, stopping;

    pthread_mutex_lock(&feed->mutex);
    while (!feed->stopping && feed->generation == cursor->generation && newest_alert(feed) <= cursor->alert &&
           pthread_cond_timedwait(&feed->change, &feed->mutex, &until) == 0)
        ;
    stopping = feed->stopping;
    if (out && !stopping)
        composed = compose(feed, cursor, out);
    pthread_mutex_unlock(&feed->mutex);
    if (!out || fclose(out) != 0)
        composed = false;
    if (!composed && out)
        free(*ret_text);
    if (!composed)
        *ret_text = NULL;
    return !stopping;
}

struct feed *feed_new(const char *dsn, long window, long interval_ms)
{
    struct feed *feed = calloc(1, sizeof(*feed));
    pthread_condattr_t monotonic;

    if (!feed)
        return NULL;
    feed->dsn = strdup(dsn);
    feed->window = window;
    feed->interval_ms = interval_ms;
    if (!feed->dsn || pthread_mutex_init(&feed->mutex, NULL) != 0 || pthread_condattr_init(&monotonic) != 0 ||
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(&feed->change, &monotonic) != 0 ||
        pthread_create(&feed->thread, NULL, read_all_the_while, feed) != 0) {
        free(feed->dsn);
        free(feed);
        return NULL;
    }
    return feed;
}

void feed_stop(struct feed *feed)
{
    pthread_mutex_lock(&feed->mutex);
    feed->stopping = true;
    pthread_cond_broadcast(&feed->change);
    pthread_mutex_unlock(&feed->mutex);
}

void feed_free(struct feed *feed)
{
    pthread_join(feed->thread, NULL);
    for (size_t i = 0; i < feed->alert_count; i++)
        free(feed->alerts[i].text);
    free(feed->counts);
    free(feed->dsn);
    pthread_cond_destroy(&feed->change);
    pthread_mutex_destroy(&feed->mutex);
    free(feed);
}
