/* The life of an event and its setters.  They store; check.c judges. */
#include "event/event.h"

#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"

const char *const outbox__field_names[OUTBOX__FIELD_COUNT] = {
    [OUTBOX__TYPE] = "type",
    [OUTBOX__KEY] = "key",
    [OUTBOX__PAYLOAD] = "payload",
    [OUTBOX__CONTENT_TYPE] = "content_type",
    [OUTBOX__TOPIC] = "topic",
    [OUTBOX__HEADERS] = "headers",
    [OUTBOX__ID] = "id",
    [OUTBOX__TENANT] = "tenant",
    [OUTBOX__PARTITION] = "partition",
    [OUTBOX__TRACEPARENT] = "traceparent",
    [OUTBOX__TRACESTATE] = "tracestate",
    [OUTBOX__OCCURRED_AT] = "occurred_at",
    [OUTBOX__SCHEMA_REF] = "schema_ref",
};

static void text_init(struct outbox__text *text, size_t room)
{
    memset(text, 0, sizeof(*text));
    text->own.limit = room;
}

static void text_unset(struct outbox__text *text)
{
    text->state = OUTBOX__TEXT_UNSET;
    text->data = NULL;
    text->size = 0;
}

static int text_set(struct outbox__text *text, const char *data, size_t size)
{
    text_unset(text);
    if (!data)
        return OUTBOX_OK;
    text->given = size;
    if (size > text->own.limit) {
        text->state = OUTBOX__TEXT_TOO_LARGE;
        return OUTBOX_ELIMIT;
    }
    outbox__buf_clear(&text->own);
    outbox__buf_append(&text->own, data, size);
    if (text->own.failed) {
        text->state = OUTBOX__TEXT_NO_MEMORY;
        return OUTBOX_ENOMEM;
    }
    text->data = text->own.data;
    text->size = size;
    text->state = OUTBOX__TEXT_SET;
    return OUTBOX_OK;
}

static int text_borrow(struct outbox__text *text, const char *data, size_t size)
{
    text_unset(text);
    if (!data)
        return OUTBOX_OK;
    text->given = size;
    if (size > text->own.limit) {
        text->state = OUTBOX__TEXT_TOO_LARGE;
        return OUTBOX_ELIMIT;
    }
    text->data = data;
    text->size = size;
    text->state = OUTBOX__TEXT_SET;
    return OUTBOX_OK;
}

static int set(outbox_event *ev, enum outbox__field field, const char *text)
{
    if (!ev)
        return OUTBOX_EINVAL;
    return text_set(&ev->texts[field], text, text ? strlen(text) : 0);
}

outbox_event *outbox_event_new(void)
{
    outbox_event *ev = calloc(1, sizeof(*ev));

    if (!ev)
        return NULL;
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++)
        text_init(&ev->texts[i], i == OUTBOX__PAYLOAD ? OUTBOX_PAYLOAD_LIMIT_MAX : OUTBOX__TEXT_ROOM);
    outbox_event_reset(ev);
    return ev;
}

void outbox_event_free(outbox_event *ev)
{
    if (!ev)
        return;
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++)
        outbox__buf_free(&ev->texts[i].own);
    for (size_t i = 0; i < ev->header_room; i++) {
        outbox__buf_free(&ev->headers[i].name.own);
        outbox__buf_free(&ev->headers[i].value.own);
    }
    free(ev->headers);
    free(ev);
}

void outbox_event_reset(outbox_event *ev)
{
    if (!ev)
        return;
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++)
        text_unset(&ev->texts[i]);
    ev->payload_limit = OUTBOX_PAYLOAD_LIMIT_DEFAULT;
    ev->payload_is_json = false;
    ev->header_count = 0;
    ev->header_failure = OUTBOX_OK;
    ev->has_partition = false;
    ev->has_occurred_at = false;
}

int outbox_event_set_type(outbox_event *ev, const char *type)
{
    return set(ev, OUTBOX__TYPE, type);
}

int outbox_event_set_key(outbox_event *ev, const char *key)
{
    return set(ev, OUTBOX__KEY, key);
}

int outbox_event_set_topic(outbox_event *ev, const char *topic)
{
    return set(ev, OUTBOX__TOPIC, topic);
}

int outbox_event_set_tenant(outbox_event *ev, const char *tenant)
{
    return set(ev, OUTBOX__TENANT, tenant);
}

int outbox_event_set_content_type(outbox_event *ev, const char *content_type)
{
    return set(ev, OUTBOX__CONTENT_TYPE, content_type);
}

int outbox_event_set_traceparent(outbox_event *ev, const char *traceparent)
{
    return set(ev, OUTBOX__TRACEPARENT, traceparent);
}

int outbox_event_set_tracestate(outbox_event *ev, const char *tracestate)
{
    return set(ev, OUTBOX__TRACESTATE, tracestate);
}

int outbox_event_set_schema_ref(outbox_event *ev, const char *schema_ref)
{
    return set(ev, OUTBOX__SCHEMA_REF, schema_ref);
}

