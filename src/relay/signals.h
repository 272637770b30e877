/* Signals become messages of the main loop. */
#ifndef RELAY_SIGNALS_H
#define RELAY_SIGNALS_H

#include <stdbool.h>

#include "runtime/mailbox.h"

/* Blocks SIGTERM, SIGINT and SIGHUP (call it before any thread is started), ignores
 * SIGPIPE, and starts the thread that waits for them.  It lasts as long as the process. */
bool signals_start(struct mailbox *answers);

#endif
