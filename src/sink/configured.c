#include "sink/configured.h"

#include <stdlib.h>

struct kafka *kafka_of_config(const struct relay_config *config, outbox_error **reterr)
{
    struct kafka_property *properties = calloc(config->kafka_count + 1, sizeof(*properties));
    const struct kafka_settings settings = {.properties = properties,
                                            .property_count = config->kafka_count,
                                            .prefix = config->topic_prefix,
                                            .create_topics = config->create_topics,
                                            .topic_partitions = config->topic_partitions,
                                            .topic_replication = config->topic_replication,
                                            .transaction_timeout = config->transaction_timeout,
                                            .insecure = config->insecure};
    struct kafka *kafka = NULL;

    if (!properties) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    for (size_t i = 0; i < config->kafka_count; i++)
        properties[i] = (struct kafka_property){config->kafka[i].name, config->kafka[i].value};
    kafka = kafka_new(&settings, reterr);
    free(properties);
    return kafka;
}
