/* What the receiver does with a webhook: its work and the memory of it, in one transaction. */
#ifndef INBOX_H
#define INBOX_H

#include <libpq-fe.h>

enum inbox_result {
    INBOX_APPLIED,   /* done, and committed */
    INBOX_DUPLICATE, /* it was done before */
    INBOX_FAILED     /* not done, or nobody knows: the sender has to send it again */
};

/* Creates the tables.  Returns the exit status. */
int inbox_setup(PGconn *conn);

/* Works on an event, once and only once for each event_id. */
enum inbox_result inbox_apply(PGconn *conn, const char *event_id, const char *type, const char *payload);

#endif
