#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/delivery.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

/* Random bits that make the least, the middle and the most of a jitter. */
static const uint64_t randoms[] = {0, UINT64_MAX / 2 + 1, UINT64_MAX};

static struct delivery_rules rules_of(enum delivery_policy policy)
{
    return (struct delivery_rules){policy, delivery_schedule, DELIVERY_SCHEDULE_COUNT, 4 * DAY};
}

static struct delivery_facts facts_of(enum delivery_outcome outcome, int status)
{
    return (struct delivery_facts){.outcome = outcome,
                                   .status = status,
                                   .attempts = 0,
                                   .sends = 1,
                                   .retry_after = -1,
                                   .random = UINT64_MAX / 2 + 1};
}

static void assert_step(struct delivery_step step, enum delivery_state state, bool charged, int64_t least,
                        int64_t most)
{
    assert_string_equal(delivery_state_name(step.state), delivery_state_name(state));
    assert_int_equal(step.charged, charged);
    assert_in_range(step.retry_in, least, most);
}

static void test_every_status_and_policy(void **state)
{
    (void)state;
    for (int policy = DELIVERY_RESEND; policy <= DELIVERY_PARK; policy++) {
        for (int status = 200; status < 1000; status++) {
            const struct delivery_evidence evidence = {DELIVERY_PHASE_ANSWERED, status};
            bool gateway = status == 408 || status == 502 || status == 504;
            enum delivery_outcome wanted = DELIVERY_OUTCOME_REFUSED;

            if (status < 300)
                wanted = DELIVERY_OUTCOME_DELIVERED;
            else if (gateway && policy != DELIVERY_RESEND)
                wanted = DELIVERY_OUTCOME_UNKNOWN;
            assert_int_equal(delivery_outcome(&evidence, (enum delivery_policy)policy), wanted);
        }
    }
}

static void test_every_phase_without_an_answer(void **state)
{
    (void)state;
    for (int policy = DELIVERY_RESEND; policy <= DELIVERY_PARK; policy++) {
        for (int phase = DELIVERY_PHASE_NONE; phase <= DELIVERY_PHASE_ANSWERED; phase++) {
            /* An interim answer (100 Continue) is none. */
            for (int status = 0; status <= 199; status += 100) {
                const struct delivery_evidence evidence = {(enum delivery_phase)phase, status};

                assert_int_equal(delivery_outcome(&evidence, (enum delivery_policy)policy),
                                 phase < DELIVERY_PHASE_WRITING ? DELIVERY_OUTCOME_NOT_SENT
                                                                : DELIVERY_OUTCOME_UNKNOWN);
            }
        }
    }
}

static void test_default_schedule(void **state)
{
    int64_t sum = 0;

    (void)state;
    for (int i = 0; i < DELIVERY_SCHEDULE_COUNT; i++) {
        assert_true(i == 0 || delivery_schedule[i] > delivery_schedule[i - 1]);
        sum += delivery_schedule[i];
    }
    assert_int_equal(delivery_schedule[0], 0);
    assert_int_equal(sum, (75 * 3600 + 35 * 60 + 5) * SECOND);
    /* With the most jitter it still fits into the default greatest age. */
    assert_true(sum * 12 / 10 < 4 * DAY);
}

static void test_success(void **state)
{
    (void)state;
    for (int policy = DELIVERY_RESEND; policy <= DELIVERY_PARK; policy++) {
        const struct delivery_rules rules = rules_of((enum delivery_policy)policy);
        struct delivery_facts facts = facts_of(DELIVERY_OUTCOME_DELIVERED, 204);

        facts.age = 100 * DAY; /* late, but delivered */
        facts.attempts = 50;
        facts.retry_after = HOUR;
        assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_DELIVERED, true, 0, 0);
    }
}

