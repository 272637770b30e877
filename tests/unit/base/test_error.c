#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "failing_alloc.h"

static void test_carries_all(void **state)
{
    outbox_error *err = NULL;

    (void)state;
    assert_int_equal(outbox__fail_sqlstate(&err, OUTBOX_ESERVER, "key", "40001", "key: %d", 7),
                     OUTBOX_ESERVER);
    assert_int_equal(outbox_error_code(err), OUTBOX_ESERVER);
    assert_string_equal(outbox_error_field(err), "key");
    assert_string_equal(outbox_error_sqlstate(err), "40001");
    assert_string_equal(outbox_error_message(err), "key: 7");
    outbox_error_free(err);
}

static void test_what_is_missing_is_empty(void **state)
{
    outbox_error *err = NULL;

    (void)state;
    outbox__fail_sqlstate(&err, OUTBOX_EINVAL, NULL, NULL, "m");
    assert_string_equal(outbox_error_field(err), "");
    assert_string_equal(outbox_error_sqlstate(err), "");
    outbox_error_free(err);
    outbox_error_free(NULL);
}

static void test_caller_who_does_not_care(void **state)
{
    (void)state;
    assert_int_equal(outbox__fail(NULL, OUTBOX_ESTATE, "f", "m"), OUTBOX_ESTATE);
    assert_int_equal(outbox__fail_memory(NULL), OUTBOX_ENOMEM);
}

/* Leak checkers and valgrind see whether the first one is freed. */
static void test_later_error_replaces(void **state)
{
    outbox_error *err = NULL;

    (void)state;
    outbox__fail(&err, OUTBOX_EINVAL, "a", "first");
    outbox__fail(&err, OUTBOX_ELIMIT, "b", "second");
    assert_int_equal(outbox_error_code(err), OUTBOX_ELIMIT);
    assert_string_equal(outbox_error_message(err), "second");
    outbox_error_free(err);
}

static void test_no_memory_for_the_report(void **state)
{
    outbox_error *err = NULL;

    (void)state;
    fail_alloc_from(1);
    assert_int_equal(outbox__fail(&err, OUTBOX_EINVAL, "a", "first"), OUTBOX_EINVAL);
    fail_alloc_never();
    assert_non_null(err);
    assert_int_equal(outbox_error_code(err), OUTBOX_ENOMEM);
    assert_string_equal(outbox_error_message(err), "out of memory");
    /* And that one can be replaced and freed as any other. */
    outbox__fail(&err, OUTBOX_EINVAL, "a", "second");
    assert_string_equal(outbox_error_message(err), "second");
    outbox_error_free(err);
}

static void test_message_is_one_line(void **state)
{
    outbox_error *err = NULL;

    (void)state;
    outbox__fail(&err, OUTBOX_EINVAL, NULL, "a\nb\tc\x1b[1md\x7f");
    assert_string_equal(outbox_error_message(err), "a b c [1md ");
    outbox_error_free(err);
}

static void test_long_message_is_cut_between_characters(void **state)
{
    char text[1200];

    (void)state;
    /* Whatever the place of the cut, it must not fall into a character. */
    for (size_t offset = 0; offset < 4; offset++) {
        outbox_error *err = NULL;
        const char *message;

        memset(text, 'a', offset);
        for (size_t i = offset; i + 4 < sizeof(text); i += 4)
            memcpy(text + i, "\xf0\x9f\x98\x80", 5);
        outbox__fail(&err, OUTBOX_EINVAL, NULL, "%s", text);
        message = outbox_error_message(err);
        assert_true(strlen(message) > 500);
        assert_true(outbox__utf8_valid(message, strlen(message)));
        outbox_error_free(err);
    }
}

static void test_every_code_has_name_and_text(void **state)
{
    static const int codes[] = {OUTBOX_OK,         OUTBOX_EINVAL,   OUTBOX_ELIMIT,      OUTBOX_ESTATE,
                                OUTBOX_ENOMEM,     OUTBOX_ESERVER,  OUTBOX_ECONNECTION, OUTBOX_ETIMEOUT,
                                OUTBOX_ESIGNATURE, OUTBOX_EINTERNAL};

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_string_not_equal(outbox_status_name(codes[i]), "unknown");
        assert_string_not_equal(outbox_status_text(codes[i]), "unknown code");
        for (const char *c = outbox_status_name(codes[i]); *c; c++)
            assert_true(islower((unsigned char)*c));
    }
    assert_string_equal(outbox_status_name(-1), "unknown");
    assert_string_equal(outbox_status_text(1), "unknown code");
}

/* Programs are compiled against these numbers. */
static void test_values_never_change(void **state)
{
    (void)state;
    assert_int_equal(OUTBOX_OK, 0);
    assert_int_equal(OUTBOX_EINVAL, -1001);
    assert_int_equal(OUTBOX_ELIMIT, -1002);
    assert_int_equal(OUTBOX_ESTATE, -1003);
    assert_int_equal(OUTBOX_ENOMEM, -1004);
    assert_int_equal(OUTBOX_ESERVER, -1005);
    assert_int_equal(OUTBOX_ECONNECTION, -1006);
    assert_int_equal(OUTBOX_ETIMEOUT, -1007);
    assert_int_equal(OUTBOX_ESIGNATURE, -1008);
    assert_int_equal(OUTBOX_EINTERNAL, -1009);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carries_all),
        cmocka_unit_test(test_what_is_missing_is_empty),
        cmocka_unit_test(test_caller_who_does_not_care),
        cmocka_unit_test(test_later_error_replaces),
        cmocka_unit_test(test_no_memory_for_the_report),
        cmocka_unit_test(test_message_is_one_line),
        cmocka_unit_test(test_long_message_is_cut_between_characters),
        cmocka_unit_test(test_every_code_has_name_and_text),
        cmocka_unit_test(test_values_never_change),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
