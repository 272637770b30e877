#include "source/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"

static const char sql_acquire[] =
    "SELECT a.epoch, a.retry_after, a.former_holder FROM outbox.lane_acquire($1, $2, $3, $4::interval, $5)"
    " AS a";

static const char sql_lane[] =
    "SELECT l.from_tick, l.from_nonce, l.to_tick, l.to_nonce, l.seq, l.done, l.started, l.published,"
    "       l.bucket_low, l.bucket_high, m.born_on, s.state, m.incarnation,"
    "       (SELECT count(*) FROM outbox.endpoint WHERE enabled AND removed_at IS NULL),"
    "       l.publish = 'at_least_once', s.detail"
    "  FROM outbox.lane AS l, outbox.meta AS m, outbox.standing($3) AS s"
    " WHERE l.map = $1 AND l.lane = $2";

static const char sql_renew[] = "SELECT outbox.lane_renew($1, $2, $3, $4::interval)";
static const char sql_record_publish[] = "SELECT outbox.lane_record_publish($1, $2, $3, $4)";
static const char sql_release[] = "SELECT outbox.lane_release($1, $2, $3, $4)";
static const char sql_note_halt[] = "SELECT outbox.lane_halt($1, $2, $3, $4, $5)";

static bool read_nonce(const PGresult *result, int column, uint8_t ret[16])
{
    struct outbox__uuid uuid;

    if (!outbox__uuid_parse(PQgetvalue(result, 0, column), &uuid))
        return false;
    memcpy(ret, uuid.bytes, sizeof(uuid.bytes));
    return true;
}

static int read_lane(struct pg *pg, const struct lease_request *request, mono_us deadline,
                     struct lease_grant *grant, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int status;

    pg_arg_int(&args, request->map);
    pg_arg_int(&args, request->lane);
    pg_arg_text(&args, request->host);
    status = pg_exec(pg, sql_lane, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    if (PQntuples(result) != 1 || !read_nonce(result, 1, grant->position.from.nonce) ||
        !read_nonce(result, 3, grant->position.to.nonce) || !read_nonce(result, 12, grant->incarnation)) {
        status = outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "lane %d of map %d cannot be read", request->lane,
                              request->map);
        goto out;
    }
    grant->position.from.id = pg_get_int(result, 0, 0);
    grant->position.to.id = pg_get_int(result, 0, 2);
    grant->position.seq = pg_get_int(result, 0, 4);
    grant->position.done = pg_get_bool(result, 0, 5);
    grant->started = pg_get_bool(result, 0, 6);
    grant->published = pg_get_int(result, 0, 7);
    grant->bucket_low = (int)pg_get_int(result, 0, 8);
    grant->bucket_high = (int)pg_get_int(result, 0, 9);
    grant->system_identifier = pg_get_int(result, 0, 10);
    snprintf(grant->standing, sizeof(grant->standing), "%s", PQgetvalue(result, 0, 11));
    snprintf(grant->standing_detail, sizeof(grant->standing_detail), "%s", PQgetvalue(result, 0, 15));
    grant->endpoints = (int)pg_get_int(result, 0, 13);
    grant->at_least_once = pg_get_bool(result, 0, 14);
out:
    PQclear(result);
    return status;
}

int lease_acquire(struct pg *pg, const struct lease_request *request, mono_us deadline, struct lease_grant *ret,
                  outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    mono_us asked = clock_now();
    struct lease_grant grant = {0};
    PGresult *result = NULL;
    int status;

    pg_arg_int(&args, request->map);
    pg_arg_int(&args, request->lane);
    pg_arg_text(&args, request->holder);
    pg_arg_interval_us(&args, request->ttl);
    pg_arg_text(&args, request->host);
    status = pg_exec(pg, sql_acquire, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    grant.granted = !PQgetisnull(result, 0, 0);
    snprintf(grant.former_holder, sizeof(grant.former_holder), "%s", PQgetvalue(result, 0, 2));
    if (grant.granted) {
        grant.epoch = pg_get_int(result, 0, 0);
        grant.until = asked + request->ttl;
        status = read_lane(pg, request, deadline, &grant, reterr);
    } else {
        grant.retry_after = (mono_us)(strtod(PQgetvalue(result, 0, 1), NULL) * 1000000);
    }
    PQclear(result);
    if (status == OUTBOX_OK)
        *ret = grant;
    return status;
}

/* A synchronous commit that returned with a warning may not have been waited for. */
static int exec_synchronous(struct pg *pg, const char *sql, const struct pg_args *args, mono_us deadline,
                            bool *ret_ours, outbox_error **reterr)
{
    PGresult *result = NULL;
    int status;

    pg_take_warning(pg);
    status = pg_exec(pg, sql, args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    if (pg_take_warning(pg)) {
        PQclear(result);
        return outbox__fail(reterr, OUTBOX_ESERVER, NULL,
                            "PostgreSQL warned at a synchronous commit: it may not be replicated");
    }
    *ret_ours = pg_get_bool(result, 0, 0);
    PQclear(result);
    return OUTBOX_OK;
}

int lease_renew(struct pg *pg, const struct lease_request *request, int64_t epoch, mono_us deadline,
                bool *ret_ours, mono_us *ret_until, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    mono_us asked = clock_now();
    int status;

    pg_arg_int(&args, request->map);
    pg_arg_int(&args, request->lane);
    pg_arg_int(&args, epoch);
    pg_arg_interval_us(&args, request->ttl);
    status = exec_synchronous(pg, sql_renew, &args, deadline, ret_ours, reterr);
    if (status == OUTBOX_OK && *ret_ours)
        *ret_until = asked + request->ttl;
    return status;
}

int lease_record_publish(struct pg *pg, int map, int lane, int64_t epoch, bool at_least_once, mono_us deadline,
                         bool *ret_ours, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_int(&args, map);
    pg_arg_int(&args, lane);
    pg_arg_int(&args, epoch);
    pg_arg_text(&args, at_least_once ? "at_least_once" : "exactly_once");
    return exec_synchronous(pg, sql_record_publish, &args, deadline, ret_ours, reterr);
}

int lease_release(struct pg *pg, const struct lease_end *end, mono_us deadline, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_int(&args, end->map);
    pg_arg_int(&args, end->lane);
    pg_arg_int(&args, end->epoch);
    pg_arg_bool(&args, end->fenced);
    return pg_exec(pg, sql_release, &args, 0, deadline, NULL, reterr);
}

int lease_note_halt(struct pg *pg, int map, int lane, int64_t epoch, const char *state, const char *detail,
                    mono_us deadline, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_int(&args, map);
    pg_arg_int(&args, lane);
    pg_arg_int(&args, epoch);
    pg_arg_text(&args, state);
    pg_arg_text(&args, detail);
    return pg_exec(pg, sql_note_halt, &args, 0, deadline, NULL, reterr);
}
