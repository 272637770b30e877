/* Ending a client of librdkafka without waiting for ever. */
#ifndef SINK_CLIENT_H
#define SINK_CLIENT_H

#include <stdbool.h>

#include "runtime/clock.h"

struct rd_kafka_s;

/* Destroys the handle, then calls release(owner).  rd_kafka_destroy() joins
 * librdkafka's threads, and one of them may be stuck in a name look-up: so a thread of
 * its own does it.  False: the deadline passed first; it goes on in the background. */
bool client_destroy(struct rd_kafka_s *handle, void (*release)(void *owner), void *owner, mono_us deadline);

#endif
