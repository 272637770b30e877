/* The configuration of outbox-relay.  An option comes, in rising precedence, from its
 * default, the file of --config, the environment (OUTBOX_NAME) and the flags (--name).
 *
 *   poll_interval = 100ms            # in the file; [sections] only group, but
 *   kafka.bootstrap.servers = a:9092 # names below [kafka] get the prefix "kafka."
 *   OUTBOX_POLL_INTERVAL=100ms       # in the environment
 *   --poll_interval=100ms            # as a flag; also "--poll-interval 100ms"
 *
 * kafka.NAME is handed to librdkafka as the property NAME.  In the environment it is
 * OUTBOX_KAFKA_NAME with "_" for every ".": OUTBOX_KAFKA_BOOTSTRAP_SERVERS. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/error.h"
#include "runtime/clock.h"
#include "runtime/log.h"

struct config_pair {
    char *name; /* of the librdkafka property, without "kafka." */
    char *value;
};

#define CONFIG_FOREVER INT64_MAX /* a time without an end */

/* Filled from the table in options.c.  Texts belong to the struct config. */
struct relay_config {
    char *dsn;
    char *name; /* of this relay: the holder of its lanes' leases */
    char *wake; /* "listen" or "poll" */
    char *publish; /* "exactly_once" or "at_least_once" */
    mono_us poll_interval;
    mono_us fallback_poll;
    mono_us lease;
    mono_us lease_renew;
    mono_us transaction_timeout;
    mono_us connect_timeout;
    mono_us statement_timeout;
    mono_us shutdown_timeout;
    int batch_events;
    int64_t batch_bytes;
    char *topic_prefix;
    bool create_topics;
    int topic_partitions;  /* -1: the broker's default */
    int topic_replication; /* -1: the broker's default */
    bool webhooks;
    char *webhook_allow;   /* "": none; else networks, separated by commas */
    char *webhook_ca_file; /* NULL: the system's */
    int webhook_max_in_flight;
    char *maintenance_dsn; /* NULL: dsn */
    mono_us maintenance_interval;
    mono_us rotate_every;
    int rotate_events;
    mono_us retention; /* as those that follow: may be CONFIG_FOREVER */
    mono_us delivery_retention;
    mono_us id_retention;
    mono_us inbox_retention;
    mono_us audit_retention;
    bool insecure;
    char *admin_listen; /* "": nowhere */
    char *log_level_name;
    enum log_level log_level;
    struct config_pair *kafka;
    size_t kafka_count;
};

/* What the command line asks for. */
enum config_action { CONFIG_RUN, CONFIG_CHECK, CONFIG_HELP, CONFIG_VERSION };

struct config;

/* Reads everything.  NULL on failure; the message names the source (file and line,
 * variable or flag), the option and what it accepts.  With --help or --version
 * nothing else is looked at.  environment: as environ. */
struct config *config_load(int argc, char *const argv[], char *const environment[], outbox_error **reterr);
/* One more owner; each of them calls config_free().  Any thread: what is loaded never changes. */
struct config *config_reference(struct config *config);
void config_free(struct config *config);

enum config_action config_action(const struct config *config);
const struct relay_config *config_relay(const struct config *config);
/* Variables that look like a misspelt option ("OUTBOX_LEESE ...; did you mean ...?"):
 * to be logged.  NULL after the last one. */
const char *config_warning(const struct config *config, size_t i);
/* The effective values and where each comes from, secrets replaced. */
void config_print(const struct config *config, FILE *out);
/* What a reload found: names of options, separated by commas. */
struct config_changes {
    struct outbox__buf applied;
    struct outbox__buf restart; /* changed in the sources, but cannot change while the relay runs */
};

#define CONFIG_CHANGES_INIT {OUTBOX__BUF_INIT(65536), OUTBOX__BUF_INIT(65536)}

/* Reads the same sources again, into a configuration in which what cannot be reloaded is as
 * in `current` (but for kafka.*, which nothing reads again).  NULL on failure. */
struct config *config_reload(const struct config *current, int argc, char *const argv[],
                             char *const environment[], struct config_changes *changes, outbox_error **reterr);
void config_changes_clear(struct config_changes *changes);
/* The text of --help. */
void config_help(FILE *out);

#endif
