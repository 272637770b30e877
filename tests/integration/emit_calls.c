/* Arrays, round trips, states of connection and transaction, pipelines, rights. */
#include "emit_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char id_a[] = "11111111-aaaa-4aaa-8aaa-000000000001";
static const char id_b[] = "22222222-bbbb-4bbb-8bbb-000000000002";

static void test_mixed_array(PGconn *conn)
{
    outbox_event *events[6];
    const outbox_event *const *array = (const outbox_event *const *)events;
    outbox_error *err = NULL;
    char ids[6][OUTBOX_ID_SIZE];
    int answers[6];
    char list[512] = "";

    events[0] = make_event("array", "k1", NULL);
    events[1] = make_event("array", "k2", id_b);
    events[2] = make_event("array", NULL, id_a);
    events[3] = make_event("array", "", id_b); /* the same id once more */
    events[4] = make_event("array", "k5", NULL);
    events[5] = make_event("array", "k\xc3\xa4", NULL);
    outbox_event_set_payload(events[0], "\0\1", 2);
    outbox_event_set_payload(events[4], "", 0);
    outbox_event_set_payload_json(events[5], "{\"n\": 5}");
    outbox_event_set_header(events[2], "h", "\"2\"");
    outbox_event_set_partition(events[4], 7);
    outbox_event_set_occurred_at(events[1], 1500000);
    run(conn, "BEGIN");
    is_int(outbox_emit_array(conn, array, 6, ids, answers, &err), OUTBOX_ALREADY_EMITTED,
           "an array with an id twice is emitted");
    run(conn, "COMMIT");
    for (int i = 0; i < 6; i++)
        is_int(answers[i], i == 3 ? OUTBOX_ALREADY_EMITTED : OUTBOX_OK, "the answer for each");
    is_text(ids[1], id_b, "the caller's ids come back");
    is_text(ids[2], id_a, "each in its place");
    is_text(ids[3], id_b, "also that which was emitted already");
    snprintf(list, sizeof(list), "%s,%s,%s,%s,%s", ids[0], ids[1], ids[2], ids[4], ids[5]);
    is_text(ask(conn, "SELECT string_agg(id::text, ',' ORDER BY seq) FROM outbox.event WHERE type = 'array'"),
            list, "the order of seq is that of the array");
    is_text(ask(conn,
                "SELECT string_agg(concat_ws('/', coalesce(key, '-'), coalesce(encode(payload, 'hex'), '-'),"
                " coalesce(content_type, '-'), coalesce(headers::text, '-'), coalesce(partition::text, '-'),"
                " CASE WHEN occurred_at < '2000-01-01' THEN extract(epoch FROM occurred_at)::text END),"
                " ' ' ORDER BY seq) FROM outbox.event WHERE type = 'array'"),
            "k1/0001/-/-/- k2/-/-/-/-/1.500000 -/-/-/{\"h\": \"\\\"2\\\"\"}/- k5//-/-/7"
            " k\xc3\xa4/7b226e223a20357d/application/json/-/-",
            "and each field is with its event");
    for (int i = 0; i < 6; i++)
        outbox_event_free(events[i]);
}

static void test_large_array(PGconn *conn)
{
    const size_t count = OUTBOX_ARRAY_COUNT_LIMIT;
    outbox_event **events = calloc(count, sizeof(*events));
    outbox_error *err = NULL;
    char number[24];

    for (size_t i = 0; i < count; i++) {
        snprintf(number, sizeof(number), "%zu", i + 1);
        events[i] = make_event("large", number, NULL);
        outbox_event_set_payload_json(events[i], number);
    }
    run(conn, "BEGIN");
    is_int(outbox_emit_array(conn, (const outbox_event *const *)events, count, NULL, NULL, &err), OUTBOX_OK,
           "an array of the limit's length is emitted");
    run(conn, "COMMIT");
    is_text(ask(conn,
                "SELECT count(*) = 10000 AND bool_and(key = n::text AND convert_from(payload, 'UTF8') = key)"
                "  FROM (SELECT *, row_number() OVER (ORDER BY seq) AS n FROM outbox.event"
                "         WHERE type = 'large') AS e"),
            "t", "all of it and in order");
    for (size_t i = 0; i < count; i++)
        outbox_event_free(events[i]);
    free(events);
}

