/* Connections to PostgreSQL: none without TLS to other machines, and why one failed. */
#ifndef PG_SECURE_H
#define PG_SECURE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "base/error.h"

/* Refuses a connection that is about to be made, before anything is sent, if it may go
 * over TCP to another machine without TLS.  OUTBOX_EINVAL. */
int pg_secure_check(PGconn *raw, outbox_error **reterr);
/* Before each step of connecting: notes OpenSSL's verdict on the server's certificate,
 * which libpq does not tell.  It is not changed. */
void pg_secure_watch(PGconn *raw, int *ret_certificate);

/* Connecting failed by the certificate, and the verdict is not known. */
bool pg_secure_unexplained(const char *message, int certificate);

struct pg_failure {
    char text[600]; /* libpq's, in one line */
    char sqlstate[6];
    const char *advice; /* what an operator can do about it; "": nothing known */
};
/* Why connecting failed, after PQsetErrorVerbosity(PQERRORS_VERBOSE). */
void pg_secure_explain(const char *message, int certificate, struct pg_failure *ret);

#endif
