/* outboxctl lane set, pause, resume, move: how many lanes there are, and who has them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"

#define PATIENCE SECONDS(60)
#define LOOK_AGAIN MILLISECONDS(200)

/* A number of lanes, or of a lane. */
static int read_number(const char *what, const char *text, int64_t *ret)
{
    char *end = NULL;

    errno = 0;
    *ret = strtol(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && *ret >= 0 && *ret <= INT32_MAX)
        return CLI_OK;
    return cli_fail(CLI_USAGE, "%s: must be a number; is \"%.80s\"", what, text);
}

/* ---- lane set ---- */

static const struct flag_spec set_flags[] = {
    {"patience", "DURATION", "give up after that, and leave everything as it was (default 1m)"},
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static const struct example set_examples[] = {
    {"lane set 4 --reason 'two more relays'", "four lanes, which all relays share"},
    {NULL, NULL},
};

static const char sql_begin[] = "SELECT outbox.lane_set($1, $2::interval, $3)";

/* Which lanes are not where they should be, while the change is under way. */
static const char sql_look[] =
    "SELECT m.lane_map >= $1 AS done,"
    "       EXISTS (SELECT FROM outbox.lane_change c WHERE c.expires_at > clock_timestamp()) AS pending,"
    "       (SELECT string_agg(format('lane %s %s', n.lane,"
    "                   CASE WHEN n.halted IS NOT NULL THEN 'is halted'"
    "                        WHEN n.to_tick <> c.stop_tick OR NOT n.done THEN"
    "                             CASE WHEN l.holder IS NULL THEN 'has no relay'"
    "                                  ELSE 'is still being published by ' || l.holder END"
    "                        ELSE 'is still held by ' || l.holder END), ', ' ORDER BY n.lane)"
    "          FROM outbox.lane n JOIN outbox.lane_change c ON c.map = n.map"
    "          JOIN outbox.lease l ON l.name = format('lane/%s/%s', n.map, n.lane)"
    "         WHERE n.halted IS NOT NULL OR n.to_tick <> c.stop_tick OR NOT n.done"
    "            OR l.holder IS NOT NULL AND l.expires_at > clock_timestamp()) AS missing"
    "  FROM outbox.meta m";

static int begin_set(struct cli *cli, int64_t lanes, mono_us patience, int64_t *ret_map)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_int(&args, lanes);
    pg_arg_interval_us(&args, patience);
    pg_arg_text(&args, flag_text(&cli->args, "reason"));
    code = cli_query(cli, sql_begin, &args, &result);
    if (code == CLI_OK)
        *ret_map = pg_get_int(result, 0, 0);
    PQclear(result);
    return code;
}

static int await_map(struct cli *cli, int64_t map, char *ret_missing, size_t room, bool *ret_done)
{
    for (;;) {
        struct pg_args args = PG_ARGS_INIT;
        PGresult *result = NULL;
        bool pending;
        int code;

        pg_arg_int(&args, map);
        code = cli_query(cli, sql_look, &args, &result);
        if (code != CLI_OK)
            return code;
        *ret_done = pg_get_bool(result, 0, 0);
        pending = pg_get_bool(result, 0, 1);
        if (!PQgetisnull(result, 0, 2))
            snprintf(ret_missing, room, "%s", PQgetvalue(result, 0, 2));
        PQclear(result);
        if (*ret_done || !pending)
            return CLI_OK;
        if (pg_wait(cli->pg, -1, clock_now() + LOOK_AGAIN) == PG_WAIT_LOST)
            return cli_fail(CLI_CONNECT, "the connection is lost; outboxctl lane list shows the map as it is");
    }
}

static int run_set(struct cli *cli)
{
    char missing[512] = "nobody tells which";
    mono_us patience = PATIENCE;
    mono_us began = clock_now();
    outbox_error *err = NULL;
    int64_t lanes = 0;
    int64_t map = 0;
    bool done = false;
    int code = read_number("lanes", operand(&cli->args, 0), &lanes);

    if (code != CLI_OK)
        return code;
    if (flag_duration(&cli->args, "patience", SECONDS(1), SECONDS(600), PATIENCE, &patience, &err) < 0 ||
        pg_run(cli->pg, "LISTEN outbox_relays", clock_now() + cli->timeout, &err) < 0)
        return cli_fail_error(err);
    code = begin_set(cli, lanes, patience, &map);
    if (code == CLI_OK)
        code = await_map(cli, map, missing, sizeof(missing), &done);
    if (code != CLI_OK)
        return code;
    if (!done)
        return cli_fail(CLI_FAILED, "the lanes did not come to one tick in time: %s; everything is as it was", missing);
    if (cli->json)
        print_json(stdout, json_pack("{s:I,s:I,s:f}", "map", (json_int_t)map, "lanes", (json_int_t)lanes, "seconds",
                                     (double)(clock_now() - began) / 1e6));
    else
        printf("map %lld has %lld lanes, after %.1f s\n", (long long)map, (long long)lanes,
               (double)(clock_now() - began) / 1e6);
    return CLI_OK;
}

