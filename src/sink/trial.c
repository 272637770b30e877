#include "sink/trial.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink/client.h"
#include "sink/errors.h"
#include "sink/producer.h"

#define CLOSE_TIMEOUT SECONDS(5)

enum sink_result trial_transactions(const struct kafka *kafka, mono_us deadline, outbox_error **reterr)
{
    const char *progress = kafka_progress_topic(kafka);
    struct producer *producer;
    enum sink_result result;
    char id[256];

    snprintf(id, sizeof(id), "%.*s.check", (int)(strrchr(progress, '.') - progress), progress);
    producer = producer_new(kafka, id, reterr);
    if (!producer)
        return SINK_FAILED;
    result = producer_init(producer, deadline, reterr);
    producer_close(producer, clock_now() + CLOSE_TIMEOUT);
    return result;
}

struct trial {
    struct kafka_client client; /* first: librdkafka's opaque */
    rd_kafka_t *handle;
    bool answered;
    rd_kafka_resp_err_t code;
};

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    struct trial *trial = opaque;

    (void)handle;
    trial->answered = true;
    trial->code = message->err;
}

static void release(void *owner)
{
    struct trial *trial = owner;

    kafka_free((struct kafka *)(uintptr_t)trial->client.kafka);
    free(trial);
}

static int open_handle(struct trial *trial, outbox_error **reterr)
{
    rd_kafka_conf_t *conf = kafka_producer_conf(trial->client.kafka, &trial->client, NULL, reterr);
    char text[256];

    if (!conf)
        return OUTBOX_EINVAL;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    trial->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (trial->handle)
        return OUTBOX_OK;
    rd_kafka_conf_destroy(conf);
    return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "cannot make a Kafka client: %s", text);
}

/* The broker's refusal of the producer itself comes as an error that is fatal to it. */
static rd_kafka_resp_err_t offer(struct trial *trial, const char *topic, mono_us deadline)
{
    rd_kafka_resp_err_t code =
        rd_kafka_producev(trial->handle, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                          RD_KAFKA_V_VALUE((void *)(uintptr_t) "", 0), RD_KAFKA_V_END);

    while (!code && !trial->answered && clock_until_ms(deadline) > 0) {
        rd_kafka_poll(trial->handle, 50);
        code = rd_kafka_fatal_error(trial->handle, NULL, 0);
    }
    if (code)
        return code;
    return trial->answered ? trial->code : RD_KAFKA_RESP_ERR__TIMED_OUT;
}

static enum sink_result judge(struct trial *trial, const char *topic, rd_kafka_resp_err_t code, outbox_error **reterr)
{
    struct sink_failure failure = {.what = "cannot write to the progress topic",
                                   .reason = rd_kafka_err2str(code),
                                   .result = sink_classify(code),
                                   .code = code,
                                   .right = "Write",
                                   .topic = topic};

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
        code == RD_KAFKA_RESP_ERR_INVALID_MSG)
        return SINK_OK;
    /* Who may write nowhere gets no producer id. */
    if (code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
        failure.code = RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    sink_report(reterr, &trial->client, &failure);
    return failure.result;
}

enum sink_result trial_write(const struct kafka *kafka, mono_us deadline, outbox_error **reterr)
{
    struct trial *trial = calloc(1, sizeof(*trial));
    const char *topic = kafka_progress_topic(kafka);
    enum sink_result result;

    if (!trial) {
        outbox__fail_memory(reterr);
        return SINK_FAILED;
    }
    trial->client.kafka = kafka_reference(kafka);
    if (open_handle(trial, reterr) < 0) {
        release(trial);
        return SINK_FAILED;
    }
    result = judge(trial, topic, offer(trial, topic, deadline), reterr);
    rd_kafka_purge(trial->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    client_destroy(trial->handle, release, trial, clock_now() + CLOSE_TIMEOUT);
    return result;
}
