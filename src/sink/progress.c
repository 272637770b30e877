#include "sink/progress.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "runtime/log.h"
#include "sink/client.h"
#include "sink/errors.h"
#include "sink/topics.h"

/* Partitions of a topic that we create: room for more lanes than there are today,
 * since adding partitions later is one more thing for an operator to do. */
#define PARTITIONS_AT_LEAST 16

struct progress {
    struct kafka_client client; /* first: librdkafka's opaque */
    rd_kafka_t *handle;
    struct topics *topics;
    const char *topic;
};

/* One reading of one lane. */
struct reading {
    struct progress *progress;
    rd_kafka_topic_t *topic;
    int lane;
    char key[MARKER_KEY_SIZE];
    size_t key_size;
    bool any; /* any lane of any map will do */
    struct progress_answer answer;
};

/* ---- life ---- */

static void release(void *owner)
{
    struct progress *progress = owner;

    kafka_free((struct kafka *)(uintptr_t)progress->client.kafka);
    free(progress);
}

static int open_handle(struct progress *progress, outbox_error **reterr)
{
    rd_kafka_conf_t *conf = kafka_consumer_conf(progress->client.kafka, &progress->client, reterr);
    char text[256];

    if (!conf)
        return OUTBOX_EINVAL;
    progress->handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (progress->handle)
        return OUTBOX_OK;
    rd_kafka_conf_destroy(conf);
    return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "cannot make a Kafka consumer: %s", text);
}

struct progress *progress_open(const struct kafka *kafka, outbox_error **reterr)
{
    struct progress *progress = calloc(1, sizeof(*progress));

    if (!progress) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    progress->client.kafka = kafka_reference(kafka);
    progress->topic = kafka_progress_topic(kafka);
    if (open_handle(progress, reterr) < 0) {
        release(progress);
        return NULL;
    }
    progress->topics = topics_attach(&progress->client, progress->handle);
    if (!progress->topics) {
        outbox__fail_memory(reterr);
        progress_close(progress);
        return NULL;
    }
    return progress;
}

void progress_close(struct progress *progress)
{
    if (!progress)
        return;
    topics_close(progress->topics);
    client_destroy(progress->handle, release, progress, clock_now() + SECONDS(5));
}

/* ---- the topic ---- */

static enum sink_result create(struct progress *progress, int lanes, mono_us deadline, outbox_error **reterr)
{
    /* Compaction leaves the active segment alone, so segments are small and short-lived.  Our clock
     * must not matter: a broker refuses a time of ours that is an hour ahead of its own. */
    static const struct kafka_property config[] = {{"cleanup.policy", "compact"},
                                                   {"segment.bytes", "67108864"},
                                                   {"segment.ms", "3600000"},
                                                   {"message.timestamp.type", "LogAppendTime"}};
    const struct topic_wish wish = {
        .name = progress->topic,
        .partitions = lanes > PARTITIONS_AT_LEAST ? lanes : PARTITIONS_AT_LEAST,
        .replication = kafka_topic_replication(progress->client.kafka),
        .config = config,
        .config_count = sizeof(config) / sizeof(*config),
    };

    if (!kafka_create_topics(progress->client.kafka)) {
        outbox__fail(reterr, OUTBOX_ESERVER, "topic",
                     "the progress topic \"%s\" does not exist; create it with cleanup.policy=compact and at "
                     "least %d partitions, or set create_topics=yes",
                     progress->topic, lanes);
        return SINK_TOPIC_MISSING;
    }
    return topics_create(progress->topics, &wish, deadline, reterr);
}

/* The value of cleanup.policy, or NULL. */
static const char *policy_of(const rd_kafka_event_t *event)
{
    const rd_kafka_ConfigResource_t **resources;
    const rd_kafka_ConfigEntry_t **entries;
    size_t count = 0;

    resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result((rd_kafka_event_t *)(uintptr_t)event), &count);
    if (count != 1 || rd_kafka_ConfigResource_error(resources[0]))
        return NULL;
    entries = rd_kafka_ConfigResource_configs(resources[0], &count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), "cleanup.policy") == 0)
            return rd_kafka_ConfigEntry_value(entries[i]);
    }
    return NULL;
}

