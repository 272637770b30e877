/* What is refused before anything is sent, what is sent, and how answers are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <outbox/outbox.h>

#include "fake_libpq.h"

static PGconn *conn;
static outbox_event *ev;

static int set_up(void **state)
{
    (void)state;
    conn = fake_conn();
    ev = outbox_event_new();
    outbox_event_set_type(ev, "order_placed");
    return ev ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    outbox_event_free(ev);
    fake_free();
    return 0;
}

/* The three ways to emit, with one event. */
static int emit_one(outbox_error **reterr)
{
    return outbox_emit(conn, ev, NULL, reterr);
}

static int emit_array(outbox_error **reterr)
{
    const outbox_event *events[] = {ev};

    return outbox_emit_array(conn, events, 1, NULL, NULL, reterr);
}

static int emit_send(outbox_error **reterr)
{
    return outbox_emit_send(conn, ev, reterr);
}

static void assert_refused(int (*emit)(outbox_error **), int code, const char *field, const char *part)
{
    outbox_error *err = NULL;
    int r = emit(&err);

    if (r != code)
        fail_msg("%d instead of %d (%s)", r, code, part);
    assert_non_null(err);
    assert_int_equal(outbox_error_code(err), code);
    assert_string_equal(outbox_error_field(err), field);
    if (!strstr(outbox_error_message(err), part))
        fail_msg("\"%s\" does not tell: %s", outbox_error_message(err), part);
    outbox_error_free(err);
    assert_int_equal(emit(NULL), code);
    assert_int_equal(fake.sent, 0);
}

static void assert_all_refuse(int code, const char *field, const char *part)
{
    assert_refused(emit_one, code, field, part);
    assert_refused(emit_array, code, field, part);
    assert_refused(emit_send, code, field, part);
}

static void test_no_transaction(void **state)
{
    (void)state;
    fake.transaction = PQTRANS_IDLE;
    assert_all_refuse(OUTBOX_ESTATE, "", "no transaction is open; BEGIN");
}

static void test_failed_transaction(void **state)
{
    (void)state;
    fake.transaction = PQTRANS_INERROR;
    assert_all_refuse(OUTBOX_ESTATE, "", "the transaction has failed; roll it back");
}

static void test_command_in_progress(void **state)
{
    (void)state;
    fake.transaction = PQTRANS_ACTIVE;
    assert_all_refuse(OUTBOX_ESTATE, "", "another command is in progress");
}

static void test_no_connection(void **state)
{
    (void)state;
    fake.message = "could not receive data\nsecond line\n";
    fake.status = CONNECTION_BAD;
    fake.transaction = PQTRANS_UNKNOWN;
    assert_all_refuse(OUTBOX_ECONNECTION, "",
                      "the connection is not open; connect again: could not receive data");
    fake.status = CONNECTION_STARTED;
    assert_all_refuse(OUTBOX_ECONNECTION, "", "not open");
    conn = NULL;
    assert_all_refuse(OUTBOX_EINVAL, "", "conn: is NULL");
}

static void test_other_encoding(void **state)
{
    (void)state;
    fake.encoding = "LATIN1";
    assert_all_refuse(OUTBOX_ESTATE, "", "client_encoding is LATIN1, events are UTF-8; connect with");
    fake.encoding = NULL;
    assert_all_refuse(OUTBOX_ESTATE, "", "client_encoding is unknown");
}

static void test_pipeline_mode(void **state)
{
    (void)state;
    fake.pipeline = PQ_PIPELINE_ON;
    assert_refused(emit_one, OUTBOX_ESTATE, "", "pipeline mode; use outbox_emit_send()");
    assert_refused(emit_array, OUTBOX_ESTATE, "", "pipeline mode; use outbox_emit_send()");
    fake.transaction = PQTRANS_IDLE;
    assert_refused(emit_send, OUTBOX_ESTATE, "", "no transaction is open");
    fake.pipeline = PQ_PIPELINE_ABORTED;
    fake.transaction = PQTRANS_ACTIVE;
    assert_all_refuse(OUTBOX_ESTATE, "", "an earlier command of the pipeline failed");
    fake.pipeline = PQ_PIPELINE_ON;
    assert_int_equal(emit_send(NULL), OUTBOX_OK);
    assert_int_equal(fake.queued, 1);
}

