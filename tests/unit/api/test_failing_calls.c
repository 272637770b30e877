/* What a service links, when a call below it fails: each allocation and each call of libpq, once.
 * The failure is reported, what the caller gets is untouched, nothing leaks (LeakSanitizer
 * looks), and the next call works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <outbox/outbox.h>

#include "failing_alloc.h"
#include "fake_libpq.h"

#define EVENTS 20
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static PGconn *conn;
static outbox_event *ev;
static outbox_event *own_id;
static char ids[EVENTS][OUTBOX_ID_SIZE];
static int answers[EVENTS];

/* ---- the public calls ---- */

static int emit(outbox_error **reterr)
{
    return outbox_emit(conn, ev, ids[0], reterr);
}

static int emit_own_id(outbox_error **reterr)
{
    return outbox_emit(conn, own_id, ids[0], reterr);
}

static int emit_send(outbox_error **reterr)
{
    return outbox_emit_send(conn, ev, reterr);
}

static int emit_array(outbox_error **reterr)
{
    const outbox_event *events[EVENTS];

    for (int i = 0; i < EVENTS; i++)
        events[i] = i % 2 ? ev : own_id;
    return outbox_emit_array(conn, events, EVENTS, ids, answers, reterr);
}

static int emit_prepare(outbox_error **reterr)
{
    return outbox_emit_prepare(conn, reterr);
}

/* The result is this call's, as PQgetResult() would deliver it. */
static int emit_result(outbox_error **reterr)
{
    return outbox_emit_result(fake.result, ids[0], reterr);
}

static int inbox_claim(outbox_error **reterr)
{
    return outbox_inbox_claim(conn, "billing", "m", OUTBOX_INBOX_WAIT, reterr);
}

static const struct call {
    const char *name;
    int (*call)(outbox_error **reterr);
    int rows;         /* of the good answer; 0: none */
    bool prepares;    /* outside a transaction */
    bool queues;      /* its answer comes later */
    const char *text; /* the good answer, where it is a word */
} calls[] = {
    {"emit", emit, 0, false, false, NULL},
    {"emit, own id", emit_own_id, 1, false, false, NULL},
    {"emit_send", emit_send, 0, false, true, NULL},
    {"emit_array", emit_array, EVENTS, false, false, NULL},
    {"emit_prepare", emit_prepare, 0, true, false, NULL},
    {"emit_result", emit_result, 1, false, false, NULL},
    {"inbox_claim", inbox_claim, 0, false, false, "new"},
};

static void make_ready(const struct call *call, bool prepared)
{
    const bool already[EVENTS] = {false};

    conn = fake_conn();
    if (prepared && !call->prepares) {
        fake.transaction = PQTRANS_IDLE;
        assert_int_equal(outbox_emit_prepare(conn, NULL), OUTBOX_OK);
    }
    fake.transaction = call->prepares ? PQTRANS_IDLE : PQTRANS_INTRANS;
    if (call->text)
        fake.result = fake_text(call->text);
    else
        fake.result = call->rows > 0 ? fake_rows(call->rows, already) : fake_result(PGRES_COMMAND_OK);
    memset(ids, 'u', sizeof(ids));
    memset(answers, 0x55, sizeof(answers));
}

static void assert_untouched(void)
{
    for (size_t i = 0; i < sizeof(ids); i++)
        assert_int_equal(((char *)ids)[i], 'u');
    for (int i = 0; i < EVENTS; i++)
        assert_int_equal(answers[i], 0x55555555);
}

static void assert_good(const struct call *call, bool prepared)
{
    make_ready(call, prepared);
    if (call->call(NULL) != OUTBOX_OK)
        fail_msg("%s does not work any more", call->name);
}

static void assert_failed(const struct call *call, const char *what, int r, outbox_error *err)
{
    if (r >= 0 || !err || outbox_error_code(err) != r || !*outbox_error_message(err))
        fail_msg("%s, %s: answers %d, %s", call->name, what, r, err ? outbox_error_message(err) : "no error");
    assert_untouched();
    outbox_error_free(err);
}

