/* outboxctl rebase: a new incarnation, when the position cannot be proven any more. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "cli/output.h"
#include "cli/place.h"
#include "core/share.h"
#include "sink/producer.h"
#include "sink/progress.h"

static const struct flag_spec flags[] = {
    RELAY_CONFIG_FLAGS,
    {"republish", NULL, "publish what this database does not know to be published, even again"},
    {"skip", NULL, "or publish only what is emitted from now on"},
    {"fence", "UUID", "an incarnation that this database does not know, too; may be repeated"},
    REASON_FLAG,
    YES_FLAG,
    {NULL, NULL, NULL},
};

static mono_us patience(const struct place *place)
{
    return clock_now() + 2 * config_relay(place->config)->transaction_timeout;
}

/* ---- what it means ---- */

static int count_events(struct cli *cli, int64_t *ret)
{
    PGresult *result = NULL;
    int code = cli_query(cli, "SELECT count(*) FROM outbox.beyond_positions()", NULL, &result);

    if (code == CLI_OK)
        *ret = pg_get_int(result, 0, 0);
    PQclear(result);
    return code;
}

static void explain_ahead(const struct place *place)
{
    for (size_t i = 0; i < place->markers.count; i++) {
        const struct lane_marker *lane = &place->markers.list[i];

        if (lane->verdict == MARKER_AHEAD || lane->verdict == MARKER_CONFLICT)
            printf("lane %d: Kafka counts %" PRId64 " events, this database %" PRId64 ". What lies between is among\n"
                   "    those above, or its transaction is lost here, and consumers have it nevertheless.\n",
                   lane->ours.lane, lane->theirs.published, lane->ours.published);
    }
}

static void explain(const struct place *place, int64_t events)
{
    printf("%" PRId64 " events are not published as far as this database knows.\n", events);
    explain_ahead(place);
    printf("--republish publishes them: nothing that is here is lost; what Kafka has of them is doubled.\n"
           "--skip does not: nothing is doubled; what Kafka does not have of them is lost.\n"
           "Webhooks that this database does not know to be delivered are sent again in any case.\n"
           "Other relays of this outbox, and those of the former server, must be stopped for good.\n");
}

/* ---- doing it ---- */

static int init_producer(const struct place *place, const struct marker *marker, struct producer **ret)
{
    const char *prefix = config_relay(place->config)->topic_prefix;
    outbox_error *err = NULL;
    char id[512];

    if (!marker_transactional_id(marker, prefix, id, sizeof(id)))
        return cli_fail(CLI_USAGE, "topic_prefix: is too long");
    *ret = producer_new(place->kafka, id, &err);
    if (!*ret || producer_init(*ret, patience(place), &err) != SINK_OK)
        return err ? cli_fail_error(err) : cli_fail(CLI_CONNECT, "Kafka does not fence %s in time", id);
    return CLI_OK;
}

static int fence_lane(const struct place *place, const struct outbox__uuid *incarnation, int map, int lane)
{
    struct marker marker = {.map = map, .lane = lane};
    struct producer *producer = NULL;
    int code;

    memcpy(marker.incarnation, incarnation->bytes, sizeof(marker.incarnation));
    code = init_producer(place, &marker, &producer);
    producer_close(producer, clock_now() + SECONDS(5));
    return code;
}

static int read_newest_map(const struct place *place, const struct outbox__uuid *incarnation, int *ret)
{
    outbox_error *err = NULL;
    struct progress *progress = progress_open(place->kafka, &err);
    int code = CLI_OK;

    if (!progress || progress_newest_map(progress, incarnation->bytes, patience(place), ret, &err) != SINK_OK)
        code = cli_fail_error(err);
    progress_close(progress);
    return code;
}

/* Whoever still writes as this incarnation is cut off, and what it left open is aborted: in the lanes
 * of this database's map, and in those of the newest of which Kafka knows.  That is another one if the
 * database went back to before a change of the map; the maps between have ended. */
static int fence(const struct place *place, const char *incarnation)
{
    struct outbox__uuid uuid;
    int present = place->markers.count > 0 ? place->markers.list[0].ours.map : 0;
    int newest = 0;
    int code;

    if (!outbox__uuid_parse(incarnation, &uuid))
        return cli_fail(CLI_USAGE, "--fence: must be a UUID; is \"%.80s\"", incarnation);
    code = read_newest_map(place, &uuid, &newest);
    for (size_t i = 0; code == CLI_OK && i < place->markers.count; i++)
        code = fence_lane(place, &uuid, present, place->markers.list[i].ours.lane);
    for (int lane = 0; code == CLI_OK && newest != 0 && newest != present && lane < SHARE_LANES; lane++)
        code = fence_lane(place, &uuid, newest, lane);
    return code;
}

