#include "sink/producer.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/fault.h"
#include "runtime/log.h"
#include "sink/client.h"
#include "sink/errors.h"
#include "sink/record.h"
#include "sink/settle.h"
#include "sink/taint.h"

/* Delivery reports are served after this many records, so that they do not pile up. */
#define SERVE_EVERY 512

enum producer_state {
    PRODUCER_NEW,  /* not initialised */
    PRODUCER_IDLE, /* no transaction */
    PRODUCER_OPEN, /* records are in */
    PRODUCER_COMMITTING,
    PRODUCER_BROKEN /* to be closed */
};

struct producer {
    struct kafka_client client; /* first: librdkafka's opaque */
    rd_kafka_t *handle;
    struct record_checks checks;
    struct taint taint;
    struct settle settle;
    enum producer_state state;
    int64_t commits;

    /* Of this transaction; delivery reports come on the calling thread. */
    const struct sink_record *records;
    size_t record_count;
    size_t produced;
    size_t acknowledged;
    size_t failed;
    rd_kafka_resp_err_t failure; /* of the first record that has a reason of its own */
    char failed_topic[250];      /* ... and that record's topic; "": not known */

    char marker_key[MARKER_KEY_SIZE];
    char marker_text[MARKER_TEXT_SIZE];
};

/* ---- callbacks ---- */

/* What librdkafka says of the other records once the transaction has failed. */
static bool is_purge(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__PURGE_QUEUE || code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
}

/* Within rd_kafka_poll(), rd_kafka_flush() and rd_kafka_commit_transaction(). */
static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    struct producer *producer = opaque;

    (void)handle;
    if (!message->err) {
        producer->acknowledged++;
        return;
    }
    producer->failed++;
    if (!producer->failure || is_purge(producer->failure)) {
        producer->failure = message->err;
        snprintf(producer->failed_topic, sizeof(producer->failed_topic), "%s",
                 is_purge(message->err) ? "" : rd_kafka_topic_name(message->rkt));
    }
}

/* librdkafka's threads; these may do no more than set atomics. */
static rd_kafka_resp_err_t on_request_sent(rd_kafka_t *handle, int socket, const char *broker,
                                           int32_t broker_id, int16_t api_key, int16_t api_version,
                                           int32_t correlation, size_t size, void *opaque)
{
    struct producer *producer = opaque;

    (void)handle, (void)socket, (void)broker, (void)broker_id, (void)api_version, (void)correlation,
        (void)size;
    taint_sent(&producer->taint, api_key);
    settle_sent(&producer->settle, api_key, clock_now());
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_response(rd_kafka_t *handle, int socket, const char *broker, int32_t broker_id,
                                       int16_t api_key, int16_t api_version, int32_t correlation, size_t size,
                                       int64_t rtt, rd_kafka_resp_err_t error, void *opaque)
{
    struct producer *producer = opaque;

    (void)handle, (void)socket, (void)broker, (void)broker_id, (void)api_version, (void)correlation,
        (void)size, (void)rtt;
    taint_answered(&producer->taint, api_key, error);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *handle, const rd_kafka_conf_t *conf, void *opaque, char *text,
                                  size_t size)
{
    rd_kafka_resp_err_t code =
        rd_kafka_interceptor_add_on_request_sent(handle, "taint", on_request_sent, opaque);

    (void)conf, (void)text, (void)size;
    return code ? code : rd_kafka_interceptor_add_on_response_received(handle, "taint", on_response, opaque);
}

/* ---- life ---- */

static int open_handle(struct producer *producer, const char *transactional_id, outbox_error **reterr)
{
    rd_kafka_conf_t *conf =
        kafka_producer_conf(producer->client.kafka, &producer->client, transactional_id, reterr);
    char text[256];

    if (!conf)
        return OUTBOX_EINVAL;
    record_checks_init(&producer->checks, conf);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_interceptor_add_on_new(conf, "taint", on_new, producer);
    producer->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (producer->handle)
        return OUTBOX_OK;
    rd_kafka_conf_destroy(conf);
    return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "cannot make a Kafka producer: %s", text);
}

static void release(void *owner)
{
    struct producer *producer = owner;

    kafka_free((struct kafka *)(uintptr_t)producer->client.kafka);
    free(producer);
}