/* One event that the server refuses takes all with it. */
static void test_array_is_all_or_nothing(PGconn *conn)
{
    outbox_event *good = make_event("nothing", "k", NULL);
    outbox_event *large = make_event("nothing", "k", NULL);
    const outbox_event *events[] = {good, large, good};
    outbox_error *err = NULL;
    char ids[3][OUTBOX_ID_SIZE] = {"untouched"};
    int answers[3] = {42};

    outbox_event_set_payload(large, "12345678901", 11);
    run(conn, "BEGIN");
    run(conn, "SET LOCAL outbox.max_payload_bytes = 10");
    run(conn, "SAVEPOINT before");
    is_error(outbox_emit_array(conn, events, 3, ids, answers, &err), OUTBOX_ESERVER, &err, "payload",
             "has 11 bytes, the limit is 10", "an array with one that the server refuses");
    ok(strcmp(ids[0], "untouched") == 0 && answers[0] == 42, "outputs are untouched on failure");
    run(conn, "ROLLBACK TO before");
    is_int(outbox_emit_array(conn, events, 1, ids, answers, &err), OUTBOX_OK, "the savepoint is good again");
    run(conn, "COMMIT");
    is_text(ask(conn, "SELECT count(*) FROM outbox.event WHERE type = 'nothing'"), "1",
            "none of the first remains");
    outbox_event_free(good);
    outbox_event_free(large);
}

void test_array(void)
{
    PGconn *conn = connect_to("");

    test_mixed_array(conn);
    test_large_array(conn);
    test_array_is_all_or_nothing(conn);
    PQfinish(conn);
}

static void is_one_round_trip(struct traffic traffic, const char *name)
{
    ok(traffic.requests > 0 && traffic.syncs == 1 && traffic.answers == 1 && traffic.named == 0,
       "%s: one round trip, unnamed statements only", name);
    printf("# %d messages, %d Sync, %d ReadyForQuery, %d named\n", traffic.requests, traffic.syncs,
           traffic.answers, traffic.named);
}

/* The server answers when it gets a Sync.  So what has one Sync and one ReadyForQuery has waited
 * once. */
void test_traffic(void)
{
    PGconn *conn = connect_to("");
    outbox_event *ev = make_event("traffic", "k", id_a);
    const outbox_event *events[100];
    outbox_error *err = NULL;
    struct traffic traffic;

    for (int i = 0; i < 100; i++)
        events[i] = ev;
    outbox_event_set_header(ev, "h", "v");
    run(conn, "BEGIN");
    trace_start(conn);
    is_int(outbox_emit(conn, ev, NULL, &err), OUTBOX_ALREADY_EMITTED, "one is emitted, with an id");
    is_one_round_trip(trace_stop(conn), "one event");
    outbox_event_set_id(ev, NULL);
    trace_start(conn);
    is_int(outbox_emit_array(conn, events, 100, NULL, NULL, &err), OUTBOX_OK, "a hundred are emitted");
    is_one_round_trip(trace_stop(conn), "a hundred events");
    /* The measure can tell two from one. */
    trace_start(conn);
    run(conn, "SELECT 1");
    outbox_emit(conn, ev, NULL, &err);
    traffic = trace_stop(conn);
    is_int(traffic.answers, 2, "a statement and an event are two");
    run(conn, "ROLLBACK");
    outbox_event_free(ev);
    PQfinish(conn);
}

/* Refused by all three calls with this code and message, and nothing goes over the wire. */
static void is_refused(PGconn *conn, const outbox_event *ev, int code, const char *part)
{
    outbox_error *err = NULL;
    struct traffic traffic;

    trace_start(conn);
    is_error(outbox_emit(conn, ev, NULL, &err), code, &err, "", part, part);
    is_error(outbox_emit_array(conn, &ev, 1, NULL, NULL, &err), code, &err, "", part, part);
    is_error(outbox_emit_send(conn, ev, &err), code, &err, "", part, part);
    traffic = trace_stop(conn);
    is_int(traffic.requests + traffic.answers, 0, "nothing was sent");
}

