/* The position in PostgreSQL, and what commits with it. */
#ifndef CONSUMER_POSITION_H
#define CONSUMER_POSITION_H

#include "consumer/state.h"

/* How long a call may take before the connection counts as lost. */
#define POSITION_PATIENCE SECONDS(20)

/* Takes the partition over: sets its fence, *ret_position (-1: not decided yet) and its parked keys. */
int position_acquire(struct pg *pg, struct partition *partition, const char *cluster, int64_t *ret_position,
                     outbox_error **reterr);
/* Moves the position on to where the partition begins, in a transaction of its own. */
int position_begin_at(struct pg *pg, struct partition *partition, int64_t to, outbox_error **reterr);
/* In the open transaction: moves it on, and commits.
 * OUTBOX_ESTATE: another has the partition; OUTBOX_ESERVER: refused; both rolled back.
 * OUTBOX_ECONNECTION, OUTBOX_ETIMEOUT: nobody knows yet. */
int position_commit(struct pg *pg, const struct partition *partition, int64_t to, outbox_error **reterr);
/* The fence that stands; 0: the position has been forgotten. */
int position_fence(struct pg *pg, const struct partition *partition, int64_t *ret_fence, outbox_error **reterr);
/* In the open transaction. */
int position_park_key(struct pg *pg, const struct partition *partition, const rd_kafka_message_t *message,
                      const char *reason, outbox_error **reterr);
/* In the open transaction: *ret_parked tells whether the key is parked still. */
int position_park_behind(struct pg *pg, const struct partition *partition, const rd_kafka_message_t *message,
                         bool *ret_parked, outbox_error **reterr);

int position_run(struct pg *pg, const char *sql, outbox_error **reterr);

#endif
