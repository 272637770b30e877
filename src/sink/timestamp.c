#include "sink/timestamp.h"

#include "runtime/clock.h"

#define AHEAD_MAX SECONDS(50 * 60) /* and some minutes for the difference of two clocks */

/* A broker refuses what is an hour ahead of its clock (message.timestamp.after.max.ms), and would keep
 * it beyond its retention.  Below 0 it has no times: it takes such a record, and then its own log cleaner
 * and Java's clients stumble over it.  0 is librdkafka's word for now. */
int64_t timestamp_of_record(int64_t happened, int64_t now)
{
    return (happened < MILLISECONDS(1) || happened > now + AHEAD_MAX ? now : happened) / MILLISECONDS(1);
}
