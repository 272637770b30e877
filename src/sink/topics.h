/* What is known of the topics, from one client's point of view.  One thread. */
#ifndef SINK_TOPICS_H
#define SINK_TOPICS_H

#include <stdbool.h>
#include <stddef.h>

#include "sink/kafka.h"
#include "sink/result.h"

struct rd_kafka_topic_s;
struct topics;

/* For a client of one's own, such as outbox-relay --check.  NULL on failure. */
struct topics *topics_open(const struct kafka *kafka, outbox_error **reterr);
/* On the connection of another client, which outlives it.  NULL without memory. */
struct topics *topics_attach(struct kafka_client *client, struct rd_kafka_s *handle);
/* NULL is allowed. */
void topics_close(struct topics *topics);

/* Makes sure that all of these topics are there and known with their partitions;
 * creates missing ones if the settings allow it.  A name already known costs a
 * look-up in memory.  SINK_OK, SINK_TIMEOUT, SINK_TOPIC_MISSING, SINK_REFUSED. */
enum sink_result topics_ensure(struct topics *topics, const char *const *names, size_t count,
                               mono_us deadline, outbox_error **reterr);
/* Partitions of a topic, 0 if it is not known. */
int topics_partitions(struct topics *topics, const char *name);

/* The largest record batch that the topic takes, SIZE_MAX if that cannot be known.  Asked once,
 * or anew; the broker decides in the end. */
size_t topics_message_max(struct topics *topics, const char *name, bool anew, mono_us deadline);

struct topic_wish {
    const char *name;
    int partitions;  /* -1: the broker's default */
    int replication; /* -1: the broker's default */
    const struct kafka_property *config;
    size_t config_count;
    bool trial; /* only ask the cluster whether it would */
};

/* Creates one topic; one that is there already is fine. */
enum sink_result topics_create(struct topics *topics, const struct topic_wish *wish, mono_us deadline,
                               outbox_error **reterr);
/* Asks the cluster again, whatever is known.  *ret_partitions is 0 if there is no such topic. */
enum sink_result topics_query(struct topics *topics, const char *name, mono_us deadline, int *ret_partitions,
                              outbox_error **reterr);
/* The client's handle of a topic that is known, else NULL. */
struct rd_kafka_topic_s *topics_handle(struct topics *topics, const char *name);

#endif
