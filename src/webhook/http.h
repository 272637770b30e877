/* Sends webhooks: many HTTP requests at once on one thread, each with the evidence of
 * how far it came.
 *
 * Never follows redirects, never uses a proxy, cookies or .netrc, dials only addresses
 * that address_judge() permits, and speaks plain http only to those the operator lists. */
#ifndef WEBHOOK_HTTP_H
#define WEBHOOK_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/delivery.h"
#include "runtime/clock.h"
#include "runtime/mailbox.h"
#include "webhook/address.h"

#define HTTP_RESPONSE_KEPT 1024  /* bytes of a response that are kept for people */
#define HTTP_RESPONSE_READ 65536 /* bytes of a response, with its headers, that are read at all */

struct curl_slist;

struct http_settings {
    const char *allowed_addresses; /* see address_rules_new() */
    const char *ca_file;           /* NULL: the system's certificates */
    bool insecure;                 /* plain http to any permitted address, for tests */
    mono_us connect_timeout;
    int max_connections; /* kept open for reuse */
};

/* Microseconds since the start; -1: did not happen. */
struct http_evidence {
    struct delivery_evidence reached;
    bool held_back;     /* by us, before a byte was sent: it was too late, or abandoned */
    int64_t started_at; /* microseconds since 1970 */
    int64_t resolved_us;
    int64_t connected_us;
    int64_t tls_us;
    int64_t first_byte_us;
    int64_t total_us;
    int64_t sent_bytes;     /* at least this many were handed to the socket */
    int64_t retry_after_us; /* what the answer asks for, or we, if held back; -1: nothing */
    char address[ADDRESS_TEXT];
    char error[256]; /* "" if there was an answer */
    char response[HTTP_RESPONSE_KEPT];
    size_t response_size;
};

/* One POST.  What it points to must stay until it comes back. */
struct http_exchange {
    struct message message; /* by which it comes back */
    const char *url;        /* passed url_check() */
    bool tls;
    const struct curl_slist *headers;
    const void *body;
    size_t body_size;
    mono_us timeout;      /* of the whole exchange */
    mono_us begin_before; /* after this moment it is not begun any more */
    bool fresh; /* a connection of its own: libcurl repeats a request by itself when a reused one dies */
    struct http_evidence evidence;
};

/* As if nothing had been tried. */
void http_evidence_clear(struct http_evidence *evidence);

struct http;

/* done: where finished exchanges go.  NULL on failure. */
struct http *http_new(const struct http_settings *settings, struct mailbox *done, outbox_error **reterr);
/* Abandons what is in flight without returning it.  NULL is allowed. */
void http_free(struct http *http);

/* The exchange comes back through the mailbox, in any case. */
void http_begin(struct http *http, struct http_exchange *exchange);
/* From now on; takes over the rules.  Connections that were opened under other rules are not
 * used again.  http_work's thread. */
void http_change(struct http *http, struct address_rules *rules, mono_us connect_timeout);
/* Does what can be done now, then waits until there is more to do, http_wake() is called,
 * or the deadline passes. */
void http_work(struct http *http, mono_us deadline);
/* Ends work early.  Any thread. */
void http_wake(struct http *http);
/* Breaks off everything in flight; it comes back with what is known of it. */
void http_abandon(struct http *http);
int http_in_flight(const struct http *http);

#endif