static void test_event_is_checked(void **state)
{
    (void)state;
    outbox_event_set_payload_json(ev, "{");
    assert_refused(emit_one, OUTBOX_EINVAL, "payload", "payload: is not JSON");
    assert_refused(emit_send, OUTBOX_EINVAL, "payload", "payload: is not JSON");
    assert_refused(emit_array, OUTBOX_EINVAL, "payload", "events[0]: payload: is not JSON");
    outbox_event_free(ev);
    ev = NULL;
    assert_refused(emit_one, OUTBOX_EINVAL, "", "event: is NULL");
    assert_refused(emit_array, OUTBOX_EINVAL, "", "events[0]: event: is NULL");
}

static void test_array_tells_which(void **state)
{
    outbox_event *bad = outbox_event_new();
    const outbox_event *events[] = {ev, ev, bad, ev};
    outbox_error *err = NULL;

    (void)state;
    outbox_event_set_type(bad, "t");
    outbox_event_set_partition(bad, -5);
    assert_int_equal(outbox_emit_array(conn, events, 4, NULL, NULL, &err), OUTBOX_EINVAL);
    assert_string_equal(outbox_error_message(err),
                        "events[2]: partition: -5 is negative; leave it out to let the key decide");
    assert_string_equal(outbox_error_field(err), "partition");
    assert_int_equal(fake.sent, 0);
    outbox_error_free(err);
    outbox_event_free(bad);
}

static void test_array_limits(void **state)
{
    const size_t limit = OUTBOX_ARRAY_COUNT_LIMIT;
    const outbox_event **events = calloc(limit + 1, sizeof(*events));
    static char block[1024 * 1024];
    outbox_error *err = NULL;

    (void)state;
    assert_non_null(events);
    for (size_t i = 0; i <= limit; i++)
        events[i] = ev;
    assert_int_equal(outbox_emit_array(conn, events, limit + 1, NULL, NULL, &err), OUTBOX_ELIMIT);
    assert_string_equal(outbox_error_field(err), "count");
    assert_string_equal(outbox_error_message(err),
                        "count: is 10001, the limit is 10000; emit in several calls");
    outbox_event_borrow_payload(ev, block, sizeof(block));
    assert_int_equal(outbox_emit_array(conn, events, 256, NULL, NULL, &err), OUTBOX_ELIMIT);
    assert_string_equal(outbox_error_field(err), "events");
    assert_non_null(strstr(outbox_error_message(err), "more than 268435456 bytes"));
    assert_int_equal(outbox_emit_array(conn, NULL, 1, NULL, NULL, &err), OUTBOX_EINVAL);
    assert_int_equal(fake.sent, 0);
    assert_int_equal(outbox_emit_array(conn, NULL, 0, NULL, NULL, NULL), OUTBOX_OK);
    assert_int_equal(fake.sent, 0);
    outbox_error_free(err);
    free(events);
}

static void test_what_is_sent(void **state)
{
    static const Oid types[FAKE_PARAMS] = {25, 25, 17, 25, 25, 3802, 2950, 25, 23, 25, 25, 1184, 25};
    char id[OUTBOX_ID_SIZE];

    (void)state;
    outbox_event_set_key(ev, "42");
    outbox_event_set_payload(ev, "\0x", 2);
    fake.result = fake_result(PGRES_COMMAND_OK);
    assert_int_equal(outbox_emit(conn, ev, id, NULL), OUTBOX_OK);
    assert_int_equal(id[14], '4'); /* of version 4 */
    assert_non_null(strchr("89ab", id[19]));
    assert_int_equal(fake.sent, 1);
    assert_int_equal(fake.queued, 0);
    assert_non_null(strstr(fake.sql, "INSERT INTO outbox.new_event ("));
    assert_null(strstr(fake.sql, "RETURNING"));
    assert_memory_equal(fake.types, types, sizeof(types));
    assert_int_equal(fake.result_format, 1);
    for (int i = 0; i < FAKE_PARAMS; i++)
        assert_int_equal(fake.formats[i], 1);
    assert_int_equal(fake.sizes[0], strlen("order_placed"));
    assert_memory_equal(fake.values[0], "order_placed", strlen("order_placed"));
    assert_memory_equal(fake.values[1], "42", 2);
    assert_int_equal(fake.sizes[2], 2);
    assert_memory_equal(fake.values[2], "\0x", 2);
    assert_int_equal(fake.sizes[6], 16);
    for (int i = 3; i < FAKE_PARAMS; i++) {
        if (i != 6)
            assert_null(fake.values[i]);
    }
}

