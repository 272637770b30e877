#include "enrich.h"

#include <outbox/outbox.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOKUPS 5

/* The cache, in two ways.  A customer is told of by events that have all of it: rows are filled by them.  A
 * product's events say only that it changed: rows are invalidated by them, and filled from the catalogue when an
 * order needs them.  The version tells what is older, whichever comes first. */
static const char setup_sql[] =
    "SET client_min_messages = warning;"
    "CREATE SCHEMA IF NOT EXISTS enrich;"
    "CREATE TABLE IF NOT EXISTS enrich.customer (id bigint PRIMARY KEY, version bigint NOT NULL,"
    "    state text NOT NULL CHECK (state IN ('awaited', 'known', 'deleted')), name text, email text);"
    "CREATE TABLE IF NOT EXISTS enrich.product (sku text PRIMARY KEY, version bigint NOT NULL,"
    "    fresh boolean NOT NULL, name text, category text, price numeric(12,2));"
    "CREATE TABLE IF NOT EXISTS enrich.orders (order_id bigint PRIMARY KEY, user_id bigint NOT NULL,"
    "    item text NOT NULL, amount numeric(12,2) NOT NULL, placed_at timestamptz NOT NULL,"
    "    enriched boolean NOT NULL DEFAULT false, customer_hit boolean NOT NULL, product_hit boolean);"
    "CREATE INDEX IF NOT EXISTS orders_waiting_idx ON enrich.orders (user_id, order_id) WHERE NOT enriched;";

/* An order that is there has been done: so an operator may set the position back. */
static const char keep_order_sql[] =
    "INSERT INTO enrich.orders (order_id, user_id, item, amount, placed_at, customer_hit)"
    " SELECT (e.j->>'order_id')::bigint, (e.j->>'user_id')::bigint, e.j->>'item', (e.j->>'amount')::numeric,"
    "        to_timestamp($2::bigint / 1e6),"
    "        EXISTS (SELECT FROM enrich.customer c"
    "                 WHERE c.id = (e.j->>'user_id')::bigint AND c.state <> 'awaited')"
    "   FROM (SELECT convert_from($1::bytea, 'UTF8')::jsonb) AS e(j)"
    " ON CONFLICT (order_id) DO NOTHING RETURNING order_id, item, customer_hit, user_id";

/* Holds the row's lock until the commit.  The event that brings the customer waits for it and then sees the
 * order; or this waits, and then sees the customer.  Else both might miss one another. */
static const char await_customer_sql[] =
    "INSERT INTO enrich.customer (id, version, state) VALUES ($1::bigint, -1, 'awaited')"
    " ON CONFLICT (id) DO UPDATE SET id = excluded.id RETURNING state";

/* Of the publisher: {"user_id", "name", "email"}; of the CRUD API: {"user": {"id", "version", "name", "email"}}. */
static const char customer_sql[] =
    "INSERT INTO enrich.customer AS c (id, version, state, name, email)"
    " SELECT (u.j->>'id')::bigint, coalesce((u.j->>'version')::bigint, 0),"
    "        CASE $2 WHEN 'user_deleted' THEN 'deleted' ELSE 'known' END, u.j->>'name', u.j->>'email'"
    "   FROM (SELECT coalesce(e.j->'user', jsonb_set(e.j, '{id}', e.j->'user_id'))"
    "           FROM (SELECT convert_from($1::bytea, 'UTF8')::jsonb) AS e(j)) AS u(j)"
    " ON CONFLICT (id) DO UPDATE"
    "    SET version = excluded.version, state = excluded.state, name = excluded.name, email = excluded.email"
    "  WHERE c.version < excluded.version RETURNING id";
static const char waiting_sql[] =
    "SELECT order_id, item FROM enrich.orders WHERE user_id = $1::bigint AND NOT enriched ORDER BY order_id";

/* The row stays, with the version: what was read of the catalogue before, and comes later, is not taken for new. */
static const char invalidate_sql[] =
    "INSERT INTO enrich.product AS p (sku, version, fresh)"
    " SELECT e.j->>'sku', (e.j->>'version')::bigint, false"
    "   FROM (SELECT convert_from($1::bytea, 'UTF8')::jsonb) AS e(j)"
    " ON CONFLICT (sku) DO UPDATE SET version = excluded.version, fresh = false"
    "  WHERE p.version < excluded.version";
/* The lock keeps it so until the join, which is another statement and sees what was committed meanwhile. */
static const char fresh_sql[] = "SELECT FROM enrich.product WHERE sku = $1 AND fresh FOR SHARE";
static const char fill_sql[] =
    "INSERT INTO enrich.product AS p (sku, version, fresh, name, category, price)"
    " VALUES ($1, $2::bigint, true, $3, $4, $5::numeric)"
    " ON CONFLICT (sku) DO UPDATE SET version = excluded.version, fresh = true, name = excluded.name,"
    "        category = excluded.category, price = excluded.price"
    "  WHERE p.version <= excluded.version RETURNING sku";

