/* outbox-relay: its parts joined by one loop. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "config/config.h"
#include "relay/reload.h"
#include "runtime/die.h"

/* Exit codes, part of the interface; see the manual page. */
enum relay_exit {
    RELAY_EXIT_STOPPED = 0, /* asked to by SIGTERM or SIGINT */
    RELAY_EXIT_FAILED = 1,  /* cannot start or go on; the log says why */
    RELAY_EXIT_USAGE = 2,   /* the configuration is wrong */
    /* A lane halted, an operator must decide; each state of core/lane.h has its own. */
    RELAY_EXIT_MARKER_MISSING = 3,
    RELAY_EXIT_MARKER_FOREIGN = 4,
    RELAY_EXIT_MARKER_BEHIND = 5,
    RELAY_EXIT_MARKER_AHEAD = 6,
    RELAY_EXIT_MARKER_CONFLICT = 7,
    RELAY_EXIT_WRONG_SERVER = 8,
    RELAY_EXIT_NOT_ENABLED = 9,
    RELAY_EXIT_XIDS_AHEAD = 10,
    RELAY_EXIT_DIED = RUNTIME_EXIT_DIED /* out of memory, or a defect of its own; a restart mends it */
};

/* Runs until it is told to stop. */
enum relay_exit relay_run(struct config *config, const struct config_sources *sources);

#endif
