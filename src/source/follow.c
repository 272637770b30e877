#include "source/follow.h"

#include <string.h>

#include "base/uuid.h"

static const char sql_newest[] = "SELECT t.id, t.nonce FROM outbox.tick_newest($1) AS t";
static const char sql_tell[] = "SELECT pg_catalog.pg_notify('outbox_ticks', '')";

int follow_tell(struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    return pg_exec(pg, sql_tell, NULL, 0, deadline, NULL, reterr);
}

int follow_listen(struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    return pg_run(pg, "LISTEN outbox_ticks", deadline, reterr);
}

static int read_tick(const PGresult *rows, bool *ret_found, struct tick_id *ret, outbox_error **reterr)
{
    struct outbox__uuid nonce;

    *ret_found = PQntuples(rows) == 1 && !PQgetisnull(rows, 0, 0);
    if (!*ret_found)
        return OUTBOX_OK;
    if (!outbox__uuid_parse(PQgetvalue(rows, 0, 1), &nonce))
        return outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "a tick has no nonce");
    ret->id = pg_get_int(rows, 0, 0);
    memcpy(ret->nonce, nonce.bytes, sizeof(ret->nonce));
    return OUTBOX_OK;
}

int follow_newest(struct pg *pg, int64_t after, mono_us deadline, bool *ret_found, struct tick_id *ret,
                  outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *rows = NULL;
    int status;

    pg_arg_int(&args, after);
    pg_take_warning(pg);
    status = pg_exec(pg, sql_newest, &args, 0, deadline, &rows, reterr);
    if (status < 0)
        return status;
    if (pg_take_warning(pg))
        status = outbox__fail(reterr, OUTBOX_ESERVER, NULL,
                              "PostgreSQL warned at a synchronous commit: a tick may not be replicated");
    else
        status = read_tick(rows, ret_found, ret, reterr);
    PQclear(rows);
    return status;
}
