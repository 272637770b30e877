#include "consumer/position.h"

#include <string.h>

/* So many parked keys of one partition fit into memory; with more the consumer stops. */
#define PARKED_KEYS_LIMIT 100000

static mono_us patience(void)
{
    return clock_now() + POSITION_PATIENCE;
}

int position_run(struct pg *pg, const char *sql, outbox_error **reterr)
{
    return pg_run(pg, sql, patience(), reterr);
}

static void name_it(struct pg_args *args, const struct partition *partition)
{
    pg_arg_text(args, partition->consumer->options->name);
    pg_arg_text(args, partition->topic);
    pg_arg_int(args, partition->number);
}

static int load_parked(struct pg *pg, struct partition *partition, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int r;

    keyset_free(&partition->parked);
    name_it(&args, partition);
    pg_arg_int(&args, PARKED_KEYS_LIMIT + 1);
    r = pg_exec(pg, "SELECT k FROM outbox.consumer_parked_keys($1, $2, $3, $4) AS k", &args, 1, patience(), &result,
                reterr);
    if (r == OUTBOX_OK && PQntuples(result) > PARKED_KEYS_LIMIT)
        r = outbox__fail(reterr, OUTBOX_ELIMIT, "parked keys",
                         "more than %d keys of topic %s, partition %d are parked: release them with"
                         " outbox.consumer_release_key()",
                         PARKED_KEYS_LIMIT, partition->topic, (int)partition->number);
    for (int row = 0; r == OUTBOX_OK && row < PQntuples(result); row++) {
        if (!keyset_add(&partition->parked, PQgetvalue(result, row, 0), (size_t)PQgetlength(result, row, 0)))
            r = outbox__fail_memory(reterr);
    }
    PQclear(result);
    return r;
}

int position_acquire(struct pg *pg, struct partition *partition, const char *cluster, int64_t *ret_position,
                     outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int r;

    name_it(&args, partition);
    pg_arg_text(&args, cluster);
    pg_arg_text(&args, partition->consumer->owner);
    r = pg_exec(pg, "SELECT fence, next_offset FROM outbox.consumer_acquire($1, $2, $3, $4, $5)", &args, 0,
                patience(), &result, reterr);
    if (r == OUTBOX_OK) {
        partition->fence = pg_get_int(result, 0, 0);
        *ret_position = pg_get_text(result, 0, 1) ? pg_get_int(result, 0, 1) : -1;
        /* Committed: so what an earlier owner parked is all there. */
        r = load_parked(pg, partition, reterr);
    }
    PQclear(result);
    return r;
}

static int advance(struct pg *pg, const struct partition *partition, int64_t to, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    name_it(&args, partition);
    pg_arg_int(&args, partition->fence);
    if (partition->position < 0)
        pg_arg_text(&args, NULL);
    else
        pg_arg_int(&args, partition->position);
    pg_arg_int(&args, to);
    return pg_exec(pg, "SELECT outbox.consumer_advance($1, $2, $3, $4, $5, $6)", &args, 0, patience(), NULL, reterr);
}

/* Raised by consumer_advance() alone: it names the column. */
static bool is_fenced(const outbox_error *err)
{
    return err && strcmp(outbox_error_sqlstate(err), "55000") == 0 && strcmp(outbox_error_field(err), "fence") == 0;
}

/* advance() with OUTBOX_ESTATE if another has the partition. */
static int advance_if_mine(struct pg *pg, const struct partition *partition, int64_t to, outbox_error **reterr)
{
    outbox_error *err = NULL;
    int r = advance(pg, partition, to, &err);

    if (r == OUTBOX_OK)
        return OUTBOX_OK;
    if (is_fenced(err))
        r = OUTBOX_ESTATE;
    r = outbox__fail_sqlstate(reterr, r, NULL, err ? outbox_error_sqlstate(err) : NULL, "%s",
                              err ? outbox_error_message(err) : "out of memory");
    outbox_error_free(err);
    return r;
}

int position_begin_at(struct pg *pg, struct partition *partition, int64_t to, outbox_error **reterr)
{
    return advance_if_mine(pg, partition, to, reterr);
}

static int commit(struct pg *pg, outbox_error **reterr)
{
    PGresult *result = NULL;
    int r = pg_exec(pg, "COMMIT", NULL, 0, patience(), &result, reterr);

    /* A transaction that has failed "commits" by rolling back. */
    if (r == OUTBOX_OK && strcmp(PQcmdStatus(result), "COMMIT") != 0)
        r = outbox__fail(reterr, OUTBOX_ESERVER, NULL, "PostgreSQL rolled the transaction back");
    PQclear(result);
    return r;
}

int position_commit(struct pg *pg, const struct partition *partition, int64_t to, outbox_error **reterr)
{
    int r = advance_if_mine(pg, partition, to, reterr);

    if (r == OUTBOX_OK)
        return commit(pg, reterr);
    /* If this fails, too, the connection is lost, and then the server rolls back by itself. */
    if (r == OUTBOX_ESTATE || r == OUTBOX_ESERVER)
        (void)position_run(pg, "ROLLBACK", NULL);
    return r;
}

int position_fence(struct pg *pg, const struct partition *partition, int64_t *ret_fence, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int r;

    name_it(&args, partition);
    r = pg_exec(pg, "SELECT coalesce(outbox.consumer_fence($1, $2, $3), 0)", &args, 0, patience(), &result, reterr);
    if (r == OUTBOX_OK)
        *ret_fence = pg_get_int(result, 0, 0);
    PQclear(result);
    return r;
}

int position_park_key(struct pg *pg, const struct partition *partition, const rd_kafka_message_t *message,
                      const char *reason, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    name_it(&args, partition);
    pg_arg_bytes(&args, message->key, keyset_size(message->key_len));
    pg_arg_int(&args, message->offset);
    pg_arg_text(&args, reason);
    return pg_exec(pg, "SELECT outbox.consumer_park_key($1, $2, $3, $4, $5, $6)", &args, 0, patience(), NULL, reterr);
}

int position_park_behind(struct pg *pg, const struct partition *partition, const rd_kafka_message_t *message,
                         bool *ret_parked, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int r;

    name_it(&args, partition);
    pg_arg_bytes(&args, message->key, keyset_size(message->key_len));
    r = pg_exec(pg, "SELECT outbox.consumer_park_behind($1, $2, $3, $4)", &args, 0, patience(), &result, reterr);
    if (r == OUTBOX_OK)
        *ret_parked = pg_get_bool(result, 0, 0);
    PQclear(result);
    return r;
}
