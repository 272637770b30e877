/* outboxctl endpoint: where webhooks go. */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/output.h"

static const struct flag_spec add_flags[] = {
    {"name", "NAME", "by which it can be called instead of its id"},
    {"types", "LIST", "the events it gets, such as user_created,order.*; all"},
    {"tenant", "TENANT", "only events of this tenant"},
    {"policy", "POLICY", "when an outcome is unknown: resend, reconcile or park; resend"},
    {"timeout", "TIME", "for one request; 15s"},
    {"concurrency", "N", "requests under way at once; 16"},
    {"schedule", "LIST", "the wait before each attempt; 0s,5s,5m,30m,2h,5h,10h,14h,20h,24h"},
    {"secret-file", "FILE", "holds the secret, whsec_...; \"-\": standard input. Else one is made"},
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static const struct example add_examples[] = {
    {"endpoint add https://shop.example.org/hooks --name shop --types 'order.*,user_created'",
     "with a new secret, which is printed once"},
    {"endpoint add https://bank.example.org/in --policy park --secret-file secret.txt",
     "a receiver that cannot tell duplicates: what may have arrived waits for an operator"},
    {NULL, NULL},
};

struct new_endpoint {
    unsigned char secret[SECRET_MAX];
    size_t secret_size;
    struct outbox__buf types;
    struct outbox__buf schedule; /* empty: the default */
    int64_t concurrency;
    mono_us timeout;
};

static int find_secret(struct cli *cli, struct new_endpoint *ret, outbox_error **reterr)
{
    const char *path = flag_text(&cli->args, "secret-file");
    struct outbox__buf text = OUTBOX__BUF_INIT(4096);
    int status;

    if (!path) {
        ret->secret_size = 32;
        return secret_generate(ret->secret, reterr);
    }
    status = read_input(path, &text, reterr);
    if (status == OUTBOX_OK)
        status = secret_parse(outbox__buf_text(&text), ret->secret, &ret->secret_size, reterr);
    if (text.data)
        explicit_bzero(text.data, text.allocated);
    outbox__buf_free(&text);
    return status;
}

static int check_url(const char *url, outbox_error **reterr)
{
    const char *authority;

    if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
        return outbox__fail(reterr, OUTBOX_EINVAL, "url", "URL: must begin with https:// or http://");
    authority = strstr(url, "://") + 3;
    if (memchr(authority, '@', strcspn(authority, "/?#")))
        return outbox__fail(reterr, OUTBOX_EINVAL, "url",
                            "URL: must not hold a user or password; the signature proves the sender");
    return OUTBOX_OK;
}

static int check_words(struct cli *cli, outbox_error **reterr)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    const char *name = flag_text(&cli->args, "name");
    const char *policy = flag_text(&cli->args, "policy");

    if (name && (!name[0] || strlen(name) > 64 || strspn(name, letters) != strlen(name)))
        return outbox__fail(reterr, OUTBOX_EINVAL, "name",
                            "--name: must be 1 to 64 of letters, digits, \"_\", \".\" and \"-\"");
    if (policy && strcmp(policy, "resend") != 0 && strcmp(policy, "reconcile") != 0 &&
        strcmp(policy, "park") != 0)
        return outbox__fail(reterr, OUTBOX_EINVAL, "policy",
                            "--policy: must be resend, reconcile or park; is \"%.80s\"", policy);
    return check_url(operand(&cli->args, 0), reterr);
}

static int read_new(struct cli *cli, struct new_endpoint *ret, outbox_error **reterr)
{
    const char *types = flag_text(&cli->args, "types");
    const char *schedule = flag_text(&cli->args, "schedule");

    if (check_words(cli, reterr) < 0 || array_literal(types ? types : "*", &ret->types, reterr) < 0 ||
        (schedule && schedule_literal(schedule, &ret->schedule, reterr) < 0) ||
        flag_integer(&cli->args, "concurrency", 1, 1000, 16, &ret->concurrency, reterr) < 0 ||
        flag_duration(&cli->args, "timeout", MILLISECONDS(100), SECONDS(120), SECONDS(15), &ret->timeout,
                      reterr) < 0)
        return OUTBOX_EINVAL;
    return find_secret(cli, ret, reterr);
}

