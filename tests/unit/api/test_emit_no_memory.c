/* Every allocation of ours in the emitting calls fails once: the failure is reported, nothing is
 * sent without being complete, and the next call works. */
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

static PGconn *conn;
static outbox_event *ev;

static int emit_one(char *ret_id, outbox_error **reterr)
{
    return outbox_emit(conn, ev, ret_id, reterr);
}

static int emit_send(char *ret_id, outbox_error **reterr)
{
    (void)ret_id;
    return outbox_emit_send(conn, ev, reterr);
}

static int emit_array(char *ret_id, outbox_error **reterr)
{
    const outbox_event *events[EVENTS];
    char ids[EVENTS][OUTBOX_ID_SIZE];
    int r;

    for (int i = 0; i < EVENTS; i++)
        events[i] = ev;
    r = outbox_emit_array(conn, events, EVENTS, ids, NULL, reterr);
    if (r >= 0)
        memcpy(ret_id, ids[0], OUTBOX_ID_SIZE);
    return r;
}

static void loop(int (*emit)(char *, outbox_error **), int rows)
{
    const bool already[EVENTS] = {false};
    long n;

    for (n = 1; n < 200; n++) {
        outbox_error *err = NULL;
        char id[OUTBOX_ID_SIZE] = "untouched";
        int r;

        conn = fake_conn();
        fake.result = rows > 0 ? fake_rows(rows, already) : fake_result(PGRES_COMMAND_OK);
        fail_alloc_at(n);
        r = emit(id, &err);
        fail_alloc_never();
        if (!alloc_has_failed()) {
            assert_int_equal(r, OUTBOX_OK);
            assert_int_equal(fake.sent, 1);
            break;
        }
        assert_int_equal(r, OUTBOX_ENOMEM);
        assert_int_equal(outbox_error_code(err), OUTBOX_ENOMEM);
        assert_int_equal(fake.sent, 0);
        assert_string_equal(id, "untouched");
        outbox_error_free(err);
    }
    assert_true(n > 1 && n < 200);
}

static void test_emit(void **state)
{
    (void)state;
    loop(emit_one, 0);
}

static void test_emit_send(void **state)
{
    (void)state;
    loop(emit_send, 1);
}

static void test_emit_array(void **state)
{
    (void)state;
    loop(emit_array, EVENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_emit),
        cmocka_unit_test(test_emit_send),
        cmocka_unit_test(test_emit_array),
    };
    int failed;

    ev = outbox_event_new();
    outbox_event_set_type(ev, "order_placed");
    outbox_event_set_key(ev, "42");
    outbox_event_set_payload(ev, "a payload of some length that makes the arrays grow", 50);
    outbox_event_set_header(ev, "a", "b");
    failed = cmocka_run_group_tests_name("emit without memory", tests, NULL, NULL);
    outbox_event_free(ev);
    fake_free();
    return failed;
}
