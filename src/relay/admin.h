/* The relay's pages for operators: /metrics, /healthz, /readyz. */
#ifndef RELAY_ADMIN_H
#define RELAY_ADMIN_H

#include "relay/settings.h"
#include "relay/vitals.h"

struct admin;

/* vitals must outlive it.  NULL without memory.  Does not listen yet. */
struct admin *admin_new(struct settings *settings, const struct vitals *vitals);
/* Begins to listen, or tries again: an address that is taken (by another relay, or by the
 * process that this one replaces) is no reason not to publish.  Returns when to call again. */
mono_us admin_tend(struct admin *admin, mono_us now);
/* How many relays are alive, this one included. */
void admin_set_company(struct admin *admin, int relays);
/* False if a thread did not end by the deadline; then the process must exit.  NULL is allowed. */
bool admin_free(struct admin *admin, mono_us deadline);

#endif
