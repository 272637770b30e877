#include "consumer/plan.h"

#include "../cmocka_all.h"

static const struct plan_limits limits = {3, MILLISECONDS(100), MILLISECONDS(350)};

static enum plan_step note(struct plan *plan, enum plan_outcome outcome, size_t count)
{
    mono_us wait;

    return plan_note(plan, &limits, outcome, count, 0, &wait);
}

static void test_batch_succeeds(void **state)
{
    struct plan plan = {0};

    (void)state;
    assert_int_equal(plan_count(&plan, 100), 100);
    assert_int_equal(note(&plan, PLAN_COMMITTED, 100), PLAN_GO_ON);
    assert_int_equal(plan_count(&plan, 7), 7);
    assert_int_equal(plan_count(&plan, 0), 0);
}

/* A batch convicts nobody: each of its records is handled alone, and only then counts. */
static void test_batch_fails(void **state)
{
    struct plan plan = {0};

    (void)state;
    assert_int_equal(note(&plan, PLAN_REJECTED, 3), PLAN_GO_ON);
    assert_int_equal(plan.failures, 0);
    assert_int_equal(plan_count(&plan, 3), 1);
    assert_int_equal(note(&plan, PLAN_COMMITTED, 1), PLAN_GO_ON);
    assert_int_equal(plan_count(&plan, 2), 1);
    assert_int_equal(note(&plan, PLAN_FAILED, 1), PLAN_WAIT);
    assert_int_equal(note(&plan, PLAN_COMMITTED, 1), PLAN_GO_ON);
    assert_int_equal(plan.failures, 0);
    assert_int_equal(plan_count(&plan, 5), 1);
    assert_int_equal(note(&plan, PLAN_COMMITTED, 1), PLAN_GO_ON);
    assert_int_equal(plan_count(&plan, 4), 4);
}

static void test_gives_up(void **state)
{
    struct plan plan = {0};

    (void)state;
    assert_int_equal(note(&plan, PLAN_FAILED, 1), PLAN_WAIT);
    assert_int_equal(plan_count(&plan, 50), 1);
    assert_int_equal(note(&plan, PLAN_FAILED, 1), PLAN_WAIT);
    assert_int_equal(note(&plan, PLAN_FAILED, 1), PLAN_GIVE_UP);
    assert_int_equal(plan.failures, 3);
    assert_int_equal(note(&plan, PLAN_DEAD, 1), PLAN_GO_ON);
    assert_int_equal(plan.failures, 0);
    assert_int_equal(plan_count(&plan, 49), 49);
    assert_int_equal(note(&plan, PLAN_REJECTED, 1), PLAN_GIVE_UP);
}

static void test_pauses(void **state)
{
    (void)state;
    assert_int_equal(plan_pause(&limits, 1, 0), MILLISECONDS(80));
    assert_int_equal(plan_pause(&limits, 1, (uint64_t)MILLISECONDS(40)), MILLISECONDS(120));
    assert_int_equal(plan_pause(&limits, 2, (uint64_t)MILLISECONDS(40)), MILLISECONDS(200));
    assert_int_equal(plan_pause(&limits, 3, (uint64_t)MILLISECONDS(70)), MILLISECONDS(350));
    assert_int_equal(plan_pause(&limits, 1000000, (uint64_t)MILLISECONDS(70)), MILLISECONDS(350));
    for (uint64_t random = 0; random < 100; random++)
        assert_in_range(plan_pause(&limits, 2, UINT64_MAX - random), MILLISECONDS(160), MILLISECONDS(240));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_succeeds),
        cmocka_unit_test(test_batch_fails),
        cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_pauses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
