/* Every allocation in the life of an event fails once, alone or with all after it.  Each time the
 * failure is reported, nothing is lost or freed twice (valgrind and the sanitizers look), and the
 * event can be used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "event/wire.h"
#include "failing_alloc.h"

static void describe(outbox_event *ev)
{
    outbox_event_reset(ev);
    outbox_event_set_type(ev, "order_placed");
    outbox_event_set_key(ev, "42");
    outbox_event_set_topic(ev, "orders");
    outbox_event_set_id(ev, "123e4567-e89b-12d3-a456-426614174000");
    outbox_event_set_payload_json(ev, "{\"a\": [1, 2.5, \"three\", {\"b\": null}]}");
    for (int i = 0; i < 6; i++) {
        char name[2] = {(char)('a' + i), '\0'};

        outbox_event_set_header(ev, name, "value");
    }
}

/* Describes, checks, encodes.  Returns the first code that is not OUTBOX_OK. */
static int live(outbox_event *ev, outbox_error **reterr)
{
    struct outbox__wire wire;
    int r;

    describe(ev);
    r = outbox_event_check(ev, reterr);
    if (r != OUTBOX_OK)
        return r;
    r = outbox__wire_encode(&wire, ev, reterr);
    if (r == OUTBOX_OK)
        assert_int_equal(wire.sizes[OUTBOX__HEADERS], 2 + 6 * (3 + 1 + 7) + 5 + 1);
    outbox__wire_free(&wire);
    return r;
}

static void assert_lack_of_memory(int code, const outbox_error *err)
{
    assert_non_null(err);
    /* jansson takes a string that it cannot store for a malformed one. */
    if (code == OUTBOX_EINVAL)
        assert_true(strcmp(outbox_error_field(err), "payload") == 0 ||
                    outbox_error_code(err) == OUTBOX_ENOMEM);
    else
        assert_int_equal(code, OUTBOX_ENOMEM);
}

/* An event that has never had memory for anything. */
static void try_with(void (*fail_alloc)(long), long n, int *ret_code)
{
    outbox_error *err = NULL;
    outbox_event *ev;
    bool failed;

    fail_alloc(n);
    ev = outbox_event_new();
    *ret_code = ev ? live(ev, &err) : OUTBOX_ENOMEM;
    failed = alloc_has_failed();
    fail_alloc_never();
    if (!failed)
        assert_int_equal(*ret_code, OUTBOX_OK);
    else if (ev)
        assert_lack_of_memory(*ret_code, err);
    outbox_error_free(err);
    if (ev)
        assert_int_equal(live(ev, NULL), OUTBOX_OK);
    outbox_event_free(ev);
}

static void loop(void (*fail_alloc)(long))
{
    int code = OUTBOX_ENOMEM;
    long n;

    for (n = 1; code != OUTBOX_OK && n < 1000; n++)
        try_with(fail_alloc, n, &code);
    assert_int_equal(code, OUTBOX_OK);
    assert_true(n > 20); /* it did fail at many places */
}

static void test_one_fails(void **state)
{
    (void)state;
    loop(fail_alloc_at);
}

static void test_all_fail_from_there(void **state)
{
    (void)state;
    loop(fail_alloc_from);
}

/* A loop that emits event after event finds its memory already there. */
static void test_used_again_an_event_allocates_nothing(void **state)
{
    outbox_event *ev = outbox_event_new();

    (void)state;
    describe(ev);
    fail_alloc_from(1);
    describe(ev);
    assert_false(alloc_has_failed());
    fail_alloc_never();
    assert_int_equal(outbox_event_check(ev, NULL), OUTBOX_OK);
    outbox_event_free(ev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_fails),
        cmocka_unit_test(test_all_fail_from_there),
        cmocka_unit_test(test_used_again_an_event_allocates_nothing),
    };

    /* jansson is a shared library: the linker cannot wrap its calls. */
    json_set_alloc_funcs(failing_malloc, free);
    return cmocka_run_group_tests_name("no memory", tests, NULL, NULL);
}
