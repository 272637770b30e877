/* outboxctl endpoint disable, endpoint enable. */
#include "cli/cli.h"
#include "cli/find.h"
#include "cli/output.h"

static const struct flag_spec flags[] = {
    REASON_FLAG,
    {NULL, NULL, NULL},
};

/* function is called with id and reason, and returns: changed, open. */
static int change(struct cli *cli, const char *sql, const char *id, PGresult **ret)
{
    struct pg_args args = PG_ARGS_INIT;
    int code;

    pg_arg_text(&args, id);
    pg_arg_text(&args, flag_text(&cli->args, "reason"));
    code = cli_query(cli, sql, &args, ret);
    if (code == CLI_OK && PQntuples(*ret) == 0) {
        PQclear(*ret);
        *ret = NULL;
        code = cli_fail(CLI_NOT_FOUND, "there is no endpoint %s", operand(&cli->args, 0));
    }
    return code;
}

static int run_switch(struct cli *cli, const char *sql, const char *state, const char *outlook)
{
    char id[OUTBOX__UUID_TEXT];
    PGresult *result = NULL;
    int code = find_endpoint(cli, operand(&cli->args, 0), id);

    if (code == CLI_OK)
        code = change(cli, sql, id, &result);
    if (code != CLI_OK)
        return code;
    if (cli->json)
        print_json(stdout, result_object(result, 0));
    else if (pg_get_bool(result, 0, 1))
        printf("%s %s; its %s open deliveries %s\n", state, id, PQgetvalue(result, 0, 2), outlook);
    else
        printf("%s is %s already; it has %s open deliveries\n", id, state, PQgetvalue(result, 0, 2));
    PQclear(result);
    return CLI_OK;
}

static int run_disable(struct cli *cli)
{
    return run_switch(cli, "SELECT $1::uuid AS id, s.changed, s.open FROM outbox.endpoint_disable($1::uuid, $2) s",
                      "disabled", "wait");
}

static int run_enable(struct cli *cli)
{
    return run_switch(cli, "SELECT $1::uuid AS id, s.changed, s.open FROM outbox.endpoint_enable($1::uuid, $2) s",
                      "enabled", "are sent as they are due");
}

static const struct example disable_examples[] = {
    {"endpoint disable shop --reason 'their maintenance, until 14:00'", "stop sending to it for a while"},
    {NULL, NULL},
};

const struct command endpoint_disable_command = {
    .name = "endpoint disable",
    .operands = "ID|NAME",
    .least = 1,
    .most = 1,
    .summary = "Sends nothing more to an endpoint until it is enabled again",
    .help = "Its open deliveries wait, and are sent once it is enabled. Events that are published\n"
            "meanwhile get no delivery to it: they are not sent later either. What is being sent\n"
            "just now ends as it may; relays notice the change within some seconds.",
    .flags = flags,
    .examples = disable_examples,
    .connects = true,
    .changes = true,
    .run = run_disable,
};

static const struct example enable_examples[] = {
    {"endpoint enable shop", "its open deliveries are sent as they are due"},
    {NULL, NULL},
};

const struct command endpoint_enable_command = {
    .name = "endpoint enable",
    .operands = "ID|NAME",
    .least = 1,
    .most = 1,
    .summary = "Sends to a disabled endpoint again, first what has waited",
    .flags = flags,
    .examples = enable_examples,
    .connects = true,
    .changes = true,
    .run = run_enable,
};
