/* Connections to PostgreSQL: none without TLS to other machines, and why one failed. */
#ifndef PG_SECURE_H
#define PG_SECURE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "base/error.h"

/* Refuses a connection that is about to be made, before anything is sent, if it may go
 * over TCP to another machine without TLS.  consent: what allows that, for the message.
 * OUTBOX_EINVAL. */
int pg_secure_check(PGconn *raw, const char *consent, outbox_error **reterr);
/* PQconnectPoll() that keeps OpenSSL's verdict on a certificate that it refuses (X509_V_ERR_...),
 * which libpq does not tell.  *ret_certificate stays as it is if none is refused. */
PostgresPollingStatusType pg_secure_poll(PGconn *raw, int *ret_certificate);

struct pg_failure {
    char text[600]; /* libpq's, in one line */
    char sqlstate[6];
    const char *advice; /* what an operator can do about it; "": nothing known */
};
/* Why connecting failed, after PQsetErrorVerbosity(PQERRORS_VERBOSE). */
void pg_secure_explain(const char *message, int certificate, struct pg_failure *ret);

#endif
