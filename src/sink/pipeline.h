/* The idempotent producer of a lane that publishes at least once: pages follow one another
 * without waiting.
 *
 * One thread.  When something fails nothing more is sent, so that no record overtakes one
 * that is lost; then all that remains is to close it. */
#ifndef SINK_PIPELINE_H
#define SINK_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sink/kafka.h"
#include "sink/record.h"
#include "sink/result.h"

/* Pages at once, at most. */
#define PIPELINE_PAGES 16

struct pipeline;

/* Does not wait for the cluster.  wake_fd, an eventfd, is written to when pipeline_serve
 * may have news.  What was handed over longer ago than message_timeout fails.  NULL on failure. */
struct pipeline *pipeline_new(const struct kafka *kafka, mono_us message_timeout, int wake_fd,
                              outbox_error **reterr);

/* Asks the cluster for a topic, so that the first page does not wait for connections.
 * SINK_OK, SINK_TIMEOUT, SINK_REFUSED. */
enum sink_result pipeline_connect(struct pipeline *pipeline, mono_us deadline, outbox_error **reterr);

/* Hands a page over; count may be 0.  The records must stay where they are until the next page
 * is handed over, as pipeline_serve may tell which of them is at fault; the payloads until it has
 * confirmed the page or pipeline_close says true.
 *
 * SINK_OK; SINK_TIMEOUT, SINK_TOPIC_MISSING, SINK_REFUSED, SINK_FAILED: some of it may
 * have been sent. */
enum sink_result pipeline_publish(struct pipeline *pipeline, uint64_t page, const struct sink_record *records,
                                  size_t count, mono_us deadline, outbox_error **reterr);

/* After pipeline_publish failed: was nothing handed over of that page? */
bool pipeline_clean(const struct pipeline *pipeline);
/* What is known to be at fault in the last page, after SINK_REFUSED or SINK_TOPIC_MISSING. */
const struct record_fault *pipeline_faults(const struct pipeline *pipeline, size_t *ret_count);

/* Takes in what librdkafka has to report, without waiting.  *ret_page: all pages up to this
 * one are on the brokers, since the last call; 0: no more than before.
 * SINK_OK, or how records failed: SINK_FAILED, SINK_TOPIC_MISSING, SINK_REFUSED. */
enum sink_result pipeline_serve(struct pipeline *pipeline, uint64_t *ret_page, outbox_error **reterr);

/* Waits until all is on the brokers, something failed, or the deadline passed. */
void pipeline_drain(struct pipeline *pipeline, mono_us deadline);

/* Purges what was not sent and does not wait for what was.  False if the deadline passed
 * while librdkafka still held records: their memory must then not be freed.  NULL: true. */
bool pipeline_close(struct pipeline *pipeline, mono_us deadline);

#endif
