#include "source/acknowledge.h"

#include <string.h>

#include "base/uuid.h"

static const char sql_acknowledge[] =
    "SELECT a.accepted, a.deliveries, a.endpoints FROM outbox.lane_acknowledge("
    "$1, $2, $3, $4, $5, $6, $7, $8::uuid, $9, $10::uuid, $11, $12, $13, $14) AS a";

static const char sql_verify[] =
    "SELECT EXISTS (SELECT FROM outbox.tick WHERE id = $1 AND nonce = $2::uuid)"
    "   AND EXISTS (SELECT FROM outbox.tick WHERE id = $3 AND nonce = $4::uuid)";

static void format_nonce(const struct tick_id *tick, char ret[OUTBOX__UUID_TEXT])
{
    struct outbox__uuid uuid;

    memcpy(uuid.bytes, tick->nonce, sizeof(uuid.bytes));
    outbox__uuid_format(&uuid, ret);
}

int acknowledge(struct pg *pg, const struct acknowledgement *what, mono_us deadline, struct acknowledged *ret,
                outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    char from[OUTBOX__UUID_TEXT];
    char to[OUTBOX__UUID_TEXT];
    PGresult *result = NULL;
    int status;

    format_nonce(&what->position.from, from);
    format_nonce(&what->position.to, to);
    pg_arg_int(&args, what->map);
    pg_arg_int(&args, what->lane);
    pg_arg_int(&args, what->epoch);
    pg_arg_int(&args, what->old.from.id);
    pg_arg_int(&args, what->old.to.id);
    pg_arg_int(&args, what->old.seq);
    pg_arg_int(&args, what->position.from.id);
    pg_arg_text(&args, from);
    pg_arg_int(&args, what->position.to.id);
    pg_arg_text(&args, to);
    pg_arg_int(&args, what->position.seq);
    pg_arg_bool(&args, what->position.done);
    pg_arg_int(&args, what->published);
    pg_arg_int(&args, what->release);
    status = pg_exec(pg, sql_acknowledge, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    ret->accepted = pg_get_bool(result, 0, 0);
    ret->deliveries = pg_get_int(result, 0, 1);
    ret->endpoints = (int)pg_get_int(result, 0, 2);
    PQclear(result);
    return OUTBOX_OK;
}

int position_verify(struct pg *pg, const struct position *position, mono_us deadline, bool *ret_found,
                    outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    char from[OUTBOX__UUID_TEXT];
    char to[OUTBOX__UUID_TEXT];
    PGresult *result = NULL;
    int status;

    format_nonce(&position->from, from);
    format_nonce(&position->to, to);
    pg_arg_int(&args, position->from.id);
    pg_arg_text(&args, from);
    pg_arg_int(&args, position->to.id);
    pg_arg_text(&args, to);
    status = pg_exec(pg, sql_verify, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    *ret_found = pg_get_bool(result, 0, 0);
    PQclear(result);
    return OUTBOX_OK;
}
