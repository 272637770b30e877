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

/* A reason is a line of UTF-8, whatever the text is: the dead letter has it as a header. */
void record_write_reason(char reason[REASON_SIZE], const char *text);

#endif
