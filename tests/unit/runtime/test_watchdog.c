#include "runtime/watchdog.h"

#include <pthread.h>
#include <string.h>

#include "../cmocka_all.h"

static void what_keeps_its_deadline_is_not_seen(void **state)
{
    struct watchdog_view view;
    mono_us now = clock_now();

    (void)state;
    watchdog_met(); /* nothing was begun */
    watchdog_expect("a statement", now + SECONDS(10));
    watchdog_look(now + SECONDS(10) + WATCHDOG_GRACE - 1, &view);
    assert_int_equal(view.overdue, 0);
    watchdog_met();
    watchdog_look(now + SECONDS(1000), &view);
    assert_int_equal(view.overdue, 0);
}

static void what_does_not_is_named(void **state)
{
    struct watchdog_view view;
    mono_us now = clock_now();

    (void)state;
    pthread_setname_np(pthread_self(), "tester");
    watchdog_expect("a statement", now);
    watchdog_look(now + WATCHDOG_GRACE, &view);
    assert_int_equal(view.overdue, 1);
    assert_int_equal(view.hung, 1);
    assert_string_equal(view.what, "a statement");
    assert_int_equal(view.since, now);
    watchdog_expect_name("a connection", now);
    watchdog_look(now + WATCHDOG_GRACE, &view);
    assert_int_equal(view.overdue, 1);
    assert_int_equal(view.hung, 0);
    watchdog_expect("the next one", now + SECONDS(10));
    watchdog_look(now + WATCHDOG_GRACE, &view);
    assert_int_equal(view.overdue, 0);
    watchdog_met();
}

static void *wait_and_end(void *argument)
{
    (void)argument;
    pthread_setname_np(pthread_self(), "another");
    watchdog_expect("a reply", 1000);
    return NULL;
}

struct meeting {
    pthread_barrier_t begun;
    pthread_barrier_t seen;
};

static void *wait_until_seen(void *argument)
{
    struct meeting *meeting = argument;

    pthread_setname_np(pthread_self(), "another");
    watchdog_expect("a reply", 1000);
    pthread_barrier_wait(&meeting->begun);
    pthread_barrier_wait(&meeting->seen);
    watchdog_met();
    return NULL;
}

/* Of several, the one that is overdue for longest. */
static void threads_are_told_apart(void **state)
{
    struct watchdog_view view;
    struct meeting meeting;
    pthread_t thread;

    (void)state;
    pthread_barrier_init(&meeting.begun, NULL, 2);
    pthread_barrier_init(&meeting.seen, NULL, 2);
    watchdog_expect("a statement", 2000);
    assert_int_equal(pthread_create(&thread, NULL, wait_until_seen, &meeting), 0);
    pthread_barrier_wait(&meeting.begun);
    watchdog_look(SECONDS(3600), &view);
    assert_int_equal(view.overdue, 2);
    assert_string_equal(view.thread, "another");
    assert_string_equal(view.what, "a reply");
    pthread_barrier_wait(&meeting.seen);
    pthread_join(thread, NULL);
    watchdog_look(SECONDS(3600), &view);
    assert_int_equal(view.overdue, 1);
    assert_string_equal(view.what, "a statement");
    watchdog_met();
}

/* More threads than it can watch at once come and go. */
static void a_thread_that_ends_is_forgotten(void **state)
{
    struct watchdog_view view;
    pthread_t thread;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(pthread_create(&thread, NULL, wait_and_end, NULL), 0);
        pthread_join(thread, NULL);
    }
    watchdog_look(SECONDS(3600), &view);
    assert_int_equal(view.overdue, 0);
    watchdog_expect("a statement", 1000);
    watchdog_look(SECONDS(3600), &view);
    assert_int_equal(view.overdue, 1);
    watchdog_met();
}

static void it_ends_when_it_is_told(void **state)
{
    (void)state;
    assert_true(watchdog_start());
    watchdog_stop();
    watchdog_stop();
    assert_true(watchdog_start());
    watchdog_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_keeps_its_deadline_is_not_seen),
        cmocka_unit_test(what_does_not_is_named),
        cmocka_unit_test(threads_are_told_apart),
        cmocka_unit_test(a_thread_that_ends_is_forgotten),
        cmocka_unit_test(it_ends_when_it_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