/* ---- allocations ---- */

/* Without memory for the error it is one that was there before; what failed already fails on. */
static void fail_each_allocation(const struct call *call, bool prepared, void (*fail_alloc)(long))
{
    long n;

    for (n = 1; n < 300; n++) {
        outbox_error *err = NULL;
        int r;

        make_ready(call, prepared);
        fail_alloc(n);
        r = call->call(&err);
        fail_alloc_never();
        if (!alloc_has_failed()) {
            assert_int_equal(r, OUTBOX_OK);
            return;
        }
        assert_int_equal(r, OUTBOX_ENOMEM);
        assert_failed(call, "no memory", r, err);
        assert_int_equal(fake.sent, 0);
        assert_good(call, prepared);
    }
    fail_msg("%s never succeeds", call->name);
}

static void test_allocations(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(calls); i++) {
        fail_each_allocation(&calls[i / 2], i % 2, fail_alloc_at);
        fail_each_allocation(&calls[i / 2], i % 2, fail_alloc_from);
    }
}

/* ---- libpq ---- */

static void fail_by(const struct call *call, const char *what, bool prepared)
{
    outbox_error *err = NULL;
    int r = call->call(&err);

    assert_failed(call, what, r, err);
    assert_good(call, prepared);
}

static void test_results(void **state)
{
    static const ExecStatusType statuses[] = {PGRES_EMPTY_QUERY,      PGRES_COPY_OUT,       PGRES_COPY_IN,
                                              PGRES_BAD_RESPONSE,     PGRES_NONFATAL_ERROR, PGRES_FATAL_ERROR,
                                              PGRES_PIPELINE_ABORTED, PGRES_TUPLES_OK};

    (void)state;
    for (size_t i = 0; i < COUNT(calls); i++) {
        for (size_t at = 0; at < COUNT(statuses) && !calls[i].queues; at++) {
            make_ready(&calls[i], false);
            PQclear(fake.result);
            fake.result = fake_result(statuses[at]);
            fail_by(&calls[i], PQresStatus(statuses[at]), false);
        }
    }
}

static void test_no_result(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(calls); i++) {
        const struct call *call = &calls[i / 2];
        bool lost = i % 2;

        if (call->prepares) /* has an answer of its own where there is none */
            continue;
        make_ready(call, false);
        PQclear(fake.result);
        fake.result = NULL;
        fake.cannot_queue = true;
        fake.message = "out of memory\n";
        fake.status = lost && call->call != emit_result ? CONNECTION_BAD : CONNECTION_OK;
        fail_by(call, lost ? "connection lost" : "not sent", false);
    }
}

static void test_no_place_for_instance_data(void **state)
{
    const struct call *call = &calls[4];

    (void)state;
    assert_ptr_equal(call->call, emit_prepare);
    make_ready(call, false);
    fake.cannot_register = true;
    fail_by(call, "cannot register", false);
}

/* ---- events and webhooks ---- */

typedef int setter(outbox_event *, const char *);

/* A value that could not be stored is remembered: nothing is sent without it. */
static void test_setters(void **state)
{
    static setter *const setters[] = {
        outbox_event_set_type,         outbox_event_set_key,         outbox_event_set_topic,
        outbox_event_set_tenant,       outbox_event_set_traceparent, outbox_event_set_tracestate,
        outbox_event_set_content_type, outbox_event_set_schema_ref,  outbox_event_set_id,
        outbox_event_set_payload_json,
    };

    (void)state;
    for (size_t i = 0; i < COUNT(setters); i++) {
        outbox_event *event = outbox_event_new();

        assert_non_null(event);
        assert_int_equal(outbox_event_set_type(event, "t"), OUTBOX_OK);
        fail_alloc_at(1);
        /* longer than what the type has room for already */
        assert_int_equal(setters[i](event, "a value that is so long that it needs memory of its own, doesn't it, as "
                                           "it is much longer than what was there before, for sure"),
                         OUTBOX_ENOMEM);
        fail_alloc_never();
        assert_int_equal(outbox_event_check(event, NULL), OUTBOX_ENOMEM);
        assert_int_equal(setters[i](event, i == 0 ? "t" : NULL), OUTBOX_OK);
        assert_int_equal(outbox_event_check(event, NULL), OUTBOX_OK);
        outbox_event_free(event);
    }
    fail_alloc_at(1);
    assert_null(outbox_event_new());
    fail_alloc_never();
}

