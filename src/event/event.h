/* What an outbox_event holds, for the two files that look inside. */
#ifndef EVENT_EVENT_H
#define EVENT_EVENT_H

#include <outbox/event.h>
#include <stdbool.h>

#include "base/buf.h"

/* The columns of an event, in the order of the parameters of outbox.emit_event(). */
enum outbox__field {
    OUTBOX__TYPE,
    OUTBOX__KEY,
    OUTBOX__PAYLOAD,
    OUTBOX__CONTENT_TYPE,
    OUTBOX__TOPIC,
    OUTBOX__HEADERS,
    OUTBOX__ID,
    OUTBOX__TENANT,
    OUTBOX__PARTITION,
    OUTBOX__TRACEPARENT,
    OUTBOX__TRACESTATE,
    OUTBOX__OCCURRED_AT,
    OUTBOX__SCHEMA_REF,
    OUTBOX__FIELD_COUNT
};

/* The names are those of the SQL function outbox.emit(). */
extern const char *const outbox__field_names[OUTBOX__FIELD_COUNT];

/* No text may be longer than this, whatever its own limit: longer ones are not even copied. */
#define OUTBOX__TEXT_ROOM ((size_t)16 * 1024)

enum outbox__text_state {
    OUTBOX__TEXT_UNSET,
    OUTBOX__TEXT_SET,
    OUTBOX__TEXT_TOO_LARGE, /* not stored; given tells how large */
    OUTBOX__TEXT_NO_MEMORY
};

/* A text or the payload.  data points into own, or to what the caller lent. */
struct outbox__text {
    struct outbox__buf own;
    enum outbox__text_state state;
    const char *data;
    size_t size;
    size_t given;
};

struct outbox__header {
    struct outbox__text name;
    struct outbox__text value;
};

struct outbox_event {
    struct outbox__text texts[OUTBOX__FIELD_COUNT]; /* HEADERS, PARTITION and OCCURRED_AT stay unset */
    size_t payload_limit;
    bool payload_is_json;
    struct outbox__header *headers; /* allocated; the first header_count are in use */
    size_t header_count;
    size_t header_room;
    int header_failure;         /* one could not be stored: OUTBOX_ENOMEM or OUTBOX_ELIMIT; else OUTBOX_OK */
    const char *header_problem; /* then why, static */
    bool has_partition;
    int32_t partition;
    bool has_occurred_at;
    int64_t occurred_at; /* microseconds since 1970 */
};

static inline bool outbox__is_set(const struct outbox__text *text)
{
    return text->state == OUTBOX__TEXT_SET;
}

#endif
