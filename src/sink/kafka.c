#include "sink/kafka.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "runtime/log.h"
#include "runtime/metrics.h"
#include "sink/errors.h"
#include "sink/security.h"

struct kafka {
    atomic_int references;
    struct kafka_property *properties;
    size_t property_count;
    char *progress_topic;
    atomic_bool create_topics;
    atomic_int topic_partitions;
    atomic_int topic_replication;
    mono_us transaction_timeout;
    bool plain_only_loopback;
};

/* What the configuration may change. */
static const struct kafka_property common_defaults[] = {
    {"client.id", "outbox-relay"},  {"socket.nagle.disable", "true"},     {"socket.keepalive.enable", "true"},
    {"reconnect.backoff.ms", "50"}, {"reconnect.backoff.max.ms", "1000"}, {"log.connection.close", "false"},
};

static const struct kafka_property producer_defaults[] = {
    {"linger.ms", "5"},
    /* Transactional requests that the broker answers "again later" wait this long. */
    {"retry.backoff.ms", "2"},
    /* Per lane; librdkafka's own limit of 1 GiB is no limit. */
    {"queue.buffering.max.kbytes", "32768"},
    {"queue.buffering.max.messages", "100000"},
    /* The brokers' own default for a record batch. */
    {"message.max.bytes", "1048588"},
};

/* Over those.  Nobody waits for a page to be full: the next one follows without waiting. */
static const struct kafka_property pipeline_defaults[] = {
    {"linger.ms", "0"},
};

static const struct kafka_property consumer_defaults[] = {
    /* The end of a partition is told by an answer to a fetch: so do not let it wait. */
    {"fetch.wait.max.ms", "2"},
    {"fetch.error.backoff.ms", "50"},
    {"check.crcs", "true"},
};

/* What it may not. */
static const struct kafka_property common_required[] = {
    {"allow.auto.create.topics", "false"},
};

static const struct kafka_property producer_required[] = {
    {"enable.idempotence", "true"},
    {"partitioner", "murmur2_random"}, /* as the Java client */
    {"delivery.report.only.error", "false"},
};

/* A record that is lost must not be overtaken by those behind it. */
static const struct kafka_property pipeline_required[] = {
    {"enable.gapless.guarantee", "true"},
    {"acks", "all"},
};

static const struct kafka_property consumer_required[] = {
    {"isolation.level", "read_committed"},
    {"enable.auto.commit", "false"},
    {"enable.partition.eof", "true"},
    {"auto.offset.reset", "error"},
    /* A follower may lag; the position must not. */
    {"client.rack", ""},
};

