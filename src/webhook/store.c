#include "webhook/store.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "pg/conn.h"
#include "webhook/array.h"

#define ARRAY_LIMIT ((size_t)64 * 1024 * 1024)

enum {
    FINISH_DELIVERY,
    FINISH_TOKEN,
    FINISH_STATE,
    FINISH_CHARGED,
    FINISH_RETRY_IN,
    FINISH_OUTCOME,
    FINISH_STATUS,
    FINISH_ERROR,
    FINISH_STARTED_AT,
    FINISH_ADDRESS,
    FINISH_RESOLVED,
    FINISH_CONNECTED,
    FINISH_TLS,
    FINISH_SENT_BYTES,
    FINISH_FIRST_BYTE,
    FINISH_TOTAL,
    FINISH_RESPONSE,
    FINISH_COLUMNS
};

struct store {
    struct pg *pg;
    char *worker;
    struct outbox__buf arrays[FINISH_COLUMNS]; /* kept, so that a batch allocates nothing */
};

struct store *store_open(const char *dsn, const char *application_name, const char *worker, mono_us deadline,
                         outbox_error **reterr)
{
    const struct pg_conn_settings settings = {dsn, application_name, deadline - clock_now()};
    struct store *store = calloc(1, sizeof(*store));

    if (!store || !(store->worker = strdup(worker))) {
        outbox__fail_memory(reterr);
        goto fail;
    }
    for (int i = 0; i < FINISH_COLUMNS; i++)
        store->arrays[i] = (struct outbox__buf)OUTBOX__BUF_INIT(ARRAY_LIMIT);
    store->pg = pg_open(&settings, reterr);
    if (!store->pg)
        goto fail;
    return store;

fail:
    store_close(store);
    return NULL;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    pg_close(store->pg);
    for (int i = 0; i < FINISH_COLUMNS; i++)
        outbox__buf_free(&store->arrays[i]);
    free(store->worker);
    free(store);
}

/* ---- Endpoints ---- */

/* Limited, since an interval may exceed a bigint of microseconds, and one such endpoint would
 * hide all the others. */
static const char sql_endpoints[] =
    "SELECT p.id, p.name, p.url, p.policy,"
    " (SELECT string_agg((least(extract(epoch FROM s.wait), 1e10) * 1000000)::bigint::text, ',' ORDER BY s.n)"
    "    FROM unnest(p.schedule) WITH ORDINALITY AS s(wait, n)),"
    " (SELECT string_agg(encode(x.secret, 'hex'), ',' ORDER BY x.id DESC) FROM outbox.endpoint_secret x"
    "   WHERE x.endpoint = p.id AND x.kind = 'v1' AND x.sealed_with IS NULL"
    "     AND (x.expires_at IS NULL OR x.expires_at > clock_timestamp())),"
    " (least(extract(epoch FROM p.max_age), 1e10) * 1000000)::bigint, p.timeout_ms::bigint * 1000, p.concurrency"
    "  FROM outbox.endpoint p WHERE p.enabled AND p.removed_at IS NULL ORDER BY p.id";

static void take_endpoint(const PGresult *result, int row, void (*take)(void *, const struct endpoint_row *),
                          void *argument)
{
    const struct endpoint_row endpoint = {
        .id = pg_get_text(result, row, 0),
        .name = pg_get_text(result, row, 1),
        .url = pg_get_text(result, row, 2),
        .policy = pg_get_text(result, row, 3),
        .schedule = pg_get_text(result, row, 4),
        .secrets = pg_get_text(result, row, 5),
        .max_age_us = pg_get_int(result, row, 6),
        .timeout = pg_get_int(result, row, 7),
        .concurrency = (int)pg_get_int(result, row, 8),
    };

    take(argument, &endpoint);
    explicit_bzero(PQgetvalue(result, row, 5), (size_t)PQgetlength(result, row, 5));
}

int store_endpoints(struct store *store, mono_us deadline,
                    void (*take)(void *argument, const struct endpoint_row *row), void *argument,
                    outbox_error **reterr)
{
    PGresult *result = NULL;
    int status = pg_exec(store->pg, sql_endpoints, NULL, 0, deadline, &result, reterr);

    if (status < 0)
        return status;
    for (int row = 0; row < PQntuples(result); row++)
        take_endpoint(result, row, take, argument);
    PQclear(result);
    return OUTBOX_OK;
}

