/* What is parked, in the database.  See docs/design.md, "Parking". */
#ifndef SOURCE_PARKING_H
#define SOURCE_PARKING_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/conn.h"

/* The lane and the epoch under which it is ours; else PostgreSQL refuses. */
struct parking_owner {
    int map;
    int lane;
    int64_t epoch;
};

/* What there is: *ret_open: something of this lane waits; *ret_last: no event beyond this seq was
 * ever parked. */
int parking_survey(struct pg *pg, const struct parking_owner *owner, mono_us deadline, bool *ret_open,
                   int64_t *ret_last, outbox_error **reterr);

/* Where a page's events are. */
struct parking_range {
    int64_t first, last; /* seq */
    int64_t tick;        /* the first of their batch */
};

/* Rows of (seq, null, moved) for each event of the range that was ever parked, and of (null, topic,
 * false) for each topic of which something is.  moved: it waits, and was parked with another batch.
 * Text. */
int parking_look(struct pg *pg, const struct parking_range *range, mono_us deadline, PGresult **ret_rows,
                 outbox_error **reterr);

/* Parks faults, a JSON array as outbox.lane_park takes it, by a synchronous commit. */
int parking_add(struct pg *pg, const struct parking_owner *owner, int64_t tick, const char *faults,
                mono_us deadline, outbox_error **reterr);

/* Parks those of a page's events, JSON as outbox.lane_park_behind takes it, that must not overtake
 * what is parked, by a synchronous commit.  Rows of their seqs, text. */
int parking_add_behind(struct pg *pg, const struct parking_owner *owner, int64_t tick, const char *page,
                       mono_us deadline, PGresult **ret_rows, outbox_error **reterr);

/* Takes what may be published now of what is parked, by a synchronous commit.  Rows as those of
 * a page, binary, with the release's id behind them. */
int parking_take(struct pg *pg, const struct parking_owner *owner, int limit, int64_t bytes, mono_us deadline,
                 PGresult **ret_rows, outbox_error **reterr);
/* The id in such rows; there must be some. */
int64_t parking_release_of(const PGresult *rows);

#endif