int outbox_event_set_id(outbox_event *ev, const char *text)
{
    return set(ev, OUTBOX__ID, text);
}

int outbox_event_set_id_bytes(outbox_event *ev, const uint8_t *bytes)
{
    struct outbox__uuid uuid;
    char text[OUTBOX__UUID_TEXT];

    if (!bytes)
        return set(ev, OUTBOX__ID, NULL);
    memcpy(uuid.bytes, bytes, sizeof(uuid.bytes));
    outbox__uuid_format(&uuid, text);
    return set(ev, OUTBOX__ID, text);
}

int outbox_event_set_payload(outbox_event *ev, const void *data, size_t size)
{
    if (!ev || (!data && size > 0))
        return OUTBOX_EINVAL;
    ev->payload_is_json = false;
    return text_set(&ev->texts[OUTBOX__PAYLOAD], data, size);
}

int outbox_event_borrow_payload(outbox_event *ev, const void *data, size_t size)
{
    if (!ev || (!data && size > 0))
        return OUTBOX_EINVAL;
    ev->payload_is_json = false;
    return text_borrow(&ev->texts[OUTBOX__PAYLOAD], data, size);
}

int outbox_event_set_payload_json(outbox_event *ev, const char *text)
{
    if (!ev)
        return OUTBOX_EINVAL;
    ev->payload_is_json = text != NULL;
    return set(ev, OUTBOX__PAYLOAD, text);
}

int outbox_event_set_payload_limit(outbox_event *ev, size_t bytes)
{
    if (!ev || bytes == 0 || bytes > OUTBOX_PAYLOAD_LIMIT_MAX)
        return OUTBOX_EINVAL;
    ev->payload_limit = bytes;
    return OUTBOX_OK;
}

int outbox_event_set_partition(outbox_event *ev, int32_t partition)
{
    if (!ev)
        return OUTBOX_EINVAL;
    ev->partition = partition;
    ev->has_partition = true;
    return OUTBOX_OK;
}

int outbox_event_set_occurred_at(outbox_event *ev, int64_t microseconds)
{
    if (!ev)
        return OUTBOX_EINVAL;
    ev->occurred_at = microseconds;
    ev->has_occurred_at = true;
    return OUTBOX_OK;
}

static struct outbox__header *find_header(outbox_event *ev, const char *name)
{
    size_t size = strlen(name);

    for (size_t i = 0; i < ev->header_count; i++) {
        struct outbox__text *at = &ev->headers[i].name;

        if (at->size == size && memcmp(at->data, name, size) == 0)
            return &ev->headers[i];
    }
    return NULL;
}

static void remove_header(outbox_event *ev, struct outbox__header *header)
{
    struct outbox__header *last = &ev->headers[ev->header_count - 1];
    struct outbox__header removed = *header;

    /* Swapped rather than lost: its buffers serve the next one. */
    *header = *last;
    *last = removed;
    ev->header_count--;
}

/* The place after the last header, its memory made ready.  NULL without memory. */
static struct outbox__header *next_header(outbox_event *ev)
{
    if (ev->header_count == ev->header_room) {
        size_t room = ev->header_room == 0 ? 4 : ev->header_room * 2;
        struct outbox__header *headers = realloc(ev->headers, room * sizeof(*headers));

        if (!headers)
            return NULL;
        for (size_t i = ev->header_room; i < room; i++) {
            text_init(&headers[i].name, OUTBOX__TEXT_ROOM);
            text_init(&headers[i].value, OUTBOX__TEXT_ROOM);
        }
        ev->headers = headers;
        ev->header_room = room;
    }
    return &ev->headers[ev->header_count];
}

static int fail_header(outbox_event *ev, int code, const char *problem)
{
    ev->header_failure = code;
    ev->header_problem = problem;
    return code;
}

static int set_header_text(outbox_event *ev, struct outbox__text *text, const char *data)
{
    int r = text_set(text, data, strlen(data));

    if (r == OUTBOX_ELIMIT)
        fail_header(ev, r, "a name or a value is too large; move it into the payload");
    else if (r != OUTBOX_OK)
        fail_header(ev, r, "out of memory");
    return r;
}

int outbox_event_set_header(outbox_event *ev, const char *name, const char *value)
{
    struct outbox__header *header;
    int r;

    if (!ev || !name)
        return OUTBOX_EINVAL;
    header = find_header(ev, name);
    if (!value) {
        if (header)
            remove_header(ev, header);
        return OUTBOX_OK;
    }
    if (header)
        return set_header_text(ev, &header->value, value);
    if (ev->header_count == OUTBOX_HEADER_COUNT_LIMIT)
        return fail_header(ev, OUTBOX_ELIMIT, "there are more than 100; move some into the payload");
    header = next_header(ev);
    if (!header)
        return fail_header(ev, OUTBOX_ENOMEM, "out of memory");
    r = set_header_text(ev, &header->name, name);
    if (r == OUTBOX_OK)
        r = set_header_text(ev, &header->value, value);
    if (r == OUTBOX_OK)
        ev->header_count++;
    return r;
}
