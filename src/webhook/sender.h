/* The thread that does HTTP.  It never waits for PostgreSQL. */
#ifndef WEBHOOK_SENDER_H
#define WEBHOOK_SENDER_H

#include "base/error.h"
#include "runtime/mailbox.h"
#include "webhook/http.h"

struct sender;

/* done: where finished exchanges go.  NULL on failure. */
struct sender *sender_start(const struct http_settings *settings, struct mailbox *done,
                            outbox_error **reterr);
/* Hands over one exchange; it is looked at after sender_wake().  Any thread. */
void sender_give(struct sender *sender, struct http_exchange *exchange);
void sender_wake(struct sender *sender);
/* Other addresses and timeout for the requests that follow.  Any thread.  Negative: nothing
 * has changed. */
int sender_change(struct sender *sender, const char *allowed_addresses, mono_us connect_timeout,
                  outbox_error **reterr);
/* Breaks off everything: each exchange comes back soon.  Any thread. */
void sender_abandon(struct sender *sender);
/* Everything given must have come back.  False if the thread did not end by the deadline: then
 * nothing that it uses may be freed.  NULL is allowed. */
bool sender_stop(struct sender *sender, mono_us deadline);

#endif