/* What most events are needs the fewest parameters. */
static void test_json_is_sent(void **state)
{
    static const Oid types[] = {25, 25, 17, 2950};

    (void)state;
    outbox_event_set_key(ev, "42");
    outbox_event_set_payload_json(ev, "{}");
    fake.result = fake_result(PGRES_COMMAND_OK);
    assert_int_equal(outbox_emit(conn, ev, NULL, NULL), OUTBOX_OK);
    assert_string_equal(fake.sql, "INSERT INTO outbox.new_json_event (type, key, payload, id) VALUES ($1, $2, $3, $4)");
    assert_memory_equal(fake.types, types, sizeof(types));
    assert_memory_equal(fake.values[1], "42", 2);
    assert_memory_equal(fake.values[2], "{}", 2);
    assert_int_equal(fake.sizes[3], 16);
    assert_int_equal(outbox_emit_send(conn, ev, NULL), OUTBOX_OK);
    assert_non_null(strstr(fake.sql, "new_json_event"));
    assert_non_null(strstr(fake.sql, "RETURNING $4 AS id"));
}

/* One field more, or another content type, and the event goes through the other door. */
static void test_more_than_json(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        outbox_event_set_payload_json(ev, "{}");
        if (i == 0)
            outbox_event_set_topic(ev, "t");
        else if (i == 1)
            outbox_event_set_header(ev, "a", "b");
        else if (i == 2)
            outbox_event_set_tenant(ev, "t");
        else if (i == 3)
            outbox_event_set_partition(ev, 0);
        else if (i == 4)
            outbox_event_set_occurred_at(ev, 1);
        else if (i == 5)
            outbox_event_set_schema_ref(ev, "s");
        else if (i == 6)
            outbox_event_set_content_type(ev, "application/json; charset=utf-8");
        else
            outbox_event_set_traceparent(ev, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        fake.result = fake_result(PGRES_COMMAND_OK);
        assert_int_equal(outbox_emit(conn, ev, NULL, NULL), OUTBOX_OK);
        assert_non_null(strstr(fake.sql, "INSERT INTO outbox.new_event ("));
        outbox_event_reset(ev);
        outbox_event_set_type(ev, "order_placed");
    }
}

static void test_ids_differ(void **state)
{
    char first[OUTBOX_ID_SIZE];
    char second[OUTBOX_ID_SIZE];

    (void)state;
    fake.result = fake_result(PGRES_COMMAND_OK);
    assert_int_equal(outbox_emit(conn, ev, first, NULL), OUTBOX_OK);
    fake.result = fake_result(PGRES_COMMAND_OK);
    assert_int_equal(outbox_emit(conn, ev, second, NULL), OUTBOX_OK);
    assert_string_not_equal(first, second);
}

/* A tombstone has no content type. */
static void test_tombstone(void **state)
{
    (void)state;
    outbox_event_set_key(ev, "42");
    outbox_event_set_content_type(ev, "application/json");
    fake.result = fake_result(PGRES_COMMAND_OK);
    assert_int_equal(outbox_emit(conn, ev, NULL, NULL), OUTBOX_OK);
    assert_null(fake.values[2]);
    assert_null(fake.values[3]);
}

/* The caller's own id has to be claimed. */
static void test_own_id(void **state)
{
    const bool already[] = {true};
    char id[OUTBOX_ID_SIZE];

    (void)state;
    outbox_event_set_id(ev, "01010101-0101-0101-0101-010101010101");
    fake.result = fake_rows(1, already);
    assert_int_equal(outbox_emit_prepare(conn, NULL), OUTBOX_ESTATE); /* in a transaction */
    assert_int_equal(outbox_emit(conn, ev, id, NULL), OUTBOX_ALREADY_EMITTED);
    assert_string_equal(id, "01010101-0101-0101-0101-010101010101");
    assert_non_null(strstr(fake.sql, "outbox.emit_event($1, $2"));
}

