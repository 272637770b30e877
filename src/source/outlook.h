/* How things stand in the database, for those who watch: lag, halts, partitions, deliveries. */
#ifndef SOURCE_OUTLOOK_H
#define SOURCE_OUTLOOK_H

#include <stdbool.h>

#include "pg/conn.h"

#define OUTLOOK_LANES 16

struct outlook_lane {
    int lane;
    int64_t events;    /* still to be published */
    mono_us age;       /* of the oldest of them; 0 without any */
    int64_t published; /* ever */
    int64_t to_tick;   /* with seq: how far it has come */
    int64_t seq;
    char halt[32];     /* "": it is not halted */
};

struct outlook {
    struct outlook_lane lanes[OUTLOOK_LANES];
    int lane_count;
    int partitions_ahead;
    mono_us oldest_partition; /* since writers left it; 0: they have not */
    int64_t due;   /* deliveries to be sent now */
    int64_t later; /* to be sent again some time */
    int64_t unknown;
    int64_t parked;
    int64_t dead;
    int64_t parked_events;
    mono_us parked_age; /* of the oldest of them */
};

/* Cheap whatever the backlog is: nothing is counted beyond a limit, from where events are
 * estimated. */
int outlook_read(struct pg *pg, mono_us deadline, struct outlook *ret, outbox_error **reterr);

#endif
