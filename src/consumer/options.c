#include "consumer/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "pg/conn.h"

#define NAME_LIMIT 249
#define DEAD_LETTER_SUFFIX ".dead-letter"

outbox_consumer_options *outbox_consumer_options_new(void)
{
    outbox_consumer_options *options = calloc(1, sizeof(*options));

    if (!options)
        return NULL;
    options->limits = (struct plan_limits){5, MILLISECONDS(500), SECONDS(30)};
    options->workers = 4;
    options->batch = 100;
    options->queue_bytes = 16 * 1024 * 1024;
    options->transaction_timeout = SECONDS(60);
    options->drain_timeout = SECONDS(5);
    return options;
}

void outbox_consumer_options_free(outbox_consumer_options *options)
{
    if (!options)
        return;
    for (size_t i = 0; i < options->property_count; i++) {
        free((void *)(uintptr_t)options->properties[i].name);
        free((void *)(uintptr_t)options->properties[i].value);
    }
    for (size_t i = 0; i < options->topic_count; i++)
        free(options->topics[i]);
    free(options->properties);
    free(options->topics);
    free(options->dead_letter_topic);
    free(options->dsn);
    free(options->name);
    free(options);
}

/* The first failure is the one to tell. */
static int remember(outbox_consumer_options *options, int code, const char *field)
{
    if (options->remembered == OUTBOX_OK) {
        options->remembered = code;
        options->remembered_field = field;
    }
    return code;
}

static int set_text(outbox_consumer_options *options, char **text, const char *value, const char *field)
{
    char *copy = value ? strdup(value) : NULL;

    if (value && !copy)
        return remember(options, OUTBOX_ENOMEM, field);
    free(*text);
    *text = copy;
    return OUTBOX_OK;
}

/* Is it a name for people and for Kafka: text of one line? */
static bool is_name(const char *text, size_t limit)
{
    size_t size = text ? strlen(text) : 0;

    return size >= 1 && size <= limit && outbox__utf8_valid(text, size) && !outbox__has_control(text, size);
}

int outbox_consumer_options_set_name(outbox_consumer_options *options, const char *name)
{
    if (!options)
        return OUTBOX_EINVAL;
    if (!is_name(name, NAME_LIMIT))
        return remember(options, OUTBOX_EINVAL, "name");
    return set_text(options, &options->name, name, "name");
}

int outbox_consumer_options_set_dsn(outbox_consumer_options *options, const char *dsn)
{
    return options ? set_text(options, &options->dsn, dsn, "dsn") : OUTBOX_EINVAL;
}

/* Those that the consumer rests on. */
static bool is_reserved(const char *property)
{
    static const char *const reserved[] = {
        "group.id",           "group.protocol",      "isolation.level",
        "enable.auto.commit", "auto.offset.reset",   "enable.auto.offset.store",
        "auto.commit.enable", "enable.partition.eof", "partition.assignment.strategy",
        "topic.auto.offset.reset", "queued.max.messages.kbytes", "offset.store.method",
    };

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (strcmp(property, reserved[i]) == 0)
            return true;
    }
    return false;
}

int outbox_consumer_options_set_property(outbox_consumer_options *options, const char *name, const char *value)
{
    struct kafka_property *properties;
    struct kafka_property copy;

    if (!options)
        return OUTBOX_EINVAL;
    if (!name || !value || is_reserved(name))
        return remember(options, OUTBOX_EINVAL, "property");
    copy = (struct kafka_property){strdup(name), strdup(value)};
    properties = reallocarray(options->properties, options->property_count + 1, sizeof(*properties));
    if (properties)
        options->properties = properties;
    if (!properties || !copy.name || !copy.value) {
        free((void *)(uintptr_t)copy.name);
        free((void *)(uintptr_t)copy.value);
        return remember(options, OUTBOX_ENOMEM, "property");
    }
    properties[options->property_count++] = copy;
    return OUTBOX_OK;
}

int outbox_consumer_options_add_topic(outbox_consumer_options *options, const char *topic)
{
    char **topics;
    char *copy;

    if (!options)
        return OUTBOX_EINVAL;
    if (!is_name(topic, 1000))
        return remember(options, OUTBOX_EINVAL, "topic");
    copy = strdup(topic);
    topics = reallocarray(options->topics, options->topic_count + 1, sizeof(*topics));
    if (topics)
        options->topics = topics;
    if (!topics || !copy) {
        free(copy);
        return remember(options, OUTBOX_ENOMEM, "topic");
    }
    topics[options->topic_count++] = copy;
    return OUTBOX_OK;
}

