#include "catalog.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The event tells that the product changed, and its version, not what it is now: who caches it forgets it.  The
 * row stays locked until the commit and is the key, so a product's events come in the order of its versions. */
static const char setup_sql[] =
    "CREATE SCHEMA IF NOT EXISTS catalog;"
    "CREATE TABLE IF NOT EXISTS catalog.product (sku text PRIMARY KEY, version bigint NOT NULL DEFAULT 1,"
    "    name text NOT NULL, category text NOT NULL, price numeric(12,2) NOT NULL);"
    "CREATE OR REPLACE FUNCTION catalog.next_version() RETURNS trigger LANGUAGE plpgsql AS $$"
    " BEGIN NEW.version := OLD.version + 1; RETURN NEW; END $$;"
    "CREATE OR REPLACE FUNCTION catalog.tell() RETURNS trigger LANGUAGE plpgsql AS $$"
    " BEGIN"
    "   PERFORM outbox.emit(type => 'product_changed', topic => TG_ARGV[0], key => NEW.sku,"
    "                       payload => jsonb_build_object('sku', NEW.sku, 'version', NEW.version));"
    "   RETURN NULL;"
    " END $$;"
    "CREATE OR REPLACE TRIGGER next_version BEFORE UPDATE ON catalog.product"
    "    FOR EACH ROW EXECUTE FUNCTION catalog.next_version();";

static const char find_sql[] = "SELECT version, name, category, price FROM catalog.product WHERE sku = $1";

struct catalog {
    pthread_mutex_t mutex; /* a look-up at a time: there are few, as the cache knows most */
    char *dsn;
    PGconn *conn;
};

static PGconn *connect_catalog(const char *dsn)
{
    /* A handler must not wait long for another service. */
    const char *const names[] = {"dbname", "options", "client_encoding", "fallback_application_name",
                                 /* nor for one that is gone without a word */
                                 "connect_timeout", "tcp_user_timeout", "keepalives_idle", "keepalives_interval",
                                 "keepalives_count", NULL};
    const char *const values[] = {dsn, "-c statement_timeout=5s -c client_min_messages=warning", "UTF8",
                                  "enrichment-catalog", "5", "5000", "5", "1", "3", NULL};

    return PQconnectdbParams(names, values, 1);
}

static int run(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    int done = PQresultStatus(result) == PGRES_COMMAND_OK;

    if (!done)
        fprintf(stderr, "enrichment: catalogue: %s", PQerrorMessage(conn));
    PQclear(result);
    return done;
}

/* A trigger's arguments are literals, not parameters. */
static int set_trigger(PGconn *conn, const char *topic)
{
    char *literal = PQescapeLiteral(conn, topic, strlen(topic));
    char sql[512];
    int length = snprintf(sql, sizeof(sql),
                          "CREATE OR REPLACE TRIGGER tell AFTER INSERT OR UPDATE ON catalog.product"
                          " FOR EACH ROW EXECUTE FUNCTION catalog.tell(%s)",
                          literal ? literal : "");
    int done = literal && length < (int)sizeof(sql) && run(conn, sql);

    PQfreemem(literal);
    return done;
}

int catalog_set_up(const char *dsn, const char *topic)
{
    PGconn *conn = connect_catalog(dsn);
    int done = run(conn, setup_sql) && set_trigger(conn, topic);

    PQfinish(conn);
    return done ? 0 : 1;
}

struct catalog *catalog_new(const char *dsn)
{
    struct catalog *catalog = calloc(1, sizeof(*catalog));

    if (!catalog)
        return NULL;
    catalog->dsn = strdup(dsn);
    if (!catalog->dsn || pthread_mutex_init(&catalog->mutex, NULL) != 0) {
        free(catalog->dsn);
        free(catalog);
        return NULL;
    }
    return catalog;
}

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    PQfinish(catalog->conn);
    pthread_mutex_destroy(&catalog->mutex);
    free(catalog->dsn);
    free(catalog);
}

PGresult *catalog_find(struct catalog *catalog, const char *sku)
{
    const char *const params[] = {sku};
    PGresult *result = NULL;

    pthread_mutex_lock(&catalog->mutex);
    if (!catalog->conn)
        catalog->conn = connect_catalog(catalog->dsn);
    if (PQstatus(catalog->conn) == CONNECTION_OK)
        result = PQexecParams(catalog->conn, find_sql, 1, NULL, params, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        fprintf(stderr, "enrichment: catalogue: %s", PQerrorMessage(catalog->conn));
        PQclear(result);
        result = NULL;
        /* The next look-up connects anew. */
        PQfinish(catalog->conn);
        catalog->conn = NULL;
    }
    pthread_mutex_unlock(&catalog->mutex);
    return result;
}
