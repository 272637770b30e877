/* librdkafka's errors as results of ours. */
#ifndef SINK_ERRORS_H
#define SINK_ERRORS_H

#include <librdkafka/rdkafka.h>

#include "base/error.h"
#include "sink/kafka.h"
#include "sink/result.h"

/* What an error of a single request or record means, if nothing is open because of it:
 * SINK_TIMEOUT for everything that another try may mend. */
enum sink_result sink_classify(rd_kafka_resp_err_t code);

/* What an error of a transactional call means. */
enum sink_result sink_classify_transaction(const rd_kafka_error_t *error);

/* A call that failed. */
struct sink_failure {
    const char *what; /* "cannot look up topic \"orders\"" */
    const char *reason;
    enum sink_result result;
    rd_kafka_resp_err_t code;
    const char *right; /* the operation of Kafka's ACLs that it takes; NULL: those of a transaction */
    const char *topic; /* on which; NULL: not known */
};

/* Makes the error for it: "what: reason (last: ...); remedy". */
void sink_report(outbox_error **reterr, const struct kafka_client *client, const struct sink_failure *failure);

#endif
