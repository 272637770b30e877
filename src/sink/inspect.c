#include "sink/inspect.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink/client.h"
#include "sink/errors.h"

struct inspector {
    struct kafka_client client; /* first: librdkafka's opaque */
    rd_kafka_t *handle;
};

/* ---- life ---- */

static void release(void *owner)
{
    struct inspector *inspector = owner;

    kafka_free((struct kafka *)(uintptr_t)inspector->client.kafka);
    free(inspector);
}

struct inspector *inspector_open(const struct kafka *kafka, outbox_error **reterr)
{
    struct inspector *inspector = calloc(1, sizeof(*inspector));
    rd_kafka_conf_t *conf;
    char text[256];

    if (!inspector) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    inspector->client.kafka = kafka_reference(kafka);
    conf = kafka_producer_conf(kafka, &inspector->client, NULL, reterr);
    if (!conf)
        goto fail;
    inspector->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (inspector->handle)
        return inspector;
    rd_kafka_conf_destroy(conf);
    outbox__fail(reterr, OUTBOX_EINVAL, NULL, "cannot make a Kafka client: %s", text);
fail:
    release(inspector);
    return NULL;
}

void inspector_close(struct inspector *inspector)
{
    if (inspector)
        client_destroy(inspector->handle, release, inspector, clock_now() + SECONDS(5));
}

/* ---- asking ---- */

static enum sink_result fail(struct inspector *inspector, const char *name, rd_kafka_resp_err_t code,
                             const char *reason, outbox_error **reterr)
{
    enum sink_result result = sink_classify(code);
    char what[400];
    struct sink_failure failure = {
        .what = what, .reason = reason, .code = code, .right = "Write (or Describe)", .topic = name};

    if (result != SINK_REFUSED)
        result = SINK_TIMEOUT;
    snprintf(what, sizeof(what), "cannot look up topic \"%s\"", name);
    rd_kafka_poll(inspector->handle, 0); /* for the last error */
    failure.result = result;
    sink_report(reterr, &inspector->client, &failure);
    return result;
}

static rd_kafka_resp_err_t read_metadata(const struct rd_kafka_metadata_topic *topic, struct topic_facts *ret)
{
    if (topic->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    if (topic->err)
        return topic->err;
    ret->partitions = topic->partition_cnt;
    for (int i = 0; i < topic->partition_cnt; i++) {
        if (i == 0 || topic->partitions[i].replica_cnt < ret->replication)
            ret->replication = topic->partitions[i].replica_cnt;
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* How long librdkafka is left alone before it is asked why there is no answer yet. */
#define LOOK_SLICE_MS 1000 /* at first; then longer, should the cluster be slow */

/* Until the cluster gave an answer: right after its start a client knows no broker. */
static enum sink_result look(struct inspector *inspector, const char *name, mono_us deadline,
                             struct topic_facts *ret, outbox_error **reterr)
{
    rd_kafka_topic_t *handle = rd_kafka_topic_new(inspector->handle, name, NULL);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    int slice = LOOK_SLICE_MS;

    if (!handle)
        return fail(inspector, name, rd_kafka_last_error(), rd_kafka_err2str(rd_kafka_last_error()), reterr);
    for (;;) {
        const struct rd_kafka_metadata *metadata;
        int left = clock_until_ms(deadline);

        if (left == 0)
            break;
        code = rd_kafka_metadata(inspector->handle, 0, handle, &metadata, left < slice ? left : slice);
        slice = slice < 60000 ? slice * 2 : slice;
        if (!code) {
            code = metadata->topic_cnt == 1 ? read_metadata(&metadata->topics[0], ret)
                                            : RD_KAFKA_RESP_ERR__TIMED_OUT;
            rd_kafka_metadata_destroy(metadata);
        }
        if (!code || sink_classify(code) != SINK_TIMEOUT)
            break;
        rd_kafka_poll(inspector->handle, 50);
        if (kafka_hopeless(&inspector->client))
            break;
    }
    rd_kafka_topic_destroy(handle);
    return code ? fail(inspector, name, code, rd_kafka_err2str(code), reterr) : SINK_OK;
}

static void take_entry(const rd_kafka_ConfigEntry_t *entry, struct topic_facts *ret)
{
    const char *name = rd_kafka_ConfigEntry_name(entry);
    const char *value = rd_kafka_ConfigEntry_value(entry);

    if (!value)
        return;
    if (strcmp(name, "cleanup.policy") == 0)
        snprintf(ret->cleanup, sizeof(ret->cleanup), "%s", value);
    else if (strcmp(name, "min.insync.replicas") == 0)
        ret->min_insync = (int)strtol(value, NULL, 10);
    else if (strcmp(name, "unclean.leader.election.enable") == 0)
        ret->unclean_election = strcmp(value, "true") == 0;
}

static void read_configuration(rd_kafka_event_t *event, struct topic_facts *ret)
{
    const rd_kafka_ConfigResource_t **resources;
    const rd_kafka_ConfigEntry_t **entries;
    size_t count = 0;

    if (rd_kafka_event_error(event))
        return;
    resources =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    if (count != 1 || rd_kafka_ConfigResource_error(resources[0]))
        return;
    entries = rd_kafka_ConfigResource_configs(resources[0], &count);
    for (size_t i = 0; i < count; i++)
        take_entry(entries[i], ret);
    ret->configured = ret->cleanup[0] && ret->min_insync > 0;
}

static void describe(struct inspector *inspector, const char *name, int timeout_ms, struct topic_facts *ret)
{
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(inspector->handle, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(inspector->handle);
    rd_kafka_event_t *event = NULL;
    char text[256];

    if (rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof(text)) == 0) {
        rd_kafka_DescribeConfigs(inspector->handle, &resource, 1, options, queue);
        event = rd_kafka_queue_poll(queue, timeout_ms + 100);
    }
    if (event) {
        read_configuration(event, ret);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_AdminOptions_destroy(options);
}

enum sink_result inspect_topic(struct inspector *inspector, const char *name, mono_us deadline,
                               struct topic_facts *ret, outbox_error **reterr)
{
    struct topic_facts facts = {0};
    enum sink_result result = look(inspector, name, deadline, &facts, reterr);
    int left = clock_until_ms(deadline);

    if (result != SINK_OK)
        return result;
    if (facts.partitions > 0)
        describe(inspector, name, left > 0 ? left : 1, &facts);
    *ret = facts;
    return SINK_OK;
}
