/* Telling the database what Kafka has. */
#ifndef SOURCE_ACKNOWLEDGE_H
#define SOURCE_ACKNOWLEDGE_H

#include "core/position.h"
#include "pg/conn.h"

struct acknowledgement {
    int map;
    int lane;
    int64_t epoch;
    struct position old;
    struct position position;
    int64_t published; /* events between the two, and those of the release */
    int64_t release;   /* of parked events, published too; 0: none */
};

struct acknowledged {
    bool accepted;      /* false: another has taken the lane, or moved it */
    int64_t deliveries; /* inserted */
    int endpoints;      /* that want deliveries */
};

/* Advances the lane and inserts the deliveries of exactly that interval, in one transaction. */
int acknowledge(struct pg *pg, const struct acknowledgement *what, mono_us deadline, struct acknowledged *ret,
                outbox_error **reterr);

/* Do both ticks of the position exist with their nonces? */
int position_verify(struct pg *pg, const struct position *position, mono_us deadline, bool *ret_found,
                    outbox_error **reterr);

#endif
