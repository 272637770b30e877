/* The relay's configuration, for the verbs that speak with Kafka. */
#ifndef CLI_RELAY_CONFIG_H
#define CLI_RELAY_CONFIG_H

#include "cli/cli.h"
#include "config/config.h"

/* The flags by which it is named. */
#define RELAY_CONFIG_FLAGS                                                                                   \
    {"config", "FILE", "the relay's configuration: where Kafka and the database are"},                       \
        {"kafka", "SERVERS", "or only this: kafka.bootstrap.servers, host:port,..."},                        \
    {                                                                                                        \
        "topic-prefix", "PREFIX", "the relay's topic_prefix; outbox"                                         \
    }

/* Is one named, by a flag or a variable? */
bool relay_config_named(const struct cli *cli);
/* Reads it as the relay would, with what the flags say above all; the database is then the
 * one that it names.  The caller frees *ret, and sets cli->dsn to NULL before.  An exit code. */
int relay_config_load(struct cli *cli, struct config **ret);

#endif
