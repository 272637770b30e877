/* outboxctl migrate: brings the schema up to date. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/migrations.h"
#include "cli/output.h"

static const struct flag_spec flags[] = {
    {"status", NULL, "only show which migrations are applied"},
    {"dry-run", NULL, "only check, and show what would be applied"},
    {"lock-timeout", "TIME", "how long to wait for another migration; 60s"},
    REASON_FLAG,
    {NULL, NULL, NULL},
};

/* What the database has, and what this program makes of it. */
struct applied {
    int highest;
    PGresult *rows; /* version, name, checksum, applied_at, applied_by; NULL: nothing yet */
};

static int read_applied(struct cli *cli, struct applied *ret)
{
    PGresult *result = NULL;
    bool exists;
    int code = cli_query(cli, "SELECT pg_catalog.to_regclass('outbox.migration') IS NOT NULL", NULL, &result);

    if (code != CLI_OK)
        return code;
    exists = pg_get_bool(result, 0, 0);
    PQclear(result);
    ret->highest = 0;
    ret->rows = NULL;
    if (!exists)
        return CLI_OK;
    code = cli_query(
        cli, "SELECT version, name, checksum, applied_at, applied_by FROM outbox.migration ORDER BY 1", NULL,
        &ret->rows);
    if (code == CLI_OK && PQntuples(ret->rows) > 0)
        ret->highest = (int)pg_get_int(ret->rows, PQntuples(ret->rows) - 1, 0);
    return code;
}

/* Is the state of the database one that this program's migrations lead to? */
static int check_applied(const struct applied *applied)
{
    for (int row = 0; applied->rows && row < PQntuples(applied->rows); row++) {
        int version = (int)pg_get_int(applied->rows, row, 0);
        const char *name = PQgetvalue(applied->rows, row, 1);
        const char *checksum = PQgetvalue(applied->rows, row, 2);

        if (version > migration_count || version < 1)
            return cli_fail(CLI_REFUSED,
                            "the database has migration %d (%s), which this outboxctl does not know;"
                            " use that of the newer release",
                            version, name);
        if (version != row + 1)
            return cli_fail(CLI_REFUSED,
                            "migration %d is missing before %d: the record in outbox.migration was"
                            " tampered with",
                            row + 1, version);
        if (strcmp(checksum, migrations[version - 1].checksum) != 0)
            return cli_fail(CLI_REFUSED,
                            "migration %d (%s) was applied with the checksum %s, here it has %s; an"
                            " applied migration never changes: restore it, and write a new one",
                            version, name, checksum, migrations[version - 1].checksum);
    }
    return CLI_OK;
}

static int print_status(struct cli *cli, const struct applied *applied)
{
    json_t *array = json_array();
    struct table *table = table_new(4);
    static const char *const titles[] = {"version", "name", "applied_at", "applied_by"};

    for (int i = 0; i < 4; i++)
        table_cell(table, titles[i]);
    for (int i = 0; i < migration_count; i++) {
        char version[16];
        bool done = i < applied->highest;

        snprintf(version, sizeof(version), "%04d", migrations[i].version);
        table_cell(table, version);
        table_cell(table, migrations[i].name);
        table_cell(table, done ? PQgetvalue(applied->rows, i, 3) : "pending");
        table_cell(table, done ? PQgetvalue(applied->rows, i, 4) : "");
        json_array_append_new(
            array, json_pack("{s:i,s:s,s:s,s:b,s:o,s:o}", "version", migrations[i].version, "name",
                             migrations[i].name, "checksum", migrations[i].checksum, "applied", done,
                             "applied_at", done ? result_value(applied->rows, i, 3) : json_null(),
                             "applied_by", done ? result_value(applied->rows, i, 4) : json_null()));
    }
    if (cli->json)
        print_json(stdout, array);
    else
        table_print(table, stdout);
    if (!cli->json)
        json_decref(array);
    table_free(table);
    return CLI_OK;
}

/* Each step of a migration's transaction.  false: *reterr tells why. */
static bool run_steps(struct cli *cli, const struct migration *migration, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    if (pg_run(cli->pg, migration->sql, clock_now() + cli->timeout, reterr) < 0)
        return false;
    pg_arg_int(&args, migration->version);
    pg_arg_text(&args, migration->name);
    pg_arg_text(&args, migration->checksum);
    return pg_exec(cli->pg, "INSERT INTO outbox.migration (version, name, checksum) VALUES ($1, $2, $3)",
                   &args, 0, clock_now() + cli->timeout, NULL, reterr) == OUTBOX_OK &&
           pg_run(cli->pg, "COMMIT", clock_now() + cli->timeout, reterr) == OUTBOX_OK;
}

static int rollback(struct cli *cli)
{
    outbox_error *err = NULL;

    if (!pg_usable(cli->pg))
        return CLI_CONNECT;
    return pg_run(cli->pg, "ROLLBACK", clock_now() + cli->timeout, &err) < 0 ? cli_fail_error(err) : CLI_OK;
}

/* Begins the transaction and looks again, now that nobody else can migrate.  *ret_pending:
 * is it still to be applied?  If not, or on failure, the transaction is over. */