/* Who makes JSON from the rows need not quote anything. */
static const char join_sql[] =
    "UPDATE enrich.orders o SET enriched = true, product_hit = $2::boolean"
    "  FROM enrich.customer c WHERE o.order_id = $1::bigint AND c.id = o.user_id"
    " RETURNING o.user_id, (extract(epoch FROM o.placed_at) * 1000000)::bigint, json_build_object("
    "     'order_id', o.order_id, 'user_id', o.user_id, 'item', o.item, 'amount', o.amount,"
    "     'customer', CASE c.state WHEN 'known' THEN"
    "         json_build_object('name', c.name, 'email', c.email, 'version', c.version) END,"
    "     'product', (SELECT json_build_object('name', p.name, 'category', p.category, 'price', p.price,"
    "                                          'version', p.version)"
    "                   FROM enrich.product p WHERE p.sku = o.item AND p.fresh))";

static const char report_sql[] =
    "SELECT format('orders=%s enriched=%s waiting=%s customer_hits=%s/%s (%s %%) product_hits=%s/%s (%s %%)',"
    "              n, done, n - done, ch, n, round(100.0 * ch / greatest(n, 1), 1),"
    "              ph, done, round(100.0 * ph / greatest(done, 1), 1))"
    "  FROM (SELECT count(*) AS n, count(*) FILTER (WHERE enriched) AS done,"
    "               count(*) FILTER (WHERE customer_hit) AS ch, count(*) FILTER (WHERE product_hit) AS ph"
    "          FROM enrich.orders) AS t";

/* One record, and what is done with it. */
struct work {
    struct enrichment *enrichment;
    PGconn *conn;
    outbox_record *record;
};

