/* The configuration in force, which a reload replaces while threads read it.
 *
 * Each thread has a view: what settings_read() returns does not change and stays valid
 * until the same view reads again.  Reading costs one atomic load unless it is new. */
#ifndef RELAY_SETTINGS_H
#define RELAY_SETTINGS_H

#include "config/config.h"

struct settings;

/* Takes one reference of config.  NULL without memory. */
struct settings *settings_new(struct config *config);
/* After the last view was closed. */
void settings_free(struct settings *settings);
/* One thread.  Takes over the reference. */
void settings_replace(struct settings *settings, struct config *config);

struct settings_view {
    struct settings *settings;
    struct config *held;
    unsigned generation;
};

#define SETTINGS_VIEW_INIT(settings) {(settings), NULL, 0}

const struct relay_config *settings_read(struct settings_view *view);
void settings_close(struct settings_view *view);

#endif