int outbox_consumer_options_set_insecure(outbox_consumer_options *options, int insecure)
{
    if (!options)
        return OUTBOX_EINVAL;
    if (insecure != 0 && insecure != 1)
        return remember(options, OUTBOX_EINVAL, "insecure");
    options->insecure = insecure == 1;
    return OUTBOX_OK;
}

int outbox_consumer_options_set_handler(outbox_consumer_options *options, outbox_consumer_handler handler,
                                        void *context)
{
    if (!options)
        return OUTBOX_EINVAL;
    options->handler = handler;
    options->handler_context = context;
    return OUTBOX_OK;
}

int outbox_consumer_options_set_log(outbox_consumer_options *options, outbox_consumer_log log, void *context)
{
    if (!options)
        return OUTBOX_EINVAL;
    options->log = log;
    options->log_context = context;
    return OUTBOX_OK;
}

int outbox_consumer_options_set_start(outbox_consumer_options *options, enum outbox_consumer_start start, int64_t value)
{
    bool takes_value = start == OUTBOX_CONSUMER_TIME || start == OUTBOX_CONSUMER_OFFSET;

    if (!options)
        return OUTBOX_EINVAL;
    if ((!takes_value && start != OUTBOX_CONSUMER_BEGINNING && start != OUTBOX_CONSUMER_END) ||
        (takes_value && value < 0))
        return remember(options, OUTBOX_EINVAL, "start");
    options->start = start;
    options->start_value = value;
    return OUTBOX_OK;
}

static bool is_within(int64_t value, int64_t least, int64_t most)
{
    return value >= least && value <= most;
}

int outbox_consumer_options_set_workers(outbox_consumer_options *options, int workers)
{
    if (!options)
        return OUTBOX_EINVAL;
    if (!is_within(workers, 1, 64))
        return remember(options, OUTBOX_ELIMIT, "workers");
    options->workers = workers;
    return OUTBOX_OK;
}

int outbox_consumer_options_set_batch(outbox_consumer_options *options, int records)
{
    if (!options)
        return OUTBOX_EINVAL;
    if (!is_within(records, 1, 10000))
        return remember(options, OUTBOX_ELIMIT, "batch");
    options->batch = records;
    return OUTBOX_OK;
}

int outbox_consumer_options_set_queue_bytes(outbox_consumer_options *options, int64_t bytes)
{
    if (!options)
        return OUTBOX_EINVAL;
    if (!is_within(bytes, INT64_C(64) * 1024, INT64_C(1024) * 1024 * 1024))
        return remember(options, OUTBOX_ELIMIT, "queue_bytes");
    options->queue_bytes = bytes;
    return OUTBOX_OK;
}

