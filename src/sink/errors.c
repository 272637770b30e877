#include "sink/errors.h"

#include <stdio.h>
#include <string.h>

#include "sink/security.h"

const char *sink_result_name(enum sink_result result)
{
    static const char *const names[] = {"ok",     "again",         "timeout", "failed",
                                        "fenced", "topic_missing", "refused"};

    return names[result];
}

enum sink_result sink_classify(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return SINK_OK;
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
        return SINK_FENCED;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return SINK_TOPIC_MISSING;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG: /* such as no key for a compacted topic */
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
        return SINK_REFUSED;
    default:
        return SINK_TIMEOUT;
    }
}

enum sink_result sink_classify_transaction(const rd_kafka_error_t *error)
{
    enum sink_result result;

    if (!error)
        return SINK_OK;
    result = sink_classify(rd_kafka_error_code(error));
    if (result == SINK_FENCED || result == SINK_REFUSED)
        return result;
    /* The broker's "again later" is one only as long as the producer itself is sound. */
    if (rd_kafka_error_is_retriable(error) && !rd_kafka_error_is_fatal(error) &&
        !rd_kafka_error_txn_requires_abort(error))
        return SINK_AGAIN;
    return SINK_FAILED;
}

static int status_of(enum sink_result result)
{
    switch (result) {
    case SINK_AGAIN:
    case SINK_TIMEOUT:
        return OUTBOX_ETIMEOUT;
    case SINK_FAILED:
        return OUTBOX_ECONNECTION;
    case SINK_FENCED:
        return OUTBOX_ESTATE;
    default:
        return OUTBOX_ESERVER;
    }
}

/* The right that the broker says is missing, as an operator has to give it. */
static void advise_right(const struct kafka_client *client, const struct sink_failure *failure, char *room, size_t size)
{
    const char *progress = kafka_progress_topic(client->kafka);
    const char *user = kafka_property_value(client->kafka, "sasl.username");
    const char *principal = user[0] ? user : "the relay's principal";
    int prefix = (int)(strrchr(progress, '.') - progress) + 1;

    switch (failure->code) {
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        snprintf(room, size, "give User:%s the ACL Write on transactional ids with the prefix \"%.*s\"", principal,
                 prefix, progress);
        break;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        if (failure->topic)
            snprintf(room, size, "give User:%s the ACL %s on topic \"%s\"", principal,
                     failure->right ? failure->right : "Write", failure->topic);
        else
            snprintf(room, size, "give User:%s the ACL Write on the topics of its events and on \"%s\"", principal,
                     progress);
        break;
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        snprintf(room, size, "give User:%s the ACL %s on the cluster", principal,
                 failure->right ? failure->right : "IdempotentWrite");
        break;
    default:
        break;
    }
}

static const char *remedy(const struct kafka_client *client, const struct sink_failure *failure, char *room,
                          size_t size)
{
    room[0] = '\0';
    advise_right(client, failure, room, size);
    if (room[0])
        return room;
    if (failure->result == SINK_TOPIC_MISSING)
        return "create the topic, or set create_topics=yes";
    return failure->result == SINK_REFUSED ? "an operator must change this in Kafka or in the configuration" : "";
}

static bool about_connection(enum sink_result result)
{
    return result == SINK_TIMEOUT || result == SINK_AGAIN || result == SINK_FAILED;
}

void sink_report(outbox_error **reterr, const struct kafka_client *client, const struct sink_failure *failure)
{
    char last[300], room[500];
    const char *advice;

    /* The advice first: librdkafka's own guesses at the cause are often wrong. */
    if (client->trouble != KAFKA_TROUBLE_NONE && about_connection(failure->result)) {
        outbox__fail(reterr, status_of(failure->result), NULL, "%s: %s (librdkafka: %s: %s)", failure->what,
                     security_advice(client, room, sizeof(room)), failure->reason, client->last_error);
        return;
    }
    advice = remedy(client, failure, room, sizeof(room));
    outbox__fail(reterr, status_of(failure->result), NULL, "%s: %s%s%s%s", failure->what, failure->reason,
                 kafka_last_error(client, last, sizeof(last)), advice[0] ? "; " : "", advice);
}
