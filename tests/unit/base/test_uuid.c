#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/uuid.h"

static void test_round_trip(void **state)
{
    static const char text[] = "0123abcd-4567-89ef-fedc-ba9876543210";
    static const uint8_t bytes[16] = {0x01, 0x23, 0xab, 0xcd, 0x45, 0x67, 0x89, 0xef,
                                      0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
    struct outbox__uuid uuid;
    char again[OUTBOX__UUID_TEXT];

    (void)state;
    assert_true(outbox__uuid_parse(text, &uuid));
    assert_memory_equal(uuid.bytes, bytes, 16);
    outbox__uuid_format(&uuid, again);
    assert_string_equal(again, text);
}

static void test_upper_case_is_accepted(void **state)
{
    struct outbox__uuid lower;
    struct outbox__uuid upper;

    (void)state;
    assert_true(outbox__uuid_parse("abcdefab-cdef-abcd-efab-cdefabcdefab", &lower));
    assert_true(outbox__uuid_parse("ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB", &upper));
    assert_true(outbox__uuid_equal(&lower, &upper));
    upper.bytes[15] ^= 1;
    assert_false(outbox__uuid_equal(&lower, &upper));
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "0123abcd-4567-89ef-fedc-ba987654321",
                                      "0123abcd-4567-89ef-fedc-ba98765432100",
                                      "0123abcd4567-89ef-fedc-ba9876543210",
                                      "0123abcd456789effedcba9876543210",
                                      "0123abcd-4567-89ef-fedc_ba9876543210",
                                      "g123abcd-4567-89ef-fedc-ba9876543210",
                                      "{0123abcd-4567-89ef-fedc-ba9876543210}",
                                      " 0123abcd-4567-89ef-fedc-ba9876543210",
                                      "0123abcd-4567-89ef-fedc-ba987654321\n"};
    struct outbox__uuid uuid;
    struct outbox__uuid before;

    (void)state;
    memset(&uuid, 0x5a, sizeof(uuid));
    before = uuid;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (outbox__uuid_parse(bad[i], &uuid))
            fail_msg("accepted '%s'", bad[i]);
        assert_true(outbox__uuid_equal(&uuid, &before));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_upper_case_is_accepted),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}