/* Kafka's own rule for a name. */
static bool is_topic(const char *topic)
{
    size_t size = strlen(topic);

    return size >= 1 && size <= NAME_LIMIT && strcmp(topic, ".") != 0 && strcmp(topic, "..") != 0 &&
           strspn(topic, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == size;
}

int outbox_consumer_options_set_failure(outbox_consumer_options *options, enum outbox_consumer_failure failure,
                                        const char *dead_letter_topic)
{
    if (!options)
        return OUTBOX_EINVAL;
    if (failure != OUTBOX_CONSUMER_DEAD_LETTER && failure != OUTBOX_CONSUMER_FAIL_STOP)
        return remember(options, OUTBOX_EINVAL, "failure");
    if (dead_letter_topic && !is_topic(dead_letter_topic))
        return remember(options, OUTBOX_EINVAL, "dead_letter_topic");
    options->failure = failure;
    return set_text(options, &options->dead_letter_topic, dead_letter_topic, "dead_letter_topic");
}

int outbox_consumer_options_set_followers(outbox_consumer_options *options, enum outbox_consumer_followers followers)
{
    if (!options)
        return OUTBOX_EINVAL;
    if (followers != OUTBOX_CONSUMER_FOLLOW && followers != OUTBOX_CONSUMER_CONTINUE)
        return remember(options, OUTBOX_EINVAL, "followers");
    options->followers = followers;
    return OUTBOX_OK;
}

int outbox_consumer_options_set_retries(outbox_consumer_options *options, int attempts, int first_ms, int last_ms)
{
    if (!options)
        return OUTBOX_EINVAL;
    if (!is_within(attempts, 1, 1000000) || !is_within(first_ms, 1, 3600000) ||
        !is_within(last_ms, first_ms, 3600000))
        return remember(options, OUTBOX_ELIMIT, "retries");
    options->limits = (struct plan_limits){attempts, MILLISECONDS(first_ms), MILLISECONDS(last_ms)};
    return OUTBOX_OK;
}

int outbox_consumer_options_set_transaction_timeout(outbox_consumer_options *options, int milliseconds)
{
    if (!options)
        return OUTBOX_EINVAL;
    if (!is_within(milliseconds, 1000, 3600000))
        return remember(options, OUTBOX_ELIMIT, "transaction_timeout");
    options->transaction_timeout = MILLISECONDS(milliseconds);
    return OUTBOX_OK;
}

int outbox_consumer_options_set_drain_timeout(outbox_consumer_options *options, int milliseconds)
{
    if (!options)
        return OUTBOX_EINVAL;
    if (!is_within(milliseconds, 0, 600000))
        return remember(options, OUTBOX_ELIMIT, "drain_timeout");
    options->drain_timeout = MILLISECONDS(milliseconds);
    return OUTBOX_OK;
}

/* ---- the copy ---- */

static int check(const outbox_consumer_options *options, outbox_error **reterr)
{
    if (options->remembered == OUTBOX_ENOMEM)
        return outbox__fail_memory(reterr);
    if (options->remembered != OUTBOX_OK)
        return outbox__fail(reterr, options->remembered, options->remembered_field,
                            "%s: a value that was set is not allowed or is reserved; see its range in"
                            " <outbox/consumer.h>",
                            options->remembered_field);
    if (!options->name)
        return outbox__fail(reterr, OUTBOX_EINVAL, "name", "name: is not set; use outbox_consumer_options_set_name()");
    if (!options->dsn)
        return outbox__fail(reterr, OUTBOX_EINVAL, "dsn", "dsn: is not set; use outbox_consumer_options_set_dsn()");
    if (options->topic_count == 0)
        return outbox__fail(reterr, OUTBOX_EINVAL, "topic",
                            "topic: there is none; use outbox_consumer_options_add_topic()");
    if (!options->handler)
        return outbox__fail(reterr, OUTBOX_EINVAL, "handler",
                            "handler: is not set; use outbox_consumer_options_set_handler()");
    return options->insecure ? OUTBOX_OK : pg_check_dsn(options->dsn, CONSUMER_CONSENT, reterr);
}

static int set_dead_letter(outbox_consumer_options *copy, outbox_error **reterr)
{
    size_t size = strlen(copy->name) + sizeof(DEAD_LETTER_SUFFIX);

    if (copy->dead_letter_topic)
        return OUTBOX_OK;
    copy->dead_letter_topic = malloc(size);
    if (!copy->dead_letter_topic)
        return outbox__fail_memory(reterr);
    memcpy(copy->dead_letter_topic, copy->name, strlen(copy->name));
    memcpy(copy->dead_letter_topic + strlen(copy->name), DEAD_LETTER_SUFFIX, sizeof(DEAD_LETTER_SUFFIX));
    if (copy->failure == OUTBOX_CONSUMER_DEAD_LETTER && !is_topic(copy->dead_letter_topic))
        return outbox__fail(reterr, OUTBOX_EINVAL, "dead_letter_topic",
                            "dead_letter_topic: \"%s\" is no name of a topic; name one with"
                            " outbox_consumer_options_set_failure()",
                            copy->dead_letter_topic);
    return OUTBOX_OK;
}

outbox_consumer_options *options_copy(const outbox_consumer_options *options, outbox_error **reterr)
{
    outbox_consumer_options *copy;

    if (!options) {
        outbox__fail(reterr, OUTBOX_EINVAL, "options", "options: is NULL");
        return NULL;
    }
    if (check(options, reterr) < 0)
        return NULL;
    copy = malloc(sizeof(*copy));
    if (!copy) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    *copy = *options;
    copy->name = copy->dsn = copy->dead_letter_topic = NULL;
    copy->properties = NULL;
    copy->topics = NULL;
    copy->property_count = copy->topic_count = 0;
    outbox_consumer_options_set_name(copy, options->name);
    outbox_consumer_options_set_dsn(copy, options->dsn);
    outbox_consumer_options_set_failure(copy, options->failure, options->dead_letter_topic);
    for (size_t i = 0; i < options->property_count; i++)
        outbox_consumer_options_set_property(copy, options->properties[i].name, options->properties[i].value);
    for (size_t i = 0; i < options->topic_count; i++)
        outbox_consumer_options_add_topic(copy, options->topics[i]);
    if (check(copy, reterr) < 0 || set_dead_letter(copy, reterr) < 0) {
        outbox_consumer_options_free(copy);
        return NULL;
    }
    return copy;
}
