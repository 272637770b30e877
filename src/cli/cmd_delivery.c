/* outboxctl delivery: what became of the webhooks. */
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "config/value.h"

static const char *const states[] = {"pending", "sending", "delivered", "failed",
                                     "unknown", "parked",  "dead",      NULL};

static const struct flag_spec list_flags[] = {
    {"state", "STATE", "pending, sending, delivered, failed, unknown, parked or dead"},
    {"endpoint", "ID|NAME", "only to this endpoint"},
    {"event", "UUID", "only of this event"},
    {"limit", "N", "the newest N; 50"},
    {NULL, NULL, NULL},
};

static int check_state(const char *state)
{
    for (size_t i = 0; state && states[i]; i++) {
        if (strcmp(states[i], state) == 0)
            return CLI_OK;
    }
    if (!state)
        return CLI_OK;
    return cli_fail(CLI_USAGE, "--state: must be %s; is \"%.80s\"", list_flags[0].help, state);
}

/* An endpoint that does not exist would look like one without deliveries. */
static int check_endpoint(struct cli *cli, const char *endpoint)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    bool found;
    int code;

    if (!endpoint)
        return CLI_OK;
    pg_arg_text(&args, endpoint);
    code = cli_query(cli, "SELECT FROM outbox.endpoint p WHERE p.id::text = lower($1) OR p.name = $1", &args,
                     &result);
    if (code != CLI_OK)
        return code;
    found = PQntuples(result) > 0;
    PQclear(result);
    return found ? CLI_OK : cli_fail(CLI_NOT_FOUND, "there is no endpoint %s", endpoint);
}

static int list(struct cli *cli, int64_t limit)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_text(&args, flag_text(&cli->args, "state"));
    pg_arg_text(&args, flag_text(&cli->args, "endpoint"));
    pg_arg_text(&args, flag_text(&cli->args, "event"));
    pg_arg_int(&args, limit);
    code = cli_query(
        cli,
        "SELECT d.id, d.state, d.event_type, d.event_id, coalesce(p.name, d.endpoint::text) AS endpoint,"
        "       d.attempts, d.sends,"
        "       CASE WHEN d.state IN ('pending', 'failed') THEN d.next_at END AS next_at,"
        "       d.last_status, d.last_error, d.created_at"
        "  FROM outbox.delivery d LEFT JOIN outbox.endpoint p ON p.id = d.endpoint"
        " WHERE ($1::text IS NULL OR d.state = $1)"
        "   AND ($2::text IS NULL OR p.id::text = lower($2) OR p.name = $2)"
        /* ARRAY: so that it is an index that finds them */
        "   AND ($3::uuid IS NULL OR d.id = ANY (ARRAY(SELECT o.delivery FROM outbox.delivery_of_event o"
        "                                               WHERE o.event_id = $3::uuid)))"
        " ORDER BY d.id DESC LIMIT $4::integer",
        &args, &result);
    if (code != CLI_OK)
        return code;
    if (cli->json)
        print_json(stdout, result_array(result));
    else
        print_rows(stdout, result, "no deliveries");
    PQclear(result);
    return CLI_OK;
}

static int run_list(struct cli *cli)
{
    outbox_error *err = NULL;
    int64_t limit;
    int code = check_state(flag_text(&cli->args, "state"));

    if (code != CLI_OK)
        return code;
    if (flag_integer(&cli->args, "limit", 1, 1000000, 50, &limit, &err) < 0)
        return cli_fail_error(err);
    code = check_uuid("--event", flag_text(&cli->args, "event"));
    if (code == CLI_OK)
        code = check_endpoint(cli, flag_text(&cli->args, "endpoint"));
    return code == CLI_OK ? list(cli, limit) : code;
}

const struct command delivery_list_command = {
    .name = "delivery list",
    .operands = "",
    .summary = "Lists deliveries of webhooks, the newest first",
    .help = "pending    never sent                      sending   a request may be on the wire\n"
            "delivered  a 2xx was recorded              failed    will be tried again at next_at\n"
            "unknown    sent, no answer: undecided      parked    waits for an operator\n"
            "dead       given up\n"
            "attempts count against the schedule of retries, sends are all requests.",
    .flags = list_flags,
    .connects = true,
    .run = run_list,
};

static int print_delivery(struct cli *cli, const PGresult *delivery)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_text(&args, operand(&cli->args, 0));
    code = cli_query(
        cli,
        "SELECT a.attempt, a.started_at, a.outcome, a.status, a.error, a.address, a.resolved_us,"
        "       a.connected_us, a.tls_us, a.sent_bytes, a.first_byte_us, a.total_us, a.worker, a.response"
        "  FROM outbox.delivery_attempt a WHERE a.delivery = $1::bigint ORDER BY a.attempt",
        &args, &result);
    if (code != CLI_OK)
        return code;
    if (cli->json) {
        json_t *object = result_object(delivery, 0);

        json_object_set_new(object, "attempt_list", result_array(result));
        print_json(stdout, object);
    } else {
        print_record(stdout, delivery, 0);
        printf("\n");
        print_rows(stdout, result, "no attempt has a result yet");
    }
    PQclear(result);
    return CLI_OK;
}

static int run_show(struct cli *cli)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int64_t id;
    int code;

    if (!value_integer(operand(&cli->args, 0), &id))
        return cli_fail(CLI_USAGE, "ID: must be a number, as delivery list shows it");
    pg_arg_int(&args, id);
    code = cli_query(
        cli,
        "SELECT d.id, d.state, d.event_id, d.event_seq, d.event_type, d.key, d.tenant, d.replay,"
        "       d.endpoint, p.name AS endpoint_name, p.url, d.attempts, d.sends, d.worker, d.next_at,"
        "       d.claimed_at, d.lease_until, d.last_status, d.last_error, d.created_at, d.finished_at"
        "  FROM outbox.delivery d LEFT JOIN outbox.endpoint p ON p.id = d.endpoint"
        " WHERE d.id = $1::bigint",
        &args, &result);
    if (code != CLI_OK)
        return code;
    if (PQntuples(result) == 0)
        code = cli_fail(CLI_NOT_FOUND, "there is no delivery %s", operand(&cli->args, 0));
    else
        code = print_delivery(cli, result);
    PQclear(result);
    return code;
}

const struct command delivery_show_command = {
    .name = "delivery show",
    .operands = "ID",
    .least = 1,
    .most = 1,
    .summary = "Shows a delivery and all its attempts",
    .help = "Times of an attempt are microseconds since its start; those of phases that did\n"
            "not happen are empty. Outcome: delivered; refused (an answer other than 2xx);\n"
            "not_sent (no byte left); unknown (sent, no answer).",
    .connects = true,
    .run = run_show,
};
