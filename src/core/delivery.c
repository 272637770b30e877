#include "core/delivery.h"

#include <string.h>

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

const int64_t delivery_schedule[DELIVERY_SCHEDULE_COUNT] = {
    0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR,
};

/* Statuses with which a gateway speaks for a receiver that may have acted all the same. */
static bool from_gateway(int status)
{
    return status == 408 || status == 502 || status == 504;
}

enum delivery_outcome delivery_outcome(const struct delivery_evidence *evidence, enum delivery_policy policy)
{
    if (evidence->phase == DELIVERY_PHASE_ANSWERED && evidence->status >= 200) {
        if (evidence->status < 300)
            return DELIVERY_OUTCOME_DELIVERED;
        /* A receiver that dedupes does not mind; for the others doubt is doubt. */
        if (policy != DELIVERY_RESEND && from_gateway(evidence->status))
            return DELIVERY_OUTCOME_UNKNOWN;
        return DELIVERY_OUTCOME_REFUSED;
    }
    return evidence->phase >= DELIVERY_PHASE_WRITING ? DELIVERY_OUTCOME_UNKNOWN : DELIVERY_OUTCOME_NOT_SENT;
}

/* From 80 to 120 % of wait. */
static int64_t jitter(int64_t wait, uint64_t random)
{
    double fraction = (double)(random >> 11) * 0x1.0p-53; /* [0, 1) */

    return wait - wait / 5 + (int64_t)((double)(wait / 5 * 2) * fraction);
}

/* The wait before attempt number `number` (from 0); beyond the schedule its last one. */
static int64_t scheduled_wait(const struct delivery_rules *rules, int number)
{
    return rules->schedule[number < rules->schedule_count ? number : rules->schedule_count - 1];
}

/* The receiver asks for patience (429, 503): that is not charged, and it is never asked
 * again before the time it named.  Nothing but max_age ends this, so the waits grow
 * with the number of sends, or at least with the age: a receiver that always asks for
 * one second more sees some hundred attempts in four days, not 345,600. */
static int64_t patience(const struct delivery_rules *rules, const struct delivery_facts *facts)
{
    int64_t least = facts->age / 64;
    int64_t left = rules->max_age - facts->age;
    int64_t wait;

    if (facts->retry_after < 0) {
        wait = jitter(scheduled_wait(rules, facts->sends), facts->random);
    } else {
        /* Spread out, but never to the early side. */
        wait = facts->retry_after + jitter(facts->retry_after / 12, facts->random);
        if (least < SECOND)
            least = SECOND;
    }
    if (wait < least)
        wait = least;
    /* Spreading out must not be what makes it too old. */
    return wait > left && facts->retry_after <= left && least <= left ? left : wait;
}

/* Tries again after wait, unless the delivery will be too old by then. */
static struct delivery_step retry(const struct delivery_rules *rules, const struct delivery_facts *facts,
                                  bool charged, int64_t wait)
{
    if (wait > rules->max_age - facts->age)
        return (struct delivery_step){DELIVERY_STATE_DEAD, charged, 0};
    return (struct delivery_step){DELIVERY_STATE_FAILED, charged, wait};
}

static struct delivery_step retry_by_schedule(const struct delivery_rules *rules,
                                              const struct delivery_facts *facts)
{
    int made = facts->attempts + 1;

    if (made >= rules->schedule_count)
        return (struct delivery_step){DELIVERY_STATE_DEAD, true, 0};
    return retry(rules, facts, true, jitter(scheduled_wait(rules, made), facts->random));
}

static struct delivery_step after_refusal(const struct delivery_rules *rules,
                                          const struct delivery_facts *facts)
{
    /* Gone, by the specification: no further webhooks are wanted there. */
    if (facts->status == 410)
        return (struct delivery_step){DELIVERY_STATE_DEAD, true, 0};
    if (facts->status == 429 || facts->status == 503)
        return retry(rules, facts, false, patience(rules, facts));
    return retry_by_schedule(rules, facts);
}

struct delivery_step delivery_next(const struct delivery_rules *rules, const struct delivery_facts *facts)
{
    switch (facts->outcome) {
    case DELIVERY_OUTCOME_DELIVERED:
        return (struct delivery_step){DELIVERY_STATE_DELIVERED, true, 0};
    case DELIVERY_OUTCOME_REFUSED:
        return after_refusal(rules, facts);
    case DELIVERY_OUTCOME_NOT_SENT:
        /* Not the receiver's doing: max_age waits as well, so that a delivery that was
         * never tried does not die. */
        if (facts->held_back)
            return (struct delivery_step){DELIVERY_STATE_FAILED, false,
                                          facts->retry_after > 0 ? facts->retry_after : 0};
        return retry_by_schedule(rules, facts);
    case DELIVERY_OUTCOME_UNKNOWN:
        break;
    }
    if (rules->policy == DELIVERY_PARK)
        return (struct delivery_step){DELIVERY_STATE_PARKED, true, 0};
    if (rules->policy == DELIVERY_RECONCILE)
        return (struct delivery_step){DELIVERY_STATE_UNKNOWN, true, 0};
    return retry_by_schedule(rules, facts);
}

const char *delivery_outcome_name(enum delivery_outcome outcome)
{
    static const char *const names[] = {"delivered", "refused", "not_sent", "unknown"};

    return names[outcome];
}

const char *delivery_state_name(enum delivery_state state)
{
    static const char *const names[] = {"delivered", "failed", "unknown", "parked", "dead"};

    return names[state];
}

bool delivery_policy_parse(const char *name, enum delivery_policy *ret)
{
    static const char *const names[] = {"resend", "reconcile", "park"};

    for (int i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum delivery_policy)i;
            return true;
        }
    }
    return false;
}
