/* A lane's actions in Kafka. */
#ifndef RELAY_LANE_KAFKA_H
#define RELAY_LANE_KAFKA_H

#include "relay/executor.h"
#include "relay/settings.h"
#include "sink/kafka.h"

struct lane_kafka;

/* NULL without memory. */
struct lane_kafka *lane_kafka_new(struct settings *settings, const struct kafka *kafka, int map, int lane);
/* NULL is allowed. */
void lane_kafka_free(struct lane_kafka *lane);
executor_run lane_kafka_run;
executor_end lane_kafka_end;

#endif