/* Set from options of the relay, with the option's name. */
static const struct {
    const char *name;
    const char *instead;
} reserved[] = {
    {"transactional.id", "the relay makes it from its prefix, the incarnation and the lane"},
    {"transaction.timeout.ms", "set transaction_timeout instead"},
    {"group.id", "the relay joins no consumer group"},
    {"plugin.library.paths", "plugins are not allowed in the relay"},
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- versions ---- */

int kafka_check_version(int version, outbox_error **reterr)
{
    static const struct {
        int version;
        const char *why;
    } unfit[] = {
        {0x020500, "2.5.0 crashes on a metrics subscription; use 2.5.3 or later"},
        {0x020a00, "2.10.0 can loop while it looks for the brokers; use 2.10.1 or later"},
    };
    int release = version >> 8; /* without the pre-release byte */

    if (release < 0x020002)
        return outbox__fail(reterr, OUTBOX_ESTATE, NULL,
                            "librdkafka %x.%x.%x is too old: 2.0.2 or later is needed", release >> 16,
                            release >> 8 & 0xff, release & 0xff);
    for (size_t i = 0; i < COUNT(unfit); i++) {
        if (release == unfit[i].version)
            return outbox__fail(reterr, OUTBOX_ESTATE, NULL, "this librdkafka is not fit for use: %s",
                                unfit[i].why);
    }
    return release < 0x020600 ? 1 : 0;
}

/* ---- secrets in what librdkafka says ---- */

static bool is_secret(const char *name)
{
    static const char *const parts[] = {"password", "secret", "key.pem", "sasl.oauthbearer.config", "jaas"};

    for (size_t i = 0; i < COUNT(parts); i++) {
        if (strstr(name, parts[i]))
            return true;
    }
    return false;
}

/* Copies text and puts stars in the place of every secret value of the settings. */
static void redact(const struct kafka *kafka, const char *text, char *ret, size_t room)
{
    snprintf(ret, room, "%s", text);
    for (size_t i = 0; i < kafka->property_count; i++) {
        const char *value = kafka->properties[i].value;
        size_t size = strlen(value);
        char *found = ret;

        if (size == 0 || !is_secret(kafka->properties[i].name))
            continue;
        while ((found = strstr(found, value)) != NULL) {
            memset(found, '*', size);
            found += size;
        }
    }
}

/* ---- callbacks ---- */

static enum log_level level_of(int syslog_level)
{
    if (syslog_level <= LOG_CRIT)
        return LOG_LEVEL_ERROR;
    if (syslog_level <= LOG_WARNING)
        return LOG_LEVEL_WARNING; /* a broken connection is LOG_ERR to librdkafka, and mends itself */
    return syslog_level <= LOG_INFO ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
}

/* Why a partition did not come into the transaction is said for the first one in the
 * error, but of which topic it is, in the log alone. */
static void note_denied(struct kafka_client *client, const char *text)
{
    static const char before[] = "Failed to add partition \"";
    const char *name = strstr(text, before);
    int none = KAFKA_DENIED_NONE;
    size_t size;

    if (!name || !strstr(name, "authorization failed"))
        return;
    name += sizeof(before) - 1;
    size = strcspn(name, "\"");
    if (size >= sizeof(client->denied_topic) ||
        !atomic_compare_exchange_strong(&client->denied, &none, KAFKA_DENIED_WRITING))
        return;
    memcpy(client->denied_topic, name, size);
    client->denied_topic[size] = '\0';
    atomic_store(&client->denied, KAFKA_DENIED_KNOWN);
}

const char *kafka_denied_topic(const struct kafka_client *client)
{
    return atomic_load(&client->denied) == KAFKA_DENIED_KNOWN ? client->denied_topic : NULL;
}

/* Any thread of librdkafka. */
static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    struct kafka_client *client = rd_kafka_opaque(handle);
    enum log_level ours = level_of(level);
    char redacted[1024];
    const char *message = redacted;

    /* The one set of properties is for producers and consumers. */
    if (strcmp(facility, "CONFWARN") == 0)
        ours = LOG_LEVEL_DEBUG;
    if (strcmp(facility, "ADDPARTS") == 0)
        note_denied(client, text);
    redact(client->kafka, text, redacted, sizeof(redacted));
    if (ours != LOG_LEVEL_ERROR && repeat_seen(&client->repeat, redacted, clock_now()))
        ours = LOG_LEVEL_DEBUG;
    log_write(ours, "kafka", LOG_TEXT("facility", facility), LOG_TEXT("message", message));
}

/* The polling thread. */
static void on_error(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
    struct kafka_client *client = opaque;

    (void)handle;
    metric_add(METRIC_KAFKA_ERRORS, 1);
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        client->all_down = true;
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && client->last_error[0])
        return; /* says less than what came before */
    client->trouble = security_trouble(client, code, reason);
    redact(client->kafka, reason, client->last_error, sizeof(client->last_error));
}

void kafka_forget_errors(struct kafka_client *client)
{
    int known = KAFKA_DENIED_KNOWN;

    client->last_error[0] = '\0';
    client->trouble = KAFKA_TROUBLE_NONE;
    client->all_down = false;
    atomic_store(&client->certificate, 0);
    atomic_store(&client->plain_refused, false);
    atomic_compare_exchange_strong(&client->denied, &known, KAFKA_DENIED_NONE);
}

bool kafka_hopeless(const struct kafka_client *client)
{
    return client->all_down && client->trouble != KAFKA_TROUBLE_NONE && client->trouble != KAFKA_TROUBLE_SILENT;
}

const char *kafka_last_error(const struct kafka_client *client, char *room, size_t size)
{
    room[0] = '\0';
    if (client->last_error[0])
        snprintf(room, size, " (last: %s)", client->last_error);
    return room;
}

/* ---- configurations ---- */

