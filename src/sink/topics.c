#include "sink/topics.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/log.h"
#include "sink/client.h"
#include "sink/errors.h"

struct topic {
    rd_kafka_topic_t *handle; /* NULL: a free place */
    int partitions;
    size_t message_max; /* 0: not asked yet */
    mono_us asked_at;
};

struct topics {
    struct kafka_client own; /* the opaque of a client of our own */
    struct kafka_client *client;
    rd_kafka_t *handle;
    bool owned;
    struct topic *places; /* open addressing; a power of two, at most half full */
    size_t place_count;
    size_t count;
    const struct topic *last; /* that was asked for: mostly it is asked for again */
    mono_us silent_until;     /* nobody answers for configurations */
};

/* ---- the table ---- */

static size_t hash(const char *name)
{
    uint64_t value = 14695981039346656037u; /* FNV-1a */

    for (; *name; name++)
        value = (value ^ (unsigned char)*name) * 1099511628211u;
    return (size_t)(value ^ value >> 32);
}

/* The topic's place, or the free one where it belongs. */
static struct topic *find(const struct topics *topics, const char *name)
{
    size_t mask = topics->place_count - 1;

    for (size_t i = hash(name) & mask;; i = (i + 1) & mask) {
        struct topic *topic = &topics->places[i];

        if (!topic->handle || strcmp(rd_kafka_topic_name(topic->handle), name) == 0)
            return topic;
    }
}

static bool grow(struct topics *topics)
{
    struct topics larger = *topics;

    larger.place_count = topics->place_count ? topics->place_count * 2 : 64;
    larger.places = calloc(larger.place_count, sizeof(*larger.places));
    if (!larger.places)
        return false;
    for (size_t i = 0; i < topics->place_count; i++) {
        if (topics->places[i].handle)
            *find(&larger, rd_kafka_topic_name(topics->places[i].handle)) = topics->places[i];
    }
    free(topics->places);
    topics->places = larger.places;
    topics->place_count = larger.place_count;
    topics->last = NULL;
    return true;
}

static const struct topic *known(struct topics *topics, const char *name)
{
    const struct topic *topic = topics->last;

    if (topic && strcmp(rd_kafka_topic_name(topic->handle), name) == 0)
        return topic;
    topic = find(topics, name);
    if (!topic->handle)
        return NULL;
    topics->last = topic;
    return topic;
}

int topics_partitions(struct topics *topics, const char *name)
{
    const struct topic *topic = known(topics, name);

    return topic ? topic->partitions : 0;
}

struct rd_kafka_topic_s *topics_handle(struct topics *topics, const char *name)
{
    const struct topic *topic = known(topics, name);

    return topic ? topic->handle : NULL;
}

/* Takes over the handle, even on failure. */
static bool remember(struct topics *topics, rd_kafka_topic_t *handle, int partitions)
{
    struct topic *topic = find(topics, rd_kafka_topic_name(handle));

    if (topic->handle) {
        rd_kafka_topic_destroy(handle);
        topic->partitions = partitions;
        return true;
    }
    if ((topics->count + 1) * 2 > topics->place_count) {
        if (!grow(topics)) {
            rd_kafka_topic_destroy(handle);
            return false;
        }
        topic = find(topics, rd_kafka_topic_name(handle));
    }
    *topic = (struct topic){.handle = handle, .partitions = partitions};
    topics->count++;
    return true;
}

/* ---- life ---- */

struct topics *topics_attach(struct kafka_client *client, struct rd_kafka_s *handle)
{
    struct topics *topics = calloc(1, sizeof(*topics));

    if (!topics || !grow(topics)) {
        free(topics);
        return NULL;
    }
    topics->client = client;
    topics->handle = handle;
    return topics;
}

struct topics *topics_open(const struct kafka *kafka, outbox_error **reterr)
{
    struct topics *topics = topics_attach(NULL, NULL);
    rd_kafka_conf_t *conf;
    char text[256];

