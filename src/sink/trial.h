/* May the relay's principal do what the relay will do?  For outbox-relay --check: nothing
 * is left behind that a consumer or a running relay could notice. */
#ifndef SINK_TRIAL_H
#define SINK_TRIAL_H

#include "sink/kafka.h"
#include "sink/result.h"

/* Initialises transactions by an id of its own with the relay's prefix, so it fences nobody. */
enum sink_result trial_transactions(const struct kafka *kafka, mono_us deadline, outbox_error **reterr);
/* Offers the progress topic a record without a key, which a compacted topic refuses, but
 * only to who may write.  The topic must be one. */
enum sink_result trial_write(const struct kafka *kafka, mono_us deadline, outbox_error **reterr);

#endif
