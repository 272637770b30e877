#include "relay/lane_kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/uuid.h"
#include "relay/parking.h"
#include "relay/records.h"
#include "runtime/die.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/repeat.h"
#include "runtime/wakeup.h"
#include "runtime/watchdog.h"
#include "sink/pipeline.h"
#include "sink/producer.h"
#include "sink/progress.h"

/* librdkafka may need this long to let go of a connection that does not answer. */
#define CLOSE_TIMEOUT SECONDS(5)
/* A commit is waited for in slices, so that the lane can look at its lease in between. */
#define COMMIT_SLICE SECONDS(1)

struct lane_kafka {
    struct settings_view settings;
    const struct relay_config *config; /* in force for the present job */
    const struct kafka *kafka;
    int map; /* of the present job */
    int looked_map; /* for whose tenure it was looked for a later map */
    int64_t looked_epoch;
    int lane;
    struct progress *progress;
    bool progress_ensured;
    struct producer *producer;
    struct pipeline *pipeline; /* then there is no producer */
    bool failure_told;
    int wake_fd;
    struct records *records;
    struct repeat repeat;
    /* the open transaction */
    const struct sink_record *open;
    size_t open_count;
    mono_us begun_at;
    mono_us committing_at; /* 0: not yet */
};

mono_us lane_message_timeout(const struct relay_config *config)
{
    return config->lease / 3;
}

struct lane_kafka *lane_kafka_new(struct settings *settings, const struct kafka *kafka, int lane)
{
    struct lane_kafka *made = calloc(1, sizeof(*made));

    if (!made)
        return NULL;
    *made = (struct lane_kafka){.settings = SETTINGS_VIEW_INIT(settings), .kafka = kafka, .lane = lane};
    made->records = records_new();
    made->wake_fd = wakeup_open();
    if (!made->records || made->wake_fd < 0) {
        lane_kafka_free(made);
        return NULL;
    }
    return made;
}

void lane_kafka_free(struct lane_kafka *lane)
{
    if (!lane)
        return;
    records_free(lane->records);
    if (lane->wake_fd >= 0)
        close(lane->wake_fd);
    free(lane);
}

int lane_kafka_wake_fd(const struct lane_kafka *lane)
{
    return lane->wake_fd;
}

/* False if librdkafka still holds pages. */
static bool close_producers(struct lane_kafka *lane)
{
    mono_us deadline = clock_now() + CLOSE_TIMEOUT;
    bool released = producer_close(lane->producer, deadline);

    released = pipeline_close(lane->pipeline, deadline) && released;
    if (!released)
        log_error("producer_stuck", LOG_NUMBER("lane", lane->lane));
    lane->producer = NULL;
    lane->pipeline = NULL;
    return released;
}

void lane_kafka_end(void *context)
{
    struct lane_kafka *lane = context;

    /* The lane has closed it, or the process is about to exit: pages are not freed then. */
    close_producers(lane);
    progress_close(lane->progress);
    settings_close(&lane->settings);
    lane->progress = NULL;
}

/* Once in each takeover, before anybody is fenced. */
static enum sink_result look_for_later_map(struct lane_kafka *lane, const struct lane_job *job, mono_us deadline,
                                           bool *ret, outbox_error **reterr)
{
    enum sink_result result;
    int newest = 0;

    if (lane->looked_map == lane->map && lane->looked_epoch == job->action.epoch)
        return SINK_OK;
    result = progress_newest_map(lane->progress, job->identity.incarnation, deadline, &newest, reterr);
    if (result != SINK_OK)
        return result;
    lane->looked_map = lane->map;
    lane->looked_epoch = job->action.epoch;
    *ret = newest > lane->map;
    return SINK_OK;
}

/* How soon to look again for a marker that is hidden. */
#define HIDDEN_PAUSE MILLISECONDS(50)

/* Once the lane's former producer is fenced nothing of its is to come: the position is the one
 * before which nothing is hidden.  Another's transaction is ended by the broker, in time. */
static enum sink_result read_position(struct lane_kafka *lane, const struct lane_job *job, mono_us deadline,
                                      struct progress_answer *ret, outbox_error **reterr)
{
    enum sink_result result;

    for (;;) {
        result = progress_read(lane->progress, job->identity.incarnation, lane->map, lane->lane, deadline, ret,
                               reterr);
        if (result != SINK_OK || !ret->hidden || !lane->producer)
            return result;
        if (clock_until_ms(deadline) == 0) {
            outbox__fail(reterr, OUTBOX_ETIMEOUT, NULL, "the position of lane %d is hidden by a transaction that "
                         "somebody else has open in its partition of the progress topic: the broker ends it after "
                         "its transaction.timeout.ms", lane->lane);
            return SINK_TIMEOUT;
        }
        clock_sleep_until(clock_now() + HIDDEN_PAUSE);
    }
}