const struct command lane_set_command = {
    .name = "lane set",
    .operands = "N",
    .least = 1,
    .most = 1,
    .summary = "Divides the events among N lanes",
    .help = "The relays that are alive share the lanes evenly. All lanes are brought to one tick and\n"
            "end there; those of the new map begin there, so that the order of each key holds. Events\n"
            "that are committed meanwhile are published then. The topic PREFIX.progress must have a\n"
            "partition for each lane (16 if the relay has created it). A lane that is paused or halted\n"
            "stands in the way.",
    .flags = set_flags,
    .examples = set_examples,
    .connects = true,
    .changes = true,
    .run = run_set,
};

/* ---- lane pause, resume, move ---- */

static const struct flag_spec change_flags[] = {
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static int switch_lane(struct cli *cli, const char *sql, const char *done, const char *already)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int64_t lane = 0;
    int code = read_number("lane", operand(&cli->args, 0), &lane);
    bool changed;

    if (code != CLI_OK)
        return code;
    pg_arg_int(&args, lane);
    pg_arg_text(&args, flag_text(&cli->args, "reason"));
    code = cli_query(cli, sql, &args, &result);
    if (code != CLI_OK)
        return code;
    changed = pg_get_bool(result, 0, 0);
    PQclear(result);
    if (cli->json)
        print_json(stdout, json_pack("{s:I,s:b}", "lane", (json_int_t)lane, "changed", (int)changed));
    else
        printf("lane %lld %s\n", (long long)lane, changed ? done : already);
    return CLI_OK;
}

static int run_pause(struct cli *cli)
{
    return switch_lane(cli, "SELECT outbox.lane_pause($1, $2)", "is paused", "was paused already");
}

static int run_resume(struct cli *cli)
{
    return switch_lane(cli, "SELECT outbox.lane_resume($1, $2)", "is resumed", "was not paused");
}

const struct command lane_pause_command = {
    .name = "lane pause",
    .operands = "LANE",
    .least = 1,
    .most = 1,
    .summary = "Stops publishing a lane; its events wait",
    .help = "Its relay ends what is open and gives it back; nobody takes it until it is resumed.",
    .flags = change_flags,
    .connects = true,
    .changes = true,
    .run = run_pause,
};

const struct command lane_resume_command = {
    .name = "lane resume",
    .operands = "LANE",
    .least = 1,
    .most = 1,
    .summary = "Publishes a paused lane again, from where it was",
    .flags = change_flags,
    .connects = true,
    .changes = true,
    .run = run_resume,
};

static const struct flag_spec move_flags[] = {
    {"anywhere", NULL, "undo it: the lane goes to whoever's turn it is"},
    REASON_FLAG,
    {NULL, NULL, NULL},
};

static const struct example move_examples[] = {
    {"lane move 2 relay-b", "lane 2 goes to the relay whose option name is relay-b"},
    {"lane move 2 --anywhere", "and is shared like the others again"},
    {NULL, NULL},
};

static int run_move(struct cli *cli)
{
    const char *relay = operand(&cli->args, 1);
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int64_t lane = 0;
    int code = read_number("lane", operand(&cli->args, 0), &lane);

    if (code != CLI_OK)
        return code;
    if (flag_given(&cli->args, "anywhere") == (relay != NULL))
        return cli_fail(CLI_USAGE, "give either a relay or --anywhere");
    pg_arg_int(&args, lane);
    pg_arg_text(&args, relay);
    pg_arg_text(&args, flag_text(&cli->args, "reason"));
    code = cli_query(cli, "SELECT outbox.lane_move($1, $2, $3)", &args, &result);
    if (code != CLI_OK)
        return code;
    if (cli->json)
        print_json(stdout, json_pack("{s:I,s:s?,s:s?}", "lane", (json_int_t)lane, "relay", relay, "former",
                                     pg_get_text(result, 0, 0)));
    else if (relay)
        printf("lane %lld goes to %s\n", (long long)lane, relay);
    else
        printf("lane %lld goes to whoever's turn it is\n", (long long)lane);
    PQclear(result);
    return CLI_OK;
}

const struct command lane_move_command = {
    .name = "lane move",
    .operands = "LANE [RELAY]",
    .least = 1,
    .most = 2,
    .summary = "Gives a lane to a relay, and leaves it there while that one is alive",
    .help = "Its present owner ends what is open and hands it over. If that relay dies, the others\n"
            "share the lane until it is back.",
    .flags = move_flags,
    .examples = move_examples,
    .connects = true,
    .changes = true,
    .run = run_move,
};
