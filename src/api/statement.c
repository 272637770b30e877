#include "api/statement.h"

#include <string.h>

static const int all_fields[OUTBOX__FIELD_COUNT] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static const int json_fields[] = {OUTBOX__TYPE, OUTBOX__KEY, OUTBOX__PAYLOAD, OUTBOX__ID};

#define ALL OUTBOX__FIELD_COUNT, all_fields
#define JSON (int)(sizeof(json_fields) / sizeof(json_fields[0])), json_fields

#define NEW_EVENT                                                                                            \
    "INSERT INTO outbox.new_event (type, key, payload, content_type, topic, headers, id, tenant, partition," \
    " traceparent, tracestate, occurred_at, schema_ref)"                                                     \
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, coalesce($12, pg_catalog.clock_timestamp()), $13)"
#define NEW_JSON_EVENT "INSERT INTO outbox.new_json_event (type, key, payload, id) VALUES ($1, $2, $3, $4)"
/* No column of a view is named, since a writer may read none. */
#define ANSWER(id) " RETURNING " id " AS id, false AS already_emitted"

static const struct outbox__statement claimed_statement = {
    "SELECT id, already_emitted FROM outbox.emit_event($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)", NULL,
    true, ALL};

enum { JSON_SILENT, JSON_ANSWERS, ANY_SILENT, ANY_ANSWERS };

static const struct outbox__statement statements[] = {
    [JSON_SILENT] = {NEW_JSON_EVENT, "outbox_emit_json", false, JSON},
    [JSON_ANSWERS] = {NEW_JSON_EVENT ANSWER("$4"), "outbox_emit_json_send", true, JSON},
    [ANY_SILENT] = {NEW_EVENT, "outbox_emit", false, ALL},
    [ANY_ANSWERS] = {NEW_EVENT ANSWER("$7"), "outbox_emit_send", true, ALL},
};

static bool is_json(const struct outbox__wire *wire)
{
    static const char json[] = "application/json";
    const char *type = wire->values[OUTBOX__CONTENT_TYPE];
    int size = sizeof(json) - 1;

    return type && wire->sizes[OUTBOX__CONTENT_TYPE] == size && memcmp(type, json, (size_t)size) == 0;
}

/* Whether outbox.new_json_event shows all that the event has. */
static bool fits_json(const struct outbox__wire *wire)
{
    if (!wire->values[OUTBOX__PAYLOAD] || !is_json(wire))
        return false;
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++) {
        if (wire->values[i] && i != OUTBOX__TYPE && i != OUTBOX__KEY && i != OUTBOX__PAYLOAD && i != OUTBOX__ID &&
            i != OUTBOX__CONTENT_TYPE)
            return false;
    }
    return true;
}

const struct outbox__statement *outbox__statement_for(const struct outbox__wire *wire, bool claimed, bool answers)
{
    if (claimed)
        return &claimed_statement;
    if (fits_json(wire))
        return &statements[answers ? JSON_ANSWERS : JSON_SILENT];
    return &statements[answers ? ANY_ANSWERS : ANY_SILENT];
}

const struct outbox__statement *outbox__statement_named(int number)
{
    return number < (int)(sizeof(statements) / sizeof(statements[0])) ? &statements[number] : NULL;
}
