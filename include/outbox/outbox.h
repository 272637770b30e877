/* liboutbox: everything that a service needs. */
#ifndef OUTBOX_OUTBOX_H
#define OUTBOX_OUTBOX_H

#include <outbox/emit.h>
#include <outbox/error.h>
#include <outbox/event.h>
#include <outbox/inbox.h>
#include <outbox/version.h>
#include <outbox/webhook.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is linked, such as "0.1.0"; that of these headers is
 * OUTBOX_VERSION.  Static storage. */
OUTBOX_API const char *outbox_version(void);

#ifdef __cplusplus
}
#endif

#endif
