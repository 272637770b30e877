/* The pages in flight: handed to Kafka in this order, not yet all on the brokers.
 *
 * A position may only be confirmed with everything before it, so pages leave in the
 * order in which they came.  Exactly once has one page in flight, at least once some. */
#ifndef CORE_FLIGHT_H
#define CORE_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/position.h"

#define FLIGHT_PAGES 8

struct lane_page {
    uint64_t id; /* 0: none */
    int count;
    int64_t bytes;
    struct position position; /* after it */
    int64_t begun_at;
    int64_t release; /* not 0: no page of a batch, but events that were parked */
};

struct flight {
    struct lane_page pages[FLIGHT_PAGES]; /* a ring */
    int first;
    int count;
    int64_t bytes;
};

/* Is there room for one more page, with so many pages and bytes at most?  One page
 * always has room, whatever its size. */
bool flight_has_room(const struct flight *flight, int pages, int64_t bytes);
/* There must be room. */
void flight_push(struct flight *flight, const struct lane_page *page);
/* NULL: none. */
const struct lane_page *flight_oldest(const struct flight *flight);
/* There must be one. */
struct lane_page flight_pop(struct flight *flight);
/* The last one pushed; NULL: none. */
const struct lane_page *flight_youngest(const struct flight *flight);
/* There must be one. */
struct lane_page flight_take_back(struct flight *flight);
/* False for 0. */
bool flight_holds(const struct flight *flight, uint64_t id);

#endif
