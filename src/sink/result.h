/* How a call to Kafka ended. */
#ifndef SINK_RESULT_H
#define SINK_RESULT_H

enum sink_result {
    SINK_OK,
    SINK_AGAIN,         /* not finished yet: the same call again goes on with it */
    SINK_TIMEOUT,       /* the deadline passed before anything was changed: the call may be repeated */
    SINK_FAILED,        /* the outcome is unknown: close the producer, take over, read the position */
    SINK_FENCED,        /* as failed; another producer has this transactional id, unless the broker ended
                         * a transaction that was open for too long: look at the lease before taking over */
    SINK_TOPIC_MISSING, /* needs an operator: a topic does not exist and may not be created */
    SINK_REFUSED /* needs an operator: rights, sizes, partitions, settings; the error names the remedy */
};

/* "ok", "again", ... for log lines. */
const char *sink_result_name(enum sink_result result);

#endif