/* ---- Recovery ---- */

int store_recover(struct store *store, bool mine, const int64_t *held, size_t count, mono_us deadline,
                  int64_t *ret_recovered, outbox_error **reterr)
{
    struct outbox__buf *array = &store->arrays[0];
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int status;

    array_begin(array);
    for (size_t i = 0; i < count; i++)
        array_int(array, held[i]);
    array_end(array);
    if (array->failed)
        return outbox__fail_memory(reterr);
    pg_arg_text(&args, mine ? store->worker : NULL);
    pg_arg_text(&args, outbox__buf_text(array));
    status =
        pg_exec(store->pg, "SELECT outbox.delivery_recover($1, $2)", &args, 0, deadline, &result, reterr);
    if (status == OUTBOX_OK)
        *ret_recovered = pg_get_int(result, 0, 0);
    PQclear(result);
    return status;
}

/* ---- Claiming ---- */

static const char sql_claim[] =
    "SELECT delivery, token, send, attempts, age_us, replay, present, endpoint, event_id, event_type, "
    "content_type,"
    " payload, headers, traceparent, tracestate FROM outbox.delivery_claim($1, $2, $3, $4, $5)";

static int64_t binary_int64(const PGresult *result, int row, int column)
{
    uint64_t value;

    assert(PQgetlength(result, row, column) == sizeof(value));
    memcpy(&value, PQgetvalue(result, row, column), sizeof(value));
    return (int64_t)be64toh(value);
}

static int binary_int32(const PGresult *result, int row, int column)
{
    uint32_t value;

    assert(PQgetlength(result, row, column) == sizeof(value));
    memcpy(&value, PQgetvalue(result, row, column), sizeof(value));
    return (int)be32toh(value);
}

static void binary_uuid(const PGresult *result, int row, int column, struct outbox__uuid *ret)
{
    assert(PQgetlength(result, row, column) == sizeof(ret->bytes));
    memcpy(ret->bytes, PQgetvalue(result, row, column), sizeof(ret->bytes));
}

static void take_claim(const PGresult *result, int row, const struct store_claim *request)
{
    struct claim claim = {
        .delivery = binary_int64(result, row, 0),
        .token = binary_int64(result, row, 1),
        .send = binary_int32(result, row, 2),
        .attempts = binary_int32(result, row, 3),
        .age_us = binary_int64(result, row, 4),
        .replay = binary_int32(result, row, 5),
        .present = PQgetvalue(result, row, 6)[0] != 0,
        .event_type = pg_get_text(result, row, 9),
        .content_type = pg_get_text(result, row, 10),
        .payload = pg_get_text(result, row, 11),
        .payload_size = (size_t)PQgetlength(result, row, 11),
        .headers = pg_get_text(result, row, 12),
        .traceparent = pg_get_text(result, row, 13),
        .tracestate = pg_get_text(result, row, 14),
    };

    binary_uuid(result, row, 7, &claim.endpoint);
    binary_uuid(result, row, 8, &claim.event_id);
    request->take(request->argument, &claim);
}

int store_claim(struct store *store, const struct store_claim *request, mono_us deadline,
                outbox_error **reterr)
{
    struct outbox__buf *endpoints = &store->arrays[0];
    struct outbox__buf *slots = &store->arrays[1];
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    char id[OUTBOX__UUID_TEXT];
    int status;

    array_begin(endpoints);
    array_begin(slots);
    for (size_t i = 0; i < request->count; i++) {
        outbox__uuid_format(request->wants[i].endpoint, id);
        array_text(endpoints, id, sizeof(id) - 1);
        array_int(slots, request->wants[i].slots);
    }
    array_end(endpoints);
    array_end(slots);
    if (endpoints->failed || slots->failed)
        return outbox__fail_memory(reterr);
    pg_arg_text(&args, store->worker);
    pg_arg_text(&args, outbox__buf_text(endpoints));
    pg_arg_text(&args, outbox__buf_text(slots));
    pg_arg_int(&args, request->limit);
    pg_arg_interval_us(&args, request->margin);
    status = pg_exec(store->pg, sql_claim, &args, 1, deadline, &result, reterr);
    if (status < 0)
        return status;
    for (int row = 0; row < PQntuples(result); row++)
        take_claim(result, row, request);
    PQclear(result);
    return OUTBOX_OK;
}

