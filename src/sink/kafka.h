/* What all clients of one Kafka cluster have in common: the settings.
 *
 * Read only once made, but for how topics are created, so the lanes' threads share it. */
#ifndef SINK_KAFKA_H
#define SINK_KAFKA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "runtime/clock.h"
#include "runtime/repeat.h"

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
    bool insecure;               /* brokers on other machines without TLS, too */
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
/* How topics are created from now on; the values are as in the settings.  Any thread. */
void kafka_set_topics(struct kafka *kafka, bool create, int partitions, int replication);

/* Is this version of librdkafka (as rd_kafka_version() gives it) fit for use?
 * 0: yes; 1: yes, but outdated; OUTBOX_ESTATE: no. */
int kafka_check_version(int version, outbox_error **reterr);

/* For the clients of this folder. ------------------------------------------------- */

/* One more owner; each of them calls kafka_free(). */
struct kafka *kafka_reference(const struct kafka *kafka);

/* Why brokers cannot be spoken to, as far as an operator can do something about it. */
enum kafka_trouble {
    KAFKA_TROUBLE_NONE,
    KAFKA_TROUBLE_UNTRUSTED, /* certificate of another CA */
    KAFKA_TROUBLE_HOST_NAME, /* ... for another host */
    KAFKA_TROUBLE_EXPIRED,
    KAFKA_TROUBLE_NO_TLS,    /* we speak TLS, the broker does not */
    KAFKA_TROUBLE_WANTS_TLS, /* the reverse */
    KAFKA_TROUBLE_SILENT,    /* perhaps that, too */
    KAFKA_TROUBLE_ALERT,     /* it refused our handshake */
    KAFKA_TROUBLE_CREDENTIALS,
    KAFKA_TROUBLE_MECHANISM,
    KAFKA_TROUBLE_RESOLVE,
    KAFKA_TROUBLE_PLAIN_REFUSED /* by us */
};

/* A topic that no right was given on, as librdkafka tells only its log. */
enum kafka_denied { KAFKA_DENIED_NONE, KAFKA_DENIED_WRITING, KAFKA_DENIED_KNOWN };

/* Every client's opaque begins with one; callbacks find their way by it. */
struct kafka_client {
    const struct kafka *kafka;
    /* What librdkafka last complained about; written by the polling thread. */
    char last_error[256];
    enum kafka_trouble trouble;
    bool all_down;
    /* Written by the brokers' threads. */
    atomic_int certificate; /* OpenSSL's error of the last certificate that was refused; 0: none */
    atomic_bool plain_refused;
    atomic_int denied; /* enum kafka_denied */
    char denied_topic[250];
    struct repeat repeat;
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
/* The value of a setting; "" if there is none. */
const char *kafka_property_value(const struct kafka *kafka, const char *name);
/* The client works: what it complained about is past. */
void kafka_forget_errors(struct kafka_client *client);
/* The topic that the transaction had no right on; NULL: not known. */
const char *kafka_denied_topic(const struct kafka_client *client);
/* No broker can be spoken to, for a reason that another try will not mend by itself. */
bool kafka_hopeless(const struct kafka_client *client);
/* " (last: ...)" or "": why a call may have timed out. */
const char *kafka_last_error(const struct kafka_client *client, char *room, size_t size);

#endif