static void test_prepared(void **state)
{
    (void)state;
    fake.transaction = PQTRANS_IDLE;
    assert_int_equal(outbox_emit_prepare(conn, NULL), OUTBOX_OK);
    assert_int_equal(fake.prepared_count, 4);
    assert_string_equal(fake.prepared[0], "outbox_emit_json");
    assert_string_equal(fake.prepared[1], "outbox_emit_json_send");
    assert_string_equal(fake.prepared[2], "outbox_emit");
    assert_string_equal(fake.prepared[3], "outbox_emit_send");
    fake.transaction = PQTRANS_INTRANS;
    fake.result = fake_result(PGRES_COMMAND_OK);
    assert_int_equal(outbox_emit(conn, ev, NULL, NULL), OUTBOX_OK);
    assert_string_equal(fake.named, "outbox_emit");
    assert_int_equal(outbox_emit_send(conn, ev, NULL), OUTBOX_OK);
    assert_string_equal(fake.named, "outbox_emit_send");

    fake_reset(conn); /* a new session knows of nothing */
    fake.result = fake_result(PGRES_COMMAND_OK);
    assert_int_equal(outbox_emit(conn, ev, NULL, NULL), OUTBOX_OK);
    assert_null(fake.named);
    fake.transaction = PQTRANS_IDLE;
    assert_int_equal(outbox_emit_prepare(conn, NULL), OUTBOX_OK);
    fake.transaction = PQTRANS_INTRANS;
    assert_int_equal(outbox_emit_send(conn, ev, NULL), OUTBOX_OK);
    assert_string_equal(fake.named, "outbox_emit_send");
}

static void test_not_prepared(void **state)
{
    outbox_error *err = NULL;

    (void)state;
    assert_int_equal(outbox_emit_prepare(NULL, NULL), OUTBOX_EINVAL);
    assert_int_equal(outbox_emit_prepare(conn, &err), OUTBOX_ESTATE);
    assert_non_null(strstr(outbox_error_message(err), "prepare before BEGIN"));
    fake.transaction = PQTRANS_IDLE;
    fake.pipeline = PQ_PIPELINE_ON;
    assert_int_equal(outbox_emit_prepare(conn, NULL), OUTBOX_ESTATE);
    fake.pipeline = PQ_PIPELINE_OFF;
    fake.result = fake_result(PGRES_FATAL_ERROR);
    assert_true(outbox_emit_prepare(conn, NULL) < 0);
    fake.cannot_register = true;
    assert_int_equal(outbox_emit_prepare(conn, NULL), OUTBOX_ENOMEM);
    fake.transaction = PQTRANS_INTRANS;
    fake.result = fake_result(PGRES_COMMAND_OK);
    assert_int_equal(outbox_emit(conn, ev, NULL, NULL), OUTBOX_OK);
    assert_null(fake.named);
    outbox_error_free(err);
}

