/* What all clients of one Kafka cluster have in common: the settings.
 *
 * Read only once made, so the lanes' threads share it. */
#ifndef SINK_KAFKA_H
#define SINK_KAFKA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "runtime/clock.h"

struct rd_kafka_conf_s;
struct rd_kafka_s;

/* A property of librdkafka, as the configuration names it without "kafka." */
struct kafka_property {
    const char *name;
    const char *value;
};

struct kafka_settings {
    const struct kafka_property *properties; /* bootstrap.servers must be among them */
    size_t property_count;
    const char *prefix;          /* of the progress topic: "<prefix>.progress" */
    bool create_topics;          /* create missing topics */
    int topic_partitions;        /* of created topics; -1: the broker's default */
    int topic_replication;       /* of created topics; -1: the broker's default */
    mono_us transaction_timeout; /* a transaction older than this is aborted by the broker */
};

struct kafka;

/* Copies the settings and checks them, property by property, and the librdkafka that
 * is loaded.  Does not connect.  NULL on failure. */
struct kafka *kafka_new(const struct kafka_settings *settings, outbox_error **reterr);
/* Clients that are still being closed keep what they need.  NULL is allowed. */
void kafka_free(struct kafka *kafka);

const char *kafka_progress_topic(const struct kafka *kafka);
bool kafka_create_topics(const struct kafka *kafka);
int kafka_topic_partitions(const struct kafka *kafka);
int kafka_topic_replication(const struct kafka *kafka);

/* Is this version of librdkafka (as rd_kafka_version() gives it) fit for use?
 * 0: yes; 1: yes, but outdated; OUTBOX_ESTATE: no. */
int kafka_check_version(int version, outbox_error **reterr);

/* For the clients of this folder. ------------------------------------------------- */

/* One more owner; each of them calls kafka_free(). */
struct kafka *kafka_reference(const struct kafka *kafka);

/* Every client's opaque begins with one; callbacks find their way by it. */
struct kafka_client {
    const struct kafka *kafka;
    char last_error[256]; /* what librdkafka last complained about; written by the polling thread */
};

/* A configuration for a client with this opaque.  transactional_id: NULL for a consumer
 * or an administrative client.  The caller passes it to rd_kafka_new() or destroys it. */
struct rd_kafka_conf_s *kafka_producer_conf(const struct kafka *kafka, struct kafka_client *client,
                                            const char *transactional_id, outbox_error **reterr);
/* For a producer that is idempotent without transactions.  What is not delivered after
 * message_timeout fails, and then nothing after it is sent. */
struct rd_kafka_conf_s *kafka_pipeline_conf(const struct kafka *kafka, struct kafka_client *client,
                                            mono_us message_timeout, outbox_error **reterr);
struct rd_kafka_conf_s *kafka_consumer_conf(const struct kafka *kafka, struct kafka_client *client,
                                            outbox_error **reterr);
/* " (last: ...)" or "": why a call may have timed out. */
const char *kafka_last_error(const struct kafka_client *client, char *room, size_t size);

#endif
