/* The lanes' positions in Kafka: a compacted topic, one partition per lane.
 *
 * A lane is read twice while it is taken over: before the producer's init, to compare
 * without fencing anybody, and after it, when no transaction of the lane can be pending any
 * more.  One of the former map's lane can, which nobody fences: it hides what comes after it. */
#ifndef SINK_PROGRESS_H
#define SINK_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "sink/kafka.h"
#include "sink/marker.h"
#include "sink/result.h"

struct progress;

/* A reader.  Does not wait for the cluster.  NULL on failure. */
struct progress *progress_open(const struct kafka *kafka, outbox_error **reterr);
/* NULL is allowed. */
void progress_close(struct progress *progress);

/* Makes sure that the topic is there, compacted, with a partition for each lane.
 * SINK_OK, SINK_TIMEOUT, SINK_TOPIC_MISSING, SINK_REFUSED. */
enum sink_result progress_ensure(struct progress *progress, int lanes, mono_us deadline,
                                 outbox_error **reterr);

struct progress_answer {
    bool found; /* marker holds the last committed one of the lane */
    struct marker marker;
    bool foreign; /* there is also a record of another incarnation; complete only if !found,
                   * since then everything was read */
    uint8_t foreign_incarnation[16];
    bool hidden; /* an open transaction keeps back what comes after it, which may be committed */
};

/* Reads the last committed marker of this incarnation, map and lane.  What an open
 * transaction holds is not seen, as if it were not there.  "Not found" is answered only
 * if the whole partition was read without an error.
 * SINK_OK, SINK_TIMEOUT, SINK_TOPIC_MISSING, SINK_REFUSED (rights; a record that is ours
 * and cannot be understood). */
enum sink_result progress_read(struct progress *progress, const uint8_t incarnation[16], int map, int lane,
                               mono_us deadline, struct progress_answer *ret, outbox_error **reterr);

/* The newest lane map of which there is a marker of this incarnation, in any partition; 0: of none.
 * Lanes of a map write only when those of the map before have ended, so the last record of each
 * partition tells.  As progress_read(). */
enum sink_result progress_newest_map(struct progress *progress, const uint8_t incarnation[16], mono_us deadline,
                                     int *ret_map, outbox_error **reterr);

/* Fetches from the end of partition 0 and takes nothing: may we read?  For --check. */
enum sink_result progress_try(struct progress *progress, mono_us deadline, outbox_error **reterr);

#endif
