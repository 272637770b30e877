/* outboxctl delivery retry, delivery resolve: what an operator decides of a delivery. */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/find.h"
#include "cli/output.h"

#define RETRY_BATCH 1000 /* in one transaction, and in one row of the audit */

static const struct flag_spec retry_flags[] = {
    {"endpoint", "ID|NAME", "instead of IDs: the deliveries to this endpoint ..."},
    {"state", "STATE", "... that are failed, dead, parked or unknown"},
    {"limit", "N", "at most N of them, the oldest first; all"},
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static int print_retried(struct cli *cli, int64_t retried)
{
    if (cli->json)
        print_json(stdout, json_pack("{s:I}", "retried", (json_int_t)retried));
    else
        printf("%" PRId64 " deliveries are due now\n", retried);
    return CLI_OK;
}

static int retry_ids(struct cli *cli)
{
    struct outbox__buf ids = OUTBOX__BUF_INIT(1 << 20);
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    const char *text;
    int code = CLI_OK;

    outbox__buf_puts(&ids, "{");
    for (size_t i = 0; code == CLI_OK && (text = operand(&cli->args, i)); i++) {
        int64_t id;

        code = find_delivery_id(text, &id);
        outbox__buf_printf(&ids, "%s%" PRId64, i > 0 ? "," : "", code == CLI_OK ? id : 0);
    }
    outbox__buf_puts(&ids, "}");
    if (code == CLI_OK && ids.failed)
        code = cli_fail(CLI_USAGE, "too many IDs");
    if (code == CLI_OK) {
        pg_arg_text(&args, outbox__buf_text(&ids));
        pg_arg_text(&args, flag_text(&cli->args, "reason"));
        code = cli_query(cli, "SELECT outbox.delivery_retry($1::bigint[], $2)", &args, &result);
    }
    if (code == CLI_OK)
        code = print_retried(cli, pg_get_int(result, 0, 0));
    PQclear(result);
    outbox__buf_free(&ids);
    return code;
}

/* In batches, each a transaction: a hundred thousand must not be locked at once.  By
 * growing id, so that one which fails again meanwhile is not taken twice. */
static int retry_all(struct cli *cli, const char *endpoint, const char *state, int64_t limit)
{
    int64_t retried = 0, after = 0;

    while (retried < limit) {
        int64_t wanted = limit - retried < RETRY_BATCH ? limit - retried : RETRY_BATCH;
        struct pg_args args = PG_ARGS_INIT;
        PGresult *result = NULL;
        int64_t count;
        int code;

        pg_arg_text(&args, endpoint);
        pg_arg_text(&args, state);
        pg_arg_int(&args, after);
        pg_arg_int(&args, wanted);
        pg_arg_text(&args, flag_text(&cli->args, "reason"));
        code = cli_query(cli,
                         "SELECT r.retried, r.last FROM outbox.delivery_retry_of($1::uuid, $2, $3::bigint,"
                         " $4::integer, $5) AS r",
                         &args, &result);
        if (code != CLI_OK) {
            if (retried > 0)
                cli_fail(code, "before that, %" PRId64 " deliveries were made due", retried);
            return code;
        }
        count = pg_get_int(result, 0, 0);
        after = count > 0 ? pg_get_int(result, 0, 1) : after;
        retried += count;
        PQclear(result);
        if (count < wanted)
            break;
    }
    return print_retried(cli, retried);
}

static int run_retry(struct cli *cli)
{
    static const char *const states[] = {"failed", "dead", "parked", "unknown", NULL};
    const char *endpoint = flag_text(&cli->args, "endpoint");
    const char *state = flag_text(&cli->args, "state");
    char id[OUTBOX__UUID_TEXT];
    outbox_error *err = NULL;
    int64_t limit;
    int at = 0;
    int code;

    if (flag_integer(&cli->args, "limit", 1, INT64_MAX, INT64_MAX, &limit, &err) < 0)
        return cli_fail_error(err);
    if (operand_count(&cli->args) > 0) {
        if (endpoint || state || flag_given(&cli->args, "limit"))
            return cli_fail(CLI_USAGE, "give either IDs or --endpoint with --state");
        return retry_ids(cli);
    }
    if (!endpoint || !state)
        return cli_fail(CLI_USAGE, "which deliveries? Give their IDs, or --endpoint and --state");
    while (states[at] && strcmp(states[at], state) != 0)
        at++;
    if (!states[at])
        return cli_fail(CLI_USAGE, "--state: must be failed, dead, parked or unknown; is \"%.80s\"", state);
    code = find_endpoint(cli, endpoint, id);
    return code == CLI_OK ? retry_all(cli, id, state, limit) : code;
}

static const struct example retry_examples[] = {
    {"delivery retry 4711 4712 --reason 'receiver repaired'", "send these two again, now"},
    {"delivery retry --endpoint shop --state dead --limit 100", "the 100 oldest that were given up"},
    {NULL, NULL},
};

const struct command delivery_retry_command = {
    .name = "delivery retry",
    .operands = "[ID...]",
    .most = 10000,
    .summary = "Sends deliveries again, now: those that failed, died, are parked or unknown",
    .help = "Their schedule of attempts begins anew, the count of sends goes on. A delivery that is\n"
            "parked or unknown may have arrived: who cannot tell duplicates by webhook-id should be\n"
            "asked first (see delivery resolve). One that is older than its endpoint's max_age gets\n"
            "one more attempt. With IDs all of them are retried or, if one cannot be, none.",
    .flags = retry_flags,
    .examples = retry_examples,
    .connects = true,
    .changes = true,
    .run = run_retry,
};

static const struct flag_spec resolve_flags[] = {
    {"as", "STATE", "delivered or dead; required"},
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static int run_resolve(struct cli *cli)
{
    const char *state = flag_text(&cli->args, "as");
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int64_t id;
    int code = find_delivery_id(operand(&cli->args, 0), &id);

    if (code != CLI_OK)
        return code;
    if (!state || (strcmp(state, "delivered") != 0 && strcmp(state, "dead") != 0))
        return cli_fail(CLI_USAGE, "--as: must be delivered or dead");
    pg_arg_int(&args, id);
    pg_arg_text(&args, state);
    pg_arg_text(&args, flag_text(&cli->args, "reason"));
    code = cli_query(cli,
                     "SELECT $1::bigint AS id, $2::text AS state,"
                     "       outbox.delivery_resolve($1::bigint, $2, $3) AS was",
                     &args, &result);
    if (code != CLI_OK)
        return code;
    if (PQgetisnull(result, 0, 2))
        code = cli_fail(CLI_NOT_FOUND, "there is no delivery %s", operand(&cli->args, 0));
    else if (cli->json)
        print_json(stdout, result_object(result, 0));
    else
        printf("delivery %" PRId64 " is %s now; it was %s\n", id, state, PQgetvalue(result, 0, 2));
    PQclear(result);
    return code;
}

static const struct example resolve_examples[] = {
    {"delivery resolve 4711 --as delivered --reason 'seen in their log'", "it had arrived"},
    {"delivery resolve 4711 --as dead", "it is not wanted any more"},
    {NULL, NULL},
};

const struct command delivery_resolve_command = {
    .name = "delivery resolve",
    .operands = "ID",
    .least = 1,
    .most = 1,
    .summary = "Decides what became of a delivery: it was delivered, or is given up",
    .help = "For deliveries that are parked, unknown or failed. A pending one can be given up, a\n"
            "dead one declared delivered. One that is being sent has to end first; one that was\n"
            "delivered, by a recorded answer, stays so.",
    .flags = resolve_flags,
    .examples = resolve_examples,
    .connects = true,
    .changes = true,
    .run = run_resolve,
};
