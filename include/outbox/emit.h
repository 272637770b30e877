/* Emitting events: on the caller's own connection, inside the caller's own open transaction.
 *
 * An event is published if, and only if, that transaction commits.  Change a row and emit its
 * event in one transaction, and neither can be without the other.  The library begins,
 * commits and rolls back nothing.
 *
 *     PQexec(conn, "BEGIN");
 *     PQexecParams(conn, "UPDATE orders SET state = 'paid' WHERE id = $1", ...);
 *     r = outbox_emit(conn, ev, id, &err);         check it: r < 0 -> ROLLBACK
 *     PQexec(conn, "COMMIT");
 *
 * Before anything is sent: the connection is open, uses client_encoding UTF8, is in an open
 * transaction that has not failed, and the event passes outbox_event_check().  If one of these
 * does not hold (OUTBOX_ESTATE, OUTBOX_EINVAL, OUTBOX_ELIMIT) the transaction is as it was and
 * can go on.  After OUTBOX_ESERVER the server has aborted the transaction: roll it back, to a
 * savepoint if there is one.  outbox_error_sqlstate() tells why; with 40001 (serialization
 * failure) and 40P01 (deadlock) the whole transaction is to be tried again.  After
 * OUTBOX_ECONNECTION the server rolls the transaction back by itself.
 *
 * Time: the functions that wait do so like PQexecParams() itself, for as long as the caller's
 * own settings let them: statement_timeout, lock_timeout and idle_in_transaction_session_timeout on
 * the server, tcp_user_timeout and keepalives in the connection string.  They take no lock
 * that another emitting transaction waits for, with one exception: a second transaction that
 * emits the same caller-supplied id waits for the end of the first.
 *
 * Connections: any libpq connection, blocking or not, PostgreSQL 15 or later, with the schema
 * installed by `outboxctl migrate` and a role that has been granted outbox_writer.  Only unnamed
 * statements are used, so a pooler in transaction mode may stand between, unless the caller
 * asks for more speed with outbox_emit_prepare().
 *
 * Order: events of one key are published in the order of their commits if the transactions
 * emit while they hold the lock of the row that the key stands for.
 *
 * Errors: start with `outbox_error *err = NULL`; see <outbox/error.h>.
 * Threads: as libpq has it, a connection belongs to one thread at a time.
 */
#ifndef OUTBOX_EMIT_H
#define OUTBOX_EMIT_H

#include <stddef.h>

#include <outbox/error.h>
#include <outbox/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/* libpq's PGconn and PGresult: a PGconn * and a PGresult * can be passed as they are. */
struct pg_conn;
struct pg_result;

/* The answer of a success that wrote nothing: an earlier transaction, or this one, had already
 * emitted the id that the caller supplied. */
#define OUTBOX_ALREADY_EMITTED 1

/* Bytes of an id as text, with the closing zero: 8-4-4-4-12 hexadecimal digits in lower case. */
#define OUTBOX_ID_SIZE 37

/* Limits of outbox_emit_array(). */
#define OUTBOX_ARRAY_COUNT_LIMIT ((size_t)10000)
#define OUTBOX_ARRAY_SIZE_LIMIT ((size_t)256 * 1024 * 1024) /* bytes, all fields of all events */

/* Emits one event, in one round trip.  What costs the database least is a JSON payload
 * (outbox_event_set_payload_json(), or the content type application/json) with no fields but type and key.
 *
 * ret_id, unless NULL, gets the event's id; untouched on failure.  ev is only read, and may be
 * emitted again: without an id of its own that makes another event.
 *
 * Returns OUTBOX_OK, OUTBOX_ALREADY_EMITTED, or an error as told above: OUTBOX_EINVAL,
 * OUTBOX_ELIMIT, OUTBOX_ESTATE (also in pipeline mode or while another command is in progress),
 * OUTBOX_ENOMEM, OUTBOX_ESERVER, OUTBOX_ECONNECTION, OUTBOX_EINTERNAL. */