/* The wait before each attempt is the schedule's, give or take a fifth. */
static void test_schedule_is_followed(void **state)
{
    static const struct {
        enum delivery_outcome outcome;
        int status;
    } causes[] = {{DELIVERY_OUTCOME_REFUSED, 500},
                  {DELIVERY_OUTCOME_REFUSED, 302},
                  {DELIVERY_OUTCOME_REFUSED, 404},
                  {DELIVERY_OUTCOME_NOT_SENT, 0},
                  {DELIVERY_OUTCOME_UNKNOWN, 0}};
    const struct delivery_rules rules = rules_of(DELIVERY_RESEND);

    (void)state;
    for (size_t cause = 0; cause < sizeof(causes) / sizeof(causes[0]); cause++) {
        for (int attempts = 0; attempts < DELIVERY_SCHEDULE_COUNT - 1; attempts++) {
            int64_t wait = delivery_schedule[attempts + 1];
            struct delivery_facts facts = facts_of(causes[cause].outcome, causes[cause].status);

            facts.attempts = attempts;
            for (int i = 0; i < 3; i++) {
                facts.random = randoms[i];
                assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_FAILED, true, wait * 8 / 10,
                            wait * 12 / 10);
            }
            facts.random = 0;
            assert_int_equal(delivery_next(&rules, &facts).retry_in, wait * 8 / 10);
            facts.random = UINT64_MAX;
            assert_true(delivery_next(&rules, &facts).retry_in > wait * 119 / 100);
        }
    }
}

static void test_exhausted_schedule(void **state)
{
    const struct delivery_rules rules = rules_of(DELIVERY_RESEND);
    struct delivery_facts facts = facts_of(DELIVERY_OUTCOME_REFUSED, 500);

    (void)state;
    for (int attempts = DELIVERY_SCHEDULE_COUNT - 1; attempts < DELIVERY_SCHEDULE_COUNT + 5; attempts++) {
        facts.attempts = attempts;
        assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_DEAD, true, 0, 0);
    }
}

static void test_schedule_of_one(void **state)
{
    static const int64_t once[] = {0};
    const struct delivery_rules rules = {DELIVERY_RESEND, once, 1, DAY};
    struct delivery_facts facts = facts_of(DELIVERY_OUTCOME_REFUSED, 500);

    (void)state;
    assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_DEAD, true, 0, 0);
    /* Patience has nothing to go by but the age. */
    facts.status = 503;
    facts.age = 6400 * SECOND;
    assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_FAILED, false, 100 * SECOND, 100 * SECOND);
}

static void test_greatest_age(void **state)
{
    const struct delivery_rules rules = rules_of(DELIVERY_RESEND);
    struct delivery_facts facts = facts_of(DELIVERY_OUTCOME_REFUSED, 500);

    (void)state;
    facts.age = 4 * DAY - 5 * SECOND; /* the next attempt, in 5 s, just fits */
    assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_FAILED, true, 5 * SECOND, 5 * SECOND);
    facts.age += 1;
    assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_DEAD, true, 0, 0);
    facts.age = 5 * DAY;
    assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_DEAD, true, 0, 0);
    facts.status = 429;
    assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_DEAD, false, 0, 0);
}

static void test_unknown_by_policy(void **state)
{
    const struct delivery_rules park = rules_of(DELIVERY_PARK);
    const struct delivery_rules reconcile = rules_of(DELIVERY_RECONCILE);
    struct delivery_facts facts = facts_of(DELIVERY_OUTCOME_UNKNOWN, 0);

    (void)state;
    for (int attempts = 0; attempts < 20; attempts++) {
        facts.attempts = attempts;
        facts.age = attempts * DAY;
        assert_step(delivery_next(&park, &facts), DELIVERY_STATE_PARKED, true, 0, 0);
        assert_step(delivery_next(&reconcile, &facts), DELIVERY_STATE_UNKNOWN, true, 0, 0);
    }
    /* What is certain follows the schedule whatever the policy. */
    facts = facts_of(DELIVERY_OUTCOME_NOT_SENT, 0);
    assert_step(delivery_next(&park, &facts), DELIVERY_STATE_FAILED, true, 5 * SECOND, 5 * SECOND);
    facts = facts_of(DELIVERY_OUTCOME_REFUSED, 500);
    assert_step(delivery_next(&reconcile, &facts), DELIVERY_STATE_FAILED, true, 5 * SECOND, 5 * SECOND);
}

static void test_gone(void **state)
{
    (void)state;
    for (int policy = DELIVERY_RESEND; policy <= DELIVERY_PARK; policy++) {
        const struct delivery_rules rules = rules_of((enum delivery_policy)policy);
        struct delivery_facts facts = facts_of(DELIVERY_OUTCOME_REFUSED, 410);

        facts.retry_after = SECOND;
        assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_DEAD, true, 0, 0);
    }
}

