/* Many events in one round trip: a binary array per column. */
#include <outbox/emit.h>

#include <stdlib.h>
#include <string.h>

#include "api/connection.h"
#include "base/error.h"
#include "event/wire.h"

static const char emit_events_sql[] = "SELECT id, already_emitted FROM outbox.emit_events($1, $2, $3, $4, "
                                      "$5, $6, $7, $8, $9, $10, $11, $12, $13)";

#define ARRAY_HEADER_SIZE 20

struct batch {
    struct outbox__buf columns[OUTBOX__FIELD_COUNT];
    bool used[OUTBOX__FIELD_COUNT]; /* by at least one event; else the whole array is null */
    size_t size;                    /* of all columns, without their headers */
};

/* Says which event it was.  Takes err over. */
static int fail_at(size_t at, int code, outbox_error *err, outbox_error **reterr)
{
    if (err)
        outbox__fail(reterr, code, outbox_error_field(err), "events[%zu]: %s", at, outbox_error_message(err));
    outbox_error_free(err);
    return code;
}

static int check_events(const outbox_event *const events[], size_t count, outbox_error **reterr)
{
    if (count > OUTBOX_ARRAY_COUNT_LIMIT)
        return outbox__fail(reterr, OUTBOX_ELIMIT, "count",
                            "count: is %zu, the limit is %zu; emit in several calls", count,
                            OUTBOX_ARRAY_COUNT_LIMIT);
    if (!events)
        return outbox__fail(reterr, OUTBOX_EINVAL, "events",
                            "events: is NULL; pass an array of count events");
    for (size_t i = 0; i < count; i++) {
        outbox_error *err = NULL;
        int r = outbox_event_check(events[i], reterr ? &err : NULL);

        if (r != OUTBOX_OK)
            return fail_at(i, r, err, reterr);
    }
    return OUTBOX_OK;
}

/* Each column begins as array_recv() in PostgreSQL wants it: dimensions, null flag, element
 * type, length, lower bound. */
static void start_batch(struct batch *batch, size_t count)
{
    memset(batch, 0, sizeof(*batch));
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++) {
        struct outbox__buf *column = &batch->columns[i];

        column->limit = OUTBOX_ARRAY_SIZE_LIMIT + ARRAY_HEADER_SIZE;
        outbox__buf_put_int32(column, 1);
        outbox__buf_put_int32(column, 1);
        outbox__buf_put_int32(column, outbox__columns[i].type);
        outbox__buf_put_int32(column, (uint32_t)count);
        outbox__buf_put_int32(column, 1);
    }
}

static int append(struct batch *batch, const struct outbox__wire *wire, outbox_error **reterr)
{
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++) {
        struct outbox__buf *column = &batch->columns[i];
        size_t size = wire->values[i] ? (size_t)wire->sizes[i] : 0;

        batch->size += 4 + size;
        if (batch->size > OUTBOX_ARRAY_SIZE_LIMIT)
            return outbox__fail(reterr, OUTBOX_ELIMIT, "events",
                                "events: have more than %zu bytes together; emit in several calls",
                                OUTBOX_ARRAY_SIZE_LIMIT);
        if (wire->values[i]) {
            batch->used[i] = true;
            outbox__buf_put_int32(column, (uint32_t)size);
            outbox__buf_append(column, wire->values[i], size);
        } else {
            outbox__buf_put_int32(column, UINT32_MAX); /* -1: null */
        }
        if (column->failed)
            return outbox__fail_memory(reterr);
    }
    return OUTBOX_OK;
}

static int fill_batch(struct batch *batch, const outbox_event *const events[], size_t count,
                      outbox_error **reterr)
{
    int r = OUTBOX_OK;

    start_batch(batch, count);
    for (size_t i = 0; i < count && r == OUTBOX_OK; i++) {
        struct outbox__wire wire;

        r = outbox__wire_encode(&wire, events[i], reterr);
        if (r == OUTBOX_OK)
            r = append(batch, &wire, reterr);
        outbox__wire_free(&wire);
    }
    return r;
}

static PGresult *send_batch(PGconn *conn, const struct batch *batch)
{
    Oid types[OUTBOX__FIELD_COUNT];
    const char *values[OUTBOX__FIELD_COUNT];
    int sizes[OUTBOX__FIELD_COUNT];
    int formats[OUTBOX__FIELD_COUNT];

    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++) {
        types[i] = outbox__columns[i].array_type;
        values[i] = batch->used[i] ? batch->columns[i].data : NULL;
        sizes[i] = (int)batch->columns[i].size; /* fits: OUTBOX_ARRAY_SIZE_LIMIT and a header */
        formats[i] = 1;
    }
    return PQexecParams(conn, emit_events_sql, OUTBOX__FIELD_COUNT, types, values, sizes, formats, 1);
}

static int get_answers(const PGresult *result, size_t count, char (*ret_ids)[OUTBOX_ID_SIZE],
                       int *ret_answers, outbox_error **reterr)
{
    int all = OUTBOX_OK;
    int r = outbox__result_check(result, OUTBOX_EINTERNAL, reterr);

    if (r != OUTBOX_OK)
        return r;
    if ((size_t)PQntuples(result) != count)
        return outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "the server answered for %d of %zu events",
                            PQntuples(result), count);
    for (size_t i = 0; i < count; i++) {
        int answer = outbox__result_get(result, (int)i, ret_ids ? ret_ids[i] : NULL);

        if (ret_answers)
            ret_answers[i] = answer;
        if (answer == OUTBOX_ALREADY_EMITTED)
            all = answer;
    }
    return all;
}

int outbox_emit_array(struct pg_conn *conn, const outbox_event *const events[], size_t count,
                      char (*ret_ids)[OUTBOX_ID_SIZE], int *ret_answers, outbox_error **reterr)
{
    struct batch batch;
    PGresult *result = NULL;
    int r;

    r = outbox__connection_check(conn, OUTBOX__USE_WAITS, reterr);
    if (r != OUTBOX_OK || count == 0)
        return r;
    r = check_events(events, count, reterr);
    if (r != OUTBOX_OK)
        return r;
    r = fill_batch(&batch, events, count, reterr);
    if (r != OUTBOX_OK)
        goto out;
    result = send_batch(conn, &batch);
    r = result ? get_answers(result, count, ret_ids, ret_answers, reterr)
               : outbox__connection_fail(conn, reterr);
out:
    PQclear(result);
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++)
        outbox__buf_free(&batch.columns[i]);
    return r;
}