struct producer *producer_new(const struct kafka *kafka, const char *transactional_id, outbox_error **reterr)
{
    struct producer *producer = calloc(1, sizeof(*producer));

    if (!producer) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    producer->client.kafka = kafka_reference(kafka);
    taint_begin(&producer->taint);
    settle_init(&producer->settle);
    if (open_handle(producer, transactional_id, reterr) < 0) {
        release(producer);
        return NULL;
    }
    producer->checks.topics = topics_attach(&producer->client, producer->handle);
    if (!producer->checks.topics) {
        outbox__fail_memory(reterr);
        producer_close(producer, clock_now() + SECONDS(5));
        return NULL;
    }
    return producer;
}

/* librdkafka (seen in 2.0.2) ends the process by an assertion when it is destroyed at the
 * moment in which it sends AddPartitionsToTxn.  It sends none for a transaction that is
 * being aborted, so that is begun; whether it gets done does not matter, since the successor
 * ends what is open.  A commit that is on its way is not disturbed: librdkafka refuses then,
 * and has no partitions to add any more. */
static void leave_transaction(struct producer *producer, mono_us deadline)
{
    int left = clock_until_ms(deadline);
    rd_kafka_error_t *error = rd_kafka_abort_transaction(producer->handle, left > 0 ? left : 1);

    rd_kafka_error_destroy(error);
}

/* A commit that waits for records which are now purged notices that it has failed, and
 * can be aborted then. */
static void fail_commit(struct producer *producer)
{
    rd_kafka_error_t *error = rd_kafka_commit_transaction(producer->handle, 1);

    rd_kafka_error_destroy(error);
}

/* How long the broker has for ending the transaction: consumers wait for that. */
#define ABORT_TIMEOUT MILLISECONDS(500)