    if (!topics) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    topics->own.kafka = kafka_reference(kafka);
    topics->client = &topics->own;
    conf = kafka_producer_conf(kafka, &topics->own, NULL, reterr);
    if (!conf)
        goto fail;
    topics->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (!topics->handle) {
        rd_kafka_conf_destroy(conf);
        outbox__fail(reterr, OUTBOX_EINVAL, NULL, "cannot make a Kafka client: %s", text);
        goto fail;
    }
    topics->owned = true;
    return topics;

fail:
    topics_close(topics);
    return NULL;
}

static void release(void *owner)
{
    struct topics *topics = owner;

    kafka_free((struct kafka *)(uintptr_t)topics->own.kafka);
    free(topics->places);
    free(topics);
}

void topics_close(struct topics *topics)
{
    if (!topics)
        return;
    for (size_t i = 0; i < topics->place_count; i++) {
        if (topics->places[i].handle)
            rd_kafka_topic_destroy(topics->places[i].handle);
    }
    if (topics->owned)
        client_destroy(topics->handle, release, topics, clock_now() + SECONDS(5));
    else
        release(topics);
}

/* ---- asking ---- */

static enum sink_result fail(const struct topics *topics, rd_kafka_resp_err_t code, const char *action,
                             const char *name, const char *reason, outbox_error **reterr)
{
    char what[400];
    const struct sink_failure failure = {.what = what,
                                         .reason = reason,
                                         .result = sink_classify(code),
                                         .code = code,
                                         .right = strcmp(action, "create") == 0 ? "Create" : "Write (or Describe)",
                                         .topic = name};

    snprintf(what, sizeof(what), "cannot %s topic \"%s\"", action, name);
    rd_kafka_poll(topics->handle, 0); /* for the last error */
    sink_report(reterr, topics->client, &failure);
    return failure.result;
}

/* One look at one topic.  *ret_partitions: 0 if there is none, -1 if it is not ready. */
static rd_kafka_resp_err_t look(struct topics *topics, rd_kafka_topic_t *handle, int timeout_ms,
                                int *ret_partitions)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code = rd_kafka_metadata(topics->handle, 0, handle, &metadata, timeout_ms);

    if (code)
        return code;
    *ret_partitions = -1;
    if (metadata->topic_cnt == 1) {
        const struct rd_kafka_metadata_topic *topic = &metadata->topics[0];

        code = topic->err;
        if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
            code = RD_KAFKA_RESP_ERR_NO_ERROR;
            *ret_partitions = 0;
        } else if (code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
            code = RD_KAFKA_RESP_ERR_NO_ERROR;
        } else if (!code) {
            *ret_partitions = topic->partition_cnt > 0 ? topic->partition_cnt : -1;
        }
    }
    rd_kafka_metadata_destroy(metadata);
    return code;
}

/* How long librdkafka is left alone before it is asked why there is no answer yet. */
#define LOOK_SLICE_MS 1000 /* at first; then longer, should the cluster be slow */

/* Looks until the cluster gave an answer.  With existing, "no such topic" is not one:
 * what was just created reaches the brokers one by one. */
static enum sink_result look_until(struct topics *topics, rd_kafka_topic_t *handle, bool existing,
                                   mono_us deadline, int *ret_partitions, outbox_error **reterr)
{
    const char *name = rd_kafka_topic_name(handle);
    const char *reason = "no answer from the cluster";
    int pause = 5, slice = LOOK_SLICE_MS;

    for (;;) {
        int left = clock_until_ms(deadline), partitions = 0;
        rd_kafka_resp_err_t code;

        if (left == 0)
            return fail(topics, RD_KAFKA_RESP_ERR__TIMED_OUT, "look up", name, reason, reterr);
        code = look(topics, handle, left < slice ? left : slice, &partitions);
        slice = slice < 60000 ? slice * 2 : slice;
        if (code) {
            reason = rd_kafka_err2str(code);
            rd_kafka_poll(topics->handle, 0); /* for what it knows of the connections */
            if (sink_classify(code) != SINK_TIMEOUT || kafka_hopeless(topics->client))
                return fail(topics, code, "look up", name, reason, reterr);
        } else if (partitions > 0 || (partitions == 0 && !existing)) {
            *ret_partitions = partitions;
            return SINK_OK;
        } else {
            reason = "its leaders are not elected";
        }
        left = clock_until_ms(deadline);
        rd_kafka_poll(topics->handle, left < pause ? left : pause);
        pause = pause < 100 ? pause * 2 : 100;
    }
}

