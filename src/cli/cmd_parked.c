/* outboxctl parked: events that Kafka refuses, and what waits behind them. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/output.h"

static const struct flag_spec list_flags[] = {
    {"topic", "TOPIC", "those of this topic alone"},
    {"limit", "N", "at most N of them; 50"},
    {NULL, NULL, NULL},
};

static int run_list(struct cli *cli)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    outbox_error *err = NULL;
    int64_t limit;
    int code;

    if (flag_integer(&cli->args, "limit", 1, 1000000, 50, &limit, &err) < 0)
        return cli_fail_error(err);
    pg_arg_text(&args, flag_text(&cli->args, "topic"));
    pg_arg_int(&args, limit);
    code = cli_query(cli,
                     "SELECT k.seq, k.state, k.topic, k.reason, t.reason AS topic_reason, k.reroute, k.parked_at"
                     "  FROM outbox.parked_event k"
                     "  LEFT JOIN outbox.parked_topic t ON t.topic = coalesce(k.reroute, k.topic)"
                     " WHERE k.released_at IS NULL AND ($1::text IS NULL OR k.topic = $1)"
                     " ORDER BY k.state <> 'parked', k.tick, k.seq LIMIT $2::integer",
                     &args, &result);
    if (code != CLI_OK)
        return code;
    if (cli->json)
        print_json(stdout, result_array(result));
    else
        print_rows(stdout, result, "nothing is parked");
    PQclear(result);
    return CLI_OK;
}

const struct command parked_list_command = {
    .name = "parked list",
    .operands = "",
    .summary = "Lists the events that are parked, since Kafka refuses them or what comes before them",
    .help = "parked  waits for an operator: retry, reroute or discard it\n"
            "behind  waits for an earlier event of its topic and key, or for its topic; goes by itself then\n"
            "retry   is published next",
    .flags = list_flags,
    .connects = true,
    .run = run_list,
};

/* The operands from the first one on, as an array; *ret_code is CLI_OK, or what to end with. */
static void read_seqs(struct cli *cli, struct outbox__buf *seqs, int *ret_code)
{
    const char *text;

    *ret_code = CLI_OK;
    outbox__buf_puts(seqs, "{");
    for (size_t i = 0; (text = operand(&cli->args, i)) != NULL; i++) {
        char *end;
        long long seq;

        errno = 0;
        seq = strtoll(text, &end, 10);
        if (*text < '0' || *text > '9' || *end || errno) {
            *ret_code = cli_fail(CLI_USAGE, "\"%.80s\" is not the seq of an event; see outboxctl parked list", text);
            return;
        }
        outbox__buf_printf(seqs, "%s%lld", i > 0 ? "," : "", seq);
    }
    outbox__buf_puts(seqs, "}");
    if (seqs->failed)
        *ret_code = cli_fail(CLI_USAGE, "too many events");
}

static int run_show(struct cli *cli)
{
    struct outbox__buf seqs = OUTBOX__BUF_INIT(1 << 20);
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    read_seqs(cli, &seqs, &code);
    if (code == CLI_OK) {
        pg_arg_text(&args, outbox__buf_text(&seqs));
        code = cli_query(cli,
                         "SELECT k.seq, coalesce(e.id, c.id) AS id, coalesce(e.type, c.type) AS type, k.topic, k.key,"
                         "       octet_length(coalesce(e.payload, c.payload)) AS payload_bytes,"
                         "       k.state, k.reason, coalesce(k.error, t.error) AS error, k.reroute, k.parked_at,"
                         "       k.released_at,"
                         "       (SELECT count(*) FROM outbox.parked_event b WHERE b.topic = k.topic AND b.key = k.key"
                         "           AND b.released_at IS NULL AND (b.tick, b.seq) > (k.tick, k.seq)) AS behind_it"
                         "  FROM outbox.parked_event k LEFT JOIN outbox.event e ON e.seq = k.seq"
                         "  LEFT JOIN outbox.kept_event c ON c.seq = k.seq"
                         "  LEFT JOIN outbox.parked_topic t ON t.topic = coalesce(k.reroute, k.topic)"
                         " WHERE k.seq = ANY ($1::bigint[])",
                         &args, &result);
    }
    if (code == CLI_OK && PQntuples(result) == 0)
        code = cli_fail(CLI_NOT_FOUND, "event %s is not parked", operand(&cli->args, 0));
    else if (code == CLI_OK && cli->json)
        print_json(stdout, result_object(result, 0));
    else if (code == CLI_OK)
        print_rows(stdout, result, "");
    PQclear(result);
    outbox__buf_free(&seqs);
    return code;
}

