/* Is an event allowed?  The same rules as outbox.check_event() in SQL, which any client may call;
 * here they cost no round trip and leave the transaction as it is. */
#include <outbox/event.h>

#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/utf8.h"
#include "base/uuid.h"
#include "event/event.h"

#define TYPE_REMEDY "name what happened, for example \"order_placed\""
#define KEY_REMEDY "use the identifier of the row that the event is about"
#define TOPIC_REMEDY "use letters, digits, \".\", \"_\" and \"-\""
#define TENANT_REMEDY "leave it out when there are no tenants"
#define CONTENT_TYPE_REMEDY "use a media type such as application/json"
#define TRACEPARENT_REMEDY "pass the value of the traceparent header unchanged"
#define TRACESTATE_REMEDY "pass the value of the tracestate header unchanged"
#define SCHEMA_REF_REMEDY "use the name and version of the schema"

struct rule {
    enum outbox__field field;
    size_t limit;
    bool counts_bytes; /* else characters */
    bool may_be_empty;
    bool may_have_control;
    const char *remedy;
};

static const struct rule rules[] = {
    {OUTBOX__TYPE, OUTBOX_TYPE_LIMIT, false, false, false, TYPE_REMEDY},
    {OUTBOX__KEY, OUTBOX_KEY_LIMIT, true, true, true, KEY_REMEDY},
    {OUTBOX__CONTENT_TYPE, OUTBOX_CONTENT_TYPE_LIMIT, false, false, false, CONTENT_TYPE_REMEDY},
    {OUTBOX__TOPIC, OUTBOX_TOPIC_LIMIT, false, false, false, TOPIC_REMEDY},
    {OUTBOX__TENANT, OUTBOX_TENANT_LIMIT, false, false, false, TENANT_REMEDY},
    {OUTBOX__TRACEPARENT, 55, false, false, false, TRACEPARENT_REMEDY},
    {OUTBOX__TRACESTATE, OUTBOX_TRACESTATE_LIMIT, false, true, false, TRACESTATE_REMEDY},
    {OUTBOX__SCHEMA_REF, OUTBOX_SCHEMA_REF_LIMIT, false, false, false, SCHEMA_REF_REMEDY},
};

static int fail_too_long(const struct rule *rule, outbox_error **reterr)
{
    const char *name = outbox__field_names[rule->field];

    return outbox__fail(reterr, OUTBOX_ELIMIT, name, "%s: is longer than %zu %s; %s", name, rule->limit,
                        rule->counts_bytes ? "bytes" : "characters", rule->remedy);
}

/* What no text field may be, before its own rule: too large to be stored, or not UTF-8. */
static int check_stored(const outbox_event *ev, const struct rule *rule, outbox_error **reterr)
{
    const struct outbox__text *text = &ev->texts[rule->field];
    const char *name = outbox__field_names[rule->field];

    if (text->state == OUTBOX__TEXT_NO_MEMORY)
        return outbox__fail(reterr, OUTBOX_ENOMEM, name, "%s: out of memory", name);
    if (text->state == OUTBOX__TEXT_TOO_LARGE)
        return fail_too_long(rule, reterr);
    if (outbox__is_set(text) && !outbox__utf8_valid(text->data, text->size))
        return outbox__fail(reterr, OUTBOX_EINVAL, name, "%s: is not UTF-8; convert it", name);
    return OUTBOX_OK;
}

static int check_text(const outbox_event *ev, const struct rule *rule, outbox_error **reterr)
{
    const struct outbox__text *text = &ev->texts[rule->field];
    const char *name = outbox__field_names[rule->field];
    size_t length;
    int r = check_stored(ev, rule, reterr);

    if (r != OUTBOX_OK || !outbox__is_set(text))
        return r;
    if (text->size == 0 && !rule->may_be_empty)
        return outbox__fail(reterr, OUTBOX_EINVAL, name, "%s: is empty; %s", name, rule->remedy);
    length = rule->counts_bytes ? text->size : outbox__utf8_length(text->data, text->size);
    if (length > rule->limit)
        return fail_too_long(rule, reterr);
    if (!rule->may_have_control && outbox__has_control(text->data, text->size))
        return outbox__fail(reterr, OUTBOX_EINVAL, name, "%s: has a control character; %s", name,
                            rule->remedy);
    return OUTBOX_OK;
}

