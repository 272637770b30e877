/* A page of a batch: events in the order in which they are to be published. */
#ifndef SOURCE_PAGE_H
#define SOURCE_PAGE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct routes;

/* Everything points into the page. */
struct page_event {
    int64_t seq;
    const uint8_t *id; /* 16 bytes */
    const char *type;
    const char *topic; /* resolved; NULL: not to Kafka */
    const char *key;   /* NULL: none */
    size_t key_size;
    int partition;     /* -1: by the key */
    const char *tenant;
    const char *headers; /* a JSON object, or NULL */
    const char *content_type;
    const char *payload; /* NULL: a tombstone */
    size_t payload_size;
    const char *traceparent;
    const char *tracestate;
    int64_t occurred_at; /* microseconds since 1970 */
};

struct page;

/* Takes over rows (columns as in reader.c, binary) and a reference of routes (NULL: there are
 * none).  NULL without memory, or if a value has not the size of its type; then both are
 * still the caller's. */
struct page *page_new(PGresult *rows, struct routes *routes, outbox_error **reterr);
/* NULL is allowed. */
void page_free(struct page *page);
int page_count(const struct page *page);
void page_get(const struct page *page, int index, struct page_event *ret);
bool page_has(const struct page *page, int64_t seq);
/* Leaves the event out, if the page has it: it is parked. */
void page_leave_out(struct page *page, int64_t seq);
bool page_is_left_out(const struct page *page, int index);
/* Without those that are left out. */
int page_count_kept(const struct page *page);
/* Bytes of all payloads together. */
size_t page_payload_bytes(const struct page *page);

#endif