/* ---- Recording ---- */

static const char sql_finish[] =
    "SELECT outbox.delivery_finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
    " $13, $14, $15, $16, $17)";

static void put_text(struct outbox__buf *array, const char *text, size_t size)
{
    if (size > 0)
        array_text(array, text, size);
    else
        array_null(array);
}

/* A value that is negative did not happen. */
static void put_int(struct outbox__buf *array, int64_t value)
{
    if (value >= 0)
        array_int(array, value);
    else
        array_null(array);
}

static void put_result(struct outbox__buf *arrays, const struct task *task)
{
    const struct http_evidence *evidence = &task->exchange.evidence;
    const char *state = delivery_state_name(task->step.state);
    const char *outcome = delivery_outcome_name(task->outcome);

    array_int(&arrays[FINISH_DELIVERY], task->delivery);
    array_int(&arrays[FINISH_TOKEN], task->token);
    array_text(&arrays[FINISH_STATE], state, strlen(state));
    array_text(&arrays[FINISH_CHARGED], task->step.charged ? "t" : "f", 1);
    if (task->step.state == DELIVERY_STATE_FAILED)
        array_interval(&arrays[FINISH_RETRY_IN], task->step.retry_in);
    else
        array_null(&arrays[FINISH_RETRY_IN]);
    array_text(&arrays[FINISH_OUTCOME], outcome, strlen(outcome));
    put_int(&arrays[FINISH_STATUS], evidence->reached.status > 0 ? evidence->reached.status : -1);
    put_text(&arrays[FINISH_ERROR], evidence->error, strlen(evidence->error));
    array_time(&arrays[FINISH_STARTED_AT], evidence->started_at);
    put_text(&arrays[FINISH_ADDRESS], evidence->address, strlen(evidence->address));
    put_int(&arrays[FINISH_RESOLVED], evidence->resolved_us);
    put_int(&arrays[FINISH_CONNECTED], evidence->connected_us);
    put_int(&arrays[FINISH_TLS], evidence->tls_us);
    put_int(&arrays[FINISH_SENT_BYTES], evidence->sent_bytes);
    put_int(&arrays[FINISH_FIRST_BYTE], evidence->first_byte_us);
    put_int(&arrays[FINISH_TOTAL], evidence->total_us);
    put_text(&arrays[FINISH_RESPONSE], evidence->response, evidence->response_size);
}

static int fill_arrays(struct store *store, struct task *const *tasks, size_t count, struct pg_args *args,
                       outbox_error **reterr)
{
    for (int i = 0; i < FINISH_COLUMNS; i++)
        array_begin(&store->arrays[i]);
    for (size_t i = 0; i < count; i++)
        put_result(store->arrays, tasks[i]);
    for (int i = 0; i < FINISH_COLUMNS; i++) {
        array_end(&store->arrays[i]);
        if (store->arrays[i].failed)
            return outbox__fail_memory(reterr);
        pg_arg_text(args, outbox__buf_text(&store->arrays[i]));
    }
    return OUTBOX_OK;
}

static void mark_accepted(const PGresult *result, struct task *const *tasks, size_t count, bool *ret_accepted)
{
    bool all = (size_t)PQntuples(result) == count;

    for (size_t i = 0; i < count; i++)
        ret_accepted[i] = all;
    if (all)
        return;
    for (int row = 0; row < PQntuples(result); row++) {
        int64_t delivery = pg_get_int(result, row, 0);

        for (size_t i = 0; i < count; i++)
            ret_accepted[i] |= tasks[i]->delivery == delivery;
    }
}

int store_finish(struct store *store, struct task *const *tasks, size_t count, mono_us deadline,
                 bool *ret_accepted, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int status;

    assert(count > 0 && count <= STORE_BATCH);
    status = fill_arrays(store, tasks, count, &args, reterr);
    if (status == OUTBOX_OK)
        status = pg_exec(store->pg, sql_finish, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    mark_accepted(result, tasks, count, ret_accepted);
    PQclear(result);
    return OUTBOX_OK;
}
