/* The transactional producer of one lane.
 *
 * One thread at a time.  Life: producer_new, producer_init until it is done, then
 * producer_publish and producer_commit in turn, at last producer_close.  Nothing is ever
 * aborted and carried on with: after a failure the producer is closed, and the init of
 * its successor makes the broker abort what was left open. */
#ifndef SINK_PRODUCER_H
#define SINK_PRODUCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sink/kafka.h"
#include "sink/marker.h"
#include "sink/record.h"
#include "sink/result.h"
#include "sink/topics.h"

struct producer;

/* Does not wait for the cluster.  NULL on failure. */
struct producer *producer_new(const struct kafka *kafka, const char *transactional_id, outbox_error **reterr);

/* Fences every earlier producer of this transactional id and has the broker abort what
 * it left open.  SINK_AGAIN when the deadline passes: call again, it goes on.
 * SINK_OK, SINK_AGAIN, SINK_FAILED, SINK_FENCED, SINK_REFUSED. */
enum sink_result producer_init(struct producer *producer, mono_us deadline, outbox_error **reterr);

/* Begins a transaction and puts these records and the marker, last, into it.  count may be 0.
 * The records and their payloads must stay where they are until producer_commit says SINK_OK or
 * producer_close says true; everything else is copied.
 *
 * SINK_OK; SINK_TIMEOUT, SINK_TOPIC_MISSING, SINK_REFUSED: if producer_clean() nothing
 * was begun and the producer is as before, else as SINK_FAILED; SINK_FAILED, SINK_FENCED. */
enum sink_result producer_publish(struct producer *producer, const struct sink_record *records, size_t count,
                                  const struct marker *marker, mono_us deadline, outbox_error **reterr);
/* The index of the record that producer_publish refused, or -1 if no single one is at fault. */
ptrdiff_t producer_refused(const struct producer *producer);
/* What is known to be at fault in the records of the last transaction, after producer_publish
 * or producer_commit said SINK_REFUSED or SINK_TOPIC_MISSING.  Indices are those of its records. */
const struct record_fault *producer_faults(const struct producer *producer, size_t *ret_count);
/* No transaction is open: it may be used (again). */
bool producer_clean(const struct producer *producer);

/* Commits what producer_publish began.  SINK_AGAIN when the deadline passes: call again.
 * SINK_OK only if the broker has acknowledged every record and the commit.
 * SINK_OK, SINK_AGAIN, SINK_FAILED, SINK_FENCED, SINK_REFUSED (a record; as SINK_FAILED). */
enum sink_result producer_commit(struct producer *producer, mono_us deadline, outbox_error **reterr);

/* After a commit: may a request of the transaction still be on its way?  Then this
 * producer must not begin another one (the late request would end it): close it and
 * take over.  producer_publish refuses to. */
bool producer_tainted(const struct producer *producer);

/* Topics as this producer knows them; to be made sure of before a batch is published. */
struct topics *producer_topics(struct producer *producer);

/* Frees the producer whatever it was doing.  False if the deadline passed while
 * librdkafka still held records: their memory must then not be freed.  NULL: true. */
bool producer_close(struct producer *producer, mono_us deadline);

#endif
