/* The inbox: whether a message from elsewhere is new. */
#include <outbox/inbox.h>

#include "api/connection.h"

#include <string.h>

#include "base/error.h"
#include "base/utf8.h"

#define TEXT_OID 25
#define BOOL_OID 16

/* At most limit bytes of UTF-8; both names and ids are text for the server. */
static int check_text(const char *field, const char *text, size_t limit, outbox_error **reterr)
{
    size_t size = text ? strnlen(text, limit + 1) : 0;

    if (size == 0)
        return outbox__fail(reterr, OUTBOX_EINVAL, field, "%s: is %s; pass 1 to %zu bytes", field,
                            text ? "empty" : "NULL", limit);
    if (size > limit)
        return outbox__fail(reterr, OUTBOX_ELIMIT, field, "%s: is longer than %zu bytes; shorten it, or pass a hash",
                            field, limit);
    if (!outbox__utf8_valid(text, size))
        return outbox__fail(reterr, OUTBOX_EINVAL, field, "%s: is not UTF-8; pass it in hexadecimal", field);
    return OUTBOX_OK;
}

static int check(const PGconn *conn, const char *consumer, const char *message_id, enum outbox_inbox_wait wait,
                 outbox_error **reterr)
{
    int r = outbox__connection_check(conn, OUTBOX__USE_CLAIMS, reterr);

    if (r == OUTBOX_OK)
        r = check_text("consumer", consumer, OUTBOX_INBOX_CONSUMER_LIMIT, reterr);
    if (r == OUTBOX_OK && outbox__has_control(consumer, strlen(consumer)))
        r = outbox__fail(reterr, OUTBOX_EINVAL, "consumer", "consumer: has a control character; remove it");
    if (r == OUTBOX_OK)
        r = check_text("message_id", message_id, OUTBOX_INBOX_MESSAGE_ID_LIMIT, reterr);
    if (r == OUTBOX_OK && wait != OUTBOX_INBOX_WAIT && wait != OUTBOX_INBOX_NOWAIT)
        r = outbox__fail(reterr, OUTBOX_EINVAL, "wait",
                         "wait: is %d; pass OUTBOX_INBOX_WAIT or OUTBOX_INBOX_NOWAIT", (int)wait);
    return r;
}

static PGresult *exec(PGconn *conn, const char *consumer, const char *message_id, enum outbox_inbox_wait wait)
{
    static const Oid types[] = {TEXT_OID, TEXT_OID, BOOL_OID};
    static const int formats[] = {1, 1, 1};
    const char waits = wait == OUTBOX_INBOX_WAIT;
    const char *values[] = {consumer, message_id, &waits};
    const int sizes[] = {(int)strlen(consumer), (int)strlen(message_id), 1};

    return PQexecParams(conn, "SELECT outbox.inbox_claim($1, $2, $3)", 3, types, values, sizes, formats, 0);
}

static int get_answer(const PGresult *result, enum outbox_inbox_wait wait, outbox_error **reterr)
{
    const char *answer = "";

    if (PQresultStatus(result) == PGRES_FATAL_ERROR)
        return outbox__result_fail(result, OUTBOX__USE_CLAIMS, reterr);
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 && PQnfields(result) == 1)
        answer = PQgetvalue(result, 0, 0);
    if (strcmp(answer, "new") == 0)
        return OUTBOX_OK;
    if (strcmp(answer, "seen") == 0)
        return OUTBOX_INBOX_SEEN;
    if (strcmp(answer, "in_progress") == 0 && wait == OUTBOX_INBOX_NOWAIT)
        return OUTBOX_INBOX_IN_PROGRESS;
    return outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "the result is not that of a claim");
}

int outbox_inbox_claim(struct pg_conn *conn, const char *consumer, const char *message_id,
                       enum outbox_inbox_wait wait, outbox_error **reterr)
{
    PGresult *result;
    int r = check(conn, consumer, message_id, wait, reterr);

    if (r != OUTBOX_OK)
        return r;
    result = exec(conn, consumer, message_id, wait);
    r = result ? get_answer(result, wait, reterr) : outbox__connection_fail(conn, reterr);
    PQclear(result);
    return r;
}
