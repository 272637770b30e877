#include "source/routes.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "core/match.h"

struct routes {
    atomic_int references;
    PGresult *rows; /* pattern, topic; the most specific first */
};

/* Most specific: without wildcard, then by the characters before the first one, then
 * by length; the pattern itself decides between equals. */
static const char sql_routes[] =
    "SELECT pattern, topic FROM outbox.route"
    " ORDER BY pg_catalog.strpos(pattern, '*') > 0,"
    "          CASE WHEN pg_catalog.strpos(pattern, '*') > 0 THEN -pg_catalog.strpos(pattern, '*') END,"
    "          -pg_catalog.length(pattern), pattern COLLATE \"C\"";

struct routes *routes_load(struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    struct routes *routes = calloc(1, sizeof(*routes));

    if (!routes) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    atomic_init(&routes->references, 1);
    if (pg_exec(pg, sql_routes, NULL, 0, deadline, &routes->rows, reterr) < 0) {
        free(routes);
        return NULL;
    }
    return routes;
}

struct routes *routes_ref(struct routes *routes)
{
    if (routes)
        atomic_fetch_add(&routes->references, 1);
    return routes;
}

void routes_unref(struct routes *routes)
{
    if (!routes || atomic_fetch_sub(&routes->references, 1) > 1)
        return;
    PQclear(routes->rows);
    free(routes);
}

const char *routes_topic(const struct routes *routes, const char *type)
{
    for (int row = 0; routes && row < PQntuples(routes->rows); row++) {
        if (match_pattern(PQgetvalue(routes->rows, row, 0), type))
            return pg_get_text(routes->rows, row, 1);
    }
    return type;
}
