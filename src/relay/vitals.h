/* Signs of life of this process: the main loop notes them, others read them at any time. */
#ifndef RELAY_VITALS_H
#define RELAY_VITALS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/lane.h"
#include "runtime/clock.h"

/* Moments are 0 for "not so". */
struct vitals {
    atomic_int state;              /* enum lane_state */
    atomic_int halt;               /* enum lane_halt */
    atomic_bool standing_by;       /* others have the lanes */
    atomic_bool ready;             /* has had the lane, or stood by */
    atomic_bool stopping;
    atomic_bool grant_missing;     /* nothing expires: the role lacks a right */
    char grant[200];               /* which gives it; written once, before */
    _Atomic mono_us idle_since;    /* neither owner nor standing by */
    _Atomic mono_us database_failing_since;
    _Atomic mono_us kafka_failing_since;
};

void vitals_start(struct vitals *vitals, mono_us now);
/* An executor's answer. */
void vitals_note_event(struct vitals *vitals, const struct lane_event *event);
/* Where the lane that needs attention most stands after it. */
void vitals_note_state(struct vitals *vitals, enum lane_state state, enum lane_halt halt, bool standing_by,
                       mono_us now);

#endif
