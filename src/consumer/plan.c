#include "consumer/plan.h"

size_t plan_count(const struct plan *plan, size_t at_hand)
{
    return plan->alone > 0 && at_hand > 1 ? 1 : at_hand;
}

mono_us plan_pause(const struct plan_limits *limits, int failures, uint64_t random)
{
    mono_us pause = limits->first;
    mono_us fifth;

    for (int i = 1; i < failures && pause < limits->last; i++)
        pause *= 2;
    if (pause > limits->last)
        pause = limits->last;
    fifth = pause / 5;
    return pause - fifth + (mono_us)(random % (uint64_t)(2 * fifth + 1));
}

static enum plan_step note_failure(struct plan *plan, const struct plan_limits *limits, enum plan_outcome outcome,
                                   size_t count)
{
    if (count > 1) { /* which of them is at fault shows when each is alone */
        plan->alone = count;
        plan->failures = 0;
        return PLAN_GO_ON;
    }
    if (plan->alone == 0)
        plan->alone = 1;
    plan->failures++;
    return outcome == PLAN_REJECTED || plan->failures >= limits->attempts ? PLAN_GIVE_UP : PLAN_WAIT;
}

enum plan_step plan_note(struct plan *plan, const struct plan_limits *limits, enum plan_outcome outcome, size_t count,
                         uint64_t random, mono_us *ret_wait)
{
    enum plan_step step;

    if (outcome == PLAN_COMMITTED || outcome == PLAN_DEAD) {
        plan->alone -= plan->alone < count ? plan->alone : count;
        plan->failures = 0;
        return PLAN_GO_ON;
    }
    step = note_failure(plan, limits, outcome, count);
    if (step == PLAN_WAIT)
        *ret_wait = plan_pause(limits, plan->failures, random);
    return step;
}