static bool is_alphanumeric(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The names of Kafka's topics and of headers. */
static bool is_plain_name(const struct outbox__text *text)
{
    for (size_t i = 0; i < text->size; i++) {
        if (!is_alphanumeric(text->data[i]) && !strchr("._-", text->data[i]))
            return false;
    }
    return text->size > 0;
}

static bool is_traceparent(const struct outbox__text *text)
{
    static const char form[] = "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";

    if (text->size != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < text->size; i++) {
        char c = text->data[i];

        if (form[i] == '-' ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

static bool equals(const struct outbox__text *text, const char *other)
{
    return text->size == strlen(other) && strncasecmp(text->data, other, text->size) == 0;
}

static bool begins_with(const struct outbox__text *text, const char *prefix)
{
    size_t size = strlen(prefix);

    return text->size >= size && strncasecmp(text->data, prefix, size) == 0;
}

/* Fields with a form of their own, beyond what the table tells. */
static int check_forms(const outbox_event *ev, outbox_error **reterr)
{
    const struct outbox__text *topic = &ev->texts[OUTBOX__TOPIC];
    const struct outbox__text *traceparent = &ev->texts[OUTBOX__TRACEPARENT];
    const struct outbox__text *id = &ev->texts[OUTBOX__ID];
    struct outbox__uuid uuid;

    if (outbox__is_set(topic) && (!is_plain_name(topic) || equals(topic, ".") || equals(topic, "..")))
        return outbox__fail(reterr, OUTBOX_EINVAL, "topic",
                            "topic: is not a Kafka topic name; " TOPIC_REMEDY);
    if (outbox__is_set(traceparent) && !is_traceparent(traceparent))
        return outbox__fail(reterr, OUTBOX_EINVAL, "traceparent",
                            "traceparent: is not a W3C trace context; " TRACEPARENT_REMEDY);
    if (id->state == OUTBOX__TEXT_NO_MEMORY)
        return outbox__fail(reterr, OUTBOX_ENOMEM, "id", "id: out of memory");
    if (id->state != OUTBOX__TEXT_UNSET && (!outbox__is_set(id) || !outbox__uuid_parse(id->data, &uuid)))
        return outbox__fail(
            reterr, OUTBOX_EINVAL, "id",
            "id: is not a UUID; use 36 characters such as 123e4567-e89b-12d3-a456-426614174000");
    if (ev->has_partition && ev->partition < 0)
        return outbox__fail(reterr, OUTBOX_EINVAL, "partition",
                            "partition: %d is negative; leave it out to let the key decide",
                            (int)ev->partition);
    if (ev->has_occurred_at &&
        (ev->occurred_at < OUTBOX_OCCURRED_AT_MIN || ev->occurred_at > OUTBOX_OCCURRED_AT_MAX))
        return outbox__fail(reterr, OUTBOX_ELIMIT, "occurred_at",
                            "occurred_at: is not within the years 1 to 9999; pass microseconds since 1970");
    return OUTBOX_OK;
}

static bool is_reserved(const struct outbox__text *name)
{
    static const char *const taken[] = {
        "host",          "content-length", "content-type", "transfer-encoding",
        "authorization", "connection",     "traceparent",  "tracestate"};

    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        if (equals(name, taken[i]))
            return true;
    }
    return begins_with(name, "outbox-") || begins_with(name, "webhook-");
}

static int check_header(const struct outbox__header *header, outbox_error **reterr)
{
    const struct outbox__text *name = &header->name;
    const struct outbox__text *value = &header->value;
    const char *problem = NULL;
    int code = OUTBOX_EINVAL;

    if (!is_plain_name(name) || name->size > OUTBOX_HEADER_NAME_LIMIT)
        /* The name itself is not told: it may be anything. */
        return outbox__fail(
            reterr, OUTBOX_EINVAL, "headers",
            "headers: a name is not allowed; use 1 to %d letters, digits, \"_\", \".\" or \"-\"",
            OUTBOX_HEADER_NAME_LIMIT);
    if (is_reserved(name))
        return outbox__fail(
            reterr, OUTBOX_EINVAL, "headers",
            "headers: the name \"%s\" is reserved; choose another, or use the setter made for it",
            name->data);
    if (!outbox__utf8_valid(value->data, value->size)) {
        problem = "is not UTF-8; convert it";
    } else if (outbox__has_control(value->data, value->size)) {
        problem = "has a control character; remove or encode it";
    } else if (outbox__utf8_length(value->data, value->size) > OUTBOX_HEADER_VALUE_LIMIT) {
        problem = "is longer than 4096 characters; move it into the payload";
        code = OUTBOX_ELIMIT;
    }
    if (!problem)
        return OUTBOX_OK;
    return outbox__fail(reterr, code, "headers", "headers: the value of \"%s\" %s", name->data, problem);
}

static int check_headers(const outbox_event *ev, outbox_error **reterr)
{
    if (ev->header_failure != OUTBOX_OK)
        return outbox__fail(reterr, ev->header_failure, "headers", "headers: %s", ev->header_problem);
    for (size_t i = 0; i < ev->header_count; i++) {
        int r = check_header(&ev->headers[i], reterr);

        if (r != OUTBOX_OK)
            return r;
    }
    return OUTBOX_OK;
}

/* jansson's own text quotes the payload, which may be secret: only the place is told. */
static const char *json_problem(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_numeric_overflow:
        return "has a number beyond the range of a double";
    case json_error_stack_overflow:
        return "is nested too deeply for JSON";
    default:
        return "is not JSON";
    }
}

static int check_json(const struct outbox__text *payload, outbox_error **reterr)
{
    /* The text is kept as it is: integers of any size and \u0000 are JSON, and no business of ours. */
    const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
    json_error_t error = {.line = 0};
    json_t *json = json_loadb(payload->data, payload->size, flags, &error);

    if (json) {
        json_decref(json);
        return OUTBOX_OK;
    }
    /* A parser that fails without a word had no memory. */
    if (error.text[0] == '\0' || json_error_code(&error) == json_error_out_of_memory)
        return outbox__fail(reterr, OUTBOX_ENOMEM, "payload", "payload: out of memory");
    return outbox__fail(
        reterr, OUTBOX_EINVAL, "payload",
        "payload: %s at line %d, column %d; correct it, or pass other content as bytes with a "
        "content type",
        json_problem(&error), error.line, error.column);
}

static int check_payload(const outbox_event *ev, outbox_error **reterr)
{
    const struct outbox__text *payload = &ev->texts[OUTBOX__PAYLOAD];

    if (payload->state == OUTBOX__TEXT_NO_MEMORY)
        return outbox__fail(reterr, OUTBOX_ENOMEM, "payload", "payload: out of memory");
    if (payload->state != OUTBOX__TEXT_UNSET && payload->given > ev->payload_limit)
        return outbox__fail(
            reterr, OUTBOX_ELIMIT, "payload",
            "payload: has %zu bytes, the limit is %zu; emit a reference to the data, or raise the "
            "payload limit here, in outbox.max_payload_bytes and in the broker",
            payload->given, ev->payload_limit);
    if (outbox__is_set(payload) && ev->payload_is_json)
        return check_json(payload, reterr);
    return OUTBOX_OK;
}

int outbox_event_check(const outbox_event *ev, outbox_error **reterr)
{
    int r = OUTBOX_OK;

    if (!ev)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "event: is NULL; make one with outbox_event_new()");
    if (ev->texts[OUTBOX__TYPE].state == OUTBOX__TEXT_UNSET)
        return outbox__fail(reterr, OUTBOX_EINVAL, "type", "type: is not set; " TYPE_REMEDY);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && r == OUTBOX_OK; i++)
        r = check_text(ev, &rules[i], reterr);
    if (r == OUTBOX_OK)
        r = check_forms(ev, reterr);
    if (r == OUTBOX_OK)
        r = check_headers(ev, reterr);
    if (r == OUTBOX_OK)
        r = check_payload(ev, reterr);
    return r;
}