static int fence_all(const struct place *place)
{
    PGresult *rows = NULL;
    const char *more;
    size_t at = 0;
    int code = cli_query(place->cli,
                         "SELECT incarnation FROM outbox.meta UNION SELECT incarnation FROM outbox.former_incarnation",
                         NULL, &rows);

    for (int row = 0; code == CLI_OK && row < PQntuples(rows); row++)
        code = fence(place, PQgetvalue(rows, row, 0));
    while (code == CLI_OK && (more = flag_next(&place->cli->args, "fence", &at)) != NULL)
        code = fence(place, more);
    PQclear(rows);
    return code;
}

static int ensure_topic(const struct place *place)
{
    outbox_error *err = NULL;
    struct progress *progress = progress_open(place->kafka, &err);
    int code = CLI_OK;

    if (!progress || progress_ensure(progress, (int)place->markers.count, patience(place), &err) != SINK_OK)
        code = cli_fail_error(err);
    progress_close(progress);
    return code;
}

static int write_marker(const struct place *place, const struct marker *marker)
{
    struct producer *producer = NULL;
    outbox_error *err = NULL;
    int code = init_producer(place, marker, &producer);

    if (code == CLI_OK && (producer_publish(producer, NULL, 0, marker, patience(place), &err) != SINK_OK ||
                           producer_commit(producer, patience(place), &err) != SINK_OK))
        code = err ? cli_fail_error(err) : cli_fail(CLI_CONNECT, "Kafka does not commit in time");
    producer_close(producer, clock_now() + SECONDS(5));
    return code;
}

/* From the database again: now it has the new incarnation and its positions. */
static int write_markers(struct place *place)
{
    int code;

    markers_free(&place->markers);
    code = markers_read(place->cli, place->kafka, SECONDS(10), &place->markers);
    for (size_t i = 0; code == CLI_OK && i < place->markers.count; i++)
        code = write_marker(place, &place->markers.list[i].ours);
    if (code != CLI_OK)
        cli_fail(code, "the new incarnation has no markers yet: its relays halt; call rebase again");
    return code;
}

static int begin_anew(struct place *place, bool republish)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_text(&args, place->host);
    pg_arg_bool(&args, republish);
    pg_arg_text(&args, flag_text(&place->cli->args, "reason"));
    code = ensure_topic(place);
    if (code == CLI_OK)
        code = fence_all(place);
    if (code == CLI_OK)
        code = cli_query(place->cli, "SELECT r.incarnation, r.events FROM outbox.rebase($1, $2, $3) AS r", &args,
                         &result);
    if (code == CLI_OK)
        code = write_markers(place);
    if (code == CLI_OK && place->cli->json)
        print_json(stdout, json_pack("{s:s,s:I,s:b,s:b}", "incarnation", PQgetvalue(result, 0, 0), "events",
                                     (json_int_t)pg_get_int(result, 0, 1), "republish", (int)republish, "done", 1));
    else if (code == CLI_OK)
        printf("done: incarnation %s; %s events %s; start the relay\n", PQgetvalue(result, 0, 0),
               PQgetvalue(result, 0, 1), republish ? "will be published" : "were skipped");
    PQclear(result);
    return code;
}

static int rebase(struct place *place)
{
    const struct arguments *given = &place->cli->args;
    bool republish = flag_given(given, "republish");
    bool skip = flag_given(given, "skip");
    int64_t events = 0;
    int code = count_events(place->cli, &events);

    if (code != CLI_OK)
        return code;
    if (republish && skip)
        return cli_fail(CLI_USAGE, "give either --republish or --skip");
    if (flag_given(given, "yes") && !republish && !skip)
        return cli_fail(CLI_USAGE, "which harm is the smaller? Give --republish or --skip");
    if (!place->cli->json) {
        place_print(place);
        explain(place, events);
    }
    if (flag_given(given, "yes"))
        return begin_anew(place, republish);
    if (place->cli->json) {
        json_t *object = place_json(place, false);

        json_object_set_new(object, "events", json_integer((json_int_t)events));
        print_json(stdout, object);
    } else {
        printf("nothing was changed; --yes with one of the two does it\n");
    }
    return CLI_OK;
}

static int run(struct cli *cli)
{
    struct place place;
    int code = place_open(cli, &place);

    if (code == CLI_OK)
        code = rebase(&place);
    place_close(&place);
    return code;
}

static const struct example examples[] = {
    {"rebase --config /etc/outbox/relay.conf", "what may be lost or doubled?"},
    {"rebase --config /etc/outbox/relay.conf --republish --yes --reason 'restored from 03:00'",
     "rather doubled than lost"},
    {NULL, NULL},
};

const struct command rebase_command = {
    .name = "rebase",
    .operands = "",
    .summary = "Begins anew when the position cannot be proven: after a restore or lost data",
    .help = "For a restored dump, a standby that lagged when it was promoted, a progress topic that\n"
            "is gone, a Kafka that lost data. Fences the former incarnations, begins a new one at a\n"
            "fresh tick, and writes its first markers. Writers wait while the events are gone\n"
            "through, which takes longer the larger the log is.",
    .flags = flags,
    .examples = examples,
    .changes = true,
    .run = run,
};
