#include "sink/pipeline.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/log.h"
#include "runtime/metrics.h"
#include "sink/client.h"
#include "sink/errors.h"

/* Delivery reports are served after this many records, so that they do not pile up. */
#define SERVE_EVERY 512
/* How long a page that cannot be handed over waits to learn which record is at fault. */
#define REASON_TIMEOUT SECONDS(1)

struct sent_page {
    uint64_t id;
    size_t handed;
    size_t acknowledged;
    bool complete; /* all of it has been handed over */
};

struct pipeline {
    struct kafka_client client; /* first: librdkafka's opaque */
    rd_kafka_t *handle;
    struct record_checks checks;
    struct sent_page pages[PIPELINE_PAGES]; /* a ring; records have their page as opaque */
    int first;
    int count;
    uint64_t confirmed; /* not told yet */
    size_t failed;
    rd_kafka_resp_err_t failure; /* of the first record that has a reason of its own */
    char failed_topic[250];      /* ... and its topic; "": not known */
    const struct sink_record *records; /* of the last page that was to be handed over */
    size_t record_count;
    uint64_t records_of;
};

static bool is_consequence(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__PURGE_QUEUE || code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT ||
           code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE;
}

/* The broker may acknowledge a younger page first: it is in other partitions. */
static void confirm(struct pipeline *pipeline)
{
    while (pipeline->count > 0) {
        const struct sent_page *oldest = &pipeline->pages[pipeline->first];

        if (!oldest->complete || oldest->acknowledged < oldest->handed)
            return;
        pipeline->confirmed = oldest->id;
        pipeline->first = (pipeline->first + 1) % PIPELINE_PAGES;
        pipeline->count--;
    }
}

static void count(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    int64_t happened = rd_kafka_message_timestamp(message, &type);

    metric_add(METRIC_EVENTS_PUBLISHED, 1);
    metric_observe_time(METRIC_EVENT_LATENCY, clock_wall() - happened * 1000, 1);
}

/* Within rd_kafka_poll(), on the calling thread. */
static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    struct pipeline *pipeline = opaque;
    struct sent_page *page = message->_private;

    if (!message->err) {
        page->acknowledged++;
        count(message);
        if (page->complete && page->acknowledged == page->handed)
            confirm(pipeline);
        return;
    }
    if (!pipeline->failure || (is_consequence(pipeline->failure) && !is_consequence(message->err))) {
        pipeline->failure = message->err;
        snprintf(pipeline->failed_topic, sizeof(pipeline->failed_topic), "%s", rd_kafka_topic_name(message->rkt));
    }
    if (pipeline->failed++ == 0)
        rd_kafka_purge(handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

/* ---- life ---- */

static int open_handle(struct pipeline *pipeline, mono_us message_timeout, outbox_error **reterr)
{
    rd_kafka_conf_t *conf =
        kafka_pipeline_conf(pipeline->client.kafka, &pipeline->client, message_timeout, reterr);
    char text[256];

    if (!conf)
        return OUTBOX_EINVAL;
    record_checks_init(&pipeline->checks, conf);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    pipeline->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (pipeline->handle)
        return OUTBOX_OK;
    rd_kafka_conf_destroy(conf);
    return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "cannot make a Kafka producer: %s", text);
}

static void release(void *owner)
{
    struct pipeline *pipeline = owner;

    kafka_free((struct kafka *)(uintptr_t)pipeline->client.kafka);
    free(pipeline);
}

/* librdkafka writes there when its queue of reports is no longer empty; NULL, 0: never again. */
static void wake_by(struct pipeline *pipeline, int fd)
{
    static const uint64_t one = 1;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(pipeline->handle);

    rd_kafka_queue_io_event_enable(queue, fd, &one, sizeof(one));
    rd_kafka_queue_destroy(queue);
}

struct pipeline *pipeline_new(const struct kafka *kafka, mono_us message_timeout, int wake_fd,
                              outbox_error **reterr)
{
    struct pipeline *pipeline = calloc(1, sizeof(*pipeline));

    if (!pipeline) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    pipeline->client.kafka = kafka_reference(kafka);
    if (open_handle(pipeline, message_timeout, reterr) < 0) {
        release(pipeline);
        return NULL;
    }
    pipeline->checks.topics = topics_attach(&pipeline->client, pipeline->handle);
    if (!pipeline->checks.topics) {
        outbox__fail_memory(reterr);
        pipeline_close(pipeline, clock_now() + SECONDS(5));
        return NULL;
    }
    if (wake_fd >= 0)
        wake_by(pipeline, wake_fd);
    return pipeline;
}

