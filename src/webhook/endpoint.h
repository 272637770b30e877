/* An endpoint as it is configured at one moment.  Immutable, and kept by counting, so
 * that a request in flight keeps the endpoint it was made for.  Counted by one thread. */
#ifndef WEBHOOK_ENDPOINT_H
#define WEBHOOK_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/signature.h"
#include "base/uuid.h"
#include "core/delivery.h"
#include "runtime/clock.h"

#define ENDPOINT_SCHEDULE_MAX 64
#define ENDPOINT_SECRETS_MAX 16

/* As the database describes it; texts are borrowed. */
struct endpoint_row {
    const char *id;
    const char *name; /* NULL: none */
    const char *url;
    const char *policy;
    const char *schedule; /* microseconds, separated by commas; NULL: the default one */
    const char *secrets;  /* hexadecimal, separated by commas; NULL: none */
    int64_t max_age_us;
    mono_us timeout;
    int concurrency;
};

struct endpoint {
    int references;
    struct outbox__uuid id;
    char label[80]; /* its name, else its id: for logs */
    char *url;
    bool tls;
    struct delivery_rules rules;
    int64_t schedule[ENDPOINT_SCHEDULE_MAX];
    mono_us timeout;
    int concurrency;
    struct outbox__secret secrets[ENDPOINT_SECRETS_MAX];
    size_t secret_count; /* at least 1 */
};

/* Checks the row.  NULL on failure: nothing can be sent to such an endpoint. */
struct endpoint *endpoint_new(const struct endpoint_row *row, outbox_error **reterr);
struct endpoint *endpoint_ref(struct endpoint *endpoint);
/* NULL is allowed. */
void endpoint_unref(struct endpoint *endpoint);

#endif
