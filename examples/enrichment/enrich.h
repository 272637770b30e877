/* What becomes of each event: orders are joined with the cache, which users' and products' events keep. */
#ifndef ENRICHMENT_ENRICH_H
#define ENRICHMENT_ENRICH_H

#include <libpq-fe.h>
#include <outbox/consumer.h>

#include "catalog.h"

struct enrichment {
    struct catalog *catalog;
    const char *topic; /* of order_enriched */
};

/* Creates the tables.  Returns the exit status. */
int enrich_set_up(PGconn *conn);

/* Prints how many orders there are, and how often the cache knew.  Returns the exit status. */
int enrich_report(PGconn *conn);

/* The handler; context is a struct enrichment. */
int enrich_apply(struct pg_conn *conn, outbox_record *const records[], size_t count, void *context);

#endif
