/* Events as a service describes them.  Lines: type, key, topic, id, tenant, content type,
 * traceparent, tracestate, schema, partition, time, name and value of headers until an empty
 * name, "json" or not; the rest is the payload.  "-": not set. */
#include "fuzz.h"

#include <jansson.h>
#include <string.h>

#include <outbox/event.h>

#include "base/utf8.h"
#include "event/wire.h"

static void describe(outbox_event *ev, struct fuzz_input *input)
{
    const char *name;
    const char *bytes;
    size_t size;

    outbox_event_set_type(ev, fuzz_optional(input));
    outbox_event_set_key(ev, fuzz_optional(input));
    outbox_event_set_topic(ev, fuzz_optional(input));
    outbox_event_set_id(ev, fuzz_optional(input));
    outbox_event_set_tenant(ev, fuzz_optional(input));
    outbox_event_set_content_type(ev, fuzz_optional(input));
    outbox_event_set_traceparent(ev, fuzz_optional(input));
    outbox_event_set_tracestate(ev, fuzz_optional(input));
    outbox_event_set_schema_ref(ev, fuzz_optional(input));
    outbox_event_set_partition(ev, (int32_t)fuzz_number(input));
    outbox_event_set_occurred_at(ev, fuzz_number(input));
    while (*(name = fuzz_line(input)))
        outbox_event_set_header(ev, name, fuzz_optional(input));
    if (strcmp(fuzz_line(input), "json") == 0) {
        outbox_event_set_payload_json(ev, fuzz_text(input));
    } else {
        bytes = fuzz_bytes(input, &size);
        outbox_event_borrow_payload(ev, bytes, size);
    }
}

/* jsonb as the server would read it: the headers, and nothing else. */
static void check_headers(const struct outbox__wire *wire, const outbox_event *ev)
{
    json_error_t error;
    json_t *root;

    if (!wire->values[OUTBOX__HEADERS]) {
        FUZZ_CHECK(ev->header_count == 0);
        return;
    }
    FUZZ_CHECK(wire->values[OUTBOX__HEADERS][0] == 1);
    root = json_loadb(wire->values[OUTBOX__HEADERS] + 1, (size_t)wire->sizes[OUTBOX__HEADERS] - 1,
                      JSON_REJECT_DUPLICATES, &error);
    FUZZ_CHECK(json_is_object(root) && json_object_size(root) == ev->header_count);
    for (size_t i = 0; i < ev->header_count; i++) {
        const char *value = json_string_value(json_object_get(root, ev->headers[i].name.data));

        FUZZ_CHECK(value && strcmp(value, ev->headers[i].value.data) == 0);
    }
    json_decref(root);
}

/* What the check lets pass can be sent, and no text of it surprises the server. */
static void check_passed(const outbox_event *ev)
{
    struct outbox__wire wire;

    FUZZ_CHECK(outbox__wire_encode(&wire, ev, NULL) == OUTBOX_OK);
    FUZZ_CHECK(wire.values[OUTBOX__TYPE] && wire.sizes[OUTBOX__TYPE] > 0);
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++) {
        FUZZ_CHECK(wire.sizes[i] >= 0);
        if (outbox__columns[i].type == 25 && wire.values[i])
            FUZZ_CHECK(outbox__utf8_valid(wire.values[i], (size_t)wire.sizes[i]));
    }
    check_headers(&wire, ev);
    FUZZ_CHECK(outbox__wire_draw_id(&wire, NULL) == OUTBOX_OK && wire.sizes[OUTBOX__ID] == 16);
    outbox__wire_free(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    outbox_event *ev = outbox_event_new();
    outbox_error *err = NULL;
    int r;

    FUZZ_CHECK(ev != NULL);
    describe(ev, &input);
    r = outbox_event_check(ev, &err);
    FUZZ_CHECK((r == OUTBOX_OK) == (err == NULL));
    FUZZ_CHECK(r == OUTBOX_OK || ((r == OUTBOX_EINVAL || r == OUTBOX_ELIMIT) && *outbox_error_field(err)));
    if (r == OUTBOX_OK)
        check_passed(ev);
    outbox_error_free(err);
    outbox_event_reset(ev);
    FUZZ_CHECK(outbox_event_check(ev, NULL) == OUTBOX_EINVAL);
    outbox_event_free(ev);
    fuzz_end(&input);
    return 0;
}