static void print_added(const struct cli *cli, const char *id, const struct new_endpoint *endpoint)
{
    char secret[sizeof(SECRET_PREFIX) + OUTBOX__BASE64_TEXT(SECRET_MAX)] = SECRET_PREFIX;

    outbox__base64_encode(endpoint->secret, endpoint->secret_size, secret + strlen(SECRET_PREFIX));
    if (cli->json)
        print_json(stdout, json_pack("{s:s,s:s}", "id", id, "secret", secret));
    else
        printf("id      %s\nsecret  %s\n", id, secret);
    if (!cli->json && !flag_given(&cli->args, "secret-file"))
        fputs("Give the secret to the receiver now: it is not shown again.\n", stderr);
    explicit_bzero(secret, sizeof(secret));
}

static int insert(struct cli *cli, const struct new_endpoint *endpoint)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    outbox_error *err = NULL;
    int code = cli_begin_reasoned(cli);

    if (code != CLI_OK)
        return code;
    pg_arg_text(&args, operand(&cli->args, 0));
    pg_arg_bytes(&args, endpoint->secret, endpoint->secret_size);
    pg_arg_text(&args, flag_text(&cli->args, "name"));
    pg_arg_text(&args, outbox__buf_text(&endpoint->types));
    pg_arg_text(&args, flag_text(&cli->args, "tenant"));
    pg_arg_text(&args, flag_given(&cli->args, "policy") ? flag_text(&cli->args, "policy") : "resend");
    pg_arg_int(&args, endpoint->timeout / 1000);
    pg_arg_int(&args, endpoint->concurrency);
    pg_arg_text(&args, flag_given(&cli->args, "schedule") ? outbox__buf_text(&endpoint->schedule) : NULL);
    if (pg_exec(cli->pg,
                "SELECT outbox.endpoint_add($1, $2::bytea, $3, $4::text[], $5, $6, $7::integer, $8::integer,"
                " $9::interval[])",
                &args, 0, clock_now() + cli->timeout, &result, &err) == OUTBOX_OK) {
        code = cli_commit(cli);
        if (code == CLI_OK)
            print_added(cli, PQgetvalue(result, 0, 0), endpoint);
        PQclear(result);
        return code;
    }
    if (strcmp(outbox_error_sqlstate(err), "23505") != 0)
        return cli_fail_error(err);
    outbox_error_free(err);
    return cli_fail(CLI_REFUSED, "--name: there is an endpoint %s already", flag_text(&cli->args, "name"));
}

static int run_add(struct cli *cli)
{
    struct new_endpoint endpoint = {.types = OUTBOX__BUF_INIT(16384), .schedule = OUTBOX__BUF_INIT(4096)};
    outbox_error *err = NULL;
    int code = read_new(cli, &endpoint, &err) < 0 ? cli_fail_error(err) : insert(cli, &endpoint);

    explicit_bzero(endpoint.secret, sizeof(endpoint.secret));
    outbox__buf_free(&endpoint.types);
    outbox__buf_free(&endpoint.schedule);
    return code;
}

const struct command endpoint_add_command = {
    .name = "endpoint add",
    .operands = "URL",
    .least = 1,
    .most = 1,
    .summary = "Adds an endpoint for webhooks, and prints its id and its secret",
    .help = "The endpoint gets the events that are published from now on. The secret signs each\n"
            "request (Standard Webhooks, v1); it is printed once and cannot be read again.",
    .flags = add_flags,
    .examples = add_examples,
    .connects = true,
    .changes = true,
    .run = run_add,
};

static const struct flag_spec list_flags[] = {
    {"all", NULL, "also those that were removed"},
    {NULL, NULL, NULL},
};

static int run_list(struct cli *cli)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_bool(&args, flag_given(&cli->args, "all"));
    code = cli_query(cli,
                     "SELECT p.id, p.name, p.url, p.types, p.tenant, p.policy, p.enabled, p.disabled_reason"
                     "  FROM outbox.endpoint p WHERE p.removed_at IS NULL OR $1 ORDER BY p.created_at, p.id",
                     &args, &result);
    if (code != CLI_OK)
        return code;
    if (cli->json)
        print_json(stdout, result_array(result));
    else
        print_rows(stdout, result, "no endpoints");
    PQclear(result);
    return CLI_OK;
}

