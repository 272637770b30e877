/* How far a lane has published.
 *
 * A batch is what became visible from one tick to a later one.  A position names its
 * batch by both ticks and their nonces, the last seq published in it, and whether
 * that completed it.  The next batch begins at this one's to_tick. */
#ifndef CORE_POSITION_H
#define CORE_POSITION_H

#include <stdbool.h>
#include <stdint.h>

struct tick_id {
    int64_t id;
    uint8_t nonce[16];
};

struct position {
    struct tick_id from;
    struct tick_id to;
    int64_t seq; /* 0: nothing of the batch yet */
    bool done;
};

/* Does b name the same ticks, with the same nonces, as a? */
bool position_same_batch(const struct position *a, const struct position *b);

enum position_order {
    POSITION_SAME,
    POSITION_BEFORE,  /* a lies before b */
    POSITION_AFTER,   /* a lies after b */
    POSITION_CONFLICT /* they cannot both have been positions of one lane */
};

/* Compares two positions of one lane. */
enum position_order position_compare(const struct position *a, const struct position *b);

#endif
