/* Kafka as the relay's configuration has it: for the relay, and for outboxctl, which looks where it writes. */
#ifndef SINK_CONFIGURED_H
#define SINK_CONFIGURED_H

#include "base/error.h"
#include "config/config.h"
#include "sink/kafka.h"

/* Does not connect.  NULL on failure. */
struct kafka *kafka_of_config(const struct relay_config *config, outbox_error **reterr);

#endif