static enum sink_result query(struct topics *topics, const char *name, bool existing, mono_us deadline,
                              int *ret_partitions, outbox_error **reterr)
{
    /* The client's own knowledge of the topic is warmed by this: librdkafka 2.0.2 lets the
     * first record for a topic wait up to a second otherwise. */
    rd_kafka_topic_t *handle = rd_kafka_topic_new(topics->handle, name, NULL);
    enum sink_result result;
    int partitions = 0;

    if (!handle)
        return fail(topics, RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, "use", name,
                    rd_kafka_err2str(rd_kafka_last_error()), reterr);
    result = look_until(topics, handle, existing, deadline, &partitions, reterr);
    if (result != SINK_OK || partitions == 0) {
        rd_kafka_topic_destroy(handle);
    } else if (!remember(topics, handle, partitions)) {
        outbox__fail_memory(reterr);
        return SINK_TIMEOUT;
    }
    if (result == SINK_OK)
        *ret_partitions = partitions;
    return result;
}

enum sink_result topics_query(struct topics *topics, const char *name, mono_us deadline, int *ret_partitions,
                              outbox_error **reterr)
{
    return query(topics, name, false, deadline, ret_partitions, reterr);
}

/* ---- limits ---- */

/* It is not worth holding up events for: the broker refuses what is too large anyway. */
#define LIMIT_TIMEOUT SECONDS(1)
#define LIMIT_FRESH SECONDS(1)
#define LIMIT_SILENCE SECONDS(60)

/* 0: it is not in the answer. */
static size_t limit_in(rd_kafka_event_t *event)
{
    const rd_kafka_ConfigResource_t **resources;
    const rd_kafka_ConfigEntry_t **entries;
    size_t count = 0;

    if (rd_kafka_event_error(event))
        return 0;
    resources =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    if (count != 1 || rd_kafka_ConfigResource_error(resources[0]))
        return 0;
    entries = rd_kafka_ConfigResource_configs(resources[0], &count);
    for (size_t i = 0; i < count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);

        if (value && strcmp(rd_kafka_ConfigEntry_name(entries[i]), "max.message.bytes") == 0)
            return strtoul(value, NULL, 10);
    }
    return 0;
}

static size_t ask_limit(struct topics *topics, const char *name, int timeout_ms)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(topics->handle, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(topics->handle);
    rd_kafka_event_t *event = NULL;
    size_t limit = 0;
    char text[256];

    if (rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof(text)) == 0) {
        rd_kafka_DescribeConfigs(topics->handle, &resource, 1, options, queue);
        event = rd_kafka_queue_poll(queue, timeout_ms + 100);
    }
    if (event) {
        limit = limit_in(event);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_AdminOptions_destroy(options);
    return limit;
}

size_t topics_message_max(struct topics *topics, const char *name, bool anew, mono_us deadline)
{
    struct topic *topic = find(topics, name);
    mono_us now = clock_now(), until = now + LIMIT_TIMEOUT;
    int left = clock_until_ms(deadline < until ? deadline : until);

    if (!topic->handle)
        return SIZE_MAX;
    if (topic->message_max != 0 && (!anew || now < topic->asked_at + LIMIT_FRESH))
        return topic->message_max;
    topic->message_max = now >= topics->silent_until ? ask_limit(topics, name, left > 0 ? left : 1) : 0;
    topic->asked_at = clock_now();
    if (topic->message_max == 0 && now >= topics->silent_until)
        topics->silent_until = topic->asked_at + LIMIT_SILENCE;
    if (topic->message_max == 0)
        topic->message_max = SIZE_MAX;
    return topic->message_max;
}

/* ---- creating ---- */

static rd_kafka_NewTopic_t *new_topic(const struct topic_wish *wish, char *text, size_t size)
{
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(wish->name, wish->partitions, wish->replication, text, size);

    for (size_t i = 0; topic && i < wish->config_count; i++) {
        rd_kafka_resp_err_t code =
            rd_kafka_NewTopic_set_config(topic, wish->config[i].name, wish->config[i].value);

        if (code) {
            snprintf(text, size, "%s: %s", wish->config[i].name, rd_kafka_err2str(code));
            rd_kafka_NewTopic_destroy(topic);
            topic = NULL;
        }
    }
    return topic;
}

