/* The inbox: an effect of what comes from elsewhere, once, however often it comes.
 *
 * Senders send again when an answer was lost: webhooks, queues, HTTP clients with an
 * Idempotency-Key.  Claim the message's id in the transaction that does the work:
 *
 *     PQexec(conn, "BEGIN");
 *     r = outbox_inbox_claim(conn, "billing", webhook.id, OUTBOX_INBOX_WAIT, &err);
 *     if (r == OUTBOX_OK)
 *         do the work, on conn
 *     PQexec(conn, r < 0 ? "ROLLBACK" : "COMMIT");      then answer 2xx, or 5xx
 *
 * Work and claim commit together or not at all.  If the transaction rolls back, or its connection
 * breaks, the message is as if it had never come, and the next one that brings it is told that it is new.
 * If the connection breaks during COMMIT, nobody knows: the sender sends again, and is told then.
 * What the work does outside of this database may be done again.
 *
 * The window: an id is known for `inbox_retention` of the relay that keeps the schema (7 days unless
 * set; 1 to 13 days, or forever), and up to a day or so longer; without a relay, for ever.  Choose it
 * longer than any sender may send again.  Ids are kept by day (UTC), and looked for in all days: midnight
 * admits no duplicate.
 *
 * A response that must be given again, as HTTP with idempotency keys wants it: keep it in a table of
 * your own, under the same id, and write it in the same transaction.  On OUTBOX_INBOX_SEEN it is there to be read
 * (with READ COMMITTED also when it was committed while this call waited); on OUTBOX_INBOX_IN_PROGRESS
 * answer 409.  Keep there what identifies the request, too, a hash of it, if the same key with
 * another request is to be refused.
 *
 * Isolation: any.  With REPEATABLE READ and SERIALIZABLE, whose snapshot may be older than the commit of
 * another that claimed the same id, the answer may be OUTBOX_ESERVER with SQLSTATE 40001: roll back and try the
 * whole transaction again.  There a claim costs several times as much as with READ COMMITTED.
 *
 * Connections: as in <outbox/emit.h>: any libpq connection that is open, uses client_encoding UTF8, is in an
 * open transaction that has not failed, and not in pipeline mode.  An unnamed statement, one round trip.  The schema is
 * that of `outboxctl migrate`; the role has been granted outbox_consumer, which may emit, too.
 *
 * Errors: start with `outbox_error *err = NULL`; see <outbox/error.h>.
 * Threads: as libpq has it, a connection belongs to one thread at a time.
 */
#ifndef OUTBOX_INBOX_H
#define OUTBOX_INBOX_H

#include <outbox/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* libpq's PGconn: it can be passed as a PGconn * as it is. */
struct pg_conn;

/* The answer of a success that claimed nothing: a transaction that committed, or this one, had
 * claimed the message.  Its work is done. */
#define OUTBOX_INBOX_SEEN 1

/* The answer of a success that claimed nothing: another transaction has claimed the message, and
 * nobody knows yet whether it will commit. */
#define OUTBOX_INBOX_IN_PROGRESS 2

/* What to do while another transaction that has claimed the message is open. */
enum outbox_inbox_wait {
    OUTBOX_INBOX_WAIT,  /* wait for its end: if it commits, OUTBOX_INBOX_SEEN; if it rolls back, the message is new */
    OUTBOX_INBOX_NOWAIT /* answer OUTBOX_INBOX_IN_PROGRESS at once */
};

/* The most bytes of a consumer's name. */
#define OUTBOX_INBOX_CONSUMER_LIMIT 249

/* The most bytes of a message's id.  For what may be longer pass a hash of it (SHA-256). */
#define OUTBOX_INBOX_MESSAGE_ID_LIMIT 255

/* Claims a message, for this transaction.
 *
 * consumer says who does the work: each has ids of its own.  1 to 249 bytes, UTF-8, no control characters.
 *
 * message_id is whatever the sender calls it, compared byte by byte: the header webhook-id, an
 * Idempotency-Key, "topic/partition/offset".  1 to 255 bytes, UTF-8.  If several senders may use the same id for
 * different things, put the sender's name before it, or into consumer; an Idempotency-Key belongs to one account.
 *
 * Waiting is done as by PQexecParams() itself, within the caller's lock_timeout (SQLSTATE 55P03) and statement_timeout
 * (57014).  A transaction that claims several messages should claim them in one order, such as that of their
 * ids: two that wait for each other are a deadlock (40P01), which PostgreSQL ends.
 *
 * Returns OUTBOX_OK if the message is new, and now this transaction's; OUTBOX_INBOX_SEEN; OUTBOX_INBOX_IN_PROGRESS,
 * only with OUTBOX_INBOX_NOWAIT (and, once in 2^64, for another id with the same hash).  Or an error: OUTBOX_EINVAL,
 * OUTBOX_ELIMIT, OUTBOX_ESTATE, OUTBOX_ENOMEM before anything is sent, and the transaction can go on;
 * OUTBOX_ESERVER: it is to be rolled back, to a savepoint if there is one, outbox_error_sqlstate() tells why;
 * OUTBOX_ECONNECTION: the server rolls it back by itself; OUTBOX_EINTERNAL. */
OUTBOX_API int outbox_inbox_claim(struct pg_conn *conn, const char *consumer, const char *message_id,
                                  enum outbox_inbox_wait wait, outbox_error **reterr);

#ifdef __cplusplus
}
#endif

#endif
