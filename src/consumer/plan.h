/* What to do with records after their handler answered: pure. */
#ifndef CONSUMER_PLAN_H
#define CONSUMER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/clock.h"

struct plan_limits {
    int attempts;  /* calls with a record alone */
    mono_us first; /* pause after the first of them */
    mono_us last;  /* the longest pause */
};

/* Zeroed: nothing has failed. */
struct plan {
    size_t alone; /* so many of the next records are to be handled each for itself */
    int failures; /* of the next record alone */
};

enum plan_outcome {
    PLAN_COMMITTED,
    PLAN_FAILED,   /* another try may help */
    PLAN_REJECTED, /* it would not */
    PLAN_DEAD      /* the record went to the dead-letter topic */
};

enum plan_step {
    PLAN_GO_ON,  /* with the next records, or with the same ones alone */
    PLAN_WAIT,   /* then the same record again */
    PLAN_GIVE_UP /* on the next record */
};

/* How many of the records at hand go into the next transaction. */
size_t plan_count(const struct plan *plan, size_t at_hand);

/* Notes what became of the first count records.  random: any number, for the jitter of *ret_wait, which
 * is set with PLAN_WAIT. */
enum plan_step plan_note(struct plan *plan, const struct plan_limits *limits, enum plan_outcome outcome, size_t count,
                         uint64_t random, mono_us *ret_wait);

/* The pause after so many failures: first, doubled each time up to last, a fifth more or less. */
mono_us plan_pause(const struct plan_limits *limits, int failures, uint64_t random);

#endif