static void test_retry_after(void **state)
{
    static const int64_t asked[] = {0, SECOND, 30 * SECOND, 7 * HOUR, 2 * DAY};
    const struct delivery_rules rules = rules_of(DELIVERY_RESEND);

    (void)state;
    for (int status = 429; status <= 503; status += 503 - 429) {
        for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
            for (size_t r = 0; r < 3; r++) {
                struct delivery_facts facts = facts_of(DELIVERY_OUTCOME_REFUSED, status);

                facts.retry_after = asked[i];
                facts.random = randoms[r];
                facts.attempts = 100; /* charged nothing, so it does not matter */
                /* In full, and at most a tenth (or a second) longer. */
                assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_FAILED, false, asked[i],
                            asked[i] + asked[i] / 10 + SECOND);
            }
        }
    }
}

static void test_retry_after_and_age(void **state)
{
    const struct delivery_rules rules = rules_of(DELIVERY_RESEND);
    struct delivery_facts facts = facts_of(DELIVERY_OUTCOME_REFUSED, 503);

    (void)state;
    /* What fits exactly is not pushed over the edge by spreading out. */
    facts.random = UINT64_MAX;
    facts.age = DAY;
    facts.retry_after = 3 * DAY;
    assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_FAILED, false, 3 * DAY, 3 * DAY);
    facts.retry_after = 3 * DAY + 1;
    assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_DEAD, false, 0, 0);
    /* Only 429 and 503 say when. */
    facts = facts_of(DELIVERY_OUTCOME_REFUSED, 500);
    facts.retry_after = HOUR;
    assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_FAILED, true, 5 * SECOND, 5 * SECOND);
}

/* A receiver that always asks for one second sees hundreds of attempts, not 345,600. */
static void test_endless_patience_is_bounded(void **state)
{
    const struct delivery_rules rules = rules_of(DELIVERY_RESEND);
    int64_t hints[] = {-1, 0, SECOND};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct delivery_facts facts = facts_of(DELIVERY_OUTCOME_REFUSED, 429);
        struct delivery_step step;

        facts.retry_after = hints[i];
        do {
            step = delivery_next(&rules, &facts);
            assert_false(step.charged);
            facts.age += step.retry_in;
            facts.sends++;
        } while (step.state == DELIVERY_STATE_FAILED && facts.sends < 10000);
        assert_int_equal(step.state, DELIVERY_STATE_DEAD);
        assert_in_range(facts.sends, 8, 700);
        assert_true(facts.age > 2 * DAY && facts.age <= 4 * DAY);
    }
}

static void test_held_back(void **state)
{
    const struct delivery_rules rules = rules_of(DELIVERY_PARK);
    struct delivery_facts facts = facts_of(DELIVERY_OUTCOME_NOT_SENT, 0);

    (void)state;
    facts.held_back = true;
    facts.attempts = 100;
    facts.age = 100 * DAY;
    assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_FAILED, false, 0, 0);
    facts.retry_after = 7 * SECOND;
    assert_step(delivery_next(&rules, &facts), DELIVERY_STATE_FAILED, false, 7 * SECOND, 7 * SECOND);
}

static void test_names(void **state)
{
    enum delivery_policy policy = DELIVERY_PARK;

    (void)state;
    assert_true(delivery_policy_parse("resend", &policy));
    assert_int_equal(policy, DELIVERY_RESEND);
    assert_true(delivery_policy_parse("reconcile", &policy));
    assert_int_equal(policy, DELIVERY_RECONCILE);
    assert_true(delivery_policy_parse("park", &policy));
    assert_int_equal(policy, DELIVERY_PARK);
    assert_false(delivery_policy_parse("", &policy));
    assert_false(delivery_policy_parse("Resend", &policy));
    assert_string_equal(delivery_outcome_name(DELIVERY_OUTCOME_NOT_SENT), "not_sent");
    assert_string_equal(delivery_state_name(DELIVERY_STATE_DEAD), "dead");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_and_policy),
        cmocka_unit_test(test_every_phase_without_an_answer),
        cmocka_unit_test(test_default_schedule),
        cmocka_unit_test(test_success),
        cmocka_unit_test(test_schedule_is_followed),
        cmocka_unit_test(test_exhausted_schedule),
        cmocka_unit_test(test_schedule_of_one),
        cmocka_unit_test(test_greatest_age),
        cmocka_unit_test(test_unknown_by_policy),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_retry_after_and_age),
        cmocka_unit_test(test_endless_patience_is_bounded),
        cmocka_unit_test(test_held_back),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("delivery", tests, NULL, NULL);
}