static rd_kafka_event_t *describe(struct progress *progress, int timeout_ms)
{
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(progress->handle, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, progress->topic);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(progress->handle);
    rd_kafka_event_t *event = NULL;
    char text[256];

    if (rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof(text)) == 0) {
        rd_kafka_DescribeConfigs(progress->handle, &resource, 1, options, queue);
        event = rd_kafka_queue_poll(queue, timeout_ms + 100);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_AdminOptions_destroy(options);
    return event;
}

/* With any other policy the broker deletes positions after a while.  Not being allowed
 * to ask is no reason to stop, nor is a broker that does not know the question (librdkafka's
 * mock cluster says nothing at all): a quarter of the time is left to wait for it. */
static enum sink_result check_policy(struct progress *progress, mono_us deadline, outbox_error **reterr)
{
    int left = clock_until_ms(deadline) / 4;
    rd_kafka_event_t *event = describe(progress, left > 0 ? left : 1);
    const char *policy = event && !rd_kafka_event_error(event) ? policy_of(event) : NULL;
    enum sink_result result = SINK_OK;

    if (!policy) {
        log_warning("progress_topic_unchecked", LOG_TEXT("topic", progress->topic),
                    LOG_TEXT("advice", "its cleanup.policy could not be read; it must be compact"));
    } else if (strcmp(policy, "compact") != 0) {
        outbox__fail(
            reterr, OUTBOX_ESERVER, "topic",
            "the progress topic \"%s\" has cleanup.policy=%s, by which Kafka deletes positions; set it "
            "to compact",
            progress->topic, policy);
        result = SINK_REFUSED;
    }
    if (event)
        rd_kafka_event_destroy(event);
    return result;
}

enum sink_result progress_ensure(struct progress *progress, int lanes, mono_us deadline,
                                 outbox_error **reterr)
{
    int partitions = 0;
    enum sink_result result = topics_query(progress->topics, progress->topic, deadline, &partitions, reterr);

    if (result == SINK_OK && partitions == 0) {
        result = create(progress, lanes, deadline, reterr);
        partitions = topics_partitions(progress->topics, progress->topic);
    }
    if (result != SINK_OK)
        return result;
    if (partitions < lanes) {
        outbox__fail(reterr, OUTBOX_ESERVER, "topic",
                     "the progress topic \"%s\" has %d partitions, and each of %d lanes needs one; add "
                     "partitions to it",
                     progress->topic, partitions, lanes);
        return SINK_REFUSED;
    }
    return check_policy(progress, deadline, reterr);
}

/* ---- reading ---- */

static enum sink_result fail_reading(struct reading *reading, rd_kafka_resp_err_t code, const char *reason,
                                     outbox_error **reterr)
{
    struct progress *progress = reading->progress;
    enum sink_result result = sink_classify(code);
    char what[400];
    struct sink_failure failure = {
        .what = what, .reason = reason, .code = code, .right = "Read", .topic = progress->topic};

    if (result != SINK_TOPIC_MISSING && result != SINK_REFUSED)
        result = SINK_TIMEOUT;
    snprintf(what, sizeof(what), "cannot read the position of lane %d from \"%s\"", reading->lane,
             progress->topic);
    rd_kafka_poll(progress->handle, 0);
    failure.result = result;
    sink_report(reterr, &progress->client, &failure);
    return result;
}

