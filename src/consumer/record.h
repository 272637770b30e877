/* A record as the handler sees it. */
#ifndef CONSUMER_RECORD_H
#define CONSUMER_RECORD_H

#include <librdkafka/rdkafka.h>
#include <outbox/consumer.h>

#include "consumer/state.h"

struct outbox_record {
    rd_kafka_message_t *message;
    int failures;
    char reason[REASON_SIZE];
};

#endif
