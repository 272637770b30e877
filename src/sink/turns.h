/* The two transactional producers of a lane, which take turns.
 *
 * A broker answers EndTxn when the end is decided, and the producer whose transaction it was must
 * then wait until it is over in every partition (see settle.h).  The other one need not: it has a
 * transactional id of its own.  Never is more than one transaction undecided, and the next begins
 * only when the last is known to be committed; so what they write lies in each partition in the
 * order of the turns, and a read_committed consumer sees it in that order.
 *
 * Who takes a lane over fences both before it believes the marker.  Used as a producer is
 * (producer.h), by one thread at a time; what is not said here is as there. */
#ifndef SINK_TURNS_H
#define SINK_TURNS_H

#include "sink/producer.h"

struct turns;

/* Of the lane that the marker names.  NULL on failure. */
struct turns *turns_new(const struct kafka *kafka, const char *prefix, const struct marker *lane, outbox_error **reterr);

/* Fences whoever had this lane: only after SINK_OK all of them. */
enum sink_result turns_init(struct turns *turns, mono_us deadline, outbox_error **reterr);

enum sink_result turns_publish(struct turns *turns, const struct sink_record *records, size_t count,
                               const struct marker *marker, mono_us deadline, outbox_error **reterr);
const struct record_fault *turns_faults(const struct turns *turns, size_t *ret_count);
/* No transaction is open, and none was ended by a request that may come again. */
bool turns_clean(const struct turns *turns);

/* *ret_tainted, with SINK_OK: a request of the transaction may still be on its way (see taint.h).
 * Then no other may begin: close, and take over. */
enum sink_result turns_commit(struct turns *turns, mono_us deadline, bool *ret_tainted, outbox_error **reterr);

bool turns_close(struct turns *turns, mono_us deadline);

#endif
