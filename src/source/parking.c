#include "source/parking.h"

static const char sql_survey[] =
    "SELECT EXISTS (SELECT FROM outbox.parked_event WHERE released_at IS NULL AND map = $1 AND lane = $2)"
    "       OR EXISTS (SELECT FROM outbox.parked_topic),"
    "       coalesce((SELECT pg_catalog.max(seq) FROM outbox.parked_event), 0)";

static const char sql_look[] =
    "SELECT k.seq, NULL::text, k.released_at IS NULL AND k.tick <> $3"
    "  FROM outbox.parked_event AS k WHERE k.seq BETWEEN $1 AND $2"
    " UNION ALL SELECT NULL, t, false FROM outbox.parked_topics() AS t";

static const char sql_add[] = "SELECT outbox.lane_park($1, $2, $3, $4, $5::jsonb)";
static const char sql_add_behind[] = "SELECT outbox.lane_park_behind($1, $2, $3, $4, $5::jsonb)";

/* The columns of a page, then the release. */
static const char sql_take[] =
    "SELECT r.seq, r.id, r.type, r.topic, r.key, r.partition, r.tenant, r.headers, r.content_type, r.payload,"
    "       r.traceparent, r.tracestate, r.occurred_at, r.release_id"
    "  FROM outbox.lane_take_release($1, $2, $3, $4::integer, $5::bigint) AS r";

static void put_owner(struct pg_args *args, const struct parking_owner *owner)
{
    pg_arg_int(args, owner->map);
    pg_arg_int(args, owner->lane);
    pg_arg_int(args, owner->epoch);
}

/* A synchronous commit that returned with a warning may not have been waited for. */
static int exec_synchronous(struct pg *pg, const char *sql, const struct pg_args *args, int format,
                            mono_us deadline, PGresult **ret_rows, outbox_error **reterr)
{
    int status;

    pg_take_warning(pg);
    status = pg_exec(pg, sql, args, format, deadline, ret_rows, reterr);
    if (status < 0 || !pg_take_warning(pg))
        return status;
    if (ret_rows) {
        PQclear(*ret_rows);
        *ret_rows = NULL;
    }
    return outbox__fail(reterr, OUTBOX_ESERVER, NULL,
                        "PostgreSQL warned at a synchronous commit: it may not be replicated");
}

int parking_survey(struct pg *pg, const struct parking_owner *owner, mono_us deadline, bool *ret_open,
                   int64_t *ret_last, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int status;

    pg_arg_int(&args, owner->map);
    pg_arg_int(&args, owner->lane);
    status = pg_exec(pg, sql_survey, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    *ret_open = pg_get_bool(result, 0, 0);
    *ret_last = pg_get_int(result, 0, 1);
    PQclear(result);
    return OUTBOX_OK;
}

int parking_look(struct pg *pg, const struct parking_range *range, mono_us deadline, PGresult **ret_rows,
                 outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_int(&args, range->first);
    pg_arg_int(&args, range->last);
    pg_arg_int(&args, range->tick);
    return pg_exec(pg, sql_look, &args, 0, deadline, ret_rows, reterr);
}

int parking_add(struct pg *pg, const struct parking_owner *owner, int64_t tick, const char *faults,
                mono_us deadline, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    put_owner(&args, owner);
    pg_arg_int(&args, tick);
    pg_arg_text(&args, faults);
    return exec_synchronous(pg, sql_add, &args, 0, deadline, NULL, reterr);
}

int parking_add_behind(struct pg *pg, const struct parking_owner *owner, int64_t tick, const char *page,
                       mono_us deadline, PGresult **ret_rows, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    put_owner(&args, owner);
    pg_arg_int(&args, tick);
    pg_arg_text(&args, page);
    return exec_synchronous(pg, sql_add_behind, &args, 0, deadline, ret_rows, reterr);
}

int parking_take(struct pg *pg, const struct parking_owner *owner, int limit, int64_t bytes, mono_us deadline,
                 PGresult **ret_rows, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    int status;

    put_owner(&args, owner);
    pg_arg_int(&args, limit);
    pg_arg_int(&args, bytes);
    status = exec_synchronous(pg, sql_take, &args, 1, deadline, ret_rows, reterr);
    if (status < 0 || PQntuples(*ret_rows) == 0 || PQgetlength(*ret_rows, 0, PQnfields(*ret_rows) - 1) == 8)
        return status;
    PQclear(*ret_rows);
    *ret_rows = NULL;
    return outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "a release of parked events without its id");
}

int64_t parking_release_of(const PGresult *rows)
{
    const unsigned char *at = (const unsigned char *)PQgetvalue(rows, 0, PQnfields(rows) - 1);
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | at[i];
    return (int64_t)value;
}
