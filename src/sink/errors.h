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

/* Makes the error for a failed call: "what: reason (last: ...); remedy". */
void sink_report(outbox_error **reterr, enum sink_result result, const struct kafka_client *client,
                 const char *what, const char *reason);

#endif
