#include "event/wire.h"

#include <string.h>

#include "base/error.h"

/* PostgreSQL counts time from 2000-01-01. */
#define EPOCH_SHIFT INT64_C(946684800000000)
/* Names of 128 and values of 4 * 4,096 bytes, each of which may need a backslash. */
#define HEADERS_ROOM ((size_t)OUTBOX_HEADER_COUNT_LIMIT * (2 * OUTBOX__TEXT_ROOM + 256))

const struct outbox__column outbox__columns[OUTBOX__FIELD_COUNT] = {
    [OUTBOX__TYPE] = {25, 1009},          /* text */
    [OUTBOX__KEY] = {25, 1009},           /* text */
    [OUTBOX__PAYLOAD] = {17, 1001},       /* bytea */
    [OUTBOX__CONTENT_TYPE] = {25, 1009},  /* text */
    [OUTBOX__TOPIC] = {25, 1009},         /* text */
    [OUTBOX__HEADERS] = {3802, 3807},     /* jsonb */
    [OUTBOX__ID] = {2950, 2951},          /* uuid */
    [OUTBOX__TENANT] = {25, 1009},        /* text */
    [OUTBOX__PARTITION] = {23, 1007},     /* integer */
    [OUTBOX__TRACEPARENT] = {25, 1009},   /* text */
    [OUTBOX__TRACESTATE] = {25, 1009},    /* text */
    [OUTBOX__OCCURRED_AT] = {1184, 1185}, /* timestamptz */
    [OUTBOX__SCHEMA_REF] = {25, 1009},    /* text */
};

static void put(struct outbox__wire *wire, enum outbox__field field, const void *data, size_t size)
{
    wire->values[field] = data;
    wire->sizes[field] = (int)size; /* the largest payload fits: OUTBOX_PAYLOAD_LIMIT_MAX */
}

static void put_big_endian(char *ret, uint64_t value, size_t size)
{
    for (size_t i = size; i > 0; i--) {
        ret[i - 1] = (char)(value & 0xff);
        value >>= 8;
    }
}

/* The check has refused control characters, so that leaves two to escape. */
static void append_quoted(struct outbox__buf *buf, const struct outbox__text *text)
{
    size_t start = 0;

    outbox__buf_append(buf, "\"", 1);
    for (size_t i = 0; i < text->size; i++) {
        if (text->data[i] != '"' && text->data[i] != '\\')
            continue;
        outbox__buf_append(buf, text->data + start, i - start);
        outbox__buf_append(buf, "\\", 1);
        start = i;
    }
    outbox__buf_append(buf, text->data + start, text->size - start);
    outbox__buf_append(buf, "\"", 1);
}

static int encode_headers(struct outbox__wire *wire, const outbox_event *ev, outbox_error **reterr)
{
    struct outbox__buf *buf = &wire->headers;

    /* jsonb's binary form is its version, 1, and the text. */
    outbox__buf_append(buf, "\1{", 2);
    for (size_t i = 0; i < ev->header_count; i++) {
        if (i > 0)
            outbox__buf_append(buf, ",", 1);
        append_quoted(buf, &ev->headers[i].name);
        outbox__buf_append(buf, ":", 1);
        append_quoted(buf, &ev->headers[i].value);
    }
    outbox__buf_append(buf, "}", 1);
    if (buf->failed)
        return outbox__fail(reterr, OUTBOX_ENOMEM, "headers", "headers: out of memory");
    put(wire, OUTBOX__HEADERS, buf->data, buf->size);
    return OUTBOX_OK;
}

int outbox__wire_encode(struct outbox__wire *wire, const outbox_event *ev, outbox_error **reterr)
{
    static const char json[] = "application/json";

    memset(wire, 0, sizeof(*wire));
    wire->headers.limit = HEADERS_ROOM;
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++) {
        if (outbox__is_set(&ev->texts[i]))
            put(wire, (enum outbox__field)i, ev->texts[i].data, ev->texts[i].size);
    }
    if (ev->payload_is_json && !wire->values[OUTBOX__CONTENT_TYPE])
        put(wire, OUTBOX__CONTENT_TYPE, json, sizeof(json) - 1);
    if (wire->values[OUTBOX__ID]) {
        if (!outbox__uuid_parse(ev->texts[OUTBOX__ID].data, &wire->id))
            return outbox__fail(reterr, OUTBOX_EINTERNAL, "id", "id: was not checked");
        put(wire, OUTBOX__ID, wire->id.bytes, sizeof(wire->id.bytes));
    }
    if (ev->has_partition) {
        put_big_endian(wire->partition, (uint64_t)ev->partition, sizeof(wire->partition));
        put(wire, OUTBOX__PARTITION, wire->partition, sizeof(wire->partition));
    }
    if (ev->has_occurred_at) {
        put_big_endian(wire->occurred_at, (uint64_t)(ev->occurred_at - EPOCH_SHIFT),
                       sizeof(wire->occurred_at));
        put(wire, OUTBOX__OCCURRED_AT, wire->occurred_at, sizeof(wire->occurred_at));
    }
    return ev->header_count > 0 ? encode_headers(wire, ev, reterr) : OUTBOX_OK;
}

int outbox__wire_draw_id(struct outbox__wire *wire, outbox_error **reterr)
{
    if (!outbox__uuid_draw(&wire->id))
        return outbox__fail(reterr, OUTBOX_EINTERNAL, "id", "id: the system has no random numbers to give");
    put(wire, OUTBOX__ID, wire->id.bytes, sizeof(wire->id.bytes));
    if (!wire->values[OUTBOX__PAYLOAD])
        wire->values[OUTBOX__CONTENT_TYPE] = NULL;
    return OUTBOX_OK;
}

void outbox__wire_free(struct outbox__wire *wire)
{
    outbox__buf_free(&wire->headers);
}
