#include "pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct pool {
    pthread_mutex_t mutex; /* guards open and idle; the rest does not change */
    pthread_cond_t changed;
    char *dsn;
    char options[128];
    size_t size;
    size_t open; /* in use, idle, or being connected; never more than size */
    size_t idle; /* the first so many of idle_conns */
    PGconn *idle_conns[];
};

struct pool *pool_new(const char *dsn, size_t size, long statement_ms)
{
    struct pool *pool = calloc(1, sizeof(*pool) + size * sizeof(pool->idle_conns[0]));
    pthread_condattr_t monotonic;

    if (!pool)
        return NULL;
    pool->dsn = strdup(dsn);
    pool->size = size;
    snprintf(pool->options, sizeof(pool->options),
             "-c statement_timeout=%ld -c idle_in_transaction_session_timeout=10s -c client_min_messages=warning",
             statement_ms);
    if (!pool->dsn || pthread_condattr_init(&monotonic) != 0)
        goto failed;
    if (pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(&pool->changed, &monotonic) != 0) {
        pthread_condattr_destroy(&monotonic);
        goto failed;
    }
    pthread_condattr_destroy(&monotonic);
    if (pthread_mutex_init(&pool->mutex, NULL) == 0)
        return pool;
    pthread_cond_destroy(&pool->changed);
failed:
    free(pool->dsn);
    free(pool);
    return NULL;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    for (size_t i = 0; i < pool->idle; i++)
        PQfinish(pool->idle_conns[i]);
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->changed);
    explicit_bzero(pool->dsn, strlen(pool->dsn)); /* it may hold a password */
    free(pool->dsn);
    free(pool);
}

/* No wait is without an end: neither for the server's name, nor for a lock, nor for a server that is gone
 * without a word.  One that hangs would hold a thread of the API and a connection of the pool. */
static PGconn *connect_database(const struct pool *pool)
{
    static const char *const names[] = {
        "dbname",           "client_encoding",     "connect_timeout",  "options",
        "keepalives_idle",  "keepalives_interval", "keepalives_count", "tcp_user_timeout",
        "fallback_application_name", NULL};
    const char *const values[] = {pool->dsn, "UTF8", "3", pool->options, "5", "2", "3", "10000", "crud-api", NULL};
    PGconn *conn = PQconnectdbParams(names, values, 1);

    if (PQstatus(conn) == CONNECTION_OK)
        return conn;
    fprintf(stderr, "event=connect_failed message=\"%.*s\"\n", (int)strcspn(PQerrorMessage(conn), "\n"),
            PQerrorMessage(conn));
    PQfinish(conn);
    return NULL;
}

/* Has the server closed it while it lay idle?  Then there is an end of file to be read, behind the server's
 * last words: so once more. */
static bool is_alive(PGconn *conn)
{
    return PQconsumeInput(conn) == 1 && PQconsumeInput(conn) == 1 && PQstatus(conn) == CONNECTION_OK;
}

/* One less is open: whoever waits may open another. */
static void forget_one(struct pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->open--;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
}

/* Waits for the right to a connection: an idle one, or NULL for one to be opened.  Returns false if
 * neither came in time. */
static bool wait_for_turn(struct pool *pool, const struct timespec *deadline, PGconn **ret_conn)
{
    bool mine = true;

    *ret_conn = NULL;
    pthread_mutex_lock(&pool->mutex);
    while (pool->idle == 0 && pool->open == pool->size && mine)
        mine = pthread_cond_timedwait(&pool->changed, &pool->mutex, deadline) == 0;
    /* It may have come together with the deadline. */
    if (pool->idle > 0) {
        *ret_conn = pool->idle_conns[--pool->idle];
        mine = true;
    } else if (pool->open < pool->size) {
        pool->open++;
        mine = true;
    }
    pthread_mutex_unlock(&pool->mutex);
    return mine;
}

PGconn *pool_take(struct pool *pool, long wait_ms)
{
    struct timespec deadline;
    PGconn *conn;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_nsec += wait_ms % 1000 * 1000000;
    deadline.tv_sec += wait_ms / 1000 + deadline.tv_nsec / 1000000000;
    deadline.tv_nsec %= 1000000000;
    if (!wait_for_turn(pool, &deadline, &conn))
        return NULL;
    if (conn && !is_alive(conn)) {
        PQfinish(conn);
        conn = NULL;
    }
    if (!conn)
        conn = connect_database(pool);
    if (!conn)
        forget_one(pool);
    return conn;
}

void pool_give(struct pool *pool, PGconn *conn)
{
    if (PQstatus(conn) != CONNECTION_OK || PQtransactionStatus(conn) != PQTRANS_IDLE) {
        PQfinish(conn);
        forget_one(pool);
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->idle_conns[pool->idle++] = conn;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
}
