/* A lane's actions in Kafka. */
#ifndef RELAY_LANE_KAFKA_H
#define RELAY_LANE_KAFKA_H

#include "relay/executor.h"
#include "relay/settings.h"
#include "sink/kafka.h"

struct lane_kafka;

/* NULL without memory. */
struct lane_kafka *lane_kafka_new(struct settings *settings, const struct kafka *kafka, int lane);
/* NULL is allowed. */
void lane_kafka_free(struct lane_kafka *lane);
/* At least once: a record that is not on the brokers by then is given up.  The process may
 * be stopped and go on when the lane is another's; what it had queued is then too old. */
mono_us lane_message_timeout(const struct relay_config *config);
/* To be written to when it may have something to tell. */
int lane_kafka_wake_fd(const struct lane_kafka *lane);
executor_run lane_kafka_run;
executor_serve lane_kafka_serve;
executor_end lane_kafka_end;

#endif
