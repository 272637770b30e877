#include "cli/find.h"

#include "config/value.h"

int find_endpoint(struct cli *cli, const char *name, char ret_id[OUTBOX__UUID_TEXT])
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_text(&args, name);
    code = cli_query(cli,
                     "SELECT p.id FROM outbox.endpoint p"
                     " WHERE p.removed_at IS NULL AND (p.id::text = lower($1) OR p.name = $1)"
                     " ORDER BY p.id::text = lower($1) DESC LIMIT 1",
                     &args, &result);
    if (code != CLI_OK)
        return code;
    if (PQntuples(result) == 0)
        code = cli_fail(CLI_NOT_FOUND, "there is no endpoint %s", name);
    else
        snprintf(ret_id, OUTBOX__UUID_TEXT, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return code;
}

int find_delivery_id(const char *text, int64_t *ret)
{
    if (value_integer(text, ret))
        return CLI_OK;
    return cli_fail(CLI_USAGE, "ID: must be a number, as delivery list shows it; is \"%.80s\"", text);
}