static void test_array_format(void **state)
{
    static const unsigned char keys[] = {0, 0, 0, 1, 0, 0, 0, 1,   0,   0,    0,    25,   0,    0, 0, 3, 0,
                                         0, 0, 1, 0, 0, 0, 2, '4', '2', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    const bool already[] = {false, true, false};
    const outbox_event *events[3] = {ev, NULL, NULL};
    outbox_event *second = outbox_event_new();
    outbox_event *third = outbox_event_new();
    char ids[3][OUTBOX_ID_SIZE];
    int answers[3];

    (void)state;
    events[1] = second;
    events[2] = third;
    outbox_event_set_key(ev, "42");
    outbox_event_set_type(second, "b");
    outbox_event_set_type(third, "c");
    outbox_event_set_key(third, "");
    fake.result = fake_rows(3, already);
    assert_int_equal(outbox_emit_array(conn, events, 3, ids, answers, NULL), OUTBOX_ALREADY_EMITTED);
    assert_int_equal(fake.sent, 1);
    assert_non_null(strstr(fake.sql, "outbox.emit_events($1, $2"));
    assert_int_equal(fake.types[1], 1009);
    assert_int_equal(fake.sizes[1], sizeof(keys));
    assert_memory_equal(fake.values[1], keys, sizeof(keys));
    for (int i = 2; i < FAKE_PARAMS; i++)
        assert_null(fake.values[i]); /* a field that no event has */
    assert_string_equal(ids[0], "01010101-0101-0101-0101-010101010101");
    assert_string_equal(ids[2], "03030303-0303-0303-0303-030303030303");
    assert_int_equal(answers[0], OUTBOX_OK);
    assert_int_equal(answers[1], OUTBOX_ALREADY_EMITTED);
    assert_int_equal(answers[2], OUTBOX_OK);
    outbox_event_free(second);
    outbox_event_free(third);
}

static void test_libpq_cannot_send(void **state)
{
    outbox_error *err = NULL;
    char id[OUTBOX_ID_SIZE] = "untouched";

    (void)state;
    fake.message = "out of memory\n";
    assert_int_equal(outbox_emit(conn, ev, id, &err), OUTBOX_ENOMEM);
    assert_string_equal(outbox_error_message(err), "libpq could not send the statement: out of memory");
    fake.cannot_queue = true;
    assert_int_equal(outbox_emit_send(conn, ev, &err), OUTBOX_ENOMEM);
    assert_int_equal(emit_array(&err), OUTBOX_ENOMEM);
    assert_string_equal(id, "untouched");
    outbox_error_free(err);
}

static void test_foreign_results(void **state)
{
    static const ExecStatusType others[] = {PGRES_EMPTY_QUERY, PGRES_TUPLES_OK, PGRES_PIPELINE_SYNC,
                                            PGRES_COPY_IN};
    const bool already[] = {false, false};
    char id[OUTBOX_ID_SIZE] = "untouched";
    PGresult *two = fake_rows(2, already);
    outbox_error *err = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        PGresult *result = fake_result(others[i]);

        assert_int_equal(outbox_emit_result(result, id, &err), OUTBOX_EINVAL);
        PQclear(result);
        fake.result = fake_result(others[i]);
        assert_int_equal(outbox_emit(conn, ev, id, &err), OUTBOX_EINTERNAL);
    }
    assert_int_equal(outbox_emit_result(two, id, &err), OUTBOX_EINVAL);
    assert_int_equal(outbox_emit_result(NULL, id, &err), OUTBOX_EINVAL);
    PQclear(fake.result);
    fake.result = fake_result(PGRES_COMMAND_OK); /* of another statement of the caller's */
    assert_int_equal(outbox_emit_result(fake.result, id, &err), OUTBOX_EINVAL);
    PQclear(fake.result);
    fake.result = fake_rows(2, already);
    assert_int_equal(emit_array(&err), OUTBOX_EINTERNAL);
    assert_string_equal(outbox_error_message(err), "the server answered for 2 of 1 events");
    assert_string_equal(id, "untouched");
    outbox_error_free(err);
    PQclear(two);
}

static void test_result_of_a_queued_one(void **state)
{
    const bool already[] = {true};
    PGresult *good = fake_rows(1, already);
    PGresult *aborted = fake_result(PGRES_PIPELINE_ABORTED);
    PGresult *broken = fake_result(PGRES_FATAL_ERROR);
    outbox_error *err = NULL;
    char id[OUTBOX_ID_SIZE];

    (void)state;
    assert_int_equal(outbox_emit_result(good, id, &err), OUTBOX_ALREADY_EMITTED);
    assert_string_equal(id, "01010101-0101-0101-0101-010101010101");
    assert_null(err);
    assert_int_equal(outbox_emit_result(aborted, id, &err), OUTBOX_ESERVER);
    assert_non_null(strstr(outbox_error_message(err), "an earlier command of the pipeline failed"));
    /* An error without a SQLSTATE is libpq's own: the connection broke. */
    assert_int_equal(outbox_emit_result(broken, id, &err), OUTBOX_ECONNECTION);
    outbox_error_free(err);
    PQclear(good);
    PQclear(aborted);
    PQclear(broken);
}

static void test_version(void **state)
{
    (void)state;
    assert_string_equal(outbox_version(), OUTBOX_VERSION);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_no_transaction),
        TEST(test_failed_transaction),
        TEST(test_command_in_progress),
        TEST(test_no_connection),
        TEST(test_other_encoding),
        TEST(test_pipeline_mode),
        TEST(test_event_is_checked),
        TEST(test_array_tells_which),
        TEST(test_array_limits),
        TEST(test_what_is_sent),
        TEST(test_json_is_sent),
        TEST(test_more_than_json),
        TEST(test_ids_differ),
        TEST(test_tombstone),
        TEST(test_own_id),
        TEST(test_prepared),
        TEST(test_not_prepared),
        TEST(test_array_format),
        TEST(test_libpq_cannot_send),
        TEST(test_foreign_results),
        TEST(test_result_of_a_queued_one),
        TEST(test_version),
    };
#undef TEST

    return cmocka_run_group_tests_name("emit checks", tests, NULL, NULL);
}
