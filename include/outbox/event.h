/* An event, described field by field before it is emitted (see <outbox/emit.h>).
 *
 *     outbox_event *ev = outbox_event_new();
 *     outbox_event_set_type(ev, "order_placed");
 *     outbox_event_set_key(ev, "42");
 *     outbox_event_set_payload_json(ev, "{\"order\": 7, \"user\": 42}");
 *     r = outbox_emit(conn, ev, id, &err);
 *     outbox_event_free(ev);
 *
 * Setters only store: they copy what they are given, unless they say otherwise, and
 * nothing of the caller's is kept.  Whether the values are allowed is checked as a whole
 * by outbox_event_check(), which every emitting function calls before it sends anything.
 * So the answers of setters need not be looked at: a value that could not be stored is
 * remembered, and the check reports it until that field is set again (headers: until the event
 * is reset).
 *
 * All text is UTF-8 and ends with a zero byte.  A NULL text takes the field back to "not
 * set".  A field that is set again keeps the last value.
 *
 * Threads: an event belongs to one thread at a time; different events are independent.
 */
#ifndef OUTBOX_EVENT_H
#define OUTBOX_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include <outbox/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An event being described. */
typedef struct outbox_event outbox_event;

/* Limits.  Those in characters count Unicode code points, not bytes. */
#define OUTBOX_TYPE_LIMIT 255         /* characters */
#define OUTBOX_KEY_LIMIT 4096         /* bytes */
#define OUTBOX_TOPIC_LIMIT 249        /* characters; Kafka's own limit */
#define OUTBOX_TENANT_LIMIT 255       /* characters */
#define OUTBOX_CONTENT_TYPE_LIMIT 255 /* characters */
#define OUTBOX_SCHEMA_REF_LIMIT 255   /* characters */
#define OUTBOX_TRACESTATE_LIMIT 512   /* characters; W3C Trace Context 3.3.1.5 */
#define OUTBOX_HEADER_COUNT_LIMIT 100                        /* headers of one event */
#define OUTBOX_HEADER_NAME_LIMIT 128                         /* characters */
#define OUTBOX_HEADER_VALUE_LIMIT 4096                       /* characters */
#define OUTBOX_PAYLOAD_LIMIT_DEFAULT ((size_t)1024 * 1024)   /* bytes */
#define OUTBOX_PAYLOAD_LIMIT_MAX ((size_t)256 * 1024 * 1024) /* bytes */
#define OUTBOX_OCCURRED_AT_MIN INT64_C(-62135596800000000)   /* 0001-01-01 00:00:00 UTC, as RFC 3339 can write */
#define OUTBOX_OCCURRED_AT_MAX INT64_C(253402300799999999)   /* 9999-12-31 23:59:59.999999 UTC */

/* A new event with no field set.  NULL without memory.  Free it with outbox_event_free(). */
OUTBOX_API outbox_event *outbox_event_new(void);

/* Frees ev.  NULL is allowed. */
OUTBOX_API void outbox_event_free(outbox_event *ev);

/* Takes every field, and the payload limit, back to "not set" and keeps the memory, so
 * that a loop can describe event after event without allocating. */
OUTBOX_API void outbox_event_reset(outbox_event *ev);

/* Each setter returns OUTBOX_OK; OUTBOX_ENOMEM; OUTBOX_ELIMIT if the value is so large that
 * it was not stored at all; OUTBOX_EINVAL if ev is NULL, or as its comment says. */

/* What happened, such as "order_placed".  The only field that must be set.  1 to
 * OUTBOX_TYPE_LIMIT characters without control characters (below U+0020, and U+007F).
 * Unless the event or a route names a topic, it is the topic, too. */
OUTBOX_API int outbox_event_set_type(outbox_event *ev, const char *type);

/* What it happened to, such as the primary key of the row.  At most OUTBOX_KEY_LIMIT
 * bytes.  Events of one key are published in order; without a key no order is promised. */
OUTBOX_API int outbox_event_set_key(outbox_event *ev, const char *key);

/* The content, any bytes.  Copied.  data NULL: no payload, which Kafka calls a tombstone
 * (size must then be 0, else OUTBOX_EINVAL).  An empty payload is not a tombstone: any
 * data that is not NULL, with size 0.  At most the payload limit. */
OUTBOX_API int outbox_event_set_payload(outbox_event *ev, const void *data, size_t size);

/* The same without a copy, for large payloads: data must stay as it is until the event is
 * given another payload, is reset or freed, or is no longer emitted. */
OUTBOX_API int outbox_event_borrow_payload(outbox_event *ev, const void *data, size_t size);

