#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "webhook/retry_after.h"

#define SECOND INT64_C(1000000)
#define NOW (INT64_C(1445412480) * SECOND) /* Wed, 21 Oct 2015 07:28:00 GMT */

static void test_seconds(void **state)
{
    (void)state;
    assert_int_equal(retry_after_parse("0", NOW), 0);
    assert_int_equal(retry_after_parse("120", NOW), 120 * SECOND);
    assert_int_equal(retry_after_parse("0120", NOW), 120 * SECOND);
    /* so long that nothing lives so long, and no sum overflows */
    assert_true(retry_after_parse("99999999999999999999999999", NOW) > INT64_C(365) * 86400 * SECOND);
    assert_true(retry_after_parse("99999999999999999999999999", NOW) < INT64_MAX / 1000);
}

static void test_dates(void **state)
{
    (void)state;
    assert_int_equal(retry_after_parse("Wed, 21 Oct 2015 07:28:30 GMT", NOW), 30 * SECOND);
    assert_int_equal(retry_after_parse("Wednesday, 21-Oct-15 07:28:30 GMT", NOW),
                     30 * SECOND); /* obsolete, valid */
    assert_int_equal(retry_after_parse("Wed Oct 21 07:28:30 2015", NOW), 30 * SECOND);
    assert_int_equal(retry_after_parse("Wed, 21 Oct 2015 07:28:30 GMT", NOW + SECOND / 2),
                     29 * SECOND + SECOND / 2);
    assert_int_equal(retry_after_parse("Wed, 21 Oct 2015 07:27:00 GMT", NOW), 0); /* past */
    assert_true(retry_after_parse("Fri, 31 Dec 2500 23:59:59 GMT", NOW) > INT64_C(365) * 86400 * SECOND);
}

static void test_neither(void **state)
{
    static const char *const malformed[] = {"", "soon", "-5", "1.5", "5s", "12 34", "0x10", "1e3", " "};

    (void)state;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        assert_int_equal(retry_after_parse(malformed[i], NOW), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seconds), cmocka_unit_test(test_dates),
                                       cmocka_unit_test(test_neither)};

    return cmocka_run_group_tests_name("retry_after", tests, NULL, NULL);
}
