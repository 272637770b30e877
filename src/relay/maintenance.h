/* The thread that keeps the outbox bounded, while this relay owns the lane: it adds,
 * enters and drops partitions and removes what has expired. */
#ifndef RELAY_MAINTENANCE_H
#define RELAY_MAINTENANCE_H

#include "relay/settings.h"
#include "relay/vitals.h"

struct maintenance;

struct maintenance_settings {
    struct settings *settings;
    struct vitals *vitals; /* is told of a right that is missing */
    void (*want_tick)(void *context, bool forced);
    void *context;
};

/* Starts idle.  NULL on failure. */
struct maintenance *maintenance_start(const struct maintenance_settings *settings);
/* Any thread.  An owner that runs has proven that this database is the one that publishes:
 * what a restored or cloned one has must not be touched. */
void maintenance_set_active(struct maintenance *maintenance, bool active);
/* False if it did not end by the deadline.  NULL is allowed. */
bool maintenance_stop(struct maintenance *maintenance, mono_us deadline);

#endif