static void abandon_transaction(struct producer *producer, mono_us deadline)
{
    mono_us soon = clock_now() + ABORT_TIMEOUT;

    if (producer->state != PRODUCER_NEW && producer->state != PRODUCER_IDLE)
        leave_transaction(producer, soon < deadline ? soon : deadline);
    /* What is purged gets its delivery report, and then librdkafka holds it no longer. */
    rd_kafka_purge(producer->handle,
                   RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    while (rd_kafka_outq_len(producer->handle) > 0 && clock_until_ms(deadline) > 0)
        rd_kafka_poll(producer->handle, 10);
    if (producer->state == PRODUCER_COMMITTING && producer->failed > 0) {
        fail_commit(producer);
        leave_transaction(producer, 0);
    }
}

bool producer_close(struct producer *producer, mono_us deadline)
{
    bool released;

    if (!producer)
        return true;
    abandon_transaction(producer, deadline);
    released = rd_kafka_outq_len(producer->handle) == 0;
    topics_close(producer->checks.topics);
    if (client_destroy(producer->handle, release, producer, deadline))
        return true;
    log_warning("kafka_close_slow", LOG_TEXT("detail", "goes on in the background"));
    return released;
}

struct topics *producer_topics(struct producer *producer)
{
    return producer->checks.topics;
}

ptrdiff_t producer_refused(const struct producer *producer)
{
    return producer->checks.refused;
}

const struct record_fault *producer_faults(const struct producer *producer, size_t *ret_count)
{
    *ret_count = producer->checks.fault_count;
    return producer->checks.faults;
}

/* Before the first transaction there is none that a late request could end. */
bool producer_tainted(const struct producer *producer)
{
    return producer->commits > 0 && taint_is(&producer->taint) && !PLANTED("no_recycling");
}

bool producer_clean(const struct producer *producer)
{
    return producer->state == PRODUCER_IDLE && !producer_tainted(producer);
}

/* ---- errors ---- */

/* A fenced producer answers later calls with whatever state that left it in. */
static bool is_fenced(const struct producer *producer)
{
    return rd_kafka_fatal_error(producer->handle, NULL, 0) == RD_KAFKA_RESP_ERR__FENCED;
}

static void blame(struct producer *producer, rd_kafka_resp_err_t code, const outbox_error *why)
{
    const char *topic = producer->failed_topic[0] ? producer->failed_topic : kafka_denied_topic(&producer->client);
    const struct sink_verdict verdict = {code, topic};

    record_blame_failure(&producer->checks, producer->records, producer->record_count, &verdict, why);
}

/* Takes over the error. */
static enum sink_result fail_transaction(struct producer *producer, const char *what, rd_kafka_error_t *error,
                                         outbox_error **reterr)
{
    enum sink_result result = sink_classify_transaction(error);
    struct sink_failure failure = {
        .what = what, .reason = rd_kafka_error_string(error), .code = rd_kafka_error_code(error)};

    if (result == SINK_FAILED && is_fenced(producer))
        result = SINK_FENCED;
    if (result != SINK_AGAIN)
        producer->state = PRODUCER_BROKEN;
    rd_kafka_poll(producer->handle, 0); /* for the last error */
    failure.result = result;
    sink_report(reterr, &producer->client, &failure);
    if (result == SINK_REFUSED && reterr)
        blame(producer, failure.code, *reterr);
    rd_kafka_error_destroy(error);
    return result;
}

static enum sink_result fail_state(struct producer *producer, const char *what, outbox_error **reterr)
{
    producer->state = PRODUCER_BROKEN;
    outbox__fail(reterr, OUTBOX_ESTATE, NULL, "%s is not possible in the producer's present state", what);
    return SINK_FAILED;
}

/* Why the open transaction has failed, if it has: a begin is refused with the reason. */
static void note_reason(struct producer *producer)
{
    rd_kafka_error_t *error = rd_kafka_begin_transaction(producer->handle);

    if (error && rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__STATE)
        producer->failure = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
}

/* Some records of the open transaction were not accepted: then it is lost.  Whose fault
 * it was is not said: one bad record takes all of its batch with it. */
static enum sink_result fail_delivery(struct producer *producer, outbox_error **reterr)
{
    struct sink_failure failure = {.topic = producer->failed_topic};
    enum sink_result result;
    char what[400];

    if (!producer->failure || is_purge(producer->failure))
        note_reason(producer);
    result = sink_classify(producer->failure);
    if (is_fenced(producer))
        result = SINK_FENCED;
    else if (result == SINK_TIMEOUT || result == SINK_OK)
        result = SINK_FAILED;
    producer->state = PRODUCER_BROKEN;
    snprintf(what, sizeof(what), "%zu of %zu records were not accepted", producer->failed,
             producer->produced);
    failure.what = what;
    failure.reason = rd_kafka_err2str(producer->failure);
    failure.result = result;
    failure.code = producer->failure;
    if (!producer->failed_topic[0])
        failure.topic = kafka_denied_topic(&producer->client);
    sink_report(reterr, &producer->client, &failure);
    if (result == SINK_REFUSED && reterr)
        blame(producer, failure.code, *reterr);
    return result;
}

/* ---- init ---- */

enum sink_result producer_init(struct producer *producer, mono_us deadline, outbox_error **reterr)
{
    outbox_error *failure = NULL; /* of the last try */
    enum sink_result result;

    if (producer->state != PRODUCER_NEW)
        return fail_state(producer, "init", reterr);
    FAULT("kafka_before_init");
    do {
        int left = clock_until_ms(deadline);
        rd_kafka_error_t *error = rd_kafka_init_transactions(producer->handle, left > 0 ? left : 1);

        rd_kafka_poll(producer->handle, error && left > 0 ? 5 : 0);
        result =
            error ? fail_transaction(producer, "cannot initialise transactions", error, &failure) : SINK_OK;
    } while (result == SINK_AGAIN && clock_until_ms(deadline) > 0);
    if (result != SINK_OK && reterr) {
        outbox_error_free(*reterr);
        *reterr = failure;
        return result;
    }
    outbox_error_free(failure);
    if (result != SINK_OK)
        return result;
    FAULT("kafka_after_init");
    producer->state = PRODUCER_IDLE;
    kafka_forget_errors(&producer->client);
    return SINK_OK;
}

/* ---- checks before anything is begun ---- */

static enum sink_result check_marker(struct producer *producer, const struct marker *marker, mono_us deadline,
                                     outbox_error **reterr)
{
    const char *topic = kafka_progress_topic(producer->client.kafka);
    const struct sink_record record = {.topic = topic, .partition = marker->lane};
    int partitions = topics_partitions(producer->checks.topics, topic);
    enum sink_result result = SINK_OK;

    if (partitions == 0)
        result = topics_query(producer->checks.topics, topic, deadline, &partitions, reterr);
    if (result == SINK_OK && partitions == 0) {
        outbox__fail(reterr, OUTBOX_ESERVER, "topic", "the progress topic \"%s\" does not exist", topic);
        return SINK_TOPIC_MISSING;
    }
    if (result == SINK_OK)
        result = record_check_partition(&producer->checks, &record, 0, deadline, reterr);
    producer->checks.refused = -1; /* none of the records */
    return result;
}

/* ---- producing ---- */

/* Hands a record over, waiting for room in the queue.  The payload stays where it is. */
static rd_kafka_resp_err_t produce(struct producer *producer, rd_kafka_topic_t *topic,
                                   const struct sink_record *record, mono_us deadline)
{
    rd_kafka_resp_err_t code;

    for (;;) {
        int left;

        code = record_produce(producer->handle, topic, record, NULL);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            break;
        left = clock_until_ms(deadline);
        if (left == 0 || producer->failed > 0)
            break;
        rd_kafka_poll(producer->handle, left < 100 ? left : 100);
    }
    if (!code)
        producer->produced++;
    return code;
}

#ifdef OUTBOX_FAULT_POINTS
/* Half of the records are then really on the broker when the process dies. */
static void fault_half(struct producer *producer, size_t index, size_t count)
{
    const char *wanted = getenv("OUTBOX_FAULT");

    if (index != count / 2 || !wanted || strncmp(wanted, "kafka_after_half_produce", 24) != 0)
        return;
    rd_kafka_flush(producer->handle, 10000);
    FAULT("kafka_after_half_produce");
}
#else
#define fault_half(producer, index, count) ((void)0)
#endif

static enum sink_result fail_produce(struct producer *producer, const struct sink_record *record,
                                     size_t index, rd_kafka_resp_err_t code, outbox_error **reterr)
{
    enum sink_result result = sink_classify(code);
    char what[400];
    struct sink_failure failure = {
        .what = what, .reason = rd_kafka_err2str(code), .code = code, .topic = record->topic};

    /* Nothing more is taken once the transaction has failed. */
    if (producer->failed > 0 || code == RD_KAFKA_RESP_ERR__STATE)
        return fail_delivery(producer, reterr);
    producer->state = PRODUCER_BROKEN;
    if (result == SINK_REFUSED || result == SINK_TOPIC_MISSING)
        producer->checks.refused = (ptrdiff_t)index;
    else if (result != SINK_FENCED)
        result = SINK_FAILED;
    if (is_fenced(producer))
        result = SINK_FENCED;
    snprintf(what, sizeof(what), "cannot produce to topic \"%s\"", record->topic);
    failure.result = result;
    sink_report(reterr, &producer->client, &failure);
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && reterr)
        record_blame(&producer->checks, index, RECORD_TOO_LARGE, *reterr);
    return result;
}

