/* The headers of a webhook. */
#ifndef WEBHOOK_HEADERS_H
#define WEBHOOK_HEADERS_H

#include <stdint.h>

struct claim;
struct curl_slist;
struct endpoint;

/* Signed with every secret of the endpoint at this timestamp (seconds since 1970).
 * For curl_slist_free_all(); NULL without memory. */
struct curl_slist *headers_new(const struct claim *claim, const struct endpoint *endpoint, int64_t timestamp);

#endif
