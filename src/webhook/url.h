/* Is this a URL that webhooks may be sent to?  Addresses are not looked at here: they
 * are judged when they are dialled (webhook/address.h). */
#ifndef WEBHOOK_URL_H
#define WEBHOOK_URL_H

#include <stdbool.h>

#include "base/error.h"

/* http or https, a host, no user or password, no fragment, no control characters or
 * spaces.  *ret_tls tells which.  OUTBOX_EINVAL (field "url"), OUTBOX_ENOMEM.  No
 * message repeats the URL: it may hold a secret. */
int url_check(const char *url, bool *ret_tls, outbox_error **reterr);

#endif
