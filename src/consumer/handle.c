/* librdkafka's client: how it is made and ended. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/error.h"
#include "consumer/state.h"
#include "sink/client.h"
#include "sink/plain.h"
#include "sink/secrets.h"

/* What the promises rest on; options_copy() has refused these from outside. */
static const struct kafka_property own[] = {
    {"isolation.level", "read_committed"},
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"}, /* where to begin is for PostgreSQL to say */
    {"enable.partition.eof", "false"},
    {"partition.assignment.strategy", "cooperative-sticky"},
};

/* Defaults better than librdkafka's for this use; the host may set them. */
static const struct kafka_property preferred[] = {
    {"client.id", "outbox-consumer"},
    {"fetch.queue.backoff.ms", "10"}, /* since 2.3: a full queue is looked at again after 1 s by default */
    {"fetch.wait.max.ms", "100"},
    {"log.connection.close", "false"},
};

static void tell(const outbox_consumer *consumer, int level, const char *event, const char *text)
{
    char clean[400];

    secrets_hide(consumer->options->properties, consumer->options->property_count, text, clean, sizeof(clean));
    consumer_log(consumer, level, event, "%s", clean);
}

static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    (void)facility;
    tell(rd_kafka_opaque(handle), level <= LOG_WARNING ? OUTBOX_CONSUMER_WARNING : OUTBOX_CONSUMER_DEBUG, "librdkafka",
         text);
}

static void on_error(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
    const outbox_consumer *consumer = opaque;

    (void)handle;
    if (atomic_load(&consumer->client.plain_refused))
        tell(consumer, OUTBOX_CONSUMER_ERROR, "kafka",
             "a broker on another machine would be spoken to without TLS: set security.protocol to SSL or SASL_SSL");
    tell(consumer, OUTBOX_CONSUMER_WARNING, "kafka", reason ? reason : rd_kafka_err2str((rd_kafka_resp_err_t)code));
}

static bool set(rd_kafka_conf_t *conf, const outbox_consumer *consumer, const char *name, const char *value,
                outbox_error **reterr)
{
    char text[300];
    char clean[300];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return true;
    secrets_hide(consumer->options->properties, consumer->options->property_count, text, clean, sizeof(clean));
    outbox__fail(reterr, OUTBOX_EINVAL, "property", "property %s: %s", name, clean);
    return false;
}

static bool set_all(rd_kafka_conf_t *conf, const outbox_consumer *consumer, outbox_error **reterr)
{
    const outbox_consumer_options *options = consumer->options;
    char kilobytes[24];

    for (size_t i = 0; i < sizeof(preferred) / sizeof(preferred[0]); i++) /* an old librdkafka may lack one */
        (void)rd_kafka_conf_set(conf, preferred[i].name, preferred[i].value, NULL, 0);
    for (size_t i = 0; i < options->property_count; i++) {
        if (!set(conf, consumer, options->properties[i].name, options->properties[i].value, reterr))
            return false;
    }
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (!set(conf, consumer, own[i].name, own[i].value, reterr))
            return false;
    }
    snprintf(kilobytes, sizeof(kilobytes), "%lld", (long long)options->queue_bytes / 1024);
    return set(conf, consumer, "group.id", options->name, reterr) &&
           set(conf, consumer, "queued.max.messages.kbytes", kilobytes, reterr);
}

static bool check_settings(const outbox_consumer *consumer, bool *ret_only_loopback, outbox_error **reterr)
{
    const struct kafka_settings settings = {.properties = consumer->options->properties,
                                            .property_count = consumer->options->property_count,
                                            .insecure = consumer->options->insecure};

    if (!plain_setting(&settings, "bootstrap.servers")[0] && !plain_setting(&settings, "metadata.broker.list")[0]) {
        outbox__fail(reterr, OUTBOX_EINVAL, "property", "property bootstrap.servers: is not set; name the brokers");
        return false;
    }
    if (security_check(&settings, NULL) < 0) {
        outbox__fail(reterr, OUTBOX_EINVAL, "property",
                     "property security.protocol: brokers on other machines would be spoken to without TLS; set it to"
                     " SSL or SASL_SSL (or " CONSUMER_CONSENT ")");
        return false;
    }
    *ret_only_loopback = security_only_loopback(&settings);
    return true;
}

/* The releases whose consumers cannot be relied on. */
static bool check_version(outbox_error **reterr)
{
    int version = rd_kafka_version() >> 8;

    if (version >= 0x020002 && version != 0x020500 && version != 0x020a00)
        return true;
    outbox__fail(reterr, OUTBOX_ESTATE, NULL,
                 "librdkafka %s must not be used; install 2.0.2 or later, but not 2.5.0 or 2.10.0",
                 rd_kafka_version_str());
    return false;
}

bool handle_open(outbox_consumer *consumer, outbox_error **reterr)
{
    rd_kafka_conf_t *conf;
    bool only_loopback;
    char text[300];

    if (!check_version(reterr) || !check_settings(consumer, &only_loopback, reterr))
        return false;
    conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, consumer);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_rebalance_cb(conf, group_rebalance);
    if (only_loopback)
        rd_kafka_conf_set_connect_cb(conf, plain_connect);
    if (!set_all(conf, consumer, reterr)) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    consumer->handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (!consumer->handle) {
        rd_kafka_conf_destroy(conf);
        outbox__fail(reterr, OUTBOX_EINVAL, "property", "librdkafka refuses: %s", text);
        return false;
    }
    rd_kafka_poll_set_consumer(consumer->handle);
    consumer->queue = rd_kafka_queue_get_consumer(consumer->handle);
    return true;
}

/* "NONE" until the group has answered; NULL: not known. */
static bool is_member(const outbox_consumer *consumer)
{
    const char *protocol = rd_kafka_rebalance_protocol(consumer->handle);

    return !protocol || strcmp(protocol, "NONE") != 0;
}

/* The first release of librdkafka that may be destroyed between joining and the first assignment; those before
 * end the process by an assertion in their cooperative assignor, see its issue 4312. */
#define DESTROYED_WHILE_JOINING 0x020300

bool handle_may_be_destroyed(const outbox_consumer *consumer)
{
    return rd_kafka_version() >> 8 >= DESTROYED_WHILE_JOINING || !consumer->joining;
}

void handle_close(outbox_consumer *consumer, mono_us deadline)
{
    rd_kafka_error_t *error;

    consumer->joining = !atomic_load(&consumer->assigned_once) && is_member(consumer);
    error = rd_kafka_consumer_close_queue(consumer->handle, consumer->queue);
    if (error) {
        tell(consumer, OUTBOX_CONSUMER_WARNING, "kafka", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        return;
    }
    while (!rd_kafka_consumer_closed(consumer->handle) && clock_now() < deadline)
        rd_kafka_queue_poll_callback(consumer->queue, 100);
    if (atomic_load(&consumer->assigned_once))
        consumer->joining = false;
}
