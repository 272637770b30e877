#include "api/statement.h"

#define NEW_EVENT                                                                                            \
    "INSERT INTO outbox.new_event (type, key, payload, content_type, topic, headers, id, tenant, partition," \
    " traceparent, tracestate, occurred_at, schema_ref)"                                                     \
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, coalesce($12, pg_catalog.clock_timestamp()), $13)"

const char outbox__emit_claimed_sql[] =
    "SELECT id, already_emitted FROM outbox.emit_event($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

const char outbox__emit_new_sql[] = NEW_EVENT;

/* No column of the view is named, since a writer may read none. */
const char outbox__emit_returning_sql[] = NEW_EVENT " RETURNING $7 AS id, false AS already_emitted";
