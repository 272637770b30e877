#include "source/tick.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"

/* A tick that somebody else made is news as well: nobody told our lane of it. */
static const char sql_tick[] =
    "SELECT t.id, t.nonce, t.last_seq, t.snapshot, t.self_xid FROM outbox.tick($1, $2) AS t";

static const char sql_newest[] =
    "SELECT t.id, t.nonce, t.last_seq, t.snapshot, t.self_xid FROM outbox.tick_newest($1) AS t";

static const char sql_load[] =
    "SELECT t.id, t.nonce, t.last_seq, t.snapshot, t.self_xid"
    "  FROM outbox.tick AS t WHERE t.id = $1 AND t.nonce = $2::uuid";

/* The bell: key 4 of the lock class, see outbox.lock_class(). */
static const char sql_bell_try[] = "SELECT pg_catalog.pg_try_advisory_lock(1868721016, 4)";
static const char sql_bell_end_holder[] =
    "SELECT l.pid, pg_catalog.pg_terminate_backend(l.pid) FROM pg_catalog.pg_locks AS l"
    "  JOIN pg_catalog.pg_database AS d ON d.oid = l.database AND d.datname = pg_catalog.current_database()"
    " WHERE l.locktype = 'advisory' AND l.classid = 1868721016 AND l.objid = 4 AND l.objsubid = 2"
    "   AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()";
static const char sql_bell_release[] = "SELECT pg_catalog.pg_advisory_unlock(1868721016, 4)";

void tick_clear(struct tick *tick)
{
    free(tick->snapshot);
    free(tick->xip);
    free(tick->xmax);
    free(tick->self);
    *tick = (struct tick){0};
}

bool tick_is(const struct tick *tick, const struct tick_id *id)
{
    return tick->snapshot && tick->id.id == id->id && memcmp(tick->id.nonce, id->nonce, sizeof(id->nonce)) == 0;
}

bool tick_copy(struct tick *ret, const struct tick *tick)
{
    struct tick copy = {.id = tick->id, .last_seq = tick->last_seq};

    copy.snapshot = strdup(tick->snapshot);
    copy.xip = strdup(tick->xip);
    copy.xmax = strdup(tick->xmax);
    copy.self = strdup(tick->self);
    if (!copy.snapshot || !copy.xip || !copy.xmax || !copy.self) {
        tick_clear(&copy);
        return false;
    }
    *ret = copy;
    return true;
}

/* A snapshot's text is xmin:xmax:xip,xip... (PostgreSQL's documentation, "pg_snapshot"). */
static int split_snapshot(struct tick *tick, outbox_error **reterr)
{
    const char *xmax = strchr(tick->snapshot, ':');
    const char *xip = xmax ? strchr(xmax + 1, ':') : NULL;
    size_t size;

    if (!xip)
        return outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "a tick has a snapshot that cannot be read");
    tick->xmax = strndup(xmax + 1, (size_t)(xip - xmax - 1));
    size = strlen(xip + 1) + 3;
    tick->xip = malloc(size);
    if (!tick->xmax || !tick->xip)
        return outbox__fail_memory(reterr);
    snprintf(tick->xip, size, "{%s}", xip + 1);
    return OUTBOX_OK;
}

static int read_tick(const PGresult *row, struct tick *ret, outbox_error **reterr)
{
    struct tick tick = {.id = {.id = pg_get_int(row, 0, 0)}, .last_seq = pg_get_int(row, 0, 2)};
    struct outbox__uuid nonce;
    int status;

    if (!outbox__uuid_parse(PQgetvalue(row, 0, 1), &nonce))
        return outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "a tick has no nonce");
    memcpy(tick.id.nonce, nonce.bytes, sizeof(tick.id.nonce));
    tick.snapshot = strdup(PQgetvalue(row, 0, 3));
    tick.self = strdup(PQgetvalue(row, 0, 4));
    status = tick.snapshot && tick.self ? split_snapshot(&tick, reterr) : outbox__fail_memory(reterr);
    if (status < 0)
        tick_clear(&tick);
    else
        *ret = tick;
    return status;
}

