#include "api/prepared.h"

#include <libpq-events.h>
#include <string.h>

#include "api/connection.h"
#include "api/statement.h"
#include "base/error.h"
#include "event/wire.h"

/* The statement ends with the session, and PQreset() makes a new one. */
static int on_event(PGEventId event, void *info, void *passthrough)
{
    (void)passthrough;
    if (event == PGEVT_CONNRESET)
        PQsetInstanceData(((PGEventConnReset *)info)->conn, on_event, NULL);
    return 1;
}

bool outbox__is_prepared(const PGconn *conn)
{
    return PQinstanceData(conn, on_event) != NULL;
}

/* Once registered it stays so as long as the PGconn. */
static bool note_prepared(PGconn *conn)
{
    static char prepared[] = "";

    if (PQsetInstanceData(conn, on_event, prepared))
        return true;
    return PQregisterEventProc(conn, on_event, "outbox", NULL) && PQsetInstanceData(conn, on_event, prepared);
}

static int check_idle(const PGconn *conn, outbox_error **reterr)
{
    if (!conn)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "conn: is NULL; pass an open connection");
    if (PQstatus(conn) != CONNECTION_OK)
        return outbox__connection_fail(conn, reterr);
    if (PQpipelineStatus(conn) != PQ_PIPELINE_OFF || PQtransactionStatus(conn) != PQTRANS_IDLE)
        return outbox__fail(reterr, OUTBOX_ESTATE, NULL,
                            "the connection is in a transaction or in pipeline mode; prepare before BEGIN");
    return OUTBOX_OK;
}

static int prepare(PGconn *conn, const struct outbox__statement *statement, outbox_error **reterr)
{
    static const char duplicate[] = "42P05";
    Oid types[OUTBOX__FIELD_COUNT];
    const char *sqlstate;
    PGresult *result;
    int r = OUTBOX_OK;

    for (int i = 0; i < statement->count; i++)
        types[i] = outbox__columns[statement->fields[i]].type;
    result = PQprepare(conn, statement->name, statement->sql, statement->count, types);
    if (!result)
        return outbox__connection_fail(conn, reterr);
    sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && !(sqlstate && strcmp(sqlstate, duplicate) == 0))
        r = outbox__result_check(result, OUTBOX_EINTERNAL, reterr);
    PQclear(result);
    return r;
}

int outbox_emit_prepare(struct pg_conn *conn, outbox_error **reterr)
{
    int r = check_idle(conn, reterr);
    const struct outbox__statement *statement;

    for (int i = 0; r == OUTBOX_OK && (statement = outbox__statement_named(i)) != NULL; i++)
        r = prepare(conn, statement, reterr);
    if (r == OUTBOX_OK && !note_prepared(conn))
        r = outbox__fail_memory(reterr);
    return r;
}
