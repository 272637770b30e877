/* How long to leave a broker alone between two transactions of a producer.
 *
 * A broker answers EndTxn before the transaction is over in the partitions.  Whoever begins
 * the next one meanwhile is told to come again, and librdkafka comes again after 20 ms,
 * whatever retry.backoff.ms says.  A few milliseconds of patience are cheaper: measured with
 * one event to a transaction 10 ms each instead of 13 to 35. */
#ifndef SINK_SETTLE_H
#define SINK_SETTLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/clock.h"

#define SETTLE_LEAST MILLISECONDS(1)
#define SETTLE_MOST MILLISECONDS(12)

struct settle {
    mono_us pause;    /* after the end of a transaction */
    mono_us ended_at; /* 0: none yet */
    /* Written by librdkafka's threads. */
    _Atomic mono_us asked_at; /* the last AddPartitionsToTxn of this transaction; 0: none yet */
    atomic_bool refused;      /* it was asked again, as late as after an answer "come again" */
};

void settle_init(struct settle *settle);
/* A request of this kind (Kafka's ApiKey) goes out. */
void settle_sent(struct settle *settle, int16_t api_key, mono_us now);
/* A transaction has been committed.  long_one: it took longer to make than the broker's answer
 * would have been waited for, and tells nothing about too little patience, or too much. */
void settle_ended(struct settle *settle, bool long_one, mono_us now);
/* Not before then should the next one begin. */
mono_us settle_until(const struct settle *settle);
/* At its beginning. */
void settle_begin(struct settle *settle);

#endif
