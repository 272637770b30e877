#include "core/position.h"

#include <string.h>

static bool same_tick(const struct tick_id *a, const struct tick_id *b)
{
    return a->id == b->id && memcmp(a->nonce, b->nonce, sizeof(a->nonce)) == 0;
}

bool position_same_batch(const struct position *a, const struct position *b)
{
    return same_tick(&a->from, &b->from) && same_tick(&a->to, &b->to);
}

/* Within one batch: further is the larger seq, then done. */
static enum position_order compare_in_batch(const struct position *a, const struct position *b)
{
    if (a->seq != b->seq) {
        /* What is done has nothing after it. */
        if ((a->seq < b->seq && a->done) || (b->seq < a->seq && b->done))
            return POSITION_CONFLICT;
        return a->seq < b->seq ? POSITION_BEFORE : POSITION_AFTER;
    }
    if (a->done == b->done)
        return POSITION_SAME;
    return b->done ? POSITION_BEFORE : POSITION_AFTER;
}

/* The batch before the first: it begins and ends at the first tick. */
static bool is_start(const struct position *position)
{
    return same_tick(&position->from, &position->to);
}

static bool begins_earlier(const struct position *a, const struct position *b)
{
    if (a->from.id != b->from.id)
        return a->from.id < b->from.id;
    return is_start(a);
}

enum position_order position_compare(const struct position *a, const struct position *b)
{
    const struct position *earlier = begins_earlier(a, b) ? a : b;
    const struct position *later = earlier == a ? b : a;

    if (position_same_batch(a, b))
        return compare_in_batch(a, b);
    if (a->from.id == b->from.id && !is_start(earlier))
        return POSITION_CONFLICT;
    /* A lane finishes a batch before it begins the next, and begins where that ended. */
    if (later->from.id < earlier->to.id)
        return POSITION_CONFLICT;
    if (later->from.id == earlier->to.id && !same_tick(&later->from, &earlier->to))
        return POSITION_CONFLICT;
    return earlier == a ? POSITION_BEFORE : POSITION_AFTER;
}