static void test_transactions(PGconn *conn)
{
    outbox_event *ev = make_event("states", "k", NULL);
    outbox_event *bad = make_event("states", "k", "no uuid");
    outbox_error *err = NULL;

    is_refused(conn, ev, OUTBOX_ESTATE, "no transaction is open");
    run(conn, "BEGIN");
    PQclear(PQexec(conn, "SELECT 1/0"));
    is_refused(conn, ev, OUTBOX_ESTATE, "the transaction has failed");
    run(conn, "ROLLBACK");

    run(conn, "BEGIN");
    run(conn, "SAVEPOINT s");
    is_int(outbox_emit(conn, ev, NULL, &err), OUTBOX_OK, "emitted in a savepoint");
    run(conn, "ROLLBACK TO s");
    outbox_event_set_key(ev, "kept");
    is_int(outbox_emit(conn, ev, NULL, &err), OUTBOX_OK, "emitted after the savepoint was rolled back");
    is_error(outbox_emit(conn, bad, NULL, &err), OUTBOX_EINVAL, &err, "id", "is not a UUID",
             "what needs no server to be refused");
    is_int(PQtransactionStatus(conn), PQTRANS_INTRANS, "leaves the transaction as it was");
    run(conn, "COMMIT");
    is_text(ask(conn, "SELECT string_agg(key, ',') FROM outbox.event WHERE type = 'states'"), "kept",
            "an event shares the fate of its savepoint");
    run(conn, "BEGIN");
    is_int(outbox_emit(conn, ev, NULL, &err), OUTBOX_OK, "emitted");
    run(conn, "ROLLBACK");
    is_text(ask(conn, "SELECT count(*) FROM outbox.event WHERE type = 'states'"), "1",
            "and that of its transaction");
    outbox_event_free(bad);
    outbox_event_free(ev);
}

static void test_connection_states(PGconn *witness)
{
    outbox_event *ev = make_event("states", "k", NULL);
    PGconn *conn = connect_to("");
    outbox_error *err = NULL;
    char pid[16];
    int r;

    run(conn, "BEGIN");
    if (!PQsendQuery(conn, "SELECT pg_sleep(0)"))
        bail("cannot send");
    is_error(outbox_emit(conn, ev, NULL, &err), OUTBOX_ESTATE, &err, "", "another command is in progress",
             "while another command runs");
    PQclear(PQgetResult(conn));
    is_int(PQgetResult(conn) == NULL, 1, "whose result is still there");
    run(conn, "SET client_encoding = 'LATIN1'");
    is_refused(conn, ev, OUTBOX_ESTATE, "client_encoding is LATIN1");
    run(conn, "SET client_encoding = 'UTF8'");
    is_int(outbox_emit(conn, ev, NULL, &err), OUTBOX_OK, "and emits when that is put right");

    snprintf(pid, sizeof(pid), "%d", PQbackendPID(conn));
    ask_with(witness, "SELECT pg_terminate_backend($1::integer, 10000)", pid);
    r = outbox_emit(conn, ev, NULL, &err);
    is_int(r, OUTBOX_ECONNECTION, "a connection that the server has ended");
    if (err)
        printf("# %s %s\n", outbox_error_sqlstate(err), outbox_error_message(err));
    is_error(outbox_emit(conn, ev, NULL, &err), OUTBOX_ECONNECTION, &err, "", "the connection is not open",
             "stays unusable");
    PQfinish(conn);
    outbox_event_free(ev);
}

/* Whatever the connection is told to be, the result is the same. */
static void test_nonblocking(PGconn *conn)
{
    outbox_event *ev = make_event("nonblocking", "k", NULL);
    char *block = calloc(1, OUTBOX_PAYLOAD_LIMIT_DEFAULT);
    outbox_error *err = NULL;

    outbox_event_borrow_payload(ev, block, OUTBOX_PAYLOAD_LIMIT_DEFAULT);
    PQsetnonblocking(conn, 1);
    run(conn, "BEGIN");
    is_int(outbox_emit(conn, ev, NULL, &err), OUTBOX_OK, "a megabyte on a non-blocking connection");
    run(conn, "COMMIT");
    PQsetnonblocking(conn, 0);
    outbox_event_free(ev);
    free(block);
}

void test_states(void)
{
    PGconn *conn = connect_to("");

    test_transactions(conn);
    test_connection_states(conn);
    test_nonblocking(conn);
    PQfinish(conn);
}

