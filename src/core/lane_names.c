/* What the lane tells of itself. */
#include "core/lane_internal.h"

#include <string.h>

static const char *const state_names[] = {
#define LANE_STATE_NAME(constant, name) name,
    LANE_STATE_MAP(LANE_STATE_NAME)
#undef LANE_STATE_NAME
};

static const char *const halt_names[] = {
#define LANE_HALT_NAME(constant, name, text) name,
    LANE_HALT_MAP(LANE_HALT_NAME)
#undef LANE_HALT_NAME
};

static const char *const halt_texts[] = {
#define LANE_HALT_TEXT(constant, name, text) text,
    LANE_HALT_MAP(LANE_HALT_TEXT)
#undef LANE_HALT_TEXT
};

int64_t lane_leases_lost(const struct lane *lane)
{
    return lane->leases_lost;
}

const char *lane_state_name(enum lane_state state)
{
    return state_names[state];
}

const char *lane_halt_name(enum lane_halt halt)
{
    return halt_names[halt];
}

bool lane_halt_by_name(const char *name, enum lane_halt *ret)
{
    for (size_t i = 0; i < sizeof(halt_names) / sizeof(halt_names[0]); i++) {
        if (strcmp(halt_names[i], name) == 0) {
            *ret = (enum lane_halt)i;
            return true;
        }
    }
    return false;
}

const char *lane_halt_text(enum lane_halt halt)
{
    return halt_texts[halt];
}

enum lane_state lane_state(const struct lane *lane)
{
    return lane->state;
}

enum lane_halt lane_halt(const struct lane *lane)
{
    return lane->halt;
}

int64_t lane_epoch(const struct lane *lane)
{
    return lane->epoch;
}

bool lane_holds(const struct lane *lane)
{
    return lane->holding && lane->state != LANE_RELEASING && lane->state != LANE_STOPPED && lane->state != LANE_HALTED;
}

void lane_set_batch_events(struct lane *lane, int batch_events)
{
    /* A lane that begins small after a refusal goes on growing. */
    if (lane->limit == lane->settings.batch_events || lane->limit > batch_events)
        lane->limit = batch_events;
    lane->settings.batch_events = batch_events;
}
