/* The thread by which a relay shows that it is alive and learns of the others: it checks in
 * when the main loop asks it to, and says when something has changed.  On a connection of its
 * own, so that no long read delays the renewal of a lease. */
#ifndef RELAY_ROSTER_H
#define RELAY_ROSTER_H

#include "relay/settings.h"
#include "runtime/mailbox.h"
#include "source/check_in.h"

struct roster;

/* Answers are messages of the kind RELAY_PICTURE, one for each roster_ask(); in between
 * RELAY_POKE: look again.  NULL on failure. */
struct roster *roster_start(struct settings *settings, struct mailbox *answers);
/* One at a time.  name and ttl are filled in.  False without memory. */
bool roster_ask(struct roster *roster, const struct check_in *what);
/* False if it did not end by the deadline.  NULL is allowed. */
bool roster_stop(struct roster *roster, mono_us deadline);

#endif
