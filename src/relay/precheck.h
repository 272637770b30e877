/* outbox-relay --check: can it run with this configuration? */
#ifndef RELAY_PRECHECK_H
#define RELAY_PRECHECK_H

#include <stdbool.h>

#include "config/config.h"

/* Prints one line per finding on standard output.  True if all is well. */
bool precheck(const struct relay_config *config);

#endif
