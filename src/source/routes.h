/* Which topic a type goes to when the event does not say. */
#ifndef SOURCE_ROUTES_H
#define SOURCE_ROUTES_H

#include "pg/conn.h"

/* An immutable list, shared by the pages that were read with it. */
struct routes;

/* Reads outbox.route.  NULL on failure.  One reference. */
struct routes *routes_load(struct pg *pg, mono_us deadline, outbox_error **reterr);
/* NULL, no routes at all, is allowed here and below. */
struct routes *routes_ref(struct routes *routes);
void routes_unref(struct routes *routes);

/* The topic for a type: by the most specific pattern that matches, else the type itself
 * (the pointer that was passed).  NULL: not to Kafka, webhooks only. */
const char *routes_topic(const struct routes *routes, const char *type);

#endif
