/* An event in PostgreSQL's binary format: one value per parameter of outbox.emit_event().
 * Source: https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES and
 * the *_recv functions of the types. */
#ifndef EVENT_WIRE_H
#define EVENT_WIRE_H

#include <stdint.h>

#include "base/uuid.h"
#include "event/event.h"

/* The types' object ids, fixed since they were made: src/include/catalog/pg_type.dat. */
struct outbox__column {
    uint32_t type;
    uint32_t array_type;
};

extern const struct outbox__column outbox__columns[OUTBOX__FIELD_COUNT];

/* Values point into the event, which must outlive them, or into the wire itself. */
struct outbox__wire {
    const char *values[OUTBOX__FIELD_COUNT]; /* NULL: SQL null */
    int sizes[OUTBOX__FIELD_COUNT];
    struct outbox__buf headers;
    char partition[4];
    char occurred_at[8];
    struct outbox__uuid id;
};

/* ev has passed outbox_event_check().  Returns OUTBOX_OK, or OUTBOX_ENOMEM; the wire may be
 * freed after either. */
int outbox__wire_encode(struct outbox__wire *wire, const outbox_event *ev, outbox_error **reterr);
/* Gives an event without an id a random one, and one without a payload no content type: what
 * outbox.emit_event() does for those that pass through it. */
int outbox__wire_draw_id(struct outbox__wire *wire, outbox_error **reterr);
void outbox__wire_free(struct outbox__wire *wire);

#endif