static enum sink_result do_read_marker(struct lane_kafka *lane, const struct lane_job *job,
                                       struct lane_event *event, outbox_error **reterr)
{
    mono_us deadline = clock_now() + lane->config->transaction_timeout;
    struct progress_answer answer;
    enum sink_result result;

    if (!lane->progress)
        lane->progress = progress_open(lane->kafka, reterr);
    if (!lane->progress)
        return SINK_FAILED;
    if (!lane->progress_ensured) {
        result = progress_ensure(lane->progress, lane->lane + 1, deadline, reterr);
        if (result != SINK_OK)
            return result;
        lane->progress_ensured = true;
    }
    result = read_position(lane, job, deadline, &answer, reterr);
    if (result != SINK_OK)
        return result;
    result = look_for_later_map(lane, job, deadline, &event->outdated, reterr);
    if (result != SINK_OK)
        return result;
    event->kind = LANE_EVENT_MARKER;
    event->found = answer.found && answer.marker.system_identifier == job->identity.system_identifier;
    event->foreign = answer.foreign || (answer.found && !event->found);
    if (event->found) {
        event->position = answer.marker.position;
        event->published = answer.marker.published;
        event->release = answer.marker.release;
    }
    return SINK_OK;
}

static enum sink_result do_open(struct lane_kafka *lane, const struct lane_job *job, struct lane_event *event,
                                outbox_error **reterr)
{
    /* The predecessor's open transaction may have to be aborted by its timeout first. */
    mono_us deadline = clock_now() + 2 * lane->config->transaction_timeout;
    struct marker marker = {.map = lane->map, .lane = lane->lane};
    enum sink_result result;
    char id[512];

    memcpy(marker.incarnation, job->identity.incarnation, sizeof(marker.incarnation));
    if (!marker_transactional_id(&marker, lane->config->topic_prefix, id, sizeof(id))) {
        outbox__fail(reterr, OUTBOX_EINVAL, "topic_prefix", "topic_prefix: is too long for a transactional id");
        return SINK_FAILED;
    }
    lane->producer = producer_new(lane->kafka, id, reterr);
    if (!lane->producer)
        return SINK_FAILED;
    result = producer_init(lane->producer, deadline, reterr);
    event->kind = LANE_EVENT_PRODUCER_OPEN;
    return result;
}

static enum sink_result do_open_pipeline(struct lane_kafka *lane, struct lane_event *event, outbox_error **reterr)
{
    mono_us deadline = clock_now() + lane->config->transaction_timeout;

    close_producers(lane);
    lane->failure_told = false;
    lane->pipeline = pipeline_new(lane->kafka, lane_message_timeout(lane->config), lane->wake_fd, reterr);
    if (!lane->pipeline)
        return SINK_FAILED;
    event->kind = LANE_EVENT_PRODUCER_OPEN;
    return pipeline_connect(lane->pipeline, deadline, reterr);
}

static enum sink_result do_pipe(struct lane_kafka *lane, const struct lane_job *job, struct lane_event *event,
                                outbox_error **reterr)
{
    mono_us deadline = clock_now() + lane_message_timeout(lane->config);
    const struct sink_record *list = NULL;
    const char *const *topics = NULL;
    size_t topic_count = 0;
    size_t count = 0;

    if (records_make(lane->records, job->page, &list, &count, &topics, &topic_count, reterr) < 0)
        return SINK_FAILED;
    event->kind = LANE_EVENT_PUBLISHED;
    return pipeline_publish(lane->pipeline, job->action.page, list, count, deadline, reterr);
}

static enum sink_result do_publish(struct lane_kafka *lane, const struct lane_job *job, struct lane_event *event,
                                   outbox_error **reterr)
{
    mono_us deadline = clock_now() + lane->config->transaction_timeout;
    struct marker marker = {.system_identifier = job->identity.system_identifier, .map = lane->map,
                            .lane = lane->lane, .position = job->action.position,
                            .published = job->action.published, .release = job->action.release};
    const struct sink_record *list = NULL;
    const char *const *topics = NULL;
    size_t topic_count = 0;
    size_t count = 0;
    enum sink_result result;

    lane->begun_at = clock_now();
    lane->committing_at = 0;
    memcpy(marker.incarnation, job->identity.incarnation, sizeof(marker.incarnation));
    if (job->page &&
        records_make(lane->records, job->page, &list, &count, &topics, &topic_count, reterr) < 0)
        return SINK_FAILED;
    result = producer_publish(lane->producer, list, count, &marker, deadline, reterr);
    lane->open = list;
    lane->open_count = count;
    event->kind = LANE_EVENT_PUBLISHED;
    return result;
}