enum sink_result pipeline_connect(struct pipeline *pipeline, mono_us deadline, outbox_error **reterr)
{
    int partitions;

    return topics_query(pipeline->checks.topics, kafka_progress_topic(pipeline->client.kafka), deadline,
                        &partitions, reterr);
}

void pipeline_drain(struct pipeline *pipeline, mono_us deadline)
{
    while (pipeline->count > 0 && pipeline->failed == 0) {
        int left = clock_until_ms(deadline);

        if (left == 0)
            return;
        rd_kafka_poll(pipeline->handle, left < 100 ? left : 100);
    }
}

bool pipeline_close(struct pipeline *pipeline, mono_us deadline)
{
    bool released;

    if (!pipeline)
        return true;
    wake_by(pipeline, -1);
    if (rd_kafka_outq_len(pipeline->handle) > 0)
        log_warning("records_abandoned", LOG_NUMBER("records", rd_kafka_outq_len(pipeline->handle)),
                    LOG_TEXT("consequence", "they are published again, also those that did arrive"));
    /* What is purged gets its delivery report, and then librdkafka holds it no longer. */
    rd_kafka_purge(pipeline->handle,
                   RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    while (rd_kafka_outq_len(pipeline->handle) > 0 && clock_until_ms(deadline) > 0)
        rd_kafka_poll(pipeline->handle, 10);
    released = rd_kafka_outq_len(pipeline->handle) == 0;
    topics_close(pipeline->checks.topics);
    if (client_destroy(pipeline->handle, release, pipeline, deadline))
        return true;
    log_warning("kafka_close_slow", LOG_TEXT("detail", "goes on in the background"));
    return released;
}

/* ---- failures ---- */

/* The records of older pages are not here any more. */
static void blame(struct pipeline *pipeline, const outbox_error *why)
{
    const struct sink_verdict verdict = {pipeline->failure, pipeline->failed_topic};

    pipeline->checks.fault_count = 0;
    if (pipeline->count == 1 && pipeline->pages[pipeline->first].id == pipeline->records_of)
        record_blame_failure(&pipeline->checks, pipeline->records, pipeline->record_count, &verdict, why);
}

/* A fatal error knows more than the records that it took along. */
static enum sink_result fail_delivery(struct pipeline *pipeline, outbox_error **reterr)
{
    char fatal[256] = "";
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(pipeline->handle, fatal, sizeof(fatal));
    struct sink_failure failure = {.topic = kafka_denied_topic(&pipeline->client)};
    enum sink_result result;
    char what[128];

    if (!pipeline->failure || is_consequence(pipeline->failure))
        pipeline->failure = code ? code : pipeline->failure;
    result = sink_classify(pipeline->failure);
    if (result != SINK_REFUSED && result != SINK_TOPIC_MISSING)
        result = SINK_FAILED;
    snprintf(what, sizeof(what), "%zu records were not accepted", pipeline->failed);
    failure.what = what;
    failure.reason = is_consequence(pipeline->failure) && fatal[0] ? fatal : rd_kafka_err2str(pipeline->failure);
    failure.result = result;
    failure.code = pipeline->failure;
    sink_report(reterr, &pipeline->client, &failure);
    if (result == SINK_REFUSED && reterr)
        blame(pipeline, *reterr);
    return result;
}

static bool is_broken(const struct pipeline *pipeline)
{
    return pipeline->failed > 0 || rd_kafka_fatal_error(pipeline->handle, NULL, 0) != 0;
}

/* The fatal error comes first, and what was purged because of it; the record that is at
 * fault says so when its turn comes. */
static bool reason_is_known(const struct pipeline *pipeline)
{
    return (pipeline->failure && !is_consequence(pipeline->failure)) || rd_kafka_outq_len(pipeline->handle) == 0;
}

enum sink_result pipeline_serve(struct pipeline *pipeline, uint64_t *ret_page, outbox_error **reterr)
{
    while (rd_kafka_poll(pipeline->handle, 0) > 0)
        ;
    *ret_page = pipeline->confirmed;
    pipeline->confirmed = 0;
    return is_broken(pipeline) && reason_is_known(pipeline) ? fail_delivery(pipeline, reterr) : SINK_OK;
}

bool pipeline_clean(const struct pipeline *pipeline)
{
    return !is_broken(pipeline);
}

const struct record_fault *pipeline_faults(const struct pipeline *pipeline, size_t *ret_count)
{
    *ret_count = pipeline->checks.fault_count;
    return pipeline->checks.faults;
}

/* As pipeline_serve would say, but now. */
static enum sink_result fail_at_once(struct pipeline *pipeline, outbox_error **reterr)
{
    mono_us deadline = clock_now() + REASON_TIMEOUT;

    while (!reason_is_known(pipeline) && clock_until_ms(deadline) > 0)
        rd_kafka_poll(pipeline->handle, 10);
    return fail_delivery(pipeline, reterr);
}

/* ---- producing ---- */

static enum sink_result fail_produce(struct pipeline *pipeline, const struct sink_record *record,
                                     rd_kafka_resp_err_t code, outbox_error **reterr)
{
    enum sink_result result = sink_classify(code);
    char what[400];
    struct sink_failure failure = {
        .what = what, .reason = rd_kafka_err2str(code), .code = code, .topic = record->topic};

    if (is_broken(pipeline))
        return fail_at_once(pipeline, reterr);
    if (result != SINK_REFUSED && result != SINK_TOPIC_MISSING)
        result = SINK_FAILED;
    snprintf(what, sizeof(what), "cannot produce to topic \"%s\"", record->topic);
    failure.result = result;
    sink_report(reterr, &pipeline->client, &failure);
    return result;
}

/* Waits for room in the queue. */
static rd_kafka_resp_err_t produce(struct pipeline *pipeline, const struct sink_record *record,
                                   struct sent_page *page, mono_us deadline)
{
    rd_kafka_topic_t *topic = topics_handle(pipeline->checks.topics, record->topic);

    for (;;) {
        rd_kafka_resp_err_t code = record_produce(pipeline->handle, topic, record, page);
        int left = clock_until_ms(deadline);

        if (!code)
            page->handed++;
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || left == 0 || pipeline->failed > 0)
            return code;
        rd_kafka_poll(pipeline->handle, left < 100 ? left : 100);
    }
}