/* By a statement that commits synchronously; a row of nulls: there is none. */
static int get_tick(struct pg *pg, const char *sql, const struct pg_args *args, mono_us deadline, bool *ret_found,
                    struct tick *ret, outbox_error **reterr)
{
    PGresult *result = NULL;
    int status;

    pg_take_warning(pg);
    status = pg_exec(pg, sql, args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    if (pg_take_warning(pg)) {
        status = outbox__fail(reterr, OUTBOX_ESERVER, NULL,
                              "PostgreSQL warned while committing a tick: it may not be replicated");
    } else {
        *ret_found = PQntuples(result) > 0 && !PQgetisnull(result, 0, 0);
        if (*ret_found)
            status = read_tick(result, ret, reterr);
    }
    PQclear(result);
    return status;
}

int tick_take(struct pg *pg, bool forced, int64_t last, mono_us deadline, bool *ret_made, struct tick *ret,
              outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_bool(&args, !forced);
    pg_arg_int(&args, last);
    return get_tick(pg, sql_tick, &args, deadline, ret_made, ret, reterr);
}

int tick_newest(struct pg *pg, int64_t after, mono_us deadline, bool *ret_found, struct tick *ret,
                outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_int(&args, after);
    return get_tick(pg, sql_newest, &args, deadline, ret_found, ret, reterr);
}

int tick_tell(struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    return pg_exec(pg, "SELECT pg_catalog.pg_notify('outbox_ticks', '')", NULL, 0, deadline, NULL, reterr);
}

int tick_listen(struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    return pg_run(pg, "LISTEN outbox_ticks", deadline, reterr);
}

int tick_load(struct pg *pg, const struct tick_id *id, mono_us deadline, bool *ret_found, struct tick *ret,
              outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    char nonce[OUTBOX__UUID_TEXT];
    struct outbox__uuid uuid;
    PGresult *result = NULL;
    int status;

    memcpy(uuid.bytes, id->nonce, sizeof(uuid.bytes));
    outbox__uuid_format(&uuid, nonce);
    pg_arg_int(&args, id->id);
    pg_arg_text(&args, nonce);
    status = pg_exec(pg, sql_load, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    *ret_found = PQntuples(result) == 1;
    if (*ret_found)
        status = read_tick(result, ret, reterr);
    PQclear(result);
    return status;
}

int bell_listen(struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    return pg_run(pg, "LISTEN outbox", deadline, reterr);
}

static int ask(struct pg *pg, const char *sql, mono_us deadline, bool *ret, outbox_error **reterr)
{
    PGresult *result = NULL;
    int status = pg_exec(pg, sql, NULL, 0, deadline, &result, reterr);

    if (status < 0)
        return status;
    *ret = pg_get_bool(result, 0, 0);
    PQclear(result);
    return OUTBOX_OK;
}

int bell_try(struct pg *pg, mono_us deadline, bool *ret_granted, outbox_error **reterr)
{
    return ask(pg, sql_bell_try, deadline, ret_granted, reterr);
}

int bell_end_holder(struct pg *pg, mono_us deadline, int *ret_ended, outbox_error **reterr)
{
    PGresult *result = NULL;
    int status = pg_exec(pg, sql_bell_end_holder, NULL, 0, deadline, &result, reterr);

    if (status < 0)
        return status;
    *ret_ended = PQntuples(result) > 0 ? (int)pg_get_int(result, 0, 0) : 0;
    PQclear(result);
    return OUTBOX_OK;
}

int bell_release(struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    bool held = false;
    int status = ask(pg, sql_bell_release, deadline, &held, reterr);

    if (status == OUTBOX_OK && !held)
        return outbox__fail(reterr, OUTBOX_EINTERNAL, NULL,
                            "the doorbell was not held: is there a pooler in between?");
    return status;
}

int bell_check_direct(struct pg *pg, mono_us deadline, bool *ret_direct, outbox_error **reterr)
{
    PGresult *result = NULL;
    int status = pg_exec(pg, "SELECT pg_catalog.pg_backend_pid()", NULL, 0, deadline, &result, reterr);

    if (status < 0)
        return status;
    *ret_direct = pg_get_int(result, 0, 0) == pg_backend(pg);
    PQclear(result);
    return OUTBOX_OK;
}