const struct command endpoint_list_command = {
    .name = "endpoint list",
    .operands = "",
    .summary = "Lists the endpoints",
    .flags = list_flags,
    .connects = true,
    .run = run_list,
};

/* Its deliveries, with the names of the states as columns. */
static int print_endpoint(struct cli *cli, const PGresult *endpoint)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_text(&args, PQgetvalue(endpoint, 0, 0));
    code = cli_query(cli,
                     "SELECT d.state, count(*) AS deliveries FROM outbox.delivery d"
                     " WHERE d.endpoint = $1::uuid GROUP BY 1 ORDER BY 1",
                     &args, &result);
    if (code != CLI_OK)
        return code;
    if (cli->json) {
        json_t *object = result_object(endpoint, 0);
        json_t *states = json_object();

        for (int row = 0; row < PQntuples(result); row++)
            json_object_set_new(states, PQgetvalue(result, row, 0), result_value(result, row, 1));
        json_object_set_new(object, "deliveries", states);
        print_json(stdout, object);
    } else {
        print_record(stdout, endpoint, 0);
        printf("\n");
        print_rows(stdout, result, "no deliveries");
    }
    PQclear(result);
    return CLI_OK;
}

static int run_show(struct cli *cli)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_text(&args, operand(&cli->args, 0));
    code = cli_query(cli,
                     "SELECT p.id, p.name, p.url, p.types, p.tenant, p.policy, p.enabled, p.disabled_reason,"
                     "       p.timeout_ms, p.concurrency, p.schedule, p.max_age, p.created_at, p.removed_at"
                     "  FROM outbox.endpoint p WHERE p.id::text = lower($1) OR p.name = $1"
                     " ORDER BY p.id::text = lower($1) DESC LIMIT 1",
                     &args, &result);
    if (code != CLI_OK)
        return code;
    if (PQntuples(result) == 0)
        code = cli_fail(CLI_NOT_FOUND, "there is no endpoint %s", operand(&cli->args, 0));
    else
        code = print_endpoint(cli, result);
    PQclear(result);
    return code;
}

const struct command endpoint_show_command = {
    .name = "endpoint show",
    .operands = "ID|NAME",
    .least = 1,
    .most = 1,
    .summary = "Shows an endpoint and its deliveries by state",
    .connects = true,
    .run = run_show,
};

static const struct flag_spec remove_flags[] = {
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static int run_remove(struct cli *cli)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_text(&args, operand(&cli->args, 0));
    pg_arg_text(&args, flag_text(&cli->args, "reason"));
    code = cli_query(cli,
                     "SELECT chosen.id, outbox.endpoint_remove(chosen.id, $2) AS removed FROM ("
                     "  SELECT p.id FROM outbox.endpoint p"
                     "   WHERE p.removed_at IS NULL AND (p.id::text = lower($1) OR p.name = $1)"
                     "   ORDER BY p.id::text = lower($1) DESC LIMIT 1) AS chosen",
                     &args, &result);
    if (code != CLI_OK)
        return code;
    if (PQntuples(result) == 0 || !pg_get_bool(result, 0, 1))
        code = cli_fail(CLI_NOT_FOUND, "there is no endpoint %s", operand(&cli->args, 0));
    else if (cli->json)
        print_json(stdout, result_object(result, 0));
    else
        printf("removed %s\n", PQgetvalue(result, 0, 0));
    PQclear(result);
    return code;
}

const struct command endpoint_remove_command = {
    .name = "endpoint remove",
    .operands = "ID|NAME",
    .least = 1,
    .most = 1,
    .summary = "Removes an endpoint: what is not yet delivered to it is given up",
    .help = "Its history stays. To stop sending for a while, see endpoint disable.",
    .flags = remove_flags,
    .connects = true,
    .changes = true,
    .run = run_remove,
};
