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
    RELAY_EXIT_HALTED = 3,  /* a lane halted: an operator must decide; see outboxctl status */
    RELAY_EXIT_DIED = RUNTIME_EXIT_DIED /* out of memory, or a defect of its own; a restart mends it */
};

/* Runs until it is told to stop. */
enum relay_exit relay_run(struct config *config, const struct config_sources *sources);

#endif
