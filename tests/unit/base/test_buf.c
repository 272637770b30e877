#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "failing_alloc.h"

static void test_grows(void **state)
{
    struct outbox__buf buf = OUTBOX__BUF_INIT(1000);

    (void)state;
    for (int i = 0; i < 100; i++)
        outbox__buf_puts(&buf, "0123456789");
    assert_false(buf.failed);
    assert_int_equal(buf.size, 1000);
    assert_int_equal(strlen(outbox__buf_text(&buf)), 1000);
    assert_memory_equal(buf.data + 990, "0123456789", 10);
    outbox__buf_free(&buf);
}

static void test_limit_is_exact_and_failure_stays(void **state)
{
    struct outbox__buf buf = OUTBOX__BUF_INIT(5);

    (void)state;
    outbox__buf_puts(&buf, "12345");
    assert_false(buf.failed);
    outbox__buf_append(&buf, "6", 1);
    assert_true(buf.failed);
    assert_int_equal(buf.size, 5);
    outbox__buf_append(&buf, "", 0);
    assert_true(buf.failed);
    outbox__buf_clear(&buf);
    outbox__buf_puts(&buf, "again");
    assert_false(buf.failed);
    assert_string_equal(outbox__buf_text(&buf), "again");
    outbox__buf_free(&buf);
}

static void test_huge_sizes_do_not_wrap(void **state)
{
    struct outbox__buf buf = OUTBOX__BUF_INIT(100);

    (void)state;
    outbox__buf_puts(&buf, "1");
    outbox__buf_append(&buf, "x", SIZE_MAX);
    assert_true(buf.failed);
    assert_int_equal(buf.size, 1);
    outbox__buf_free(&buf);
}

static void test_printf(void **state)
{
    struct outbox__buf buf = OUTBOX__BUF_INIT(10);

    (void)state;
    outbox__buf_printf(&buf, "%d-%s", 12, "ab");
    outbox__buf_printf(&buf, "%05d", 7);
    assert_false(buf.failed);
    assert_string_equal(outbox__buf_text(&buf), "12-ab00007");
    outbox__buf_printf(&buf, "%s", "x");
    assert_true(buf.failed);
    assert_string_equal(outbox__buf_text(&buf), "12-ab00007");
    outbox__buf_free(&buf);
}

static void test_integers_are_big_endian(void **state)
{
    static const unsigned char wanted[] = {0x01, 0x02, 0x03, 0x04, 0xff, 0xff,
                                           0xff, 0xff, 0xff, 0xff, 0xff, 0xfe};
    struct outbox__buf buf = OUTBOX__BUF_INIT(100);

    (void)state;
    outbox__buf_put_int32(&buf, 0x01020304);
    outbox__buf_put_int64(&buf, (uint64_t)-2);
    assert_int_equal(buf.size, sizeof(wanted));
    assert_memory_equal(buf.data, wanted, sizeof(wanted));
    outbox__buf_free(&buf);
}

static void test_empty(void **state)
{
    struct outbox__buf buf = OUTBOX__BUF_INIT(0);

    (void)state;
    assert_string_equal(outbox__buf_text(&buf), "");
    outbox__buf_append(&buf, NULL, 0);
    assert_false(buf.failed);
    assert_int_equal(buf.size, 0);
    outbox__buf_free(&buf);
    outbox__buf_free(&buf);
}

static void test_no_memory(void **state)
{
    struct outbox__buf buf = OUTBOX__BUF_INIT(10000);
    char block[200] = {0};

    (void)state;
    outbox__buf_puts(&buf, "kept");
    fail_alloc_from(1);
    outbox__buf_append(&buf, block, sizeof(block));
    fail_alloc_never();
    assert_true(buf.failed);
    assert_int_equal(buf.size, 4);
    outbox__buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_limit_is_exact_and_failure_stays),
        cmocka_unit_test(test_huge_sizes_do_not_wrap),
        cmocka_unit_test(test_printf),
        cmocka_unit_test(test_integers_are_big_endian),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
