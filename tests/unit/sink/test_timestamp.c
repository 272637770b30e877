#include "../cmocka_all.h"

#include "runtime/clock.h"
#include "sink/timestamp.h"

static const int64_t now = INT64_C(1700000000123456);

static void a_record_has_the_time_of_its_event(void **state)
{
    (void)state;
    assert_int_equal(timestamp_of_record(INT64_C(1600000000999999), now), INT64_C(1600000000999));
    assert_int_equal(timestamp_of_record(1000, now), 1);
    assert_int_equal(timestamp_of_record(now + SECONDS(49 * 60), now), now / 1000 + 49 * 60 * 1000);
}

static void what_lies_too_far_ahead_has_the_present_time(void **state)
{
    (void)state;
    assert_int_equal(timestamp_of_record(now + SECONDS(51 * 60), now), now / 1000);
    assert_int_equal(timestamp_of_record(INT64_MAX, now), now / 1000);
}

/* -1 ms would say that there is none; 0 that librdkafka chooses. */
static void what_was_before_1970_has_the_present_time(void **state)
{
    static const int64_t early[] = {INT64_MIN, -SECONDS(3600), -1000, -999, -1, 0, 999};

    (void)state;
    for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++)
        assert_int_equal(timestamp_of_record(early[i], now), now / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_has_the_time_of_its_event),
        cmocka_unit_test(what_lies_too_far_ahead_has_the_present_time),
        cmocka_unit_test(what_was_before_1970_has_the_present_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
