#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "webhook/task.h"

/* A process that was stopped between the claim's commit and its answer must not begin to send
 * when another has taken the delivery over: the lease runs from the claim, not from the answer. */
static void the_time_to_begin_runs_from_the_question(void **state)
{
    const struct endpoint_row row = {.id = "0123abcd-4567-89ef-fedc-ba9876543210",
                                     .name = "shop",
                                     .url = "https://example.org/hook",
                                     .policy = "resend",
                                     .secrets = "000102030405060708090a0b0c0d0e0f1011121314151617",
                                     .max_age_us = 1000000,
                                     .timeout = 2000000,
                                     .concurrency = 1};
    const struct claim claim = {.delivery = 1, .token = 2, .send = 1, .present = true, .event_type = "t"};
    struct endpoint *endpoint = endpoint_new(&row, NULL);
    mono_us asked = clock_now() - SECONDS(60);
    struct task *task;

    (void)state;
    assert_non_null(endpoint);
    task = task_new(&claim, endpoint, asked, SECONDS(10));
    assert_non_null(task);
    assert_true(task->exchange.begin_before == asked + SECONDS(5));
    task_free(task);
    endpoint_unref(endpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_time_to_begin_runs_from_the_question),
    };

    return cmocka_run_group_tests_name("webhook/task", tests, NULL, NULL);
}
