/* The shop itself: each change of rows and its event in one transaction. */
#include "shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char setup_sql[] =
    "SET client_min_messages = warning;"
    "CREATE SCHEMA IF NOT EXISTS shop;"
    "CREATE TABLE IF NOT EXISTS shop.users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    "    name text NOT NULL, email text NOT NULL, orders bigint NOT NULL DEFAULT 0);"
    "CREATE TABLE IF NOT EXISTS shop.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    "    user_id bigint NOT NULL REFERENCES shop.users, item text NOT NULL, amount numeric(12,2) NOT NULL);";

/* Each statement answers with the event's key, its number within that key, and the payload:
 * who makes JSON from the row itself need not quote anything. */
const char create_user_sql[] =
    "INSERT INTO shop.users (name, email) VALUES ($1, $2)"
    " RETURNING id, orders, json_build_object('user_id', id, 'n', orders, 'name', name, 'email', email)";

/* The UPDATE holds the lock of the user's row until the commit.  So the events of one user come
 * in the order of their commits. */
const char place_order_sql[] =
    "WITH u AS (UPDATE shop.users SET orders = orders + 1 WHERE id = $1::bigint RETURNING id, orders),"
    " o AS (INSERT INTO shop.orders (user_id, item, amount) SELECT id, $2, $3::numeric FROM u RETURNING *)"
    " SELECT u.id, u.orders, json_build_object('order_id', o.id, 'user_id', u.id, 'n', u.orders,"
    "                                          'item', o.item, 'amount', o.amount) FROM u, o";

static bool run(PGconn *conn, const char *sql, const char *expected)
{
    PGresult *result = PQexec(conn, sql);
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK && strcmp(PQcmdStatus(result), expected) == 0;

    if (!done)
        fprintf(stderr, "publisher: %.20s: %s", sql, PQerrorMessage(conn));
    PQclear(result);
    return done;
}

/* Changes the rows and emits the event; the transaction is the caller's. */
static bool change_and_emit(PGconn *conn, const struct change *change, struct receipt *ret)
{
    outbox_event *event = outbox_event_new();
    outbox_error *err = NULL;
    bool done = false;
    PGresult *row = PQexecParams(conn, change->sql, change->nparams, NULL, change->params, NULL, NULL, 0);

    if (PQresultStatus(row) != PGRES_TUPLES_OK || PQntuples(row) != 1) {
        fprintf(stderr, "publisher: %s: %s\n", change->type,
                PQresultStatus(row) == PGRES_TUPLES_OK ? "no such user" : PQresultErrorMessage(row));
        goto out;
    }
    outbox_event_set_type(event, change->type);
    outbox_event_set_key(event, PQgetvalue(row, 0, 0));
    outbox_event_set_payload_json(event, PQgetvalue(row, 0, 2));
    /* The answers of setters need not be looked at: this one tells of all. */
    if (outbox_emit(conn, event, ret->event_id, &err) < 0) {
        fprintf(stderr, "publisher: %s\n", outbox_error_message(err));
        goto out;
    }
    ret->key = strtoll(PQgetvalue(row, 0, 0), NULL, 10);
    ret->n = strtoll(PQgetvalue(row, 0, 1), NULL, 10);
    done = true;
out:
    outbox_error_free(err);
    PQclear(row);
    outbox_event_free(event);
    return done;
}

enum outcome transact(PGconn *conn, const struct change *change, bool roll_back, struct receipt *ret)
{
    if (!run(conn, "BEGIN", "BEGIN"))
        return FAILED;
    if (!change_and_emit(conn, change, ret)) {
        run(conn, "ROLLBACK", "ROLLBACK");
        return FAILED;
    }
    if (roll_back)
        return run(conn, "ROLLBACK", "ROLLBACK") ? ROLLED_BACK : FAILED;
    if (run(conn, "COMMIT", "COMMIT"))
        return COMMITTED;
    /* Without an answer nobody here knows whether the server committed. */
    return PQstatus(conn) == CONNECTION_OK ? FAILED : UNKNOWN;
}

int set_up(PGconn *conn)
{
    return run(conn, setup_sql, "CREATE TABLE") ? 0 : 1;
}