static void send(PGconn *conn, const char *sql)
{
    if (!PQsendQueryParams(conn, sql, 0, NULL, NULL, NULL, NULL, 0))
        bail("%s: %s", sql, PQerrorMessage(conn));
}

/* The result of the next command of the pipeline, and the NULL after it. */
static PGresult *next_result(PGconn *conn)
{
    PGresult *result = PQgetResult(conn);
    PGresult *none;

    if (!result)
        bail("no result");
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
        return result;
    none = PQgetResult(conn);
    if (none)
        bail("a second result");
    return result;
}

static void skip_result(PGconn *conn, ExecStatusType wanted)
{
    PGresult *result = next_result(conn);

    if (PQresultStatus(result) != wanted)
        bail("%s instead of %s", PQresStatus(PQresultStatus(result)), PQresStatus(wanted));
    PQclear(result);
}

static int next_answer(PGconn *conn, char id[OUTBOX_ID_SIZE], outbox_error **err)
{
    PGresult *result = next_result(conn);
    int r = outbox_emit_result(result, id, err);

    PQclear(result);
    return r;
}

static void test_pipeline_that_commits(PGconn *conn)
{
    outbox_event *ev = make_event("pipeline", "0", NULL);
    outbox_error *err = NULL;
    char ids[3][OUTBOX_ID_SIZE];
    char list[160];

    send(conn, "BEGIN");
    for (int i = 0; i < 3; i++) {
        char key[2] = {(char)('1' + i), '\0'};

        outbox_event_set_key(ev, key);
        outbox_event_set_id(ev, i == 2 ? ids[2] : NULL);
        if (i == 1)
            memcpy(ids[2], "33333333-cccc-4ccc-8ccc-000000000003", OUTBOX_ID_SIZE);
        is_int(outbox_emit_send(conn, ev, &err), OUTBOX_OK, "queued");
    }
    is_int(outbox_emit_send(conn, ev, &err), OUTBOX_OK, "queued with the same id");
    outbox_event_free(ev); /* nothing of it is needed any more */
    send(conn, "COMMIT");
    if (!PQpipelineSync(conn))
        bail("sync: %s", PQerrorMessage(conn));
    skip_result(conn, PGRES_COMMAND_OK);
    for (int i = 0; i < 3; i++)
        is_int(next_answer(conn, ids[i], &err), OUTBOX_OK, "emitted");
    is_int(next_answer(conn, ids[2], &err), OUTBOX_ALREADY_EMITTED, "emitted already");
    skip_result(conn, PGRES_COMMAND_OK);
    skip_result(conn, PGRES_PIPELINE_SYNC);
    snprintf(list, sizeof(list), "%s,%s,%s", ids[0], ids[1], ids[2]);
    if (!PQexitPipelineMode(conn))
        bail("exit: %s", PQerrorMessage(conn));
    is_text(
        ask(conn, "SELECT string_agg(id::text, ',' ORDER BY seq) FROM outbox.event WHERE type = 'pipeline'"),
        list, "the events of the pipeline, in order");
}

static void test_pipeline_that_fails(PGconn *conn)
{
    outbox_event *ev = make_event("aborted", "k", NULL);
    outbox_error *err = NULL;

    send(conn, "BEGIN");
    outbox_emit_send(conn, ev, &err);
    send(conn, "SELECT 1/0");
    outbox_emit_send(conn, ev, &err);
    if (!PQpipelineSync(conn))
        bail("sync: %s", PQerrorMessage(conn));
    skip_result(conn, PGRES_COMMAND_OK);
    is_int(next_answer(conn, NULL, &err), OUTBOX_OK, "emitted before the failure");
    skip_result(conn, PGRES_FATAL_ERROR);
    is_error(outbox_emit_send(conn, ev, &err), OUTBOX_ESTATE, &err, "",
             "an earlier command of the pipeline failed", "a pipeline known to have failed takes no more");
    is_error(next_answer(conn, NULL, &err), OUTBOX_ESERVER, &err, "",
             "not executed, since an earlier command", "what came after the failure");
    skip_result(conn, PGRES_PIPELINE_SYNC);
    is_error(outbox_emit_send(conn, ev, &err), OUTBOX_ESTATE, &err, "", "the transaction has failed",
             "nor does the failed transaction");
    if (!PQexitPipelineMode(conn))
        bail("exit: %s", PQerrorMessage(conn));
    run(conn, "ROLLBACK");
    is_text(ask(conn, "SELECT count(*) FROM outbox.event WHERE type = 'aborted'"), "0",
            "nothing of it is there");
    outbox_event_free(ev);
}

