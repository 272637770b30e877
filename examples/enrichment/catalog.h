/* The catalogue of products: another service's table, asked when the cache does not know. */
#ifndef ENRICHMENT_CATALOG_H
#define ENRICHMENT_CATALOG_H

#include <libpq-fe.h>

/* Creates the table, and the trigger that tells of each change by the event product_changed, on this topic.  It
 * is what the service that owns the catalogue has done.  Returns the exit status. */
int catalog_set_up(const char *dsn, const char *topic);

struct catalog;

/* Connects when it is asked first.  NULL without memory. */
struct catalog *catalog_new(const char *dsn);

void catalog_free(struct catalog *catalog);

/* One product: version, name, category, price; no row if there is none.  The caller clears the result.  NULL if
 * the catalogue does not answer within seconds.  Any thread. */
PGresult *catalog_find(struct catalog *catalog, const char *sku);

#endif