static int begin(struct cli *cli, const struct migration *migration, bool *ret_pending)
{
    struct applied applied = {0};
    outbox_error *err = NULL;
    int code;

    if (pg_run(cli->pg, migration_begin, clock_now() + cli->timeout, &err) < 0 ||
        pg_run(cli->pg, migration_bootstrap, clock_now() + cli->timeout, &err) < 0) {
        code = cli_fail_error(err);
        rollback(cli);
        return code;
    }
    code = read_applied(cli, &applied);
    if (code == CLI_OK)
        code = check_applied(&applied);
    *ret_pending = code == CLI_OK && applied.highest < migration->version;
    PQclear(applied.rows);
    if (!*ret_pending) {
        int ended = rollback(cli);

        return code != CLI_OK ? code : ended;
    }
    return CLI_OK;
}

static int apply(struct cli *cli, const struct migration *migration, bool *ret_applied)
{
    outbox_error *err = NULL;
    int code = begin(cli, migration, ret_applied);

    if (code != CLI_OK || !*ret_applied)
        return code;
    if (run_steps(cli, migration, &err))
        return CLI_OK;
    cli_fail(CLI_FAILED, "migration %04d_%s failed and was rolled back:", migration->version,
             migration->name);
    code = cli_fail_error(err);
    rollback(cli);
    return code;
}

static const struct example examples[] = {
    {"migrate", "creates the outbox in the database that OUTBOX_DSN names"},
    {"migrate --dry-run", "what a new release would change"},
    {NULL, NULL},
};

/* What outbox.audit takes as the reason. */
static int set_reason(struct cli *cli)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_text(&args, flag_text(&cli->args, "reason"));
    return cli_query(cli, "SELECT pg_catalog.set_config('outbox.reason', coalesce($1, ''), false)", &args,
                     NULL);
}

/* Sets what migration_begin reads. */
static int set_patience(struct cli *cli)
{
    struct pg_args args = PG_ARGS_INIT;
    outbox_error *err = NULL;
    char milliseconds[32];
    mono_us patience;

    if (flag_duration(&cli->args, "lock-timeout", MILLISECONDS(1), SECONDS(86400), 0, &patience, &err) < 0)
        return cli_fail_error(err);
    if (patience == 0)
        return CLI_OK;
    snprintf(milliseconds, sizeof(milliseconds), "%lldms", (long long)(patience / 1000));
    pg_arg_text(&args, milliseconds);
    return cli_query(cli, "SELECT pg_catalog.set_config('outbox.migration_lock_timeout', $1, false)", &args,
                     NULL);
}

static int apply_pending(struct cli *cli, int first)
{
    json_t *done = json_array();
    int code = set_patience(cli);

    if (code == CLI_OK)
        code = set_reason(cli);
    for (int i = first; code == CLI_OK && i < migration_count; i++) {
        bool applied = false;

        code = apply(cli, &migrations[i], &applied);
        if (code != CLI_OK || !applied)
            continue;
        json_array_append_new(done, json_integer(migrations[i].version));
        if (!cli->json)
            printf("applied %04d_%s\n", migrations[i].version, migrations[i].name);
    }
    if (code == CLI_OK && !cli->json && json_array_size(done) == 0)
        printf("up to date at version %d\n", migration_count);
    if (code == CLI_OK && cli->json)
        print_json(stdout, json_pack("{s:O,s:i}", "applied", done, "version", migration_count));
    json_decref(done);
    return code;
}

static int print_plan(struct cli *cli, int first)
{
    json_t *pending = json_array();

    for (int i = first; i < migration_count; i++) {
        json_array_append_new(pending, json_integer(migrations[i].version));
        if (!cli->json)
            printf("would apply %04d_%s\n", migrations[i].version, migrations[i].name);
    }
    if (!cli->json && first >= migration_count)
        printf("up to date at version %d\n", migration_count);
    if (cli->json)
        print_json(stdout, json_pack("{s:O,s:i}", "pending", pending, "version", first));
    json_decref(pending);
    return CLI_OK;
}

static int run(struct cli *cli)
{
    struct applied applied = {0};
    int code;

    if (pg_version(cli->pg) < 150000)
        return cli_fail(CLI_REFUSED, "outbox needs PostgreSQL 15 or later; this server is %d",
                        pg_version(cli->pg) / 10000);
    code = read_applied(cli, &applied);
    if (code == CLI_OK)
        code = check_applied(&applied);
    if (code == CLI_OK && flag_given(&cli->args, "status"))
        code = print_status(cli, &applied);
    else if (code == CLI_OK && flag_given(&cli->args, "dry-run"))
        code = print_plan(cli, applied.highest);
    else if (code == CLI_OK)
        code = apply_pending(cli, applied.highest);
    PQclear(applied.rows);
    return code;
}

const struct command migrate_command = {
    .name = "migrate",
    .operands = "",
    .summary = "Creates the schema, or brings it up to date",
    .help = "Each migration is a transaction of its own. Those that run at once wait for each\n"
            "other. The installed outbox.sql does the same with psql alone. The user must own\n"
            "the database and have CREATEROLE, or be a superuser.",
    .flags = flags,
    .examples = examples,
    .connects = true,
    .changes = true,
    .run = run,
};