/* The content as JSON text (RFC 8259), any value.  Copied, and emitted byte for byte as
 * given.  The check refuses malformed JSON, nesting deeper than 2,048, and numbers beyond the
 * range of a double; it needs memory for the parsed text, and without it may take the text for
 * malformed.  The content type is "application/json" unless one is set.  NULL: no payload. */
OUTBOX_API int outbox_event_set_payload_json(outbox_event *ev, const char *text);

/* The largest payload that the check lets pass, in bytes; OUTBOX_PAYLOAD_LIMIT_DEFAULT unless
 * set.  1 to OUTBOX_PAYLOAD_LIMIT_MAX, else OUTBOX_EINVAL and the limit stays.  The server has
 * a limit of its own (the setting outbox.max_payload_bytes), and so has the Kafka broker
 * (message.max.bytes). */
OUTBOX_API int outbox_event_set_payload_limit(outbox_event *ev, size_t bytes);

/* The media type of the payload; an event without payload is stored without.  1 to
 * OUTBOX_CONTENT_TYPE_LIMIT characters, no control characters. */
OUTBOX_API int outbox_event_set_content_type(outbox_event *ev, const char *content_type);

/* An id chosen by the caller: an idempotency key.  Emitting an id that an earlier
 * transaction committed is answered with OUTBOX_ALREADY_EMITTED and writes nothing.  Without
 * it the server makes a random UUID, which costs less.  text: 36 characters with four
 * hyphens, in either case (RFC 9562). */
OUTBOX_API int outbox_event_set_id(outbox_event *ev, const char *text);

/* The same id as its 16 bytes; NULL takes it back. */
OUTBOX_API int outbox_event_set_id_bytes(outbox_event *ev, const uint8_t *bytes);

/* The Kafka topic: 1 to OUTBOX_TOPIC_LIMIT of A-Z a-z 0-9 "." "_" "-", neither "." nor "..".
 * Not set: by the route of the type, else the type itself. */
OUTBOX_API int outbox_event_set_topic(outbox_event *ev, const char *topic);

/* The Kafka partition, 0 or more.  Not set: the key decides, which is nearly always right. */
OUTBOX_API int outbox_event_set_partition(outbox_event *ev, int32_t partition);

/* The tenant: an endpoint with a tenant gets that tenant's events only.  1 to
 * OUTBOX_TENANT_LIMIT characters, no control characters. */
OUTBOX_API int outbox_event_set_tenant(outbox_event *ev, const char *tenant);

/* A header, which becomes a Kafka header and an HTTP header.  name: 1 to
 * OUTBOX_HEADER_NAME_LIMIT of A-Z a-z 0-9 "_" "." "-"; not beginning with "outbox-" or
 * "webhook-", and none of host, content-length, content-type, transfer-encoding,
 * authorization, connection, traceparent, tracestate, in any case.  value: at most
 * OUTBOX_HEADER_VALUE_LIMIT characters, no control characters.  The value of a name (compared
 * exactly) that was set before is replaced; value NULL removes it.  An event has at most
 * OUTBOX_HEADER_COUNT_LIMIT headers.  name NULL: OUTBOX_EINVAL. */
OUTBOX_API int outbox_event_set_header(outbox_event *ev, const char *name, const char *value);

/* The W3C trace context in which the event is emitted: the value of the header traceparent,
 * unchanged, 55 characters in lower case.  Source: https://www.w3.org/TR/trace-context/ */
OUTBOX_API int outbox_event_set_traceparent(outbox_event *ev, const char *traceparent);

/* The value of the header tracestate, unchanged.  At most OUTBOX_TRACESTATE_LIMIT characters, no
 * control characters. */
OUTBOX_API int outbox_event_set_tracestate(outbox_event *ev, const char *tracestate);

/* When it happened, in microseconds since 1970-01-01 00:00:00 UTC, from OUTBOX_OCCURRED_AT_MIN
 * to OUTBOX_OCCURRED_AT_MAX.  Not set: the server's clock when the event is emitted. */
OUTBOX_API int outbox_event_set_occurred_at(outbox_event *ev, int64_t microseconds);

/* Names the schema of the payload.  1 to OUTBOX_SCHEMA_REF_LIMIT characters, no control
 * characters. */
OUTBOX_API int outbox_event_set_schema_ref(outbox_event *ev, const char *schema_ref);

/* Are all fields allowed?  Needs no server.  Returns OUTBOX_OK; OUTBOX_EINVAL or OUTBOX_ELIMIT
 * with a message that names field, limit and remedy, and outbox_error_field() naming the field as
 * the SQL function outbox.emit() does ("content_type"); OUTBOX_ENOMEM. */
OUTBOX_API int outbox_event_check(const outbox_event *ev, outbox_error **reterr);

#ifdef __cplusplus
}
#endif

#endif