static enum sink_result produce_all(struct producer *producer, const struct sink_record *records,
                                    size_t count, mono_us deadline, outbox_error **reterr)
{
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_t *topic = topics_handle(producer->checks.topics, records[i].topic);
        rd_kafka_resp_err_t code = produce(producer, topic, &records[i], deadline);

        if (code)
            return fail_produce(producer, &records[i], i, code, reterr);
        if (i % SERVE_EVERY == SERVE_EVERY - 1)
            rd_kafka_poll(producer->handle, 0);
        fault_half(producer, i, count);
    }
    return SINK_OK;
}

static enum sink_result produce_marker(struct producer *producer, const struct marker *marker,
                                       mono_us deadline, outbox_error **reterr)
{
    const struct sink_record record = {
        .topic = kafka_progress_topic(producer->client.kafka),
        .partition = marker->lane,
        .key = producer->marker_key,
        .key_size = marker_key(marker, producer->marker_key),
        .payload = producer->marker_text,
        .payload_size = marker_encode(marker, producer->marker_text),
    };
    rd_kafka_topic_t *topic = topics_handle(producer->checks.topics, record.topic);
    rd_kafka_resp_err_t code = produce(producer, topic, &record, deadline);
    enum sink_result result;

    if (!code)
        return SINK_OK;
    result = fail_produce(producer, &record, 0, code, reterr);
    producer->checks.refused = -1;
    producer->checks.fault_count = 0;
    return result;
}

