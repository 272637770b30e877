/* The options of a consumer, and their own copy in it. */
#ifndef CONSUMER_OPTIONS_H
#define CONSUMER_OPTIONS_H

#include <outbox/consumer.h>
#include <stdbool.h>

#include "consumer/plan.h"
#include "runtime/clock.h"
#include "sink/kafka.h"

/* How a caller allows connections without TLS to other machines, for messages. */
#define CONSUMER_CONSENT "call outbox_consumer_options_set_insecure()"

struct outbox_consumer_options {
    char *name;
    char *dsn;
    char *dead_letter_topic; /* NULL until the copy in the consumer gives it its default */
    struct kafka_property *properties;
    size_t property_count;
    char **topics;
    size_t topic_count;
    outbox_consumer_handler handler;
    void *handler_context;
    outbox_consumer_log log;
    void *log_context;
    enum outbox_consumer_start start;
    int64_t start_value;
    enum outbox_consumer_failure failure;
    enum outbox_consumer_followers followers;
    struct plan_limits limits;
    int workers;
    int batch;
    int64_t queue_bytes;
    mono_us transaction_timeout;
    mono_us drain_timeout;
    bool insecure;
    int remembered; /* what a setter could not store: its code, and which */
    const char *remembered_field;
};

/* A copy of what is complete and allowed; NULL with an error else. */
outbox_consumer_options *options_copy(const outbox_consumer_options *options, outbox_error **reterr);

#endif
