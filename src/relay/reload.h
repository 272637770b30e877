/* SIGHUP: the configuration is read again. */
#ifndef RELAY_RELOAD_H
#define RELAY_RELOAD_H

#include "relay/settings.h"

/* Where the configuration came from, and comes from again. */
struct config_sources {
    int argc;
    char **argv;
    char **environment;
};

/* Reads it again and puts it in force.  False if it was not accepted: the log says why, and
 * everything stays as it was. */
bool reload(struct settings *settings, const struct config *current, const struct config_sources *sources);

#endif