const struct command parked_show_command = {
    .name = "parked show",
    .operands = "SEQ",
    .least = 1,
    .most = 1,
    .summary = "Shows one event that is parked, with the error and how many wait behind it",
    .connects = true,
    .run = run_show,
};

/* What the three decisions have in common: sql takes the seqs, one more value and the reason. */
static int decide(struct cli *cli, const char *sql, const char *value, const char *done)
{
    struct outbox__buf seqs = OUTBOX__BUF_INIT(1 << 20);
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    read_seqs(cli, &seqs, &code);
    if (code == CLI_OK) {
        pg_arg_text(&args, outbox__buf_text(&seqs));
        pg_arg_text(&args, value);
        pg_arg_text(&args, flag_text(&cli->args, "reason"));
        code = cli_query(cli, sql, &args, &result);
    }
    if (code == CLI_OK && cli->json)
        print_json(stdout, json_pack("{s:I}", "events", (json_int_t)pg_get_int(result, 0, 0)));
    else if (code == CLI_OK)
        printf("%" PRId64 " events %s\n", pg_get_int(result, 0, 0), done);
    PQclear(result);
    outbox__buf_free(&seqs);
    return code;
}

static const struct flag_spec retry_flags[] = {
    {"topic", "TOPIC", "instead of SEQs: all that is parked of this topic"},
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static int run_retry(struct cli *cli)
{
    const char *topic = flag_text(&cli->args, "topic");

    if ((topic != NULL) == (operand_count(&cli->args) > 0))
        return cli_fail(CLI_USAGE, "give either SEQs or --topic");
    if (topic)
        return decide(cli, "SELECT outbox.parked_retry_topic($2, $3) WHERE $1::bigint[] = '{}'", topic,
                      "are tried again");
    return decide(cli, "SELECT outbox.parked_retry($1::bigint[], $3) WHERE $2::text IS NULL", NULL,
                  "are tried again");
}

const struct command parked_retry_command = {
    .name = "parked retry",
    .operands = "[SEQ...]",
    .most = 1000000,
    .summary = "Publishes parked events after all, and what waits behind them after them",
    .help = "To be used when the cause is gone: a raised limit, a right that was given. What Kafka\n"
            "still refuses is parked again.",
    .flags = retry_flags,
    .connects = true,
    .changes = true,
    .run = run_retry,
};

static const struct flag_spec discard_flags[] = {
    {"deliver", NULL, "send their webhooks all the same"},
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static int run_discard(struct cli *cli)
{
    return decide(cli, "SELECT outbox.parked_discard($1::bigint[], $2::boolean, $3)",
                  flag_given(&cli->args, "deliver") ? "t" : "f", "are given up");
}

const struct command parked_discard_command = {
    .name = "parked discard",
    .operands = "SEQ...",
    .least = 1,
    .most = 1000000,
    .summary = "Gives parked events up; what waits behind them goes on",
    .help = "They are never published, and no webhook is sent for them, but with --deliver.",
    .flags = discard_flags,
    .connects = true,
    .changes = true,
    .run = run_discard,
};

static const struct flag_spec reroute_flags[] = {
    {"to", "TOPIC", "the topic in place of their own"},
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static const struct example reroute_examples[] = {
    {"parked reroute 4711 --to orders.large", "event 4711 goes to another topic"},
    {NULL, NULL},
};

static int run_reroute(struct cli *cli)
{
    const char *topic = flag_text(&cli->args, "to");

    if (!topic)
        return cli_fail(CLI_USAGE, "where to? Give --to TOPIC");
    return decide(cli, "SELECT outbox.parked_reroute($1::bigint[], $2, $3)", topic, "are published to the other topic");
}

const struct command parked_reroute_command = {
    .name = "parked reroute",
    .operands = "SEQ...",
    .least = 1,
    .most = 1000000,
    .summary = "Publishes parked events to another topic, and what waits behind them to its own",
    .flags = reroute_flags,
    .examples = reroute_examples,
    .connects = true,
    .changes = true,
    .run = run_reroute,
};
