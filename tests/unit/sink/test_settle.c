#include "../cmocka_all.h"

#include "sink/settle.h"

enum { PRODUCE = 0, ADD_PARTITIONS = 24 };

static struct settle settle;
static mono_us now;

static int setup(void **state)
{
    (void)state;
    settle_init(&settle);
    now = SECONDS(100);
    return 0;
}

/* A transaction whose registrations come this long after one another; returns the pause after it. */
static mono_us transaction(mono_us between, bool long_one)
{
    settle_begin(&settle);
    settle_sent(&settle, ADD_PARTITIONS, now);
    settle_sent(&settle, PRODUCE, now + 1);
    if (between > 0)
        settle_sent(&settle, ADD_PARTITIONS, now + between);
    now += SECONDS(1);
    settle_ended(&settle, long_one, now);
    return settle_until(&settle) - now;
}

static void the_first_transaction_waits_for_nothing(void **state)
{
    (void)state;
    assert_true(settle_until(&settle) == 0);
}

static void a_broker_that_says_come_again_is_given_more_time(void **state)
{
    mono_us before = transaction(0, false);
    mono_us pause = transaction(MILLISECONDS(20), false);

    (void)state;
    assert_true(pause > before);
    for (int i = 0; i < 20; i++)
        pause = transaction(MILLISECONDS(21), false);
    assert_true(pause == SETTLE_MOST);
}

static void further_partitions_are_no_refusal(void **state)
{
    mono_us before = transaction(0, false);

    (void)state;
    assert_true(transaction(MILLISECONDS(5), false) <= before);
    assert_true(transaction(0, false) <= before);
}

static void patience_wears_off_but_not_at_once(void **state)
{
    mono_us most, pause;

    (void)state;
    for (int i = 0; i < 20; i++)
        transaction(MILLISECONDS(20), false);
    most = transaction(MILLISECONDS(20), false);
    pause = transaction(0, false);
    assert_true(pause < most && pause > most / 2);
    for (int i = 0; i < 1000; i++)
        pause = transaction(0, false);
    assert_true(pause == SETTLE_LEAST);
}

static void a_long_transaction_tells_nothing(void **state)
{
    mono_us before = transaction(0, false);

    (void)state;
    assert_true(transaction(MILLISECONDS(25), true) == before);
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_transaction_waits_for_nothing), TEST(a_broker_that_says_come_again_is_given_more_time),
        TEST(further_partitions_are_no_refusal),       TEST(patience_wears_off_but_not_at_once),
        TEST(a_long_transaction_tells_nothing),
    };

    return cmocka_run_group_tests_name("sink/settle", tests, NULL, NULL);
}
