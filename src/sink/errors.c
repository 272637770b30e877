#include "sink/errors.h"

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

static const char *remedy(enum sink_result result)
{
    switch (result) {
    case SINK_TOPIC_MISSING:
        return "; create the topic, or set create_topics=yes";
    case SINK_REFUSED:
        return "; an operator must change this in Kafka or in the configuration";
    default:
        return "";
    }
}

void sink_report(outbox_error **reterr, enum sink_result result, const struct kafka_client *client,
                 const char *what, const char *reason)
{
    char last[300];

    outbox__fail(reterr, status_of(result), NULL, "%s: %s%s%s", what, reason,
                 kafka_last_error(client, last, sizeof(last)), remedy(result));
}
