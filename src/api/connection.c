#include "api/connection.h"

#include <string.h>

#include "base/error.h"
#include "base/uuid.h"

static int check_pipeline(const PGconn *conn, enum outbox__use use, outbox_error **reterr)
{
    PGpipelineStatus status = PQpipelineStatus(conn);

    if (status == PQ_PIPELINE_ABORTED)
        return outbox__fail(
            reterr, OUTBOX_ESTATE, NULL,
            "an earlier command of the pipeline failed; read its results up to the sync first");
    if (status == PQ_PIPELINE_ON && use != OUTBOX__USE_QUEUES)
        return outbox__fail(reterr, OUTBOX_ESTATE, NULL, "the connection is in pipeline mode; %s",
                            use == OUTBOX__USE_WAITS ? "use outbox_emit_send()" : "leave it first");
    return OUTBOX_OK;
}

static int check_transaction(const PGconn *conn, enum outbox__use use, outbox_error **reterr)
{
    switch (PQtransactionStatus(conn)) {
    case PQTRANS_INTRANS:
        return OUTBOX_OK;
    case PQTRANS_IDLE:
        return outbox__fail(reterr, OUTBOX_ESTATE, NULL, "no transaction is open; BEGIN, %s, COMMIT",
                            use == OUTBOX__USE_CLAIMS ? "claim, do the work" : "change the rows, emit");
    case PQTRANS_INERROR:
        return outbox__fail(reterr, OUTBOX_ESTATE, NULL,
                            "the transaction has failed; roll it back, or to a savepoint");
    case PQTRANS_ACTIVE:
        /* In a pipeline that is the normal state: commands are on their way. */
        if (use == OUTBOX__USE_QUEUES && PQpipelineStatus(conn) == PQ_PIPELINE_ON)
            return OUTBOX_OK;
        return outbox__fail(reterr, OUTBOX_ESTATE, NULL,
                            "another command is in progress; read its results first");
    case PQTRANS_UNKNOWN:
        break;
    }
    return outbox__connection_fail(conn, reterr);
}

int outbox__connection_check(const PGconn *conn, enum outbox__use use, outbox_error **reterr)
{
    const char *encoding;
    int r;

    if (!conn)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "conn: is NULL; pass an open connection");
    if (PQstatus(conn) != CONNECTION_OK)
        return outbox__connection_fail(conn, reterr);
    r = check_pipeline(conn, use, reterr);
    if (r == OUTBOX_OK)
        r = check_transaction(conn, use, reterr);
    if (r != OUTBOX_OK)
        return r;
    encoding = PQparameterStatus(conn, "client_encoding");
    if (!encoding || strcmp(encoding, "UTF8") != 0)
        return outbox__fail(reterr, OUTBOX_ESTATE, NULL,
                            "client_encoding is %s, %s are UTF-8; connect with client_encoding=UTF8",
                            encoding ? encoding : "unknown", use == OUTBOX__USE_CLAIMS ? "ids" : "events");
    return OUTBOX_OK;
}

/* libpq's messages end with a newline. */
static int line_length(const char *message)
{
    return (int)strcspn(message, "\n");
}

int outbox__connection_fail(const PGconn *conn, outbox_error **reterr)
{
    const char *message = PQerrorMessage(conn);

    if (PQstatus(conn) != CONNECTION_OK)
        return outbox__fail(reterr, OUTBOX_ECONNECTION, NULL,
                            "the connection is not open; connect again: %.*s", line_length(message), message);
    return outbox__fail(reterr, OUTBOX_ENOMEM, NULL, "libpq could not send the statement: %.*s",
                        line_length(message), message);
}

/* What to do about an error that the outbox did not raise itself. */
static const char *remedy_for(const char *sqlstate, enum outbox__use use)
{
    static const struct {
        const char *sqlstate;
        const char *remedy;
    } remedies[] = {
        {"3F000", "install the schema with outboxctl migrate"},
        {"42P01", "install the schema, or bring it up to date, with outboxctl migrate"},
        {"42883", "bring the schema up to date with outboxctl migrate"},
        {"25006", "begin a transaction that may write"},
        {"40001", "roll back and try the whole transaction again"},
        {"40P01", "roll back and try the whole transaction again"},
        {"25P02", "roll the transaction back, or to a savepoint"},
    };

    if (strcmp(sqlstate, "42501") == 0)
        return use == OUTBOX__USE_CLAIMS ? "GRANT outbox_consumer to the role that claims"
                                         : "GRANT outbox_writer to the role that emits";
    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
        if (strcmp(remedies[i].sqlstate, sqlstate) == 0)
            return remedies[i].remedy;
    }
    return NULL;
}

/* Errors that end the session: the server tells the severity, libpq's own have no SQLSTATE. */
static bool is_fatal(const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (!PQresultErrorField(result, PG_DIAG_SQLSTATE))
        return true;
    return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

int outbox__result_fail(const PGresult *result, enum outbox__use use, outbox_error **reterr)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *remedy = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    const char *known = sqlstate ? remedy_for(sqlstate, use) : NULL;

    /* The detail and the context are left out: they may quote what the caller stores. */
    if (!primary)
        primary = PQresultErrorMessage(result);
    if (is_fatal(result))
        return outbox__fail_sqlstate(reterr, OUTBOX_ECONNECTION, NULL, sqlstate,
                                     "the connection is lost; connect again: %.*s", line_length(primary),
                                     primary);
    if (known)
        remedy = known;
    return outbox__fail_sqlstate(reterr, OUTBOX_ESERVER, PQresultErrorField(result, PG_DIAG_COLUMN_NAME),
                                 sqlstate, "%s%s%s", primary, remedy ? "; " : "", remedy ? remedy : "");
}

/* Rows of (uuid, boolean) in binary, no null among them: it may be the result of anything. */
static bool has_answers(const PGresult *result)
{
    if (PQnfields(result) != 2 || PQfformat(result, 0) != 1 || PQftype(result, 0) != 2950 ||
        PQfformat(result, 1) != 1 || PQftype(result, 1) != 16)
        return false;
    for (int row = 0; row < PQntuples(result); row++) {
        if (PQgetlength(result, row, 0) != 16 || PQgetlength(result, row, 1) != 1)
            return false;
    }
    return true;
}

int outbox__result_check(const PGresult *result, int not_ours, outbox_error **reterr)
{
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
        if (has_answers(result))
            return OUTBOX_OK;
        break;
    case PGRES_PIPELINE_ABORTED:
        return outbox__fail(reterr, OUTBOX_ESERVER, NULL,
                            "not executed, since an earlier command of the pipeline failed; see its error");
    case PGRES_FATAL_ERROR:
        return outbox__result_fail(result, OUTBOX__USE_WAITS, reterr);
    default:
        break;
    }
    return outbox__fail(reterr, not_ours, NULL, "the result is not that of an emission");
}

int outbox__result_get(const PGresult *result, int row, char ret_id[OUTBOX_ID_SIZE])
{
    struct outbox__uuid uuid;

    if (ret_id) {
        memcpy(uuid.bytes, PQgetvalue(result, row, 0), sizeof(uuid.bytes));
        outbox__uuid_format(&uuid, ret_id);
    }
    return PQgetvalue(result, row, 1)[0] ? OUTBOX_ALREADY_EMITTED : OUTBOX_OK;
}