static enum sink_result produce_all(struct pipeline *pipeline, const struct sink_record *records, size_t count,
                                    struct sent_page *page, mono_us deadline, outbox_error **reterr)
{
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code =
            pipeline->failed > 0 ? RD_KAFKA_RESP_ERR__FATAL : produce(pipeline, &records[i], page, deadline);

        if (code)
            return fail_produce(pipeline, &records[i], code, reterr);
        if (i % SERVE_EVERY == SERVE_EVERY - 1)
            rd_kafka_poll(pipeline->handle, 0);
    }
    return SINK_OK;
}

enum sink_result pipeline_publish(struct pipeline *pipeline, uint64_t id, const struct sink_record *records,
                                  size_t count, mono_us deadline, outbox_error **reterr)
{
    struct sent_page *page = &pipeline->pages[(pipeline->first + pipeline->count) % PIPELINE_PAGES];
    enum sink_result result;

    pipeline->records_of = 0; /* the caller has made these in their place */
    if (is_broken(pipeline))
        return fail_at_once(pipeline, reterr);
    if (pipeline->count == PIPELINE_PAGES) {
        outbox__fail(reterr, OUTBOX_ESTATE, NULL, "more than %d pages in flight", PIPELINE_PAGES);
        return SINK_FAILED;
    }
    pipeline->records = records;
    pipeline->record_count = count;
    pipeline->records_of = id;
    result = records_check(&pipeline->checks, records, count, deadline, reterr);
    if (result != SINK_OK)
        return result;
    *page = (struct sent_page){.id = id};
    pipeline->count++;
    result = produce_all(pipeline, records, count, page, deadline, reterr);
    if (result != SINK_OK)
        return result;
    page->complete = true;
    confirm(pipeline);
    return SINK_OK;
}
