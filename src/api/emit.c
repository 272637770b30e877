/* One event: waiting for the answer, or queued. */
#include <outbox/emit.h>

#include "api/connection.h"
#include "api/prepared.h"
#include "api/statement.h"

#include "base/error.h"
#include "event/wire.h"

/* An emission as libpq takes it. */
struct emission {
    struct outbox__wire wire;
    const struct outbox__statement *statement;
    const char *prepared; /* NULL: it is not */
    /* The statement's parameters. */
    const char *values[OUTBOX__FIELD_COUNT];
    int sizes[OUTBOX__FIELD_COUNT];
    Oid types[OUTBOX__FIELD_COUNT];
    int formats[OUTBOX__FIELD_COUNT];
};

static void bind(struct emission *emission)
{
    for (int i = 0; i < emission->statement->count; i++) {
        int field = emission->statement->fields[i];

        emission->values[i] = emission->wire.values[field];
        emission->sizes[i] = emission->wire.sizes[field];
        emission->types[i] = outbox__columns[field].type;
        emission->formats[i] = 1;
    }
}

static int encode(struct emission *emission, const PGconn *conn, const outbox_event *ev, enum outbox__use use,
                  outbox_error **reterr)
{
    int r = outbox__wire_encode(&emission->wire, ev, reterr);
    bool claimed = r == OUTBOX_OK && emission->wire.values[OUTBOX__ID];

    if (r == OUTBOX_OK && !claimed)
        r = outbox__wire_draw_id(&emission->wire, reterr);
    if (r != OUTBOX_OK)
        return r;
    emission->statement = outbox__statement_for(&emission->wire, claimed, use == OUTBOX__USE_QUEUES);
    emission->prepared = outbox__is_prepared(conn) ? emission->statement->name : NULL;
    bind(emission);
    return OUTBOX_OK;
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

/* Unnamed unless the caller has prepared: a transaction pooler may give the next transaction
 * another server. */
static PGresult *exec(PGconn *conn, const struct emission *emission)
{
    int count = emission->statement->count;

    if (emission->prepared)
        return PQexecPrepared(conn, emission->prepared, count, emission->values, emission->sizes,
                              emission->formats, 1);
    return PQexecParams(conn, emission->statement->sql, count, emission->types, emission->values, emission->sizes,
                        emission->formats, 1);
}

static int queue(PGconn *conn, const struct emission *emission)
{
    int count = emission->statement->count;

    if (emission->prepared)
        return PQsendQueryPrepared(conn, emission->prepared, count, emission->values, emission->sizes,
                                   emission->formats, 1);
    return PQsendQueryParams(conn, emission->statement->sql, count, emission->types, emission->values,
                             emission->sizes, emission->formats, 1);
}

/* What the server says to an emission with this connection. */
static int get_own_answer(const PGresult *result, const struct emission *emission,
                          char ret_id[OUTBOX_ID_SIZE], outbox_error **reterr)
{
    if (PQresultStatus(result) != PGRES_COMMAND_OK || emission->statement->answers)
        return get_answer(result, OUTBOX_EINTERNAL, ret_id, reterr);
    if (ret_id)
        outbox__uuid_format(&emission->wire.id, ret_id);
    return OUTBOX_OK;
}

int outbox_emit(struct pg_conn *conn, const outbox_event *ev, char ret_id[OUTBOX_ID_SIZE],
                outbox_error **reterr)
{
    struct emission emission;
    PGresult *result = NULL;
    int r;

    r = check(conn, ev, OUTBOX__USE_WAITS, reterr);
    if (r != OUTBOX_OK)
        return r;
    r = encode(&emission, conn, ev, OUTBOX__USE_WAITS, reterr);
    if (r != OUTBOX_OK)
        goto out;
    result = exec(conn, &emission);
    r = result ? get_own_answer(result, &emission, ret_id, reterr) : outbox__connection_fail(conn, reterr);
out:
    PQclear(result);
    outbox__wire_free(&emission.wire);
    return r;
}

int outbox_emit_send(struct pg_conn *conn, const outbox_event *ev, outbox_error **reterr)
{
    struct emission emission;
    int r;

    r = check(conn, ev, OUTBOX__USE_QUEUES, reterr);
    if (r != OUTBOX_OK)
        return r;
    r = encode(&emission, conn, ev, OUTBOX__USE_QUEUES, reterr);
    if (r == OUTBOX_OK && !queue(conn, &emission))
        r = outbox__connection_fail(conn, reterr);
    outbox__wire_free(&emission.wire);
    return r;
}

int outbox_emit_result(const struct pg_result *result, char ret_id[OUTBOX_ID_SIZE], outbox_error **reterr)
{
    if (!result)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL,
                            "result: is NULL; pass what PQgetResult() delivered");
    return get_answer(result, OUTBOX_EINVAL, ret_id, reterr);
}
