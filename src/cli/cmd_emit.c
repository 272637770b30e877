/* outboxctl emit: one event, in a transaction of its own. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/input.h"
#include "cli/output.h"

#define PAYLOAD_MAX (64 * 1024 * 1024) /* the database's own limit is lower */

static const struct flag_spec flags[] = {
    {"type", "TYPE", "what happened; required"},
    {"key", "KEY", "what it is about; events of one key keep their order"},
    {"payload", "TEXT", "\"-\": standard input; \"@FILE\": a file. Without: a tombstone"},
    {"content-type", "TYPE", "of the payload; application/json if it is JSON"},
    {"topic", "TOPIC", "else by route, else the type"},
    {"partition", "N", "else by the key"},
    {"header", "NAME=VALUE", "may be repeated"},
    {"id", "UUID", "idempotency key: a second emit of it does nothing"},
    {"tenant", "TENANT", "whose event it is"},
    {"traceparent", "VALUE", "W3C trace context"},
    {NULL, NULL, NULL},
};

static int read_payload(struct cli *cli, struct outbox__buf *payload)
{
    const char *text = flag_text(&cli->args, "payload");
    outbox_error *err = NULL;

    if (!text)
        return CLI_OK;
    if (strcmp(text, "-") != 0 && text[0] != '@') {
        outbox__buf_puts(payload, text);
        return payload->failed ? cli_fail(CLI_USAGE, "--payload: is too long") : CLI_OK;
    }
    if (read_input(text[0] == '@' ? text + 1 : text, payload, &err) < 0)
        return cli_fail_error(err);
    return CLI_OK;
}

static bool is_json(const struct outbox__buf *payload)
{
    json_t *value =
        json_loadb(outbox__buf_text(payload), payload->size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    json_decref(value);
    return value != NULL;
}

static int find_content_type(struct cli *cli, const struct outbox__buf *payload, const char **ret)
{
    *ret = flag_text(&cli->args, "content-type");
    if (!flag_given(&cli->args, "payload") && *ret)
        return cli_fail(CLI_USAGE, "--content-type: there is no payload");
    if (*ret || !flag_given(&cli->args, "payload"))
        return CLI_OK;
    if (!is_json(payload))
        return cli_fail(CLI_USAGE,
                        "--payload: is not JSON; correct it, or say with --content-type what it is");
    *ret = "application/json";
    return CLI_OK;
}

/* The headers as a JSON object; *ret is NULL if there are none. */
static int read_headers(struct cli *cli, char **ret)
{
    json_t *headers = json_object();
    const char *header;
    size_t at = 0;
    int code = CLI_OK;

    *ret = NULL;
    while (code == CLI_OK && (header = flag_next(&cli->args, "header", &at))) {
        const char *value = strchr(header, '=');
        char name[256];

        if (!value || value == header || (size_t)(value - header) >= sizeof(name)) {
            code = cli_fail(CLI_USAGE, "--header: must be NAME=VALUE; is \"%.80s\"", header);
            break;
        }
        memcpy(name, header, (size_t)(value - header));
        name[value - header] = '\0';
        if (json_object_get(headers, name))
            code = cli_fail(CLI_USAGE, "--header: %s is given twice", name);
        else if (json_object_set_new(headers, name, json_string(value + 1)) != 0)
            code = cli_fail(CLI_USAGE, "--header: %s is not UTF-8", name);
    }
    if (code == CLI_OK && json_object_size(headers) > 0)
        *ret = json_dumps(headers, JSON_COMPACT);
    json_decref(headers);
    return code;
}

static int emit(struct cli *cli, const struct outbox__buf *payload, const char *content_type,
                const char *headers)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_text(&args, flag_text(&cli->args, "type"));
    pg_arg_text(&args, flag_text(&cli->args, "key"));
    if (flag_given(&cli->args, "payload"))
        pg_arg_bytes(&args, outbox__buf_text(payload), payload->size);
    else
        pg_arg_text(&args, NULL);
    pg_arg_text(&args, content_type);
    pg_arg_text(&args, flag_text(&cli->args, "topic"));
    pg_arg_text(&args, headers);
    pg_arg_text(&args, flag_text(&cli->args, "id"));
    pg_arg_text(&args, flag_text(&cli->args, "tenant"));
    pg_arg_text(&args, flag_text(&cli->args, "partition"));
    pg_arg_text(&args, flag_text(&cli->args, "traceparent"));
    code = cli_query(cli,
                     "SELECT e.id, e.seq, e.already_emitted FROM outbox.emit_event($1, $2, $3::bytea, $4, $5,"
                     " $6::jsonb, $7::uuid, $8, $9::integer, $10) AS e",
                     &args, &result);
    if (code != CLI_OK)
        return code;
    if (cli->json)
        print_json(stdout, result_object(result, 0));
    else
        printf("%s\n", PQgetvalue(result, 0, 0));
    if (!cli->json && pg_get_bool(result, 0, 2))
        fputs("outboxctl: this id was emitted before; nothing was written\n", stderr);
    PQclear(result);
    return CLI_OK;
}

static int run(struct cli *cli)
{
    struct outbox__buf payload = OUTBOX__BUF_INIT(PAYLOAD_MAX);
    const char *content_type = NULL;
    char *headers = NULL;
    outbox_error *err = NULL;
    int64_t partition; /* only checked; null and 0 differ */
    int code;

    if (flag_integer(&cli->args, "partition", 0, INT32_MAX, 0, &partition, &err) < 0)
        return cli_fail_error(err);
    code = check_uuid("--id", flag_text(&cli->args, "id"));
    if (code != CLI_OK)
        return code;
    if (!flag_given(&cli->args, "type"))
        return cli_fail(CLI_USAGE, "--type: is missing; name what happened, for example order_placed");
    code = read_payload(cli, &payload);
    if (code == CLI_OK)
        code = find_content_type(cli, &payload, &content_type);
    if (code == CLI_OK)
        code = read_headers(cli, &headers);
    if (code == CLI_OK)
        code = emit(cli, &payload, content_type, headers);
    free(headers);
    outbox__buf_free(&payload);
    return code;
}

const struct command emit_command = {
    .name = "emit",
    .operands = "",
    .summary = "Emits one event and prints its id",
    .flags = flags,
    .connects = true,
    .changes = true,
    .run = run,
};
