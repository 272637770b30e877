/* A relay's sign of life, and what the database tells it of the others: who is alive, who has
 * which lane, who ticks. */
#ifndef SOURCE_CHECK_IN_H
#define SOURCE_CHECK_IN_H

#include "core/position.h"
#include "core/share.h"
#include "pg/conn.h"

struct check_in {
    const char *name;
    mono_us ttl;    /* of the leases: of the lanes, and of the tick */
    bool first;     /* of this process */
    bool leaving;
    bool able;      /* does not fail in Kafka */
    bool may_tick;  /* publishes, hence is in the right database */
    int map;        /* of the lanes whose leases are to be renewed */
    size_t count;
    int lanes[SHARE_LANES];
    int64_t epochs[SHARE_LANES];
};

#define PICTURE_NAME 128

struct picture_lane {
    int number;
    bool renewed;
    char holder[PICTURE_NAME]; /* "": nobody */
    mono_us lease_left;        /* with a holder */
};

struct picture {
    mono_us asked_at; /* what is renewed, and the tick, are until asked_at + ttl */
    int map;
    bool ticking;     /* it is for us to tick */
    char ticker[PICTURE_NAME];
    struct tick_id stop; /* where the map ends; id 0: it does not */
    int64_t newest_tick;
    int self;         /* among the relays; -1: not there */
    bool left_out;    /* not there because there are SHARE_RELAYS others, whose names come before */
    char unknown[32]; /* a kind of rows of which this program does not know; empty: none */
    struct share_picture share;
    struct picture_lane lanes[SHARE_LANES]; /* in the order of share.lanes */
};

/* Checks in by a synchronous commit; OUTBOX_ESERVER also when that was not waited for. */
int check_in(struct pg *pg, const struct check_in *what, mono_us deadline, struct picture *ret, outbox_error **reterr);
/* Listens to what calls for another look. */
int check_in_listen(struct pg *pg, mono_us deadline, outbox_error **reterr);

#endif