static void test_payload_and_headers(void **state)
{
    outbox_event *event = outbox_event_new();

    (void)state;
    outbox_event_set_type(event, "t");
    fail_alloc_at(1);
    assert_int_equal(outbox_event_set_payload(event, "bytes", 5), OUTBOX_ENOMEM);
    assert_int_equal(outbox_event_check(event, NULL), OUTBOX_ENOMEM);
    assert_int_equal(outbox_event_borrow_payload(event, "bytes", 5), OUTBOX_OK);
    outbox_event_free(event);
    for (int n = 1; n <= 4; n++) { /* the list, the name, the value; and then nothing */
        int wanted = n <= 3 ? OUTBOX_ENOMEM : OUTBOX_OK;

        event = outbox_event_new();
        outbox_event_set_type(event, "t");
        fail_alloc_at(n);
        assert_int_equal(outbox_event_set_header(event, "name", "value"), wanted);
        fail_alloc_never();
        assert_int_equal(outbox_event_check(event, NULL), wanted);
        outbox_event_reset(event);
        outbox_event_set_type(event, "t");
        assert_int_equal(outbox_event_set_header(event, "name", "value"), OUTBOX_OK);
        assert_int_equal(outbox_event_check(event, NULL), OUTBOX_OK);
        outbox_event_free(event);
    }
}

/* Not verified is not authentic: without memory nothing is. */
static void test_webhook_verify(void **state)
{
    const outbox_webhook hook = {.id = "msg_p5jXN8AQM9LWM0D4loKWxJek",
                                 .timestamp = "1614265330",
                                 .signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                                 .body = "{\"test\": 2432232314}",
                                 .body_size = 20};
    const char *secrets[] = {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
    long n;

    (void)state;
    for (n = 1; n < 20; n++) {
        outbox_error *err = NULL;
        int r;

        fail_alloc_at(n);
        r = outbox_webhook_verify(&hook, secrets, 1, 1614265330, 0, &err);
        fail_alloc_never();
        if (!alloc_has_failed()) {
            assert_int_equal(r, OUTBOX_OK);
            break;
        }
        assert_true(r == OUTBOX_ENOMEM || r == OUTBOX_EINTERNAL);
        assert_int_equal(outbox_error_code(err), r);
        outbox_error_free(err);
    }
    assert_true(n > 2 && n < 20);
}

static outbox_event *make_event(void)
{
    outbox_event *event = outbox_event_new();

    outbox_event_set_type(event, "order_placed");
    outbox_event_set_key(event, "42");
    outbox_event_set_payload(event, "a payload of some length that makes the arrays grow", 50);
    outbox_event_set_header(event, "a", "b");
    return event;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocations),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_no_result),
        cmocka_unit_test(test_no_place_for_instance_data),
        cmocka_unit_test(test_setters),
        cmocka_unit_test(test_payload_and_headers),
        cmocka_unit_test(test_webhook_verify),
    };
    int failed;

    ev = make_event();
    own_id = make_event();
    outbox_event_set_id(own_id, "01010101-0101-0101-0101-010101010101");
    failed = cmocka_run_group_tests_name("failing calls", tests, NULL, NULL);
    outbox_event_free(ev);
    outbox_event_free(own_id);
    fake_free();
    return failed;
}
