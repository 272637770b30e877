/* RFC 3629: first and last of each length, and all the ways not to be UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/utf8.h"

static bool valid(const char *text)
{
    return outbox__utf8_valid(text, strlen(text));
}

static void test_valid(void **state)
{
    (void)state;
    assert_true(valid(""));
    assert_true(valid("\x01\x7f"));
    assert_true(valid("\xc2\x80 \xdf\xbf"));
    assert_true(valid("\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf"));
    assert_true(valid("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
}

static void test_invalid(void **state)
{
    static const char *const bad[] = {
        "\x80", /* a continuation alone */
        "\xbf",
        "\xc0\x80", /* overlong */
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xed\xa0\x80", /* surrogates */
        "\xed\xbf\xbf",
        "\xf4\x90\x80\x80", /* beyond U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xfe",
        "\xff",
        "\xc2", /* cut off */
        "\xe2\x82",
        "\xf0\x9f\x98",
        "\xc2 ", /* a continuation missing */
        "\xe2\x82 ",
        "\xe2 \x82",
        "\xf0\x9f\x98 ",
        "ok\xff",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (valid(bad[i]))
            fail_msg("accepted number %zu", i);
    }
}

static void test_zero_byte_is_refused(void **state)
{
    (void)state;
    assert_false(outbox__utf8_valid("a\0b", 3));
    assert_true(outbox__utf8_valid("a\0b", 1));
}

/* The text ends where size says, whatever follows. */
static void test_reads_nothing_beyond(void **state)
{
    (void)state;
    assert_false(outbox__utf8_valid("\xe2\x82\xac", 2));
    assert_true(outbox__utf8_valid("\xe2\x82\xac\xff", 3));
}

static void test_length_counts_characters(void **state)
{
    static const char text[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";

    (void)state;
    assert_int_equal(outbox__utf8_length("", 0), 0);
    assert_int_equal(outbox__utf8_length(text, strlen(text)), 4);
}

static void test_cut_leaves_whole_characters(void **state)
{
    static const char text[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
    static const size_t kept[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};

    (void)state;
    for (size_t size = 0; size < sizeof(text); size++)
        assert_int_equal(outbox__utf8_cut(text, size), kept[size]);
    assert_int_equal(outbox__utf8_cut("\x80\x80\x80\x80", 4), 4); /* no character at all: as it is */
}

static void test_control_characters(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'b'};

        assert_int_equal(outbox__has_control(text, 3), c < 0x20 || c == 0x7f);
    }
    assert_false(outbox__has_control("\n", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_zero_byte_is_refused),
        cmocka_unit_test(test_reads_nothing_beyond),
        cmocka_unit_test(test_length_counts_characters),
        cmocka_unit_test(test_cut_leaves_whole_characters),
        cmocka_unit_test(test_control_characters),
    };

    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