/* Events of one moment, of which there are many in a batch, are counted at once. */
static void count_latencies(const struct lane_kafka *lane)
{
    int64_t now = clock_wall();
    size_t same = 0;

    for (size_t i = 0; i < lane->open_count; i += same) {
        int64_t moment = lane->open[i].timestamp_ms;

        for (same = 1; i + same < lane->open_count && lane->open[i + same].timestamp_ms == moment; same++)
            ;
        metric_observe_time(METRIC_EVENT_LATENCY, now - moment * 1000, (int64_t)same);
    }
}

static void count_transaction(const struct lane_kafka *lane)
{
    mono_us now = clock_now();

    metric_add(METRIC_TRANSACTIONS, 1);
    metric_add(METRIC_EVENTS_PUBLISHED, (int64_t)lane->open_count);
    metric_observe_size(METRIC_TRANSACTION_EVENTS, (int64_t)lane->open_count, 1);
    metric_observe_time(METRIC_TRANSACTION_SECONDS, now - lane->begun_at, 1);
    metric_observe_time(METRIC_COMMIT_SECONDS, now - lane->committing_at, 1);
    count_latencies(lane);
}

/* The lane would give it up by itself, somewhat later, and nobody would be told. */
static bool commit_is_overdue(const struct lane_kafka *lane)
{
    return clock_now() >= lane->begun_at + lane->config->transaction_timeout - COMMIT_SLICE / 2;
}

static enum sink_result fail_overdue(outbox_error **reterr)
{
    outbox_error_free(*reterr);
    *reterr = NULL;
    outbox__fail(reterr, OUTBOX_ETIMEOUT, NULL, "Kafka has not confirmed a commit within transaction_timeout: "
                 "what became of it is read from the progress topic");
    return SINK_TIMEOUT;
}

static enum sink_result do_commit(struct lane_kafka *lane, struct lane_event *event, outbox_error **reterr)
{
    enum sink_result result;

    if (lane->committing_at == 0)
        lane->committing_at = clock_now();
    result = producer_commit(lane->producer, clock_now() + COMMIT_SLICE, reterr);
    event->kind = LANE_EVENT_COMMITTED;
    if (result == SINK_AGAIN && commit_is_overdue(lane))
        return fail_overdue(reterr);
    if (result == SINK_AGAIN) {
        event->kind = LANE_EVENT_COMMIT_AGAIN;
        return SINK_OK;
    }
    if (result == SINK_OK) {
        count_transaction(lane);
        event->tainted = producer_tainted(lane->producer);
        if (event->tainted) {
            metric_add(METRIC_RECYCLES, 1);
            log_info("producer_recycled", LOG_NUMBER("lane", lane->lane),
                     LOG_TEXT("reason", "a request of the transaction was retried"));
        }
    }
    return result;
}

static enum sink_result do_close(struct lane_kafka *lane, const struct lane_job *job, struct relay_message *answer)
{
    outbox_error *ignored = NULL; /* it is closed whatever happened */

    answer->event.kind = LANE_EVENT_PRODUCER_CLOSED;
    if (lane->pipeline && job->action.drain)
        pipeline_drain(lane->pipeline, clock_now() + lane_message_timeout(lane->config));
    if (lane->pipeline)
        pipeline_serve(lane->pipeline, &answer->event.page, &ignored);
    outbox_error_free(ignored);
    answer->keep_pages = !close_producers(lane);
    return SINK_OK;
}

/* How long the job may take: as its parts see it below, whichever is the longest. */
static void expect_end(const struct lane_kafka *lane, enum lane_action_kind kind)
{
    mono_us transaction = lane->config->transaction_timeout;
    mono_us now = clock_now();

    switch (kind) {
    case LANE_DO_READ_MARKER:
        watchdog_expect("Kafka, the marker", now + transaction);
        return;
    case LANE_DO_OPEN_PRODUCER:
        watchdog_expect("Kafka, a producer", now + 2 * transaction);
        return;
    case LANE_DO_OPEN_PIPELINE:
        watchdog_expect("Kafka, a producer", now + CLOSE_TIMEOUT + transaction);
        return;
    case LANE_DO_PUBLISH:
        watchdog_expect("Kafka, a page", now + transaction);
        return;
    case LANE_DO_COMMIT:
        watchdog_expect("Kafka, a commit", now + COMMIT_SLICE);
        return;
    default:
        watchdog_expect("Kafka, the end of a producer", now + lane_message_timeout(lane->config) + CLOSE_TIMEOUT);
        return;
    }
}

