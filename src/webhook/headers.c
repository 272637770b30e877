#include "webhook/headers.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/signature.h"
#include "base/utf8.h"
#include "webhook/endpoint.h"
#include "webhook/task.h"

#define LINE_LIMIT 20000 /* an event's header has at most 128 + 4096 characters of up to 4 bytes */

struct list {
    struct curl_slist *first;
    struct outbox__buf line;
    bool failed;
};

static void append_line(struct list *list)
{
    struct curl_slist *longer = NULL;

    if (!list->line.failed)
        longer = curl_slist_append(list->first, outbox__buf_text(&list->line));
    if (longer)
        list->first = longer;
    else
        list->failed = true;
}

/* Values that could end the line, or are beyond all limits, do not get in, whatever let
 * them into the database. */
static void add(struct list *list, const char *name, size_t name_size, const char *value, size_t size)
{
    if (outbox__has_control(value, size) || size > LINE_LIMIT - 256)
        return;
    outbox__buf_clear(&list->line);
    outbox__buf_append(&list->line, name, name_size);
    /* libcurl takes "name:" for "leave this header out", and "name;" for an empty one. */
    outbox__buf_puts(&list->line, size > 0 ? ": " : ";");
    outbox__buf_append(&list->line, value, size);
    append_line(list);
}

static void add_text(struct list *list, const char *name, const char *value)
{
    if (value)
        add(list, name, strlen(name), value, strlen(value));
}

/* May the author of an event set this header?  The name must be a token (RFC 9110), and
 * not one by which we or HTTP itself speak. */
static bool may_set(const char *name, size_t size)
{
    static const char *const reserved[] = {"host",
                                           "content-length",
                                           "content-type",
                                           "transfer-encoding",
                                           "connection",
                                           "authorization",
                                           "expect",
                                           "te",
                                           "trailer",
                                           "upgrade",
                                           "keep-alive",
                                           "proxy-authorization",
                                           "proxy-connection",
                                           "cookie",
                                           "user-agent",
                                           "traceparent",
                                           "tracestate"};

    if (size == 0 || size > 128 ||
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") < size)
        return false;
    if ((size >= 7 && strncasecmp(name, "outbox-", 7) == 0) ||
        (size >= 8 && strncasecmp(name, "webhook-", 8) == 0))
        return false;
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (strlen(reserved[i]) == size && strncasecmp(name, reserved[i], size) == 0)
            return false;
    }
    return true;
}

static void add_events_own(struct list *list, const char *lines)
{
    while (lines && *lines) {
        size_t size = strcspn(lines, "\n");
        const char *colon = memchr(lines, ':', size);

        if (colon && colon + 1 < lines + size && may_set(lines, (size_t)(colon - lines)))
            add(list, lines, (size_t)(colon - lines), colon + 2, size - (size_t)(colon - lines) - 2);
        lines += size + (lines[size] == '\n');
    }
}

static void add_signature(struct list *list, const struct claim *claim, const struct endpoint *endpoint,
                          const char *id, const char *timestamp)
{
    const struct outbox__signed message = {id, timestamp, claim->payload, claim->payload_size};
    char signature[OUTBOX__SIGNATURE_TEXT];

    outbox__buf_clear(&list->line);
    outbox__buf_puts(&list->line, "webhook-signature:");
    for (size_t i = 0; i < endpoint->secret_count; i++) {
        if (!outbox__sign(&message, &endpoint->secrets[i], signature)) {
            list->failed = true;
            return;
        }
        outbox__buf_puts(&list->line, " ");
        outbox__buf_puts(&list->line, signature);
    }
    append_line(list);
}

struct curl_slist *headers_new(const struct claim *claim, const struct endpoint *endpoint, int64_t timestamp)
{
    struct list list = {NULL, OUTBOX__BUF_INIT(LINE_LIMIT), false};
    char id[OUTBOX__UUID_TEXT];
    char number[32];

    outbox__uuid_format(&claim->event_id, id);
    add_text(&list, "webhook-id", id);
    snprintf(number, sizeof(number), "%" PRId64, timestamp);
    add_text(&list, "webhook-timestamp", number);
    add_signature(&list, claim, endpoint, id, number);
    add_text(&list, "content-type", claim->content_type ? claim->content_type : "application/octet-stream");
    add_text(&list, "outbox-type", claim->event_type);
    if (claim->replay > 0) {
        snprintf(number, sizeof(number), "%d", claim->replay);
        add_text(&list, "outbox-replay", number);
    }
    add_text(&list, "traceparent", claim->traceparent);
    add_text(&list, "tracestate", claim->tracestate);
    add_events_own(&list, claim->headers);
    /* libcurl would wait for "100 Continue" before it sends a large body. */
    outbox__buf_clear(&list.line);
    outbox__buf_puts(&list.line, "Expect:");
    append_line(&list);
    outbox__buf_free(&list.line);
    if (list.failed) {
        curl_slist_free_all(list.first);
        return NULL;
    }
    return list.first;
}