/* The same through statements that are prepared, which end with the session. */
static void test_prepared(void)
{
    PGconn *conn = connect_to("");
    outbox_event *ev = make_event("prepared", "k", NULL);
    outbox_error *err = NULL;
    char id[OUTBOX_ID_SIZE];

    is_int(outbox_emit_prepare(conn, &err), OUTBOX_OK, "emission is prepared");
    is_int(outbox_emit_prepare(conn, &err), OUTBOX_OK, "and again");
    is_text(ask(conn, "SELECT string_agg(name, ' ' ORDER BY name) FROM pg_prepared_statements"),
            "outbox_emit outbox_emit_json outbox_emit_json_send outbox_emit_send", "the statements");
    run(conn, "BEGIN");
    is_error(outbox_emit_prepare(conn, &err), OUTBOX_ESTATE, &err, "", "prepare before BEGIN",
             "not within a transaction");
    is_int(outbox_emit(conn, ev, id, &err), OUTBOX_OK, "emitted by the one");
    is_int(outbox_emit_send(conn, ev, &err), OUTBOX_OK, "queued by the other");
    is_int(next_answer(conn, id, &err), OUTBOX_OK, "emitted");
    outbox_event_set_payload_json(ev, "{}");
    is_int(outbox_emit(conn, ev, id, &err), OUTBOX_OK, "JSON, emitted by a third");
    is_int(outbox_emit_send(conn, ev, &err), OUTBOX_OK, "queued by a fourth");
    is_int(next_answer(conn, id, &err), OUTBOX_OK, "emitted");
    run(conn, "COMMIT");
    is_text(ask(conn, "SELECT string_agg(name || generic_plans + custom_plans, ' ' ORDER BY name)"
                      "  FROM pg_prepared_statements"),
            "outbox_emit1 outbox_emit_json1 outbox_emit_json_send1 outbox_emit_send1", "each was used once");
    run(conn, "DISCARD ALL");
    run(conn, "BEGIN");
    is_error(outbox_emit(conn, ev, NULL, &err), OUTBOX_ESERVER, &err, "", "does not exist",
             "after DISCARD ALL it is told that the statement is gone");
    run(conn, "ROLLBACK");
    is_int(outbox_emit_prepare(conn, &err), OUTBOX_OK, "prepared anew");
    PQreset(conn);
    run(conn, "BEGIN");
    is_int(outbox_emit(conn, ev, NULL, &err), OUTBOX_OK, "after PQreset() it emits unprepared");
    run(conn, "COMMIT");
    is_text(ask(conn, "SELECT count(*) FROM outbox.event WHERE type = 'prepared'"), "5", "all were stored");
    PQfinish(conn);
    outbox_event_free(ev);
}

static void test_send_alone(PGconn *conn)
{
    outbox_event *ev = make_event("alone", "k", NULL);
    outbox_error *err = NULL;
    char id[OUTBOX_ID_SIZE];

    run(conn, "BEGIN");
    is_int(outbox_emit_send(conn, ev, &err), OUTBOX_OK, "sent without a pipeline");
    is_error(outbox_emit_send(conn, ev, &err), OUTBOX_ESTATE, &err, "", "another command is in progress",
             "one at a time");
    is_int(take_result(conn, id, &err), OUTBOX_OK, "and its result taken");
    run(conn, "COMMIT");
    is_text(ask(conn, "SELECT id FROM outbox.event WHERE type = 'alone'"), id, "it is there");
    outbox_event_free(ev);
}

