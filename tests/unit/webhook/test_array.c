#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "webhook/array.h"

static void assert_text(const char *text, size_t size, const char *wanted)
{
    struct outbox__buf array = OUTBOX__BUF_INIT(1000);

    array_begin(&array);
    array_text(&array, text, size);
    array_end(&array);
    assert_false(array.failed);
    assert_string_equal(outbox__buf_text(&array), wanted);
    outbox__buf_free(&array);
}

static void test_elements(void **state)
{
    struct outbox__buf array = OUTBOX__BUF_INIT(1000);

    (void)state;
    array_begin(&array);
    array_int(&array, INT64_MIN);
    array_null(&array);
    array_int(&array, 7);
    array_interval(&array, 1500000);
    array_time(&array, INT64_C(1614265330000042));
    array_text(&array, "NULL", 4);
    array_end(&array);
    assert_string_equal(outbox__buf_text(&array),
                        "{-9223372036854775808,NULL,7,1500000us,\"2021-02-25 15:02:10.000042+00\",\"NULL\"}");
    array_begin(&array);
    array_end(&array);
    assert_string_equal(outbox__buf_text(&array), "{}");
    outbox__buf_free(&array);
}

static void test_hostile_texts(void **state)
{
    (void)state;
    assert_text("", 0, "{\"\"}");
    assert_text("a\"b\\c", 5, "{\"a\\\"b\\\\c\"}");
    assert_text("},{", 3, "{\"},{\"}");
    assert_text("line\nbreak\ttab", 14, "{\"line\nbreak\ttab\"}");
    assert_text("a\0b", 3, "{\"a?b\"}");
    assert_text("\xff\xfe", 2, "{\"??\"}");
    assert_text("\xc3\xa4", 2, "{\"\xc3\xa4\"}");
    assert_text("\xf0\x9f\x98\x80", 4, "{\"\xf0\x9f\x98\x80\"}");
    assert_text("\xf0\x9f\x98", 3, "{\"???\"}");  /* cut in the middle of a character */
    assert_text("\xed\xa0\x80", 3, "{\"???\"}");  /* a surrogate */
    assert_text("\xc0\xa2", 2, "{\"??\"}");       /* an overlong quotation mark */
    assert_text("\xe2\x82\"", 3, "{\"??\\\"\"}"); /* a quotation mark behind a torn character */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_elements), cmocka_unit_test(test_hostile_texts)};

    return cmocka_run_group_tests_name("array", tests, NULL, NULL);
}