OUTBOX_API int outbox_emit(struct pg_conn *conn, const outbox_event *ev, char ret_id[OUTBOX_ID_SIZE],
                           outbox_error **reterr);

/* Prepares emission on this connection: from now on outbox_emit() and outbox_emit_send() spare the
 * server the parsing and planning of their statement, about a third of what an event costs it.
 * Optional; worth it on connections that are kept.  Four round trips, outside a transaction.
 *
 * The statements, whose names begin with "outbox_emit", belong to the session.  After PQreset() emission works as
 * unprepared until this is called again; after DISCARD ALL or DEALLOCATE ALL call it again
 * before the next emission, which would otherwise fail (OUTBOX_ESERVER, SQLSTATE 26000).  Not for
 * connections through a pooler in transaction mode, unless it keeps track of prepared statements
 * (PgBouncer 1.21 or later with max_prepared_statements).  Calling it twice is harmless.
 *
 * Returns OUTBOX_OK, OUTBOX_EINVAL (conn is NULL), OUTBOX_ESTATE (in a transaction or in pipeline
 * mode), OUTBOX_ENOMEM, OUTBOX_ESERVER (with the remedy: the schema is missing or older, or the role
 * may not emit), OUTBOX_ECONNECTION. */
OUTBOX_API int outbox_emit_prepare(struct pg_conn *conn, outbox_error **reterr);

/* Emits count events in one round trip, in the order of the array: all of them or, on
 * failure, none.  count 0 does nothing and returns OUTBOX_OK; its limit is
 * OUTBOX_ARRAY_COUNT_LIMIT.
 *
 * ret_ids, unless NULL, has room for count ids.  ret_answers, unless NULL, has room for count
 * answers, each OUTBOX_OK or OUTBOX_ALREADY_EMITTED.  Both are untouched on failure.
 *
 * Returns as outbox_emit() does; OUTBOX_ALREADY_EMITTED if that is the answer for at least one
 * event.  A message about an event begins with its place: "events[3]: key: ...". */
OUTBOX_API int outbox_emit_array(struct pg_conn *conn, const outbox_event *const events[], size_t count,
                                 char (*ret_ids)[OUTBOX_ID_SIZE], int *ret_answers, outbox_error **reterr);

/* Queues the emission of one event and does not wait for its result, for pipeline mode
 * (PQenterPipelineMode) and for the asynchronous use of libpq in general.  Give the PGresult that
 * PQgetResult() delivers for it to outbox_emit_result().  ev may be changed or freed at once.  On
 * a connection that is not non-blocking (PQsetnonblocking) libpq may wait for the socket to take the data.
 *
 * While commands are still on their way, libpq does not know the state of the transaction, and so
 * that is not checked: queue BEGIN first.  (After a Sync without BEGIN the commands up to the next
 * Sync are a transaction, too.)
 *
 * Returns OUTBOX_OK or an error as outbox_emit() does, but never OUTBOX_ALREADY_EMITTED. */
OUTBOX_API int outbox_emit_send(struct pg_conn *conn, const outbox_event *ev, outbox_error **reterr);

/* Interprets the result of an emission that outbox_emit_send() queued.  result stays the
 * caller's, to be freed with PQclear(); NULL is OUTBOX_EINVAL.
 *
 * Returns OUTBOX_OK or OUTBOX_ALREADY_EMITTED with ret_id as in outbox_emit(), or OUTBOX_ESERVER (in a
 * pipeline also when an earlier command failed and this one was skipped), OUTBOX_ECONNECTION,
 * OUTBOX_EINVAL if it is not the result of an emission. */
OUTBOX_API int outbox_emit_result(const struct pg_result *result, char ret_id[OUTBOX_ID_SIZE],
                                  outbox_error **reterr);

#ifdef __cplusplus
}
#endif

#endif