static enum sink_result dispatch(struct lane_kafka *lane, const struct lane_job *job, struct relay_message *answer,
                                 outbox_error **reterr)
{
    switch (job->action.kind) {
    case LANE_DO_READ_MARKER:
        return do_read_marker(lane, job, &answer->event, reterr);
    case LANE_DO_OPEN_PRODUCER:
        return do_open(lane, job, &answer->event, reterr);
    case LANE_DO_OPEN_PIPELINE:
        return do_open_pipeline(lane, &answer->event, reterr);
    case LANE_DO_PUBLISH:
        if (lane->pipeline)
            return do_pipe(lane, job, &answer->event, reterr);
        return do_publish(lane, job, &answer->event, reterr);
    case LANE_DO_COMMIT:
        return do_commit(lane, &answer->event, reterr);
    default:
        return do_close(lane, job, answer);
    }
}

static bool log_failure(struct lane_kafka *lane, enum sink_result result, const outbox_error *err)
{
    bool refused = result == SINK_TOPIC_MISSING || result == SINK_REFUSED;
    const char *why = err ? outbox_error_message(err) : "unknown";
    bool again = repeat_seen(&lane->repeat, why, clock_now());

    metric_add(METRIC_KAFKA_FAILURES + (int)result, 1);
    log_write(again ? LOG_LEVEL_DEBUG : refused ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "kafka_failed",
              LOG_NUMBER("lane", lane->lane), LOG_TEXT("result", sink_result_name(result)), LOG_TEXT("error", why));
    return refused;
}

/* Who is at fault, if that is known.  False without memory: then it is found again. */
static bool blame(struct lane_kafka *lane, enum sink_result result, char **ret_faults)
{
    const struct record_fault *faults = NULL;
    size_t count = 0;

    *ret_faults = NULL;
    if (result != SINK_REFUSED && result != SINK_TOPIC_MISSING)
        return false;
    if (lane->pipeline)
        faults = pipeline_faults(lane->pipeline, &count);
    else if (lane->producer)
        faults = producer_faults(lane->producer, &count);
    if (count > 0)
        *ret_faults = parking_describe(lane->lane, lane->records, faults, count);
    return *ret_faults != NULL;
}

/* Is everything as before the action? */
static bool is_clean(const struct lane_kafka *lane)
{
    return lane->pipeline ? pipeline_clean(lane->pipeline) : producer_clean(lane->producer);
}

static void answer_failure(struct lane_kafka *lane, const struct lane_job *job, enum sink_result result,
                           const outbox_error *err, struct relay_message *answer)
{
    bool handing_over = job->action.kind == LANE_DO_PUBLISH || job->action.kind == LANE_DO_COMMIT;
    struct lane_event *event = &answer->event;

    *event = (struct lane_event){.kind = LANE_EVENT_KAFKA_FAILED, .refused = log_failure(lane, result, err)};
    if (handing_over)
        event->at_fault = blame(lane, result, &answer->faults);
    if (event->at_fault && job->action.kind == LANE_DO_PUBLISH && is_clean(lane))
        event->kind = LANE_EVENT_REFUSED;
    else
        lane->failure_told = true;
}

void lane_kafka_run(void *context, const struct lane_job *job, struct relay_message *answer)
{
    struct lane_kafka *lane = context;
    outbox_error *err = NULL;
    enum sink_result result;

    lane->config = settings_read(&lane->settings);
    lane->map = job->map;
    expect_end(lane, job->action.kind);
    result = dispatch(lane, job, answer, &err);
    watchdog_met();
    if (result != SINK_OK)
        answer_failure(lane, job, result, err, answer);
    outbox_error_free(err);
}

static void put(const struct lane_kafka *lane, struct mailbox *answers, struct lane_event event, char *faults)
{
    struct relay_message *message = calloc(1, sizeof(*message));

    if (!message)
        runtime_die("out_of_memory", "lane-kafka"); /* what is confirmed and not told would be published again */
    message->kind = RELAY_LANE_EVENT;
    message->lane = lane->lane;
    message->event = event;
    message->event.now = clock_now();
    message->faults = faults;
    mailbox_put(answers, &message->head);
}

void lane_kafka_serve(void *context, struct mailbox *answers)
{
    struct lane_kafka *lane = context;
    outbox_error *err = NULL;
    enum sink_result result;
    uint64_t page = 0;

    if (!lane->pipeline)
        return;
    result = pipeline_serve(lane->pipeline, &page, &err);
    if (page != 0)
        put(lane, answers, (struct lane_event){.kind = LANE_EVENT_CONFIRMED, .page = page}, NULL);
    if (result != SINK_OK && !lane->failure_told) {
        struct lane_event event = {.kind = LANE_EVENT_DELIVERY_FAILED, .refused = log_failure(lane, result, err)};
        char *faults;

        lane->failure_told = true;
        event.at_fault = blame(lane, result, &faults);
        put(lane, answers, event, faults);
    }
    outbox_error_free(err);
}
