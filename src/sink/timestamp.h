/* The timestamp of a record. */
#ifndef SINK_TIMESTAMP_H
#define SINK_TIMESTAMP_H

#include <stdint.h>

/* In milliseconds, of an event that happened then, both in microseconds since 1970: that moment, if Kafka has
 * such a time; else now.  Nothing is lost by that: outbox-time has the event's. */
int64_t timestamp_of_record(int64_t happened, int64_t now);

#endif
