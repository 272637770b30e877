/* One event: waiting for the answer, or queued. */
#include <outbox/emit.h>

#include "api/connection.h"
#include "base/error.h"
#include "event/wire.h"

static const char emit_event_sql[] = "SELECT id, already_emitted FROM outbox.emit_event($1, $2, $3, $4, $5, "
                                     "$6, $7, $8, $9, $10, $11, $12, $13)";

struct parameters {
    Oid types[OUTBOX__FIELD_COUNT];
    int formats[OUTBOX__FIELD_COUNT];
};

static void describe(struct parameters *parameters)
{
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++) {
        parameters->types[i] = outbox__columns[i].type;
        parameters->formats[i] = 1;
    }
}

/* All that can be known without the server, in the order in which a caller would correct it. */
static int check(const PGconn *conn, const outbox_event *ev, enum outbox__use use, outbox_error **reterr)
{
    int r = outbox__connection_check(conn, use, reterr);

    return r == OUTBOX_OK ? outbox_event_check(ev, reterr) : r;
}

/* The one row of an emission. */
static int get_answer(const PGresult *result, int not_ours, char ret_id[OUTBOX_ID_SIZE],
                      outbox_error **reterr)
{
    int r = outbox__result_check(result, not_ours, reterr);

    if (r != OUTBOX_OK)
        return r;
    if (PQntuples(result) != 1)
        return outbox__fail(reterr, not_ours, NULL, "the result is not that of one emission");
    return outbox__result_get(result, 0, ret_id);
}

int outbox_emit(struct pg_conn *conn, const outbox_event *ev, char ret_id[OUTBOX_ID_SIZE],
                outbox_error **reterr)
{
    struct parameters parameters;
    struct outbox__wire wire;
    PGresult *result = NULL;
    int r;

    r = check(conn, ev, OUTBOX__USE_WAITS, reterr);
    if (r != OUTBOX_OK)
        return r;
    describe(&parameters);
    r = outbox__wire_encode(&wire, ev, reterr);
    if (r != OUTBOX_OK)
        goto out;
    /* Unnamed: a transaction pooler may give the next transaction another server. */
    result = PQexecParams(conn, emit_event_sql, OUTBOX__FIELD_COUNT, parameters.types, wire.values,
                          wire.sizes, parameters.formats, 1);
    if (!result) {
        r = outbox__connection_fail(conn, reterr);
        goto out;
    }
    r = get_answer(result, OUTBOX_EINTERNAL, ret_id, reterr);
out:
    PQclear(result);
    outbox__wire_free(&wire);
    return r;
}

int outbox_emit_send(struct pg_conn *conn, const outbox_event *ev, outbox_error **reterr)
{
    struct parameters parameters;
    struct outbox__wire wire;
    int r;

    r = check(conn, ev, OUTBOX__USE_QUEUES, reterr);
    if (r != OUTBOX_OK)
        return r;
    describe(&parameters);
    r = outbox__wire_encode(&wire, ev, reterr);
    if (r == OUTBOX_OK && !PQsendQueryParams(conn, emit_event_sql, OUTBOX__FIELD_COUNT, parameters.types,
                                             wire.values, wire.sizes, parameters.formats, 1))
        r = outbox__connection_fail(conn, reterr);
    outbox__wire_free(&wire);
    return r;
}

int outbox_emit_result(const struct pg_result *result, char ret_id[OUTBOX_ID_SIZE], outbox_error **reterr)
{
    if (!result)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL,
                            "result: is NULL; pass what PQgetResult() delivered");
    return get_answer(result, OUTBOX_EINVAL, ret_id, reterr);
}
