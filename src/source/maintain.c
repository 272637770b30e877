#include "source/maintain.h"

#include <stdio.h>
#include <string.h>

/* Nothing here is urgent, and whoever waits for a lock makes others wait behind it. */
static const char sql_patience[] = "SET statement_timeout = '10s'; SET lock_timeout = '2s'";
static const char sql_patience_detaching[] = "SET statement_timeout = '2500ms'";
static const char sql_patience_usual[] = "SET statement_timeout = '10s'";

static const char sql_may_remove[] =
    "SELECT pg_catalog.pg_has_role(session_user, 'outbox_maintenance', CASE"
    "       WHEN pg_catalog.current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END)";
/* Key 6 of the lock class, see outbox.lock_class(). */
static const char sql_enter[] = "SELECT pg_catalog.pg_try_advisory_lock(1868721016, 6)";
static const char sql_leave[] = "SELECT pg_catalog.pg_advisory_unlock(1868721016, 6)";

static const char sql_ahead[] = "SELECT a.ahead, a.due FROM outbox.partition_ahead($1::interval, $2) AS a";
static const char sql_add[] = "SELECT outbox.partition_add()";
static const char sql_rotate[] = "SELECT coalesce(outbox.rotate(), -1)";
static const char sql_retire[] = "SELECT r.n, coalesce(r.held, '') FROM outbox.partition_retire($1::interval) AS r";
static const char sql_keep[] = "SELECT outbox.partition_keep($1, $2)";
static const char sql_table[] = "SELECT outbox.partition_table($1, $2)";
static const char sql_forget[] = "SELECT outbox.partition_forget($1)";
static const char sql_deliveries[] =
    "SELECT x.removed, coalesce(x.last, 0) FROM outbox.delivery_expire($1, $2::interval, $3) AS x";
static const char sql_slot[] = "SELECT x.removed, x.emptied FROM outbox.slot_expire($1, $2, $3) AS x";
static const char sql_audit[] = "SELECT outbox.audit_expire($1::interval, $2)";
static const char sql_kept[] = "SELECT outbox.kept_expire($1)";

static void arg_retention(struct pg_args *args, mono_us retention)
{
    if (retention == MAINTAIN_FOREVER)
        pg_arg_text(args, NULL);
    else
        pg_arg_interval_us(args, retention);
}

static int ask_number(struct pg *pg, const char *sql, const struct pg_args *args, mono_us deadline, int64_t *ret,
                      outbox_error **reterr)
{
    PGresult *result = NULL;
    int status = pg_exec(pg, sql, args, 0, deadline, &result, reterr);

    if (status < 0)
        return status;
    *ret = pg_get_int(result, 0, 0);
    PQclear(result);
    return OUTBOX_OK;
}

static int ask_bool(struct pg *pg, const char *sql, const struct pg_args *args, mono_us deadline, bool *ret,
                    outbox_error **reterr)
{
    PGresult *result = NULL;
    int status = pg_exec(pg, sql, args, 0, deadline, &result, reterr);

    if (status < 0)
        return status;
    *ret = pg_get_bool(result, 0, 0);
    PQclear(result);
    return OUTBOX_OK;
}

int maintain_begin(struct pg *pg, mono_us deadline, bool *ret_may_remove, outbox_error **reterr)
{
    int status = pg_run(pg, sql_patience, deadline, reterr);

    if (status == OUTBOX_OK)
        status = ask_bool(pg, sql_may_remove, NULL, deadline, ret_may_remove, reterr);
    if (status == OUTBOX_OK && *ret_may_remove)
        status = pg_run(pg, "SET ROLE outbox_maintenance", deadline, reterr);
    return status;
}

int maintain_enter(struct pg *pg, mono_us deadline, bool *ret_alone, outbox_error **reterr)
{
    return ask_bool(pg, sql_enter, NULL, deadline, ret_alone, reterr);
}

int maintain_leave(struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    bool held;

    return ask_bool(pg, sql_leave, NULL, deadline, &held, reterr);
}

/* ---- partitions ahead ---- */

