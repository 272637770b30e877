/* What an attempt to deliver a webhook means, and what to do next.
 *
 * Pure: times, ages and random bits are arguments.  Lengths of time are microseconds. */
#ifndef CORE_DELIVERY_H
#define CORE_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

/* How far an attempt is known to have come. */
enum delivery_phase {
    DELIVERY_PHASE_NONE,      /* held back, or no address was found */
    DELIVERY_PHASE_RESOLVED,  /* the name has an address */
    DELIVERY_PHASE_CONNECTED, /* TCP */
    DELIVERY_PHASE_SECURED,   /* TLS */
    DELIVERY_PHASE_WRITING,   /* at least one byte of the request was handed to the socket */
    DELIVERY_PHASE_ANSWERED   /* a whole final status line arrived */
};

struct delivery_evidence {
    enum delivery_phase phase;
    int status; /* of the final answer; anything below 200 is none */
};

/* What is to be done when nobody can tell whether the receiver got a request. */
enum delivery_policy {
    DELIVERY_RESEND,    /* send again with the same id: the receiver dedupes */
    DELIVERY_RECONCILE, /* ask the receiver */
    DELIVERY_PARK       /* ask an operator */
};

enum delivery_outcome {
    DELIVERY_OUTCOME_DELIVERED,
    DELIVERY_OUTCOME_REFUSED,  /* the receiver answered, and not with 2xx */
    DELIVERY_OUTCOME_NOT_SENT, /* certainly: no byte of the request left */
    DELIVERY_OUTCOME_UNKNOWN   /* it may have arrived */
};

/* The same words as outbox.delivery.state. */
enum delivery_state {
    DELIVERY_STATE_DELIVERED,
    DELIVERY_STATE_FAILED, /* will be tried again */
    DELIVERY_STATE_UNKNOWN,
    DELIVERY_STATE_PARKED,
    DELIVERY_STATE_DEAD
};

struct delivery_rules {
    enum delivery_policy policy;
    const int64_t *schedule; /* the wait before each attempt, the first included */
    int schedule_count;
    int64_t max_age;
};

struct delivery_facts {
    enum delivery_outcome outcome;
    int status;
    bool held_back;      /* by ourselves, such as a limiter: nothing was tried */
    int attempts;        /* charged before this one */
    int sends;           /* all, this one included */
    int64_t age;         /* of the delivery, now */
    int64_t retry_after; /* what the receiver (or our limiter) asks for; negative: nothing */
    uint64_t random;
};

struct delivery_step {
    enum delivery_state state;
    bool charged;     /* counts against the schedule */
    int64_t retry_in; /* for state failed; else 0 */
};

/* 0, 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h. */
#define DELIVERY_SCHEDULE_COUNT 10
extern const int64_t delivery_schedule[DELIVERY_SCHEDULE_COUNT];

enum delivery_outcome delivery_outcome(const struct delivery_evidence *evidence, enum delivery_policy policy);
struct delivery_step delivery_next(const struct delivery_rules *rules, const struct delivery_facts *facts);

const char *delivery_outcome_name(enum delivery_outcome outcome);
const char *delivery_state_name(enum delivery_state state);
/* "resend", "reconcile", "park"; false if it is none of them. */
bool delivery_policy_parse(const char *name, enum delivery_policy *ret);

#endif
