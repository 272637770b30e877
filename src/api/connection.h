/* What the library asks of the caller's connection, and what the server answers on it. */
#ifndef API_CONNECTION_H
#define API_CONNECTION_H

#include <libpq-fe.h>
#include <stdbool.h>

#include <outbox/emit.h>

/* How a function uses the connection: it emits and waits for the answer, it only queues, or it
 * claims in the inbox, and waits. */
enum outbox__use { OUTBOX__USE_WAITS, OUTBOX__USE_QUEUES, OUTBOX__USE_CLAIMS };

/* Can an event be emitted here, or a message be claimed?  Sends nothing. */
int outbox__connection_check(const PGconn *conn, enum outbox__use use, outbox_error **reterr);

/* The error of a statement that has no result at all. */
int outbox__connection_fail(const PGconn *conn, outbox_error **reterr);

/* The error that a result with PGRES_FATAL_ERROR stands for. */
int outbox__result_fail(const PGresult *result, enum outbox__use use, outbox_error **reterr);

/* OUTBOX_OK if result holds rows of (id uuid, already_emitted boolean) in binary; else the
 * error that it stands for.  not_ours: the code if it is rows, but other ones. */
int outbox__result_check(const PGresult *result, int not_ours, outbox_error **reterr);

/* Row row of a result that passed the check: OUTBOX_OK or OUTBOX_ALREADY_EMITTED, and the id
 * unless ret_id is NULL. */
int outbox__result_get(const PGresult *result, int row, char ret_id[OUTBOX_ID_SIZE]);

#endif