/* What is no such event at all (class 22 and 23: its data) will not become one. */
static int failure(struct work *work, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    outbox_record_set_reason(work->record, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    return state && (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0) ? OUTBOX_CONSUMER_REJECT
                                                                                   : OUTBOX_CONSUMER_RETRY;
}

/* *ret_result is the caller's, whatever the answer. */
static int run(struct work *work, const char *sql, int count, const char *const *params, PGresult **ret_result)
{
    PGresult *result = PQexecParams(work->conn, sql, count, NULL, params, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);

    *ret_result = result;
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ? OUTBOX_CONSUMER_DONE : failure(work, result);
}

/* The same with the record's payload as $1, and one more parameter. */
static int run_payload(struct work *work, const char *sql, const char *more, PGresult **ret_result)
{
    size_t size;
    const void *payload = outbox_record_payload(work->record, &size);
    const char *const values[] = {payload, more};
    const int sizes[] = {(int)size, 0};
    const int formats[] = {1, 0};
    PGresult *result = PQexecParams(work->conn, sql, more ? 2 : 1, NULL, values, sizes, formats, 0);
    ExecStatusType status = PQresultStatus(result);

    *ret_result = result;
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ? OUTBOX_CONSUMER_DONE : failure(work, result);
}

/* From the catalogue into the cache.  *ret_filled: false if the cache has heard of a newer version meanwhile. */
static int fill(struct work *work, const char *sku, int *ret_filled)
{
    PGresult *product = catalog_find(work->enrichment->catalog, sku);
    PGresult *result = NULL;
    int answer = OUTBOX_CONSUMER_DONE;

    *ret_filled = 1;
    if (!product) {
        outbox_record_set_reason(work->record, "the catalogue does not answer");
        return OUTBOX_CONSUMER_RETRY;
    }
    if (PQntuples(product) == 1) {
        const char *const params[] = {sku, PQgetvalue(product, 0, 0), PQgetvalue(product, 0, 1),
                                      PQgetvalue(product, 0, 2), PQgetvalue(product, 0, 3)};

        answer = run(work, fill_sql, 5, params, &result);
        *ret_filled = answer == OUTBOX_CONSUMER_DONE && PQntuples(result) == 1;
    }
    PQclear(result);
    PQclear(product);
    return answer;
}

/* Sees to it that the cache has the product, if there is such a one. */
static int look_up(struct work *work, const char *sku, int *ret_hit)
{
    const char *const params[] = {sku};
    PGresult *result;
    int answer = run(work, fresh_sql, 1, params, &result);
    int filled;

    *ret_hit = answer == OUTBOX_CONSUMER_DONE && PQntuples(result) == 1;
    PQclear(result);
    filled = *ret_hit;
    for (int i = 0; i < LOOKUPS && answer == OUTBOX_CONSUMER_DONE && !filled; i++)
        answer = fill(work, sku, &filled);
    if (answer == OUTBOX_CONSUMER_DONE && !filled) {
        outbox_record_set_reason(work->record, "the catalogue is behind its own events");
        answer = OUTBOX_CONSUMER_RETRY;
    }
    return answer;
}

/* The event happened when the order did, not when it was enriched. */
static int emit(struct work *work, const PGresult *joined)
{
    outbox_event *event = outbox_event_new();
    outbox_error *error = NULL;
    int answer = OUTBOX_CONSUMER_DONE;

    outbox_event_set_type(event, "order_enriched");
    outbox_event_set_topic(event, work->enrichment->topic);
    outbox_event_set_key(event, PQgetvalue(joined, 0, 0));
    outbox_event_set_occurred_at(event, strtoll(PQgetvalue(joined, 0, 1), NULL, 10));
    outbox_event_set_payload_json(event, PQgetvalue(joined, 0, 2));
    /* The answers of setters need not be looked at: this one tells of all. */
    if (outbox_emit(work->conn, event, NULL, &error) < 0) {
        outbox_record_set_reason(work->record, outbox_error_message(error));
        answer = OUTBOX_CONSUMER_RETRY;
    }
    outbox_error_free(error);
    outbox_event_free(event);
    return answer;
}

/* An order whose customer is known. */
static int complete(struct work *work, const char *order_id, const char *sku)
{
    PGresult *result = NULL;
    int hit;
    int answer = look_up(work, sku, &hit);

    if (answer == OUTBOX_CONSUMER_DONE) {
        const char *const params[] = {order_id, hit ? "true" : "false"};

        answer = run(work, join_sql, 2, params, &result);
    }
    if (answer == OUTBOX_CONSUMER_DONE)
        answer = emit(work, result);
    PQclear(result);
    return answer;
}

/* Whether the customer is known after all; if not, the order waits for the event. */
static int await_customer(struct work *work, const char *user_id, int *ret_known)
{
    const char *const params[] = {user_id};
    PGresult *result;
    int answer = run(work, await_customer_sql, 1, params, &result);

    *ret_known = answer == OUTBOX_CONSUMER_DONE && strcmp(PQgetvalue(result, 0, 0), "awaited") != 0;
    PQclear(result);
    return answer;
}

static int on_order(struct work *work)
{
    char time[24];
    PGresult *order;
    int known = 0;
    int answer;

    snprintf(time, sizeof(time), "%lld", (long long)outbox_record_timestamp(work->record));
    answer = run_payload(work, keep_order_sql, time, &order);
    if (answer == OUTBOX_CONSUMER_DONE && PQntuples(order) == 1) {
        known = strcmp(PQgetvalue(order, 0, 2), "t") == 0;
        if (!known)
            answer = await_customer(work, PQgetvalue(order, 0, 3), &known);
        if (known)
            answer = complete(work, PQgetvalue(order, 0, 0), PQgetvalue(order, 0, 1));
    }
    PQclear(order);
    return answer;
}

/* And the orders that waited for it, in the same transaction. */
static int on_customer(struct work *work)
{
    PGresult *customer;
    PGresult *orders = NULL;
    int answer = run_payload(work, customer_sql, outbox_record_type(work->record), &customer);

    if (answer == OUTBOX_CONSUMER_DONE && PQntuples(customer) == 1) {
        const char *const params[] = {PQgetvalue(customer, 0, 0)};

        answer = run(work, waiting_sql, 1, params, &orders);
    }
    for (int i = 0; answer == OUTBOX_CONSUMER_DONE && i < PQntuples(orders); i++)
        answer = complete(work, PQgetvalue(orders, i, 0), PQgetvalue(orders, i, 1));
    PQclear(orders);
    PQclear(customer);
    return answer;
}

static int on_product(struct work *work)
{
    PGresult *result;
    int answer = run_payload(work, invalidate_sql, NULL, &result);

    PQclear(result);
    return answer;
}

static int apply_one(struct work *work)
{
    static const struct {
        const char *type;
        int (*apply)(struct work *work);
    } kinds[] = {{"order_placed", on_order},    {"user_created", on_customer},   {"user_updated", on_customer},
                 {"user_deleted", on_customer}, {"product_changed", on_product}};
    const char *type = outbox_record_type(work->record);

    for (size_t i = 0; type && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(type, kinds[i].type) == 0)
            return kinds[i].apply(work);
    }
    return OUTBOX_CONSUMER_DONE; /* a topic may get types that do not matter here */
}

int enrich_apply(struct pg_conn *conn, outbox_record *const records[], size_t count, void *context)
{
    int answer = OUTBOX_CONSUMER_DONE;

    for (size_t i = 0; i < count && answer == OUTBOX_CONSUMER_DONE; i++)
        answer = apply_one(&(struct work){.enrichment = context, .conn = conn, .record = records[i]});
    return answer;
}

int enrich_set_up(PGconn *conn)
{
    PGresult *result = PQexec(conn, setup_sql);
    int done = PQresultStatus(result) == PGRES_COMMAND_OK;

    if (!done)
        fprintf(stderr, "enrichment: %s", PQerrorMessage(conn));
    PQclear(result);
    return done ? 0 : 1;
}

int enrich_report(PGconn *conn)
{
    PGresult *result = PQexec(conn, report_sql);
    int done = PQresultStatus(result) == PGRES_TUPLES_OK;

    if (done)
        printf("%s\n", PQgetvalue(result, 0, 0));
    else
        fprintf(stderr, "enrichment: %s", PQerrorMessage(conn));
    PQclear(result);
    return done ? 0 : 1;
}