/* The incarnation in the key of a marker, if it is one. */
static bool key_incarnation(const char *key, size_t size, struct outbox__uuid *ret)
{
    char text[OUTBOX__UUID_TEXT];

    if (size < sizeof(text) || key[sizeof(text) - 1] != '/')
        return false;
    memcpy(text, key, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    return outbox__uuid_parse(text, ret);
}

static void note_foreign(struct reading *reading, const rd_kafka_message_t *message)
{
    struct outbox__uuid theirs;

    if (!message->key || !key_incarnation(message->key, message->key_len, &theirs))
        return;
    if (memcmp(message->key, reading->key, OUTBOX__UUID_TEXT - 1) == 0)
        return; /* ours, of another map */
    reading->answer.foreign = true;
    memcpy(reading->answer.foreign_incarnation, theirs.bytes, sizeof(theirs.bytes));
}

/* The map in the key of a marker of this incarnation; 0: it is no such key. */
static int key_map(const struct reading *reading, const char *key, size_t size)
{
    int map = 0;

    if (!key || size <= OUTBOX__UUID_TEXT || memcmp(key, reading->key, OUTBOX__UUID_TEXT) != 0)
        return 0;
    for (size_t i = OUTBOX__UUID_TEXT; i < size && key[i] >= '0' && key[i] <= '9' && map < INT32_MAX / 10 - 1; i++)
        map = map * 10 + (key[i] - '0');
    return map;
}

static void take_any(struct reading *reading, const rd_kafka_message_t *message)
{
    int map = key_map(reading, message->key, message->key_len);

    reading->answer.found = reading->answer.found || map > 0;
    if (map > reading->answer.marker.map)
        reading->answer.marker.map = map;
}

/* A record of ours that cannot be understood is no reason to start at zero. */
static enum sink_result take_record(struct reading *reading, const rd_kafka_message_t *message,
                                    outbox_error **reterr)
{
    struct progress_answer *answer = &reading->answer;

    if (reading->any) {
        take_any(reading, message);
        return SINK_OK;
    }
    if (message->key_len != reading->key_size || memcmp(message->key, reading->key, reading->key_size) != 0) {
        note_foreign(reading, message);
        return SINK_OK;
    }
    if (marker_decode(message->payload ? message->payload : "", message->len, &answer->marker, reterr) < 0)
        return SINK_REFUSED;
    answer->found = true;
    return SINK_OK;
}

/* Errors that pass are only waited for. */
static enum sink_result take_message(struct reading *reading, const rd_kafka_message_t *message, int64_t end,
                                     bool *ret_finished, outbox_error **reterr)
{
    enum sink_result result;

    switch (message->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        *ret_finished = message->offset >= end - 1;
        return take_record(reading, message, reterr);
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        *ret_finished = message->offset >= end;
        return SINK_OK;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        return fail_reading(reading, message->err, rd_kafka_message_errstr(message), reterr);
    default:
        result = sink_classify(message->err);
        if (result == SINK_TOPIC_MISSING || result == SINK_REFUSED)
            return fail_reading(reading, message->err, rd_kafka_message_errstr(message), reterr);
        return SINK_OK;
    }
}

/* Takes messages from the partition until what lies before end has been seen. */
static enum sink_result consume(struct reading *reading, int64_t end, mono_us deadline, outbox_error **reterr)
{
    enum sink_result result = SINK_OK;
    bool finished = false;

    while (result == SINK_OK && !finished) {
        int left = clock_until_ms(deadline);
        rd_kafka_message_t *message;

        if (left == 0)
            return fail_reading(reading, RD_KAFKA_RESP_ERR__TIMED_OUT, "no answer from the cluster", reterr);
        rd_kafka_poll(reading->progress->handle, 0);
        message = rd_kafka_consume(reading->topic, reading->lane, left < 100 ? left : 100);
        if (!message)
            continue;
        result = take_message(reading, message, end, &finished, reterr);
        rd_kafka_message_destroy(message);
    }
    return result;
}

/* Where the partition ends for those who read uncommitted records, as the last answer to a fetch
 * told. */
static int64_t high_watermark(const struct reading *reading)
{
    const struct progress *progress = reading->progress;
    int64_t low = 0, high = RD_KAFKA_OFFSET_INVALID;
    rd_kafka_resp_err_t code =
        rd_kafka_get_watermark_offsets(progress->handle, progress->topic, reading->lane, &low, &high);

    return code ? RD_KAFKA_OFFSET_INVALID : high;
}

/* Also of an empty range a fetch tells whether anything is hidden behind it. */
static enum sink_result read_range(struct reading *reading, int64_t begin, int64_t end, mono_us deadline,
                                   outbox_error **reterr)
{
    enum sink_result result;

    memset(&reading->answer, 0, sizeof(reading->answer));
    if (rd_kafka_consume_start(reading->topic, reading->lane, begin) != 0) {
        rd_kafka_resp_err_t code = rd_kafka_last_error();

        return fail_reading(reading, code, rd_kafka_err2str(code), reterr);
    }
    result = consume(reading, end, deadline, reterr);
    if (result == SINK_OK)
        reading->answer.hidden = high_watermark(reading) > end;
    rd_kafka_consume_stop(reading->topic, reading->lane);
    return result;
}

/* How long a partition that was just created may be unknown to its broker. */
#define SETTLING SECONDS(1)

/* The partition's bounds; the end as read_committed sees it: the last stable offset. */
static enum sink_result query_bounds(struct reading *reading, mono_us deadline, int64_t *ret_low,
                                     int64_t *ret_end, outbox_error **reterr)
{
    struct progress *progress = reading->progress;
    mono_us settled = clock_now() + SETTLING;
    const char *reason = "no answer from the cluster";

    for (;;) {
        int left = clock_until_ms(deadline);
        rd_kafka_resp_err_t code;
        enum sink_result result;

        if (left == 0)
            return fail_reading(reading, RD_KAFKA_RESP_ERR__TIMED_OUT, reason, reterr);
        code = rd_kafka_query_watermark_offsets(progress->handle, progress->topic, reading->lane, ret_low,
                                                ret_end, left);
        if (!code)
            return SINK_OK;
        result = sink_classify(code);
        reason = rd_kafka_err2str(code);
        if (result == SINK_REFUSED || (result == SINK_TOPIC_MISSING && clock_now() > settled))
            return fail_reading(reading, code, reason, reterr);
        rd_kafka_poll(progress->handle, 20);
    }
}

/* librdkafka's query for offsets sends its request again and again to a leader that it knew
 * and cannot reach, and heeds no timeout meanwhile; one for metadata heeds it. */
static enum sink_result reach(struct reading *reading, mono_us deadline, outbox_error **reterr)
{
    struct progress *progress = reading->progress;
    int partitions = 0;

    return topics_query(progress->topics, progress->topic, deadline, &partitions, reterr);
}

/* From the end backwards in growing steps: the last marker is nearly always near. */
static enum sink_result read_back(struct reading *reading, mono_us deadline, outbox_error **reterr)
{
    int64_t low = 0, end = 0;
    enum sink_result result = reading->any ? SINK_OK : reach(reading, deadline, reterr);

    if (result == SINK_OK)
        result = query_bounds(reading, deadline, &low, &end, reterr);
    for (int64_t step = 64; result == SINK_OK; step *= 16) {
        int64_t begin = end - low > step ? end - step : low;

        result = read_range(reading, begin, end, deadline, reterr);
        if (reading->answer.found || begin == low)
            break;
    }
    return result;
}

enum sink_result progress_read(struct progress *progress, const uint8_t incarnation[16], int map, int lane,
                               mono_us deadline, struct progress_answer *ret, outbox_error **reterr)
{
    struct reading reading = {.progress = progress, .lane = lane};
    struct marker wanted = {.map = map, .lane = lane};
    enum sink_result result;

    memcpy(wanted.incarnation, incarnation, sizeof(wanted.incarnation));
    reading.key_size = marker_key(&wanted, reading.key);
    reading.topic = rd_kafka_topic_new(progress->handle, progress->topic, NULL);
    if (!reading.topic) {
        rd_kafka_resp_err_t code = rd_kafka_last_error();

        return fail_reading(&reading, code, rd_kafka_err2str(code), reterr);
    }
    result = read_back(&reading, deadline, reterr);
    rd_kafka_topic_destroy(reading.topic);
    if (result == SINK_OK) {
        kafka_forget_errors(&progress->client);
        *ret = reading.answer;
    }
    return result;
}

/* Most partitions have never been written to: one question tells of all.  What it does not tell
 * of is read. */
static rd_kafka_topic_partition_list_t *ask_ends(struct progress *progress, int partitions, mono_us deadline)
{
    rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new(partitions);

    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(ends, progress->topic, i)->offset = RD_KAFKA_OFFSET_END;
    if (rd_kafka_offsets_for_times(progress->handle, ends, clock_until_ms(deadline) / 4 + 1) != 0) {
        for (int i = 0; i < partitions; i++)
            ends->elems[i].err = RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    return ends;
}

static enum sink_result read_maps(struct reading *reading, const rd_kafka_topic_partition_list_t *ends,
                                  mono_us deadline, int *ret_map, outbox_error **reterr)
{
    enum sink_result result = SINK_OK;

    for (int i = 0; result == SINK_OK && i < ends->cnt; i++) {
        if (!ends->elems[i].err && ends->elems[i].offset == 0)
            continue;
        reading->lane = ends->elems[i].partition;
        result = read_back(reading, deadline, reterr);
        if (result == SINK_OK && reading->answer.marker.map > *ret_map)
            *ret_map = reading->answer.marker.map;
    }
    return result;
}

enum sink_result progress_newest_map(struct progress *progress, const uint8_t incarnation[16], mono_us deadline,
                                     int *ret_map, outbox_error **reterr)
{
    struct reading reading = {.progress = progress, .any = true};
    struct marker wanted = {.map = 0};
    rd_kafka_topic_partition_list_t *ends;
    int partitions = 0;
    enum sink_result result = topics_query(progress->topics, progress->topic, deadline, &partitions, reterr);

    *ret_map = 0;
    if (result != SINK_OK || partitions == 0)
        return result;
    memcpy(wanted.incarnation, incarnation, sizeof(wanted.incarnation));
    reading.key_size = marker_key(&wanted, reading.key);
    reading.topic = rd_kafka_topic_new(progress->handle, progress->topic, NULL);
    if (!reading.topic)
        return fail_reading(&reading, rd_kafka_last_error(), rd_kafka_err2str(rd_kafka_last_error()), reterr);
    ends = ask_ends(progress, partitions, deadline);
    result = read_maps(&reading, ends, deadline, ret_map, reterr);
    rd_kafka_topic_partition_list_destroy(ends);
    rd_kafka_topic_destroy(reading.topic);
    if (result == SINK_OK)
        kafka_forget_errors(&progress->client);
    return result;
}

enum sink_result progress_try(struct progress *progress, mono_us deadline, outbox_error **reterr)
{
    struct reading reading = {.progress = progress};
    enum sink_result result = SINK_OK;
    int64_t low = 0, end = 0;

    reading.topic = rd_kafka_topic_new(progress->handle, progress->topic, NULL);
    if (!reading.topic)
        return fail_reading(&reading, rd_kafka_last_error(), rd_kafka_err2str(rd_kafka_last_error()), reterr);
    result = query_bounds(&reading, deadline, &low, &end, reterr);
    if (result == SINK_OK && rd_kafka_consume_start(reading.topic, 0, end) != 0)
        result = fail_reading(&reading, rd_kafka_last_error(), rd_kafka_err2str(rd_kafka_last_error()), reterr);
    else if (result == SINK_OK) {
        result = consume(&reading, end, deadline, reterr);
        rd_kafka_consume_stop(reading.topic, 0);
    }
    rd_kafka_topic_destroy(reading.topic);
    return result;
}
