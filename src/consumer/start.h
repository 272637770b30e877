/* Where a partition begins that has no position yet. */
#ifndef CONSUMER_START_H
#define CONSUMER_START_H

#include "consumer/state.h"

/* Asks Kafka for the offset that the options mean, and for its cluster's id.  Any worker. */
int start_resolve(const struct partition *partition, int64_t *ret_offset, outbox_error **reterr);
/* The id of the cluster; owned by the consumer.  NULL with an error if Kafka does not tell. */
const char *start_cluster(outbox_consumer *consumer, outbox_error **reterr);

#endif
