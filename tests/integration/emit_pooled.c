/* Emitting through a pooler in transaction mode: each transaction may be on another server
 * connection than the one before, and nothing of a session may be relied upon. */
#include "emit_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 3 /* more than the pool has servers */
#define ROUNDS 10

static PGconn *clients[CLIENTS];

/* The backends on which transactions of one client ran. */
struct backends {
    int pids[ROUNDS];
    int count;
};

static void note_backend(struct backends *backends, PGconn *conn)
{
    int pid = (int)strtol(ask(conn, "SELECT pg_backend_pid()"), NULL, 10);

    for (int i = 0; i < backends->count; i++) {
        if (backends->pids[i] == pid)
            return;
    }
    backends->pids[backends->count++] = pid;
}

/* With two clients in a transaction at once the pool has two servers, which it then uses in turn. */
static void fill_pool(void)
{
    run(clients[0], "BEGIN");
    run(clients[1], "BEGIN");
    run(clients[1], "COMMIT");
    run(clients[0], "COMMIT");
}

/* The same with a named statement must fail, or the pooler would prove nothing. */
static void test_pooler_is_one(void)
{
    bool lost = false;

    PQclear(PQprepare(clients[0], "named", "SELECT 1", 0, NULL));
    for (int i = 0; i < ROUNDS && !lost; i++) {
        PGresult *result = PQexecPrepared(clients[0], "named", 0, NULL, NULL, NULL, 0);
        const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

        lost = sqlstate && strcmp(sqlstate, "26000") == 0;
        PQclear(result);
    }
    ok(lost, "a named statement does not survive in this pooler");
}

static void emit_in_c(PGconn *conn, int round)
{
    outbox_event *ev = make_event("pooled", "c", NULL);
    const outbox_event *events[] = {ev, ev};
    outbox_error *err = NULL;
    char payload[32];
    bool done;

    snprintf(payload, sizeof(payload), "{\"n\": %d}", round);
    outbox_event_set_payload_json(ev, payload);
    done = outbox_emit(conn, ev, NULL, &err) == OUTBOX_OK &&
           outbox_emit_array(conn, events, 2, NULL, NULL, &err) == OUTBOX_OK;
    if (!done)
        ok(false, "round %d: %s", round, outbox_error_message(err));
    outbox_error_free(err);
    outbox_event_free(ev);
}

static void emit_in_sql(PGconn *conn, int round)
{
    char payload[32];

    snprintf(payload, sizeof(payload), "{\"n\": %d}", round);
    ask_with(conn, "SELECT outbox.emit(type => 'pooled', key => 'sql', payload => $1::jsonb)", payload);
}

static void test_many_transactions(PGconn *direct)
{
    struct backends backends = {.count = 0};

    for (int round = 0; round < ROUNDS; round++) {
        PGconn *conn = clients[round % CLIENTS];

        run(conn, "BEGIN");
        emit_in_c(conn, round);
        emit_in_sql(conn, round);
        run(conn, round % 5 == 4 ? "ROLLBACK" : "COMMIT");
        /* Two more: an odd number of transactions changes the server of the next round. */
        for (int i = 0; i < 2; i++) {
            run(clients[0], "BEGIN");
            note_backend(&backends, clients[0]);
            emit_in_c(clients[0], 1000);
            run(clients[0], "ROLLBACK");
        }
    }
    ok(backends.count >= 2, "the transactions of one client ran on %d servers", backends.count);
    is_text(ask(direct, "SELECT count(*) FROM outbox.event WHERE type = 'pooled' AND key = 'c'"), "24",
            "the committed events from C");
    is_text(ask(direct, "SELECT count(*) FROM outbox.event WHERE type = 'pooled' AND key = 'sql'"), "8",
            "the committed events from SQL");
    is_text(
        ask(direct,
            "SELECT string_agg(n, ',' ORDER BY n) FROM (SELECT DISTINCT convert_from(payload, 'UTF8')::jsonb"
            "->>'n' AS n FROM outbox.event WHERE type = 'pooled') AS e"),
        "0,1,2,3,5,6,7,8", "and no other");
}

static void test_id_through_pool(PGconn *direct)
{
    static const char id[] = "55555555-eeee-4eee-8eee-000000000005";
    outbox_event *ev = make_event("pooled_id", "k", id);
    outbox_error *err = NULL;
    int answers[CLIENTS * 2];

    for (int i = 0; i < CLIENTS * 2; i++) {
        run(clients[i % CLIENTS], "BEGIN");
        answers[i] = outbox_emit(clients[i % CLIENTS], ev, NULL, &err);
        run(clients[i % CLIENTS], i == 0 ? "ROLLBACK" : "COMMIT");
    }
    is_int(answers[0], OUTBOX_OK, "an id is emitted and rolled back");
    is_int(answers[1], OUTBOX_OK, "and by the next transaction");
    for (int i = 2; i < CLIENTS * 2; i++)
        is_int(answers[i], OUTBOX_ALREADY_EMITTED, "then it is emitted already");
    is_text(ask(direct, "SELECT count(*) FROM outbox.event WHERE type = 'pooled_id'"), "1", "one event");
    outbox_event_free(ev);
}

static void test_pipeline_through_pool(PGconn *direct)
{
    PGconn *conn = clients[0];
    outbox_event *ev = make_event("pooled_pipeline", "k", NULL);
    outbox_error *err = NULL;
    PGresult *result;
    int answered = 0;

    if (!PQenterPipelineMode(conn) || !PQsendQueryParams(conn, "BEGIN", 0, NULL, NULL, NULL, NULL, 0))
        bail("pipeline: %s", PQerrorMessage(conn));
    for (int i = 0; i < 3; i++)
        is_int(outbox_emit_send(conn, ev, &err), OUTBOX_OK, "queued");
    if (!PQsendQueryParams(conn, "COMMIT", 0, NULL, NULL, NULL, NULL, 0) || !PQpipelineSync(conn))
        bail("pipeline: %s", PQerrorMessage(conn));
    while (!(result = PQgetResult(conn)) || PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
        if (!result && PQstatus(conn) != CONNECTION_OK)
            bail("pipeline: %s", PQerrorMessage(conn));
        if (PQresultStatus(result) == PGRES_TUPLES_OK)
            answered += outbox_emit_result(result, NULL, &err) == OUTBOX_OK;
        PQclear(result);
    }
    PQclear(result);
    PQexitPipelineMode(conn);
    is_int(answered, 3, "a pipeline through the pooler");
    is_text(ask(direct, "SELECT count(*) FROM outbox.event WHERE type = 'pooled_pipeline'"), "3",
            "is committed");
    outbox_event_free(ev);
}

static void test_no_transaction_through_pool(void)
{
    outbox_event *ev = make_event("pooled", "k", NULL);
    outbox_error *err = NULL;

    is_error(outbox_emit(clients[0], ev, NULL, &err), OUTBOX_ESTATE, &err, "", "no transaction is open",
             "no transaction");
    outbox_event_free(ev);
}

void test_pooled(const char *direct_dsn)
{
    PGconn *direct = PQconnectdb(direct_dsn);

    if (PQstatus(direct) != CONNECTION_OK)
        bail("cannot connect: %s", PQerrorMessage(direct));
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_to("");
    fill_pool();
    test_pooler_is_one();
    test_many_transactions(direct);
    test_id_through_pool(direct);
    test_pipeline_through_pool(direct);
    test_no_transaction_through_pool();
    for (int i = 0; i < CLIENTS; i++)
        PQfinish(clients[i]);
    PQfinish(direct);
}