int maintain_ahead(struct pg *pg, mono_us every, int64_t events, mono_us deadline, int *ret_ahead, bool *ret_due,
                   outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int status;

    pg_arg_interval_us(&args, every);
    pg_arg_int(&args, events);
    status = pg_exec(pg, sql_ahead, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    *ret_ahead = (int)pg_get_int(result, 0, 0);
    *ret_due = pg_get_bool(result, 0, 1);
    PQclear(result);
    return OUTBOX_OK;
}

static int ask_partition(struct pg *pg, const char *sql, mono_us deadline, int *ret, outbox_error **reterr)
{
    int64_t number = -1;
    int status = ask_number(pg, sql, NULL, deadline, &number, reterr);

    *ret = (int)number;
    return status;
}

int maintain_add(struct pg *pg, mono_us deadline, int *ret_number, outbox_error **reterr)
{
    return ask_partition(pg, sql_add, deadline, ret_number, reterr);
}

int maintain_rotate(struct pg *pg, mono_us deadline, int *ret_number, outbox_error **reterr)
{
    return ask_partition(pg, sql_rotate, deadline, ret_number, reterr);
}

/* ---- partitions that go ---- */

int maintain_retire(struct pg *pg, mono_us retention, mono_us deadline, struct maintain_oldest *ret,
                    outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int status;

    arg_retention(&args, retention);
    status = pg_exec(pg, sql_retire, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    ret->number = (int)pg_get_int(result, 0, 0);
    snprintf(ret->held, sizeof(ret->held), "%s", PQgetvalue(result, 0, 1));
    PQclear(result);
    return OUTBOX_OK;
}

int maintain_keep(struct pg *pg, int number, int limit, mono_us deadline, int64_t *ret_kept, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_int(&args, number);
    pg_arg_int(&args, limit);
    return ask_number(pg, sql_keep, &args, deadline, ret_kept, reterr);
}

static int ask_table(struct pg *pg, int number, const char *parent, mono_us deadline, char ret[16],
                     outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int status;

    pg_arg_int(&args, number);
    pg_arg_text(&args, parent);
    status = pg_exec(pg, sql_table, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    snprintf(ret, 16, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return OUTBOX_OK;
}

/* A name cannot be a parameter; it is made of a word of ours and a number. */
static int change_table(struct pg *pg, int number, const char *parent, const char *state, mono_us deadline,
                        outbox_error **reterr)
{
    char sql[160];
    int status;

    if (strcmp(state, "detached") == 0)
        snprintf(sql, sizeof(sql), "DROP TABLE outbox.%s_%d", parent, number);
    else
        snprintf(sql, sizeof(sql), "ALTER TABLE outbox.%s DETACH PARTITION outbox.%s_%d %s", parent, parent, number,
                 strcmp(state, "pending") == 0 ? "FINALIZE" : "CONCURRENTLY");
    status = pg_run(pg, sql_patience_detaching, deadline, reterr);
    if (status == OUTBOX_OK)
        status = pg_run(pg, sql, deadline, reterr);
    if (pg_usable(pg) && pg_run(pg, sql_patience_usual, deadline, status == OUTBOX_OK ? reterr : NULL) < 0)
        return status < 0 ? status : OUTBOX_ECONNECTION;
    return status;
}

int maintain_drop_step(struct pg *pg, int number, mono_us deadline, bool *ret_gone, outbox_error **reterr)
{
    static const char *const parents[] = {"event", "tick"};
    struct pg_args args = PG_ARGS_INIT;

    *ret_gone = false;
    for (int i = 0; i < 2; i++) {
        char state[16];
        int status = ask_table(pg, number, parents[i], deadline, state, reterr);

        if (status < 0)
            return status;
        if (strcmp(state, "gone") != 0)
            return change_table(pg, number, parents[i], state, deadline, reterr);
    }
    pg_arg_int(&args, number);
    return ask_bool(pg, sql_forget, &args, deadline, ret_gone, reterr);
}

/* ---- rows that expire ---- */

int maintain_expire_deliveries(struct pg *pg, mono_us retention, int limit, mono_us deadline, int64_t *after,
                               int64_t *ret_removed, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int status;

    pg_arg_int(&args, *after);
    arg_retention(&args, retention);
    pg_arg_int(&args, limit);
    status = pg_exec(pg, sql_deliveries, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    *ret_removed = pg_get_int(result, 0, 0);
    *after = pg_get_int(result, 0, 1);
    PQclear(result);
    return OUTBOX_OK;
}

int maintain_expire_slot(struct pg *pg, const char *ring, int age, int limit, mono_us deadline, bool *ret_emptied,
                         int64_t *ret_removed, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int status;

    pg_arg_text(&args, ring);
    pg_arg_int(&args, age);
    pg_arg_int(&args, limit);
    status = pg_exec(pg, sql_slot, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    *ret_removed = pg_get_int(result, 0, 0);
    *ret_emptied = pg_get_bool(result, 0, 1);
    PQclear(result);
    return OUTBOX_OK;
}

int maintain_expire_audit(struct pg *pg, mono_us retention, int limit, mono_us deadline, int64_t *ret_removed,
                          outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    arg_retention(&args, retention);
    pg_arg_int(&args, limit);
    return ask_number(pg, sql_audit, &args, deadline, ret_removed, reterr);
}

int maintain_expire_kept(struct pg *pg, int limit, mono_us deadline, int64_t *ret_removed, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_int(&args, limit);
    return ask_number(pg, sql_kept, &args, deadline, ret_removed, reterr);
}
