/* outboxctl route: which topic the events of a type go to. */
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"

static int run_list(struct cli *cli)
{
    PGresult *result = NULL;
    int code = cli_query(
        cli,
        "SELECT pattern, coalesce(topic, CASE WHEN $1 THEN '(webhooks only)' END) AS topic, created_at"
        "  FROM outbox.route ORDER BY pattern",
        &(struct pg_args){.count = 1, .values = {cli->json ? "f" : "t"}}, &result);

    if (code != CLI_OK)
        return code;
    if (cli->json)
        print_json(stdout, result_array(result));
    else
        print_rows(stdout, result,
                   "no routes: each event goes to the topic it names, else to one named as its type");
    PQclear(result);
    return CLI_OK;
}

const struct command route_list_command = {
    .name = "route list",
    .operands = "",
    .summary = "Lists the routes",
    .connects = true,
    .run = run_list,
};

static const struct flag_spec add_flags[] = {
    {"webhooks-only", NULL, "keep these events out of Kafka"},
    {"replace", NULL, "change the route if the pattern has one"},
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static const struct example add_examples[] = {
    {"route add 'order.*' orders", "events order.placed, order.paid, ... go to the topic orders"},
    {"route add 'internal.*' --webhooks-only", "these go to webhooks, but not to Kafka"},
    {NULL, NULL},
};

static int run_add(struct cli *cli)
{
    const char *pattern = operand(&cli->args, 0);
    const char *topic = operand(&cli->args, 1);
    bool replace = flag_given(&cli->args, "replace");
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    if (flag_given(&cli->args, "webhooks-only") == (topic != NULL))
        return cli_fail(CLI_USAGE, "give either a topic or --webhooks-only");
    pg_arg_text(&args, pattern);
    pg_arg_text(&args, topic);
    pg_arg_bool(&args, replace);
    pg_arg_text(&args, flag_text(&cli->args, "reason"));
    code = cli_query(cli, "SELECT pattern, topic, created_at FROM outbox.route_add($1, $2, $3, $4)", &args,
                     &result);
    if (code != CLI_OK)
        return code;
    if (PQntuples(result) == 0)
        code = cli_fail(CLI_REFUSED, "%s has a route already; --replace changes it", pattern);
    else if (cli->json)
        print_json(stdout, result_object(result, 0));
    else
        printf("%s goes to %s\n", pattern, topic ? topic : "webhooks only");
    PQclear(result);
    return code;
}

const struct command route_add_command = {
    .name = "route add",
    .operands = "PATTERN [TOPIC]",
    .least = 1,
    .most = 2,
    .summary = "Sends the events of a type, or of types like \"order.*\", to a topic",
    .help = "An event that names its topic itself goes there in any case.",
    .flags = add_flags,
    .examples = add_examples,
    .connects = true,
    .changes = true,
    .run = run_add,
};

static const struct flag_spec remove_flags[] = {
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static int run_remove(struct cli *cli)
{
    const char *pattern = operand(&cli->args, 0);
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_text(&args, pattern);
    pg_arg_text(&args, flag_text(&cli->args, "reason"));
    code = cli_query(cli, "SELECT pattern, topic FROM outbox.route_remove($1, $2)", &args, &result);
    if (code != CLI_OK)
        return code;
    if (PQntuples(result) == 0)
        code = cli_fail(CLI_NOT_FOUND, "there is no route for %s", pattern);
    else if (cli->json)
        print_json(stdout, result_object(result, 0));
    else
        printf("removed the route for %s\n", pattern);
    PQclear(result);
    return code;
}

const struct command route_remove_command = {
    .name = "route remove",
    .operands = "PATTERN",
    .least = 1,
    .most = 1,
    .summary = "Removes a route",
    .flags = remove_flags,
    .connects = true,
    .changes = true,
    .run = run_remove,
};
