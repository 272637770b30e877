#include "inbox.h"

#include <stdbool.h>
#include <stdio.h>

/* The memory of what was done must live as long as a sender may send again: outbox-relay gives a
 * delivery up after four days, and an operator may replay later than that.
 *
 * Nothing in webhook_effect forbids a second row for an event.  Whether there is one tells whether the
 * inbox works. */
static const char setup_sql[] =
    "CREATE TABLE IF NOT EXISTS webhook_inbox ("
    "    event_id    text PRIMARY KEY,"
    "    type        text NOT NULL,"
    "    received_at timestamptz NOT NULL DEFAULT now());"
    "CREATE INDEX IF NOT EXISTS webhook_inbox_received_at_idx ON webhook_inbox (received_at);"
    "CREATE TABLE IF NOT EXISTS webhook_effect ("
    "    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    "    event_id text NOT NULL,"
    "    type     text NOT NULL,"
    "    content  jsonb NOT NULL)";

/* Two requests with one id: the second waits here until the first has committed or rolled back. */
static const char remember_sql[] =
    "INSERT INTO webhook_inbox (event_id, type) VALUES ($1, $2) ON CONFLICT (event_id) DO NOTHING";

/* The work itself; in a real service, whatever the event asks for. */
static const char work_sql[] = "INSERT INTO webhook_effect (event_id, type, content) VALUES ($1, $2, $3)";

/* Runs a statement.  Returns the number of rows it changed, or -1. */
static int run(PGconn *conn, const char *sql, int count, const char *const *params)
{
    PGresult *result = PQexecParams(conn, sql, count, NULL, params, NULL, NULL, 0);
    int rows = -1;

    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        fprintf(stderr, "receiver: %s", PQerrorMessage(conn));
    else if (sscanf(PQcmdTuples(result), "%d", &rows) != 1)
        rows = 0;
    PQclear(result);
    return rows;
}

int inbox_setup(PGconn *conn)
{
    PGresult *result = PQexec(conn, setup_sql);
    bool made = PQresultStatus(result) == PGRES_COMMAND_OK;

    if (!made)
        fprintf(stderr, "receiver: %s", PQerrorMessage(conn));
    PQclear(result);
    return made ? 0 : 1;
}

/* In the transaction.  The memory comes first: its unique key is what keeps two requests apart. */
static enum inbox_result remember_and_work(PGconn *conn, const char *event_id, const char *type,
                                           const char *payload)
{
    const char *const params[] = {event_id, type, payload};
    int remembered = run(conn, remember_sql, 2, params);

    if (remembered < 0)
        return INBOX_FAILED;
    if (remembered == 0)
        return INBOX_DUPLICATE;
    return run(conn, work_sql, 3, params) == 1 ? INBOX_APPLIED : INBOX_FAILED;
}

enum inbox_result inbox_apply(PGconn *conn, const char *event_id, const char *type, const char *payload)
{
    enum inbox_result result;

    if (PQstatus(conn) != CONNECTION_OK)
        PQreset(conn);
    if (run(conn, "BEGIN", 0, NULL) < 0)
        return INBOX_FAILED;
    result = remember_and_work(conn, event_id, type, payload);
    if (result == INBOX_FAILED) {
        run(conn, "ROLLBACK", 0, NULL);
        return INBOX_FAILED;
    }
    /* If the connection breaks here, nobody knows.  The sender sends again, and the inbox knows then. */
    return run(conn, "COMMIT", 0, NULL) < 0 ? INBOX_FAILED : result;
}