/* The event is NULL if the deadline passed. */
static rd_kafka_resp_err_t creation_result(rd_kafka_event_t *event, char *text, size_t size)
{
    const rd_kafka_topic_result_t **results;
    rd_kafka_resp_err_t code;
    size_t count = 0;
    const char *why;

    snprintf(text, size, "no answer from the controller");
    if (!event)
        return RD_KAFKA_RESP_ERR__TIMED_OUT;
    code = rd_kafka_event_error(event);
    if (code) {
        snprintf(text, size, "%s", rd_kafka_event_error_string(event));
        return code;
    }
    results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    if (count != 1)
        return RD_KAFKA_RESP_ERR__TIMED_OUT;
    code = rd_kafka_topic_result_error(results[0]);
    why = rd_kafka_topic_result_error_string(results[0]);
    snprintf(text, size, "%s", why ? why : rd_kafka_err2str(code));
    return code;
}

static rd_kafka_resp_err_t request_creation(struct topics *topics, rd_kafka_NewTopic_t *topic, bool trial,
                                            int timeout_ms, char *text, size_t size)
{
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(topics->handle, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(topics->handle);
    rd_kafka_event_t *event = NULL;
    rd_kafka_resp_err_t code;

    code = rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, size);
    if (!code)
        code = rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, text, size);
    if (!code && trial)
        code = rd_kafka_AdminOptions_set_validate_only(options, 1, text, size);
    if (!code) {
        rd_kafka_CreateTopics(topics->handle, &topic, 1, options, queue);
        event = rd_kafka_queue_poll(queue, timeout_ms + 100);
        code = creation_result(event, text, size);
    }
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    return code;
}

enum sink_result topics_create(struct topics *topics, const struct topic_wish *wish, mono_us deadline,
                               outbox_error **reterr)
{
    char text[256] = "";
    rd_kafka_NewTopic_t *topic = new_topic(wish, text, sizeof(text));
    int left = clock_until_ms(deadline), partitions;
    rd_kafka_resp_err_t code;

    if (!topic)
        return fail(topics, RD_KAFKA_RESP_ERR_INVALID_CONFIG, "create", wish->name, text, reterr);
    code = request_creation(topics, topic, wish->trial, left > 0 ? left : 1, text, sizeof(text));
    rd_kafka_NewTopic_destroy(topic);
    if (code && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return fail(topics, code, "create", wish->name, text, reterr);
    if (wish->trial)
        return SINK_OK;
    if (!code)
        log_info("topic_created", LOG_TEXT("topic", wish->name));
    return query(topics, wish->name, true, deadline, &partitions, reterr);
}

static enum sink_result ensure(struct topics *topics, const char *name, mono_us deadline,
                               outbox_error **reterr)
{
    const struct kafka *kafka = topics->client->kafka;
    struct topic_wish wish = {.name = name};
    int partitions = 0;
    enum sink_result result = topics_query(topics, name, deadline, &partitions, reterr);

    if (result != SINK_OK || partitions > 0)
        return result;
    if (!kafka_create_topics(kafka)) {
        outbox__fail(reterr, OUTBOX_ESERVER, "topic",
                     "topic \"%s\" does not exist; create it, or set create_topics=yes", name);
        return SINK_TOPIC_MISSING;
    }
    /* Only now: a reload during the query may have changed how together with whether. */
    wish.partitions = kafka_topic_partitions(kafka);
    wish.replication = kafka_topic_replication(kafka);
    return topics_create(topics, &wish, deadline, reterr);
}

enum sink_result topics_ensure(struct topics *topics, const char *const *names, size_t count,
                               mono_us deadline, outbox_error **reterr)
{
    for (size_t i = 0; i < count; i++) {
        enum sink_result result;

        if (known(topics, names[i]))
            continue;
        result = ensure(topics, names[i], deadline, reterr);
        if (result != SINK_OK)
            return result;
    }
    return SINK_OK;
}