void test_pipeline(void)
{
    PGconn *conn = connect_to("");
    outbox_event *ev = make_event("t", NULL, NULL);
    outbox_error *err = NULL;

    if (!PQenterPipelineMode(conn))
        bail("pipeline: %s", PQerrorMessage(conn));
    is_error(outbox_emit(conn, ev, NULL, &err), OUTBOX_ESTATE, &err, "", "use outbox_emit_send()",
             "outbox_emit() in pipeline mode");
    is_error(outbox_emit_send(conn, ev, &err), OUTBOX_ESTATE, &err, "", "no transaction is open",
             "a pipeline without BEGIN");
    test_pipeline_that_commits(conn);
    if (!PQenterPipelineMode(conn))
        bail("pipeline: %s", PQerrorMessage(conn));
    test_pipeline_that_fails(conn);
    test_prepared();
    test_send_alone(conn);
    outbox_event_free(ev);
    PQfinish(conn);
}

static void is_denied(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    ok(sqlstate && strcmp(sqlstate, "42501") == 0, "denied: %s", sql);
    if (!sqlstate || strcmp(sqlstate, "42501") != 0)
        printf("# %s\n", sqlstate ? PQresultErrorMessage(result) : "it was allowed");
    PQclear(result);
}

static void test_writer(PGconn *admin, const char *role)
{
    static const char *const others[] = {
        "SELECT * FROM outbox.event",
        "INSERT INTO outbox.event (type) VALUES ('t')",
        "UPDATE outbox.event SET type = 't'",
        "DELETE FROM outbox.event",
        "TRUNCATE outbox.event",
        "SELECT * FROM outbox.emitted",
        "SELECT setval('outbox.event_seq', 1)",
        "SELECT * FROM outbox.new_event",
        "SELECT last_value FROM outbox.event_seq",
        "SELECT outbox.tick()",
        "CREATE TABLE outbox.mine (a integer)",
    };
    outbox_event *ev = make_event("rights", "k", id_a);
    const outbox_event *events[] = {ev};
    outbox_error *err = NULL;
    char options[64];
    char sql[128];
    PGconn *conn;

    snprintf(options, sizeof(options), "user=%s", role);
    conn = connect_to(options);
    outbox_event_set_id(ev, "44444444-dddd-4ddd-8ddd-000000000004");
    run(conn, "BEGIN");
    is_error(outbox_emit(conn, ev, NULL, &err), OUTBOX_ESERVER, &err, "", "; GRANT outbox_writer to the role",
             "a role without rights is told what it needs");
    run(conn, "ROLLBACK");
    snprintf(sql, sizeof(sql), "GRANT outbox_writer TO %s", role);
    run(admin, sql);
    run(conn, "BEGIN");
    is_int(outbox_emit(conn, ev, NULL, &err), OUTBOX_OK, "with outbox_writer it emits");
    is_int(outbox_emit_array(conn, events, 1, NULL, NULL, &err), OUTBOX_ALREADY_EMITTED, "and arrays");
    is_text(ask(conn, "SELECT outbox.emit(type => 'rights', payload => '{}') IS NOT NULL"), "t",
            "and in SQL");
    run(conn, "COMMIT");
    is_text(ask(conn,
                "SELECT string_agg(DISTINCT proname, ' ' ORDER BY proname) FROM pg_proc"
                " WHERE pronamespace = 'outbox'::regnamespace AND has_function_privilege(oid, 'EXECUTE')"),
            "admit admit_json emit emit_event emit_events", "the functions that it may call");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        is_denied(conn, others[i]);
    PQfinish(conn);
    outbox_event_free(ev);
}

static void test_missing_schema(void)
{
    PGconn *conn = connect_to("dbname=template1");
    outbox_event *ev = make_event("t", NULL, NULL);
    outbox_error *err = NULL;

    run(conn, "BEGIN");
    is_error(outbox_emit(conn, ev, NULL, &err), OUTBOX_ESERVER, &err, "",
             "; install the schema, or bring it up to date, with outboxctl migrate", "a database without the schema");
    PQfinish(conn);
    outbox_event_free(ev);
}

void test_rights(void)
{
    PGconn *admin = connect_to("");
    char role[32];
    char sql[128];

    snprintf(role, sizeof(role), "emit_test_%d", PQbackendPID(admin));
    snprintf(sql, sizeof(sql), "CREATE ROLE %s LOGIN", role);
    run(admin, sql);
    test_writer(admin, role);
    snprintf(sql, sizeof(sql), "DROP ROLE %s", role);
    run(admin, sql);
    test_missing_schema();
    PQfinish(admin);
}
