/* outboxctl endpoint test: one signed webhook, sent from here. */
#include <inttypes.h>
#include <string.h>

#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/find.h"
#include "cli/output.h"
#include "webhook/probe.h"

static const struct flag_spec flags[] = {
    {"allow", "NETWORKS", "private networks that are permitted; as the relay's webhook_allow"},
    {"ca-file", "FILE", "certificates to check against; as the relay's webhook_ca_file"},
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static bool is_delivered(const struct http_evidence *evidence)
{
    return evidence->reached.status >= 200 && evidence->reached.status < 300;
}

/* The signed message; the audit has it once this returns. */
static int prepare(struct cli *cli, PGresult **ret)
{
    char id[OUTBOX__UUID_TEXT];
    struct pg_args args = PG_ARGS_INIT;
    int code = find_endpoint(cli, operand(&cli->args, 0), id);

    if (code != CLI_OK)
        return code;
    pg_arg_text(&args, id);
    pg_arg_text(&args, flag_text(&cli->args, "reason"));
    code = cli_query(cli,
                     "SELECT t.url, t.timeout_ms, t.message_id, t.message_timestamp, t.signature,"
                     "       t.message_type, t.content_type, t.payload, $1::uuid AS endpoint"
                     "  FROM outbox.endpoint_test($1::uuid, $2) AS t",
                     &args, ret);
    if (code == CLI_OK && PQntuples(*ret) == 0)
        code = cli_fail(CLI_NOT_FOUND, "there is no endpoint %s", operand(&cli->args, 0));
    return code;
}

static int send_test(struct cli *cli, const PGresult *message, struct http_evidence *ret)
{
    const mono_us timeout = MILLISECONDS(pg_get_int(message, 0, 1));
    const struct probe probe = {.url = PQgetvalue(message, 0, 0),
                                .id = PQgetvalue(message, 0, 2),
                                .timestamp = PQgetvalue(message, 0, 3),
                                .signature = PQgetvalue(message, 0, 4),
                                .type = PQgetvalue(message, 0, 5),
                                .content_type = PQgetvalue(message, 0, 6),
                                .payload = PQgetvalue(message, 0, 7),
                                .timeout = timeout};
    const struct http_settings settings = {.allowed_addresses = flag_text(&cli->args, "allow"),
                                           .ca_file = flag_text(&cli->args, "ca-file"),
                                           .insecure = cli_insecure(cli),
                                           .connect_timeout = timeout < SECONDS(10) ? timeout : SECONDS(10),
                                           .max_connections = 1};
    outbox_error *err = NULL;

    return probe_send(&settings, &probe, ret, &err) < 0 ? cli_fail_error(err) : CLI_OK;
}

static void add_phase(struct table *table, const char *phase, int64_t us, const char *detail)
{
    char text[32] = "-";

    if (us >= 0)
        snprintf(text, sizeof(text), "%" PRId64 ".%03d ms", us / 1000, (int)(us % 1000));
    table_cell(table, phase);
    table_cell(table, text);
    table_cell(table, detail);
}

/* The end of it may have been cut off within a character: up to there; 0 if it is no text. */
static size_t whole_text(const char *text, size_t size)
{
    size_t whole = outbox__utf8_cut(text, size);

    return outbox__utf8_valid(text, whole) ? whole : 0;
}

static void print_response(const char *text, size_t size)
{
    size_t whole = whole_text(text, size);

    printf("\n");
    if (whole > 0)
        print_escaped(stdout, text, whole);
    else
        printf("(%zu bytes that are not UTF-8)", size);
    printf("\n");
}

static void print_as_text(const PGresult *message, const struct http_evidence *evidence)
{
    struct table *table = table_new(3);
    char sent[48], status[32];

    snprintf(sent, sizeof(sent), "%" PRId64 " bytes", evidence->sent_bytes);
    snprintf(status, sizeof(status), evidence->reached.status > 0 ? "status %d" : "no answer",
             evidence->reached.status);
    table_align_right(table, 1);
    add_phase(table, "resolved", evidence->resolved_us, "");
    add_phase(table, "connected", evidence->connected_us, evidence->address);
    add_phase(table, "tls", evidence->tls_us, "");
    table_cell(table, "sent");
    table_cell(table, "");
    table_cell(table, sent);
    add_phase(table, "first byte", evidence->first_byte_us, status);
    add_phase(table, "ended", evidence->total_us, evidence->error);
    table_print(table, stdout);
    table_free(table);
    if (evidence->response_size > 0)
        print_response(evidence->response, evidence->response_size);
    printf("\n%s: test webhook %s\n", is_delivered(evidence) ? "delivered" : "NOT DELIVERED",
           PQgetvalue(message, 0, 2));
    if (strstr(evidence->error, "webhook_allow"))
        fputs("outboxctl: webhook_allow is an option of the relay; here it is --allow\n", stderr);
}

static json_t *moment(int64_t us)
{
    return us >= 0 ? json_integer(us) : json_null();
}

static json_t *text_or_null(const char *text, size_t size)
{
    size_t whole = whole_text(text, size);

    if (size == 0)
        return json_null();
    return whole > 0 ? json_stringn(text, whole) : json_string("(not UTF-8)");
}

static void print_as_json(const PGresult *message, const struct http_evidence *evidence)
{
    json_t *object = json_pack("{s:s,s:s,s:b}", "endpoint", PQgetvalue(message, 0, 8), "message_id",
                               PQgetvalue(message, 0, 2), "delivered", is_delivered(evidence));

    json_object_set_new(object, "status",
                        evidence->reached.status > 0 ? json_integer(evidence->reached.status) : json_null());
    json_object_set_new(object, "error", text_or_null(evidence->error, strlen(evidence->error)));
    json_object_set_new(object, "address", text_or_null(evidence->address, strlen(evidence->address)));
    json_object_set_new(object, "resolved_us", moment(evidence->resolved_us));
    json_object_set_new(object, "connected_us", moment(evidence->connected_us));
    json_object_set_new(object, "tls_us", moment(evidence->tls_us));
    json_object_set_new(object, "sent_bytes", json_integer(evidence->sent_bytes));
    json_object_set_new(object, "first_byte_us", moment(evidence->first_byte_us));
    json_object_set_new(object, "total_us", moment(evidence->total_us));
    json_object_set_new(object, "response", text_or_null(evidence->response, evidence->response_size));
    print_json(stdout, object);
}

static int run(struct cli *cli)
{
    struct http_evidence evidence;
    PGresult *message = NULL;
    int code = prepare(cli, &message);

    http_evidence_clear(&evidence);
    if (code == CLI_OK)
        code = send_test(cli, message, &evidence);
    if (code == CLI_OK && cli->json)
        print_as_json(message, &evidence);
    else if (code == CLI_OK)
        print_as_text(message, &evidence);
    if (code == CLI_OK && !is_delivered(&evidence))
        code = CLI_FAILED;
    PQclear(message);
    return code;
}

static const struct example examples[] = {
    {"endpoint test shop", "can this machine deliver to it, and does it accept the signature?"},
    {"endpoint test local --allow 127.0.0.0/8", "one on this machine"},
    {NULL, NULL},
};

static const struct exit_text exits[] = {
    {CLI_OK, "the endpoint answered with 2xx"},
    {CLI_FAILED, "it did not"},
    {0, NULL},
};

const struct command endpoint_test_command = {
    .name = "endpoint test",
    .operands = "ID|NAME",
    .least = 1,
    .most = 1,
    .summary = "Sends a signed test webhook from this machine and shows how far it came",
    .help = "The message is {\"type\": \"outbox.test\", ...}, with the header outbox-type: outbox.test;\n"
            "receivers should accept it and do nothing. The database signs it, with the secrets that\n"
            "the relay uses, and outboxctl sends it as the relay would. It is not a delivery: it is\n"
            "sent once, also to a disabled endpoint, and leaves a row in the audit log only.\n"
            "Times are since the start; \"-\": this phase was not reached.",
    .flags = flags,
    .examples = examples,
    .exits = exits,
    .connects = true,
    .changes = true,
    .run = run,
};
