#include "config/value.h"

#include "../cmocka_all.h"

static void durations(void **state)
{
    static const struct {
        const char *text;
        mono_us value;
    } good[] = {
        {"0", 0},          {"250ms", 250000},           {"5s", 5000000},
        {"2m", 120000000}, {"1h", INT64_C(3600000000)}, {"7us", 7},
        {"0s", 0},         {"10 s", 10000000},          {"3d", INT64_C(259200000000)},
        {"007ms", 7000},
    };
    static const char *const bad[] = {"",
                                      "5",
                                      "5 ",
                                      " 5s",
                                      "s",
                                      "-1s",
                                      "1.5s",
                                      "5sec",
                                      "5S",
                                      "1h30m",
                                      "1e3s",
                                      "0x5s",
                                      "5ss",
                                      "+5s",
                                      "99999999999999999999s",
                                      "9223372036854775807s"};
    mono_us value;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        value = -1;
        assert_true(value_duration(good[i].text, &value));
        assert_int_equal(value, good[i].value);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (value_duration(bad[i], &value))
            fail_msg("\"%s\" was accepted", bad[i]);
    }
}

static void sizes(void **state)
{
    int64_t value;

    (void)state;
    assert_true(value_size("0", &value));
    assert_int_equal(value, 0);
    assert_true(value_size("65536", &value));
    assert_int_equal(value, 65536);
    assert_true(value_size("64KiB", &value));
    assert_int_equal(value, 65536);
    assert_true(value_size("16 MiB", &value));
    assert_int_equal(value, 16777216);
    assert_true(value_size("3GiB", &value));
    assert_int_equal(value, INT64_C(3221225472));
    /* Is a "16MB" 2^24 or 16,000,000?  Nobody knows. */
    assert_false(value_size("16MB", &value));
    assert_false(value_size("16mib", &value));
    assert_false(value_size("MiB", &value));
    assert_false(value_size("-1", &value));
    assert_false(value_size("9999999999999GiB", &value));
}

static void integers(void **state)
{
    int64_t value;

    (void)state;
    assert_true(value_integer("-1", &value));
    assert_int_equal(value, -1);
    assert_true(value_integer("9223372036854775807", &value));
    assert_int_equal(value, INT64_MAX);
    assert_false(value_integer("9223372036854775808", &value));
    assert_false(value_integer("", &value));
    assert_false(value_integer("-", &value));
    assert_false(value_integer(" 1", &value));
    assert_false(value_integer("1 ", &value));
    assert_false(value_integer("1x", &value));
    assert_false(value_integer("+1", &value));
}

static void booleans(void **state)
{
    bool value = false;

    (void)state;
    assert_true(value_boolean("yes", &value) && value);
    assert_true(value_boolean("OFF", &value) && !value);
    assert_true(value_boolean("1", &value) && value);
    assert_true(value_boolean("False", &value) && !value);
    assert_false(value_boolean("", &value));
    assert_false(value_boolean("y", &value));
    assert_false(value_boolean("2", &value));
}

/* What is printed can be read again, and is the same. */
static void texts_round_trip(void **state)
{
    static const mono_us durations_us[] = {0,
                                           1,
                                           999,
                                           1000,
                                           1500,
                                           250000,
                                           1000000,
                                           90000000,
                                           120000000,
                                           INT64_C(3600000000),
                                           INT64_C(86400000000),
                                           INT64_C(90000000000)};
    static const int64_t bytes[] = {0, 1, 1023, 1024, 1025, 65536, 16777216, INT64_C(3221225472)};
    char text[VALUE_TEXT];
    int64_t value;

    (void)state;
    for (size_t i = 0; i < sizeof(durations_us) / sizeof(durations_us[0]); i++) {
        value_duration_text(durations_us[i], text);
        assert_true(value_duration(text, &value));
        assert_int_equal(value, durations_us[i]);
    }
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        value_size_text(bytes[i], text);
        assert_true(value_size(text, &value));
        assert_int_equal(value, bytes[i]);
    }
    value_duration_text(1500, text);
    assert_string_equal(text, "1500us");
    value_duration_text(90000000, text);
    assert_string_equal(text, "90s");
    value_size_text(16777216, text);
    assert_string_equal(text, "16MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),        cmocka_unit_test(sizes),
        cmocka_unit_test(integers),         cmocka_unit_test(booleans),
        cmocka_unit_test(texts_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
