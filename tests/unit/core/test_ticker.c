#include "core/ticker.h"

#include "../cmocka_all.h"

static struct ticker ticker;

static void init(bool bell)
{
    const struct ticker_settings settings = {bell, 100, 1000, 5, 50};

    ticker_init(&ticker, &settings);
}

static struct ticker_action expect(struct ticker_action action, enum ticker_action_kind kind)
{
    assert_int_equal(action.kind, kind);
    return action;
}

/* The order that makes sleeping safe: look, take the bell, look again, sleep. */
static void looks_again_with_the_bell_before_it_sleeps(void **state)
{
    (void)state;
    init(true);
    expect(ticker_start(&ticker), TICKER_TICK);
    expect(ticker_handle(&ticker, TICKER_NOTHING_NEW), TICKER_TRY_BELL);
    expect(ticker_handle(&ticker, TICKER_BELL_GRANTED), TICKER_TICK);
    assert_int_equal(expect(ticker_handle(&ticker, TICKER_NOTHING_NEW), TICKER_SLEEP).duration, 1000);
}

static void gives_the_bell_back_when_there_is_news(void **state)
{
    (void)state;
    init(true);
    ticker_start(&ticker);
    ticker_handle(&ticker, TICKER_NOTHING_NEW);
    ticker_handle(&ticker, TICKER_BELL_GRANTED);
    expect(ticker_handle(&ticker, TICKER_TICKED), TICKER_RELEASE_BELL);
    /* The lane wishes for the next. */
    assert_int_equal(expect(ticker_handle(&ticker, TICKER_BELL_RELEASED), TICKER_SLEEP).duration, 1000);
    expect(ticker_handle(&ticker, TICKER_WISHED), TICKER_TICK);
    expect(ticker_handle(&ticker, TICKER_NOTHING_NEW), TICKER_TRY_BELL);
}

static void a_notification_wakes_it(void **state)
{
    (void)state;
    init(true);
    ticker_start(&ticker);
    ticker_handle(&ticker, TICKER_NOTHING_NEW);
    ticker_handle(&ticker, TICKER_BELL_GRANTED);
    ticker_handle(&ticker, TICKER_NOTHING_NEW);
    /* The event first, then the bell. */
    expect(ticker_handle(&ticker, TICKER_NOTIFIED), TICKER_TICK);
    expect(ticker_handle(&ticker, TICKER_TICKED), TICKER_RELEASE_BELL);
    ticker_handle(&ticker, TICKER_BELL_RELEASED);
    expect(ticker_handle(&ticker, TICKER_NOTIFIED), TICKER_TICK);
    /* The fallback looks without giving the bell back, as does one of what came with the last tick. */
    ticker_handle(&ticker, TICKER_NOTHING_NEW);
    ticker_handle(&ticker, TICKER_BELL_GRANTED);
    expect(ticker_handle(&ticker, TICKER_NOTHING_NEW), TICKER_SLEEP);
    expect(ticker_handle(&ticker, TICKER_NOTIFIED), TICKER_TICK);
    expect(ticker_handle(&ticker, TICKER_NOTHING_NEW), TICKER_SLEEP);
    expect(ticker_handle(&ticker, TICKER_SLEPT), TICKER_TICK);
}

static void backs_off_while_writers_hold_the_bell(void **state)
{
    int64_t expected[] = {5, 10, 20, 40, 50, 50};

    (void)state;
    init(true);
    ticker_start(&ticker);
    for (int i = 0; i < 6; i++) {
        expect(ticker_handle(&ticker, TICKER_NOTHING_NEW), TICKER_TRY_BELL);
        assert_int_equal(expect(ticker_handle(&ticker, TICKER_BELL_REFUSED), TICKER_SLEEP).duration, expected[i]);
        expect(ticker_handle(&ticker, TICKER_SLEPT), TICKER_TICK);
    }
    /* News resets the pause. */
    ticker_handle(&ticker, TICKER_TICKED);
    ticker_handle(&ticker, TICKER_WISHED);
    ticker_handle(&ticker, TICKER_NOTHING_NEW);
    assert_int_equal(ticker_handle(&ticker, TICKER_BELL_REFUSED).duration, 5);
}

static void poll_mode_never_touches_the_bell(void **state)
{
    (void)state;
    init(false);
    expect(ticker_start(&ticker), TICKER_TICK);
    assert_int_equal(expect(ticker_handle(&ticker, TICKER_NOTHING_NEW), TICKER_SLEEP).duration, 100);
    expect(ticker_handle(&ticker, TICKER_SLEPT), TICKER_TICK);
    expect(ticker_handle(&ticker, TICKER_TICKED), TICKER_SLEEP);
}

static void a_forced_wish_is_not_lost_behind_the_bell(void **state)
{
    (void)state;
    init(true);
    assert_false(ticker_start(&ticker).forced);
    ticker_handle(&ticker, TICKER_NOTHING_NEW);
    ticker_handle(&ticker, TICKER_BELL_GRANTED);
    ticker_handle(&ticker, TICKER_NOTHING_NEW);
    assert_true(expect(ticker_handle(&ticker, TICKER_WISHED_FORCED), TICKER_TICK).forced);
    /* ... and is granted once. */
    assert_false(expect(ticker_handle(&ticker, TICKER_WISHED), TICKER_TICK).forced);
}

/* Others cannot say when they want the next tick. */
static void in_company_it_looks_again_soon_after_a_tick(void **state)
{
    (void)state;
    init(true);
    ticker_set_pace(&ticker, 10);
    ticker_start(&ticker);
    assert_int_equal(expect(ticker_handle(&ticker, TICKER_TICKED), TICKER_SLEEP).duration, 10);
    expect(ticker_handle(&ticker, TICKER_SLEPT), TICKER_TICK);
    expect(ticker_handle(&ticker, TICKER_NOTHING_NEW), TICKER_TRY_BELL);
    ticker_handle(&ticker, TICKER_BELL_GRANTED);
    assert_int_equal(expect(ticker_handle(&ticker, TICKER_NOTHING_NEW), TICKER_SLEEP).duration, 1000);
    expect(ticker_handle(&ticker, TICKER_NOTIFIED), TICKER_TICK);
    expect(ticker_handle(&ticker, TICKER_TICKED), TICKER_RELEASE_BELL);
    assert_int_equal(expect(ticker_handle(&ticker, TICKER_BELL_RELEASED), TICKER_SLEEP).duration, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_again_with_the_bell_before_it_sleeps),
        cmocka_unit_test(gives_the_bell_back_when_there_is_news),
        cmocka_unit_test(a_notification_wakes_it),
        cmocka_unit_test(backs_off_while_writers_hold_the_bell),
        cmocka_unit_test(poll_mode_never_touches_the_bell),
        cmocka_unit_test(a_forced_wish_is_not_lost_behind_the_bell),
        cmocka_unit_test(in_company_it_looks_again_soon_after_a_tick),
    };

    return cmocka_run_group_tests_name("core/ticker", tests, NULL, NULL);
}
