/* The lanes' positions in the database, beside their markers in Kafka. */
#ifndef CLI_MARKERS_H
#define CLI_MARKERS_H

#include "cli/cli.h"
#include "sink/kafka.h"
#include "sink/marker.h"

/* What a relay would find; the names are those of the states in which it halts. */
enum marker_verdict {
    MARKER_GOOD,     /* the same, or ahead by ticks that the database has */
    MARKER_NONE,     /* the lane has never published */
    MARKER_MISSING,
    MARKER_FOREIGN,
    MARKER_BEHIND,
    MARKER_AHEAD,    /* it names ticks that the database does not have */
    MARKER_CONFLICT,
    MARKER_VERDICTS
};

struct lane_marker {
    struct marker ours; /* as this lane would write it now */
    bool started;
    bool found;
    struct marker theirs; /* only if found */
    enum marker_verdict verdict;
};

struct lane_markers {
    struct lane_marker *list; /* of each lane of the present map */
    size_t count;
    int newest_map; /* of which Kafka has markers of this incarnation */
};

/* Reads both and judges.  Fences nobody.  An exit code; the caller frees *ret. */
int markers_read(struct cli *cli, struct kafka *kafka, mono_us patience, struct lane_markers *ret);
void markers_free(struct lane_markers *markers);
/* Can a relay go on where it was? */
bool markers_good(const struct lane_markers *markers);

const char *marker_verdict_name(enum marker_verdict verdict);
const char *marker_verdict_text(enum marker_verdict verdict);

#endif