static int set_property(const struct kafka *kafka, rd_kafka_conf_t *conf,
                        const struct kafka_property *property, outbox_error **reterr)
{
    char text[512], redacted[512];

    if (rd_kafka_conf_set(conf, property->name, property->value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return OUTBOX_OK;
    redact(kafka, text, redacted, sizeof(redacted));
    return outbox__fail(reterr, OUTBOX_EINVAL, property->name, "kafka.%s: %s", property->name, redacted);
}

static int set_all(const struct kafka *kafka, rd_kafka_conf_t *conf, const struct kafka_property *properties,
                   size_t count, outbox_error **reterr)
{
    for (size_t i = 0; i < count; i++) {
        int code = set_property(kafka, conf, &properties[i], reterr);

        if (code < 0)
            return code;
    }
    return OUTBOX_OK;
}

static int set_transactional(const struct kafka *kafka, rd_kafka_conf_t *conf, const char *transactional_id,
                             outbox_error **reterr)
{
    char timeout[32];
    const struct kafka_property properties[] = {{"transactional.id", transactional_id},
                                                {"transaction.timeout.ms", timeout}};

    snprintf(timeout, sizeof(timeout), "%" PRId64, kafka->transaction_timeout / 1000);
    return set_all(kafka, conf, properties, COUNT(properties), reterr);
}

static rd_kafka_conf_t *new_conf(struct kafka_client *client)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    rd_kafka_conf_set_opaque(conf, client);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    security_watch(conf, client->kafka->plain_only_loopback);
    return conf;
}

/* What every producer has; more: defaults of its kind. */
static rd_kafka_conf_t *producer_conf(const struct kafka *kafka, struct kafka_client *client,
                                      const struct kafka_property *more, size_t more_count, outbox_error **reterr)
{
    rd_kafka_conf_t *conf = new_conf(client);

    if (set_all(kafka, conf, common_defaults, COUNT(common_defaults), reterr) < 0 ||
        set_all(kafka, conf, producer_defaults, COUNT(producer_defaults), reterr) < 0 ||
        set_all(kafka, conf, more, more_count, reterr) < 0 ||
        set_all(kafka, conf, kafka->properties, kafka->property_count, reterr) < 0 ||
        set_all(kafka, conf, common_required, COUNT(common_required), reterr) < 0 ||
        set_all(kafka, conf, producer_required, COUNT(producer_required), reterr) < 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

struct rd_kafka_conf_s *kafka_producer_conf(const struct kafka *kafka, struct kafka_client *client,
                                            const char *transactional_id, outbox_error **reterr)
{
    rd_kafka_conf_t *conf = producer_conf(kafka, client, NULL, 0, reterr);

    if (conf && transactional_id && set_transactional(kafka, conf, transactional_id, reterr) < 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

struct rd_kafka_conf_s *kafka_pipeline_conf(const struct kafka *kafka, struct kafka_client *client,
                                            mono_us message_timeout, outbox_error **reterr)
{
    rd_kafka_conf_t *conf = producer_conf(kafka, client, pipeline_defaults, COUNT(pipeline_defaults), reterr);
    char timeout[32];
    const struct kafka_property lifetime = {"message.timeout.ms", timeout};

    snprintf(timeout, sizeof(timeout), "%" PRId64, message_timeout / 1000);
    if (conf && (set_all(kafka, conf, pipeline_required, COUNT(pipeline_required), reterr) < 0 ||
                 set_property(kafka, conf, &lifetime, reterr) < 0)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

/* An answer that librdkafka's query for offsets waits for has no deadline but this one, and a
 * broker that falls silent would hold the reader of positions for 60 s.  A producer's it
 * lowers by itself. */
static int set_socket_timeout(const struct kafka *kafka, rd_kafka_conf_t *conf, outbox_error **reterr)
{
    mono_us timeout = kafka->transaction_timeout;
    char text[32];
    const struct kafka_property property = {"socket.timeout.ms", text};

    if (timeout < SECONDS(1))
        timeout = SECONDS(1);
    else if (timeout > SECONDS(60))
        timeout = SECONDS(60);
    snprintf(text, sizeof(text), "%" PRId64, timeout / 1000);
    return set_property(kafka, conf, &property, reterr);
}

struct rd_kafka_conf_s *kafka_consumer_conf(const struct kafka *kafka, struct kafka_client *client,
                                            outbox_error **reterr)
{
    rd_kafka_conf_t *conf = new_conf(client);

    if (set_all(kafka, conf, common_defaults, COUNT(common_defaults), reterr) < 0 ||
        set_all(kafka, conf, consumer_defaults, COUNT(consumer_defaults), reterr) < 0 ||
        set_socket_timeout(kafka, conf, reterr) < 0 ||
        set_all(kafka, conf, kafka->properties, kafka->property_count, reterr) < 0 ||
        set_all(kafka, conf, common_required, COUNT(common_required), reterr) < 0 ||
        set_all(kafka, conf, consumer_required, COUNT(consumer_required), reterr) < 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

/* ---- settings ---- */

static int check_names(const struct kafka_property *property, const struct kafka_property *required,
                       size_t count, outbox_error **reterr)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(property->name, required[i].name) == 0 && strcmp(property->value, required[i].value) != 0)
            return outbox__fail(reterr, OUTBOX_EINVAL, property->name,
                                "kafka.%s must be \"%s\" here: remove it", property->name, required[i].value);
    }
    return OUTBOX_OK;
}

static int check_property(const struct kafka_property *property, outbox_error **reterr)
{
    for (size_t i = 0; i < COUNT(reserved); i++) {
        if (strcmp(property->name, reserved[i].name) == 0)
            return outbox__fail(reterr, OUTBOX_EINVAL, property->name, "kafka.%s cannot be set: %s",
                                property->name, reserved[i].instead);
    }
    if (check_names(property, common_required, COUNT(common_required), reterr) < 0 ||
        check_names(property, producer_required, COUNT(producer_required), reterr) < 0 ||
        check_names(property, consumer_required, COUNT(consumer_required), reterr) < 0)
        return OUTBOX_EINVAL;
    return OUTBOX_OK;
}

/* Kafka's rule for names of topics, minus the room for ".progress". */
static bool prefix_valid(const char *prefix)
{
    size_t size = strlen(prefix);

    return size > 0 && size <= 200 && prefix[0] != '.' &&
           strspn(prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == size;
}

static int check_settings(const struct kafka_settings *settings, outbox_error **reterr)
{
    bool bootstrap = false;

    for (size_t i = 0; i < settings->property_count; i++) {
        const struct kafka_property *property = &settings->properties[i];
        int code = check_property(property, reterr);

        if (code < 0)
            return code;
        if (strcmp(property->name, "bootstrap.servers") == 0 && property->value[0])
            bootstrap = true;
    }
    if (!bootstrap)
        return outbox__fail(reterr, OUTBOX_EINVAL, "bootstrap.servers",
                            "kafka.bootstrap.servers is not set: give it the brokers' addresses, host:port");
    if (!settings->prefix || !prefix_valid(settings->prefix))
        return outbox__fail(reterr, OUTBOX_EINVAL, "prefix",
                            "the topic prefix must be 1 to 200 letters, digits, '.', '_' or '-'");
    if (security_check(settings, reterr) < 0)
        return OUTBOX_EINVAL;
    if (settings->transaction_timeout < SECONDS(1))
        return outbox__fail(reterr, OUTBOX_EINVAL, "transaction_timeout",
                            "transaction_timeout must be at least 1 s");
    if (settings->topic_partitions == 0 || settings->topic_partitions < -1)
        return outbox__fail(reterr, OUTBOX_EINVAL, "topic_partitions",
                            "topic_partitions must be positive, or -1 for the broker's default");
    if (settings->topic_replication == 0 || settings->topic_replication < -1)
        return outbox__fail(reterr, OUTBOX_EINVAL, "topic_replication",
                            "topic_replication must be positive, or -1 for the broker's default");
    return OUTBOX_OK;
}

static bool copy_settings(struct kafka *kafka, const struct kafka_settings *settings)
{
    size_t size;

    kafka->properties = calloc(settings->property_count, sizeof(*kafka->properties));
    if (!kafka->properties)
        return false;
    for (size_t i = 0; i < settings->property_count; i++) {
        struct kafka_property *copy = &kafka->properties[i];

        copy->name = strdup(settings->properties[i].name);
        copy->value = strdup(settings->properties[i].value);
        kafka->property_count = i + 1;
        if (!copy->name || !copy->value)
            return false;
    }
    size = strlen(settings->prefix) + sizeof(".progress");
    kafka->progress_topic = malloc(size);
    if (!kafka->progress_topic)
        return false;
    snprintf(kafka->progress_topic, size, "%s.progress", settings->prefix);
    atomic_init(&kafka->create_topics, settings->create_topics);
    atomic_init(&kafka->topic_partitions, settings->topic_partitions);
    atomic_init(&kafka->topic_replication, settings->topic_replication);
    kafka->transaction_timeout = settings->transaction_timeout;
    kafka->plain_only_loopback = security_only_loopback(settings);
    return true;
}

/* Every property is tried on all kinds of clients, so that a mistake shows at the start. */
static int try_configurations(const struct kafka *kafka, outbox_error **reterr)
{
    struct kafka_client client = {.kafka = kafka};
    rd_kafka_conf_t *conf = kafka_producer_conf(kafka, &client, "check", reterr);

    if (!conf)
        return OUTBOX_EINVAL;
    rd_kafka_conf_destroy(conf);
    conf = kafka_pipeline_conf(kafka, &client, SECONDS(1), reterr);
    if (!conf)
        return OUTBOX_EINVAL;
    rd_kafka_conf_destroy(conf);
    conf = kafka_consumer_conf(kafka, &client, reterr);
    if (!conf)
        return OUTBOX_EINVAL;
    rd_kafka_conf_destroy(conf);
    return OUTBOX_OK;
}

struct kafka *kafka_new(const struct kafka_settings *settings, outbox_error **reterr)
{
    int fit = kafka_check_version(rd_kafka_version(), reterr);
    const char *weakness;
    struct kafka *kafka;

    if (fit < 0 || check_settings(settings, reterr) < 0)
        return NULL;
    kafka = calloc(1, sizeof(*kafka));
    if (!kafka) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    atomic_init(&kafka->references, 1);
    if (!copy_settings(kafka, settings)) {
        outbox__fail_memory(reterr);
        goto fail;
    }
    if (try_configurations(kafka, reterr) < 0)
        goto fail;
    weakness = security_weakness(settings);
    if (weakness)
        log_warning("kafka_unverified", LOG_TEXT("advice", weakness));
    if (fit == 1)
        log_warning("librdkafka_outdated", LOG_TEXT("version", rd_kafka_version_str()),
                    LOG_TEXT("advice", "2.6 or later has fixes for TLS, SASL and idempotent producers"));
    return kafka;

fail:
    kafka_free(kafka);
    return NULL;
}

struct kafka *kafka_reference(const struct kafka *kafka)
{
    struct kafka *counted = (struct kafka *)(uintptr_t)kafka; /* the count is not part of the settings */

    atomic_fetch_add(&counted->references, 1);
    return counted;
}

void kafka_free(struct kafka *kafka)
{
    if (!kafka || atomic_fetch_sub(&kafka->references, 1) > 1)
        return;
    for (size_t i = 0; i < kafka->property_count; i++) {
        char *value = (char *)(uintptr_t)kafka->properties[i].value;

        if (value && kafka->properties[i].name && is_secret(kafka->properties[i].name))
            explicit_bzero(value, strlen(value));
        free((char *)(uintptr_t)kafka->properties[i].name);
        free(value);
    }
    free(kafka->properties);
    free(kafka->progress_topic);
    free(kafka);
}

const char *kafka_property_value(const struct kafka *kafka, const char *name)
{
    for (size_t i = 0; i < kafka->property_count; i++) {
        if (strcmp(kafka->properties[i].name, name) == 0)
            return kafka->properties[i].value;
    }
    return "";
}

const char *kafka_progress_topic(const struct kafka *kafka)
{
    return kafka->progress_topic;
}

bool kafka_create_topics(const struct kafka *kafka)
{
    return atomic_load(&kafka->create_topics);
}

int kafka_topic_partitions(const struct kafka *kafka)
{
    return atomic_load(&kafka->topic_partitions);
}

int kafka_topic_replication(const struct kafka *kafka)
{
    return atomic_load(&kafka->topic_replication);
}

void kafka_set_topics(struct kafka *kafka, bool create, int partitions, int replication)
{
    /* Last whether: nobody makes a topic with what was in force before. */
    atomic_store(&kafka->topic_partitions, partitions);
    atomic_store(&kafka->topic_replication, replication);
    atomic_store(&kafka->create_topics, create);
}