static void reset_counts(struct producer *producer)
{
    producer->produced = producer->acknowledged = producer->failed = 0;
    producer->failure = RD_KAFKA_RESP_ERR_NO_ERROR;
    producer->failed_topic[0] = '\0';
}

/* The broker finishes the last transaction meanwhile; see settle.h. */
static void let_settle(struct producer *producer, mono_us deadline)
{
    mono_us until = settle_until(&producer->settle);

    clock_sleep_until(until < deadline ? until : deadline);
    settle_begin(&producer->settle);
}

enum sink_result producer_publish(struct producer *producer, const struct sink_record *records, size_t count,
                                  const struct marker *marker, mono_us deadline, outbox_error **reterr)
{
    rd_kafka_error_t *error;
    enum sink_result result;

    producer->checks.refused = -1;
    producer->checks.fault_count = 0;
    producer->records = records;
    producer->record_count = count;
    if (!producer_clean(producer))
        return fail_state(producer, "a transaction", reterr);
    result = check_marker(producer, marker, deadline, reterr);
    if (result == SINK_OK)
        result = records_check(&producer->checks, records, count, deadline, reterr);
    if (result != SINK_OK)
        return result;

    let_settle(producer, deadline);
    taint_begin(&producer->taint);
    reset_counts(producer);
    error = rd_kafka_begin_transaction(producer->handle);
    if (error)
        return fail_transaction(producer, "cannot begin a transaction", error, reterr);
    producer->state = PRODUCER_OPEN;
    FAULT("kafka_after_begin");
    result = produce_all(producer, records, count, deadline, reterr);
    if (result != SINK_OK)
        return result;
    FAULT("kafka_after_produce");
    result = produce_marker(producer, marker, deadline, reterr);
    if (result != SINK_OK)
        return result;
    FAULT("kafka_after_marker");
    rd_kafka_poll(producer->handle, 0);
    return SINK_OK;
}

/* ---- committing ---- */

/* librdkafka's commit waits for the records too, but then it has sent EndTxn before we
 * have counted.  Only for a moment: it alone notices that the transaction cannot succeed. */
#define FLUSH_FIRST MILLISECONDS(100)

static void flush(struct producer *producer, mono_us deadline)
{
    mono_us soon = clock_now() + FLUSH_FIRST;
    int left = clock_until_ms(deadline < soon ? deadline : soon);

    rd_kafka_flush(producer->handle, left > 0 ? left : 1);
}

/* Larger transactions register their last partition, the marker's, at any time after the first. */
#define SETTLE_JUDGED 200

/* The broker has committed: has it every record? */
static enum sink_result finish_commit(struct producer *producer, outbox_error **reterr)
{
    FAULT("kafka_after_commit");
    if (producer->acknowledged != producer->produced)
        return fail_state(producer, "a commit without all acknowledgements", reterr);
    producer->state = PRODUCER_IDLE;
    settle_ended(&producer->settle, producer->produced > SETTLE_JUDGED, clock_now());
    producer->commits++;
    kafka_forget_errors(&producer->client);
    return SINK_OK;
}

enum sink_result producer_commit(struct producer *producer, mono_us deadline, outbox_error **reterr)
{
    enum sink_result result;
    rd_kafka_error_t *error;
    int left;

    if (producer->state == PRODUCER_OPEN) {
        flush(producer, deadline);
        if (producer->failed > 0)
            return fail_delivery(producer, reterr);
        FAULT("kafka_before_commit");
        producer->state = PRODUCER_COMMITTING;
    }
    if (producer->state != PRODUCER_COMMITTING)
        return fail_state(producer, "a commit", reterr);
    left = clock_until_ms(deadline);
    error = rd_kafka_commit_transaction(producer->handle, left > 0 ? left : 1);
    if (!error)
        return finish_commit(producer, reterr);
    result = fail_transaction(producer, "cannot commit", error, reterr);
    /* The reason that the delivery report gave is the better one. */
    return result == SINK_FAILED && producer->failed > 0 ? fail_delivery(producer, reterr) : result;
}
