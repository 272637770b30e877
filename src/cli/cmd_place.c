/* outboxctl enable, outboxctl adopt: this database, here, is the one that publishes. */
#include <string.h>

#include "cli/output.h"
#include "cli/place.h"

static const struct flag_spec enable_flags[] = {
    RELAY_CONFIG_FLAGS,
    {"any-address", NULL, "for servers whose address changes: at whatever address"},
    REASON_FLAG,
    YES_FLAG,
    {NULL, NULL, NULL},
};
static const struct flag_spec adopt_flags[] = {
    RELAY_CONFIG_FLAGS,
    REASON_FLAG,
    YES_FLAG,
    {NULL, NULL, NULL},
};

static int end_unchanged(const struct place *place)
{
    if (place->cli->json)
        print_json(stdout, place_json(place, false));
    else
        printf("nothing was changed; --yes does it\n");
    return CLI_OK;
}

static int refuse_markers(const struct place *place)
{
    return cli_fail(CLI_REFUSED, "a relay could not go on where it was (%s); outboxctl rebase begins anew, and says"
                                 " what may be lost or doubled", place->state[0] ? place->state : "see its lanes");
}

static int carry_out(const struct place *place, const char *sql, const struct pg_args *args)
{
    PGresult *result = NULL;
    int code = cli_query(place->cli, sql, args, &result);

    if (code == CLI_OK && place->cli->json)
        print_json(stdout, place_json(place, true));
    else if (code == CLI_OK)
        printf("done: enabled at %s on timeline %s; start the relay\n",
               PQgetvalue(result, 0, PQfnumber(result, "enabled_addresses")),
               PQgetvalue(result, 0, PQfnumber(result, "timeline")));
    PQclear(result);
    return code;
}

static int enable(const struct place *place)
{
    const struct arguments *given = &place->cli->args;
    bool any = flag_given(given, "any-address");
    struct pg_args args = PG_ARGS_INIT;

    if (strcmp(place->state, "wrong_server") == 0 || strcmp(place->state, "xids_ahead") == 0)
        return cli_fail(CLI_REFUSED, "%s: %s; after pg_upgrade use outboxctl adopt, after a restore outboxctl rebase",
                        place->state, place->detail);
    if (!markers_good(&place->markers))
        return refuse_markers(place);
    if (!place->cli->json)
        printf("Nothing is lost or doubled by publishing from here, if nobody publishes from elsewhere:\n"
               "the relays of the former server must be stopped for good.\n");
    if (!flag_given(given, "yes"))
        return end_unchanged(place);
    pg_arg_text(&args, place->host);
    pg_arg_bool(&args, any);
    pg_arg_text(&args, flag_text(given, "reason"));
    return carry_out(place, "SELECT * FROM outbox.enable($1, $2, $3)", &args);
}

static int adopt(const struct place *place)
{
    const struct arguments *given = &place->cli->args;
    struct pg_args args = PG_ARGS_INIT;

    if (!markers_good(&place->markers))
        return refuse_markers(place);
    if (!place->cli->json)
        printf("Nothing is lost or doubled if this is the upgraded cluster and the old one stays stopped.\n"
               "A database that was restored from a dump is refused.\n");
    if (!flag_given(given, "yes"))
        return end_unchanged(place);
    pg_arg_text(&args, place->host);
    pg_arg_text(&args, flag_text(given, "reason"));
    return carry_out(place, "SELECT * FROM outbox.adopt($1, $2)", &args);
}

static int run(struct cli *cli, int (*verb)(const struct place *place))
{
    struct place place;
    int code = place_open(cli, &place);

    if (code == CLI_OK && !cli->json)
        place_print(&place);
    if (code == CLI_OK)
        code = verb(&place);
    place_close(&place);
    return code;
}

static int run_enable(struct cli *cli)
{
    return run(cli, enable);
}

static int run_adopt(struct cli *cli)
{
    return run(cli, adopt);
}

static const struct example enable_examples[] = {
    {"enable --config /etc/outbox/relay.conf", "what would it mean?"},
    {"enable --config /etc/outbox/relay.conf --yes --reason 'failover to pg2'", "after a promotion"},
    {NULL, NULL},
};

const struct command enable_command = {
    .name = "enable",
    .operands = "",
    .summary = "Publishes from this database, at this address, from now on",
    .help = "For the state not_enabled: a standby was promoted, a backup recovered, the server has\n"
            "moved, or the relay reaches it in another way. Run it where the relay runs, with its\n"
            "configuration. Refused unless Kafka and the database agree. On the same timeline the\n"
            "address is added to those enabled, else it replaces them.",
    .flags = enable_flags,
    .examples = enable_examples,
    .changes = true,
    .run = run_enable,
};

static const struct example adopt_examples[] = {
    {"adopt --config /etc/outbox/relay.conf --yes --reason 'PostgreSQL 18'", "after pg_upgrade"},
    {NULL, NULL},
};

const struct command adopt_command = {
    .name = "adopt",
    .operands = "",
    .summary = "Goes on after pg_upgrade, which gives PostgreSQL another identity",
    .help = "For the state wrong_server. Refused unless the files are those of the cluster where the\n"
            "outbox was, its transaction ids go on, and Kafka and the database agree. What was\n"
            "restored from a dump has to be rebased.",
    .flags = adopt_flags,
    .examples = adopt_examples,
    .changes = true,
    .run = run_adopt,
};
