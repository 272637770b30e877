/* outboxctl: the operator's command line. */
#include <outbox/version.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "config/nearest.h"
#include "config/value.h"

static const struct command *const commands[] = {
    &migrate_command,          &status_command,           &doctor_command,
    &lane_list_command,        &lane_set_command,         &lane_pause_command,
    &lane_resume_command,      &lane_move_command,        &enable_command,           &adopt_command,
    &rebase_command,           &emit_command,             &tail_command,
    &endpoint_add_command,     &endpoint_list_command,    &endpoint_show_command,
    &endpoint_test_command,    &endpoint_disable_command, &endpoint_enable_command,
    &endpoint_remove_command,  &delivery_list_command,    &delivery_show_command,
    &delivery_retry_command,   &delivery_resolve_command, &parked_list_command,
    &parked_show_command,      &parked_retry_command,     &parked_reroute_command,
    &parked_discard_command,   &route_list_command,
    &route_add_command,        &route_remove_command,
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct flag_spec first_flags[] = {{"version", NULL, "print the version"}, {NULL, NULL, NULL}};

int cli_fail(int code, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fputs("outboxctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return code;
}

static int exit_of_sqlstate(const char *state)
{
    static const struct {
        const char *prefix; /* of the SQLSTATE */
        enum cli_exit code;
    } map[] = {
        {"22", CLI_USAGE},      /* a value of the wrong form */
        {"23514", CLI_USAGE},   /* ... that a CHECK refuses */
        {"23505", CLI_REFUSED}, /* is there already */
        {"42501", CLI_REFUSED}, /* no right */
        {"25006", CLI_REFUSED}, /* a standby */
        {"55P03", CLI_REFUSED}, /* locked by another */
        {"55000", CLI_REFUSED}, /* not in the state for that */
        {"P0002", CLI_NOT_FOUND},
        {"0A000", CLI_REFUSED}, /* an old server, or a schema we do not know */
        {"57014", CLI_CONNECT}, /* its statement_timeout */
        {"57P", CLI_CONNECT},   /* shutting down */
    };

    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        if (strncmp(state, map[i].prefix, strlen(map[i].prefix)) == 0)
            return map[i].code;
    }
    return CLI_FAILED;
}

int cli_fail_error(outbox_error *err)
{
    const char *state = outbox_error_sqlstate(err);
    int code = CLI_FAILED;

    switch (outbox_error_code(err)) {
    case OUTBOX_ECONNECTION:
    case OUTBOX_ETIMEOUT:
        code = CLI_CONNECT;
        break;
    case OUTBOX_EINVAL:
        code = CLI_USAGE;
        break;
    case OUTBOX_ESERVER:
        code = exit_of_sqlstate(state);
        break;
    default:
        break;
    }
    /* No schema, no table, no function. */
    if (strcmp(state, "3F000") == 0 || strcmp(state, "42P01") == 0 || strcmp(state, "42883") == 0)
        cli_fail(code, "%s; is the schema up to date? See outboxctl migrate --status",
                 outbox_error_message(err));
    else
        cli_fail(code, "%s", outbox_error_message(err));
    outbox_error_free(err);
    return code;
}

int cli_query(struct cli *cli, const char *sql, const struct pg_args *args, PGresult **ret_result)
{
    outbox_error *err = NULL;

    if (pg_exec(cli->pg, sql, args, 0, clock_now() + cli->timeout, ret_result, &err) < 0)
        return cli_fail_error(err);
    return CLI_OK;
}

/* A setting of the session would stay behind in a pooler's connection. */
int cli_begin_reading(struct cli *cli)
{
    return cli_query(cli, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY", NULL, NULL);
}

int cli_end_reading(struct cli *cli)
{
    return cli_query(cli, "COMMIT", NULL, NULL);
}

int cli_begin_reasoned(struct cli *cli)
{
    struct pg_args args = PG_ARGS_INIT;
    const char *reason = flag_text(&cli->args, "reason");
    int code = cli_query(cli, "BEGIN ISOLATION LEVEL READ COMMITTED", NULL, NULL);

    if (code != CLI_OK || !reason)
        return code;
    pg_arg_text(&args, reason);
    return cli_query(cli, "SELECT pg_catalog.set_config('outbox.reason', $1, true)", &args, NULL);
}

int cli_commit(struct cli *cli)
{
    return cli_query(cli, "COMMIT", NULL, NULL);
}

int check_uuid(const char *what, const char *text)
{
    struct outbox__uuid uuid;

    if (!text || outbox__uuid_parse(text, &uuid))
        return CLI_OK;
    return cli_fail(CLI_USAGE, "%s: must be a UUID; is \"%.80s\"", what, text);
}

/* The command that the words begin with, two words before one. */
static const struct command *find_command(int count, char *const words[], int *ret_words)
{
    for (*ret_words = count < 2 ? count : 2; *ret_words > 0; --*ret_words) {
        char name[64];

        snprintf(name, sizeof(name), "%s%s%s", words[0], *ret_words == 2 ? " " : "",
                 *ret_words == 2 ? words[1] : "");
        for (size_t i = 0; i < COMMANDS; i++) {
            if (strcmp(commands[i]->name, name) == 0)
                return commands[i];
        }
    }
    return NULL;
}

static int fail_command(int count, char *const words[])
{
    char name[64];
    char groups[COMMANDS][32];
    struct nearest nearest = NEAREST_INIT(name);
    size_t size = strlen(words[0]);

    for (size_t i = 0; i < COMMANDS; i++) {
        if (strncmp(commands[i]->name, words[0], size) != 0 || commands[i]->name[size] != ' ')
            continue;
        cli_fail(CLI_USAGE, "%s: one of these is meant:", words[0]);
        for (; i < COMMANDS && strncmp(commands[i]->name, words[0], size) == 0; i++)
            fprintf(stderr, "  outboxctl %s %s\n", commands[i]->name, commands[i]->operands);
        return CLI_USAGE;
    }
    snprintf(name, sizeof(name), "%s%s%s", words[0], count > 1 ? " " : "", count > 1 ? words[1] : "");
    for (size_t i = 0; i < COMMANDS; i++)
        nearest_try(&nearest, commands[i]->name);
    if (!nearest.name) {
        /* "endpiont": the first words of the commands */
        snprintf(name, sizeof(name), "%s", words[0]);
        for (size_t i = 0; i < COMMANDS; i++) {
            snprintf(groups[i], sizeof(groups[i]), "%.*s", (int)strcspn(commands[i]->name, " "),
                     commands[i]->name);
            nearest_try(&nearest, groups[i]);
        }
    }
    if (nearest.name)
        return cli_fail(CLI_USAGE, "there is no command %s; did you mean %s?", words[0], nearest.name);
    return cli_fail(CLI_USAGE, "there is no command %s; outboxctl help lists them", words[0]);
}

static int help(int count, char *const words[])
{
    const struct command *command;
    int used;

    if (count == 0) {
        help_print_all(stdout, commands, COMMANDS);
        return CLI_OK;
    }
    if (count == 1 && strcmp(words[0], "--json") == 0) {
        help_print_json(stdout, commands, COMMANDS);
        return CLI_OK;
    }
    command = find_command(count, words, &used);
    if (!command)
        return fail_command(count, words);
    help_print_command(stdout, command);
    return CLI_OK;
}

/* libpq quotes what it cannot read, and that may be a password: a stray word, or, behind
 * an unescaped "/" in it, what then stands in the place of the port. */
static bool dsn_is_readable(const char *dsn)
{
    PQconninfoOption *options;
    bool readable;

    if (!strchr(dsn, '=') && !strstr(dsn, "://"))
        return true; /* a database's name */
    options = PQconninfoParse(dsn, NULL);
    readable = options != NULL;
    for (PQconninfoOption *option = options; option && option->keyword; option++) {
        if (strcmp(option->keyword, "port") == 0 && option->val &&
            strspn(option->val, "0123456789,") != strlen(option->val))
            readable = false;
    }
    PQconninfoFree(options);
    return readable;
}

bool cli_insecure(const struct cli *cli)
{
    const char *variable = getenv("OUTBOX_INSECURE");
    bool insecure = cli->insecure || flag_given(&cli->args, "insecure");

    return insecure || (variable && value_boolean(variable, &insecure) && insecure);
}

/* The role that a command takes, to be named when a right is missing. */
static const char *role_of(const struct command *command)
{
    if (command == &migrate_command)
        return "";
    if (command == &emit_command)
        return "outbox_writer";
    return command->changes ? "outbox_admin" : "outbox_reader";
}

int cli_connect(struct cli *cli)
{
    const char *dsn = flag_text(&cli->args, "dsn");
    struct pg_conn_settings settings = {.application_name = "outboxctl"};
    outbox_error *err = NULL;

    if (!dsn)
        dsn = cli->dsn ? cli->dsn : getenv("OUTBOX_DSN");
    if (!dsn)
        return cli_fail(CLI_USAGE,
                        "which database? Give --dsn or OUTBOX_DSN (\"\" for libpq's own variables)");
    if (!dsn_is_readable(dsn))
        return cli_fail(CLI_USAGE, "the connection string is not valid (not shown: it may hold a password)");
    settings.dsn = dsn;
    pg_set_policy(cli_insecure(cli), role_of(cli->command));
    if (flag_duration(&cli->args, "connect-timeout", MILLISECONDS(10), SECONDS(3600), SECONDS(10),
                      &settings.connect_timeout, &err) < 0)
        return cli_fail_error(err);
    cli->pg = pg_open(&settings, &err);
    if (!cli->pg)
        return cli_fail_error(err);
    return cli->command->changes ? CLI_OK : cli_begin_reading(cli);
}

static int run_command(struct cli *cli, int count, char *const words[])
{
    const struct command *command = cli->command;
    mono_us patience = command == &migrate_command ? SECONDS(600) : SECONDS(30);
    outbox_error *err = NULL;
    int operands, code;

    if (flags_parse(&cli->args, count, words, command->flags, common_flags, false, &err) < 0)
        return cli_fail_error(err);
    if (flag_given(&cli->args, "help")) {
        help_print_command(stdout, command);
        return CLI_OK;
    }
    operands = (int)operand_count(&cli->args);
    if (operands < command->least || operands > command->most)
        return cli_fail(CLI_USAGE, "usage: outboxctl %s %s", command->name, command->operands);
    if (flag_duration(&cli->args, "statement-timeout", MILLISECONDS(10), SECONDS(86400), patience,
                      &cli->timeout, &err) < 0)
        return cli_fail_error(err);
    cli->json = flag_given(&cli->args, "json");
    if (command->connects) {
        code = cli_connect(cli);
        if (code != CLI_OK)
            return code;
    }
    return command->run(cli);
}

int main(int argc, char **argv)
{
    struct cli cli = {0};
    outbox_error *err = NULL;
    int code = CLI_USAGE;
    int used, at;

    at = flags_parse(&cli.args, argc - 1, argv + 1, first_flags, common_flags, true, &err);
    if (at < 0) {
        code = cli_fail_error(err);
        goto out;
    }
    at++;
    if (flag_given(&cli.args, "version")) {
        printf("outboxctl %s\n", OUTBOX_VERSION);
        code = CLI_OK;
    } else if (at < argc && strcmp(argv[at], "help") == 0) {
        code = help(argc - at - 1, argv + at + 1);
    } else if (at == argc && flag_given(&cli.args, "help")) {
        code = help(0, NULL);
    } else if (at == argc) {
        help_print_all(stderr, commands, COMMANDS);
    } else {
        cli.command = find_command(argc - at, argv + at, &used);
        code = cli.command ? run_command(&cli, argc - at - used, argv + at + used)
                           : fail_command(argc - at, argv + at);
    }
out:
    /* A full disk behind standard output is a failure. */
    if (fflush(stdout) != 0 || ferror(stdout))
        code = cli_fail(CLI_FAILED, "cannot write to standard output");
    pg_close(cli.pg);
    flags_free(&cli.args);
    return code;
}
