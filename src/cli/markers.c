#include "cli/markers.h"

#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "sink/progress.h"

static const char positions_sql[] =
    "SELECT n.map, n.lane, n.from_tick, n.from_nonce, n.to_tick, n.to_nonce, n.seq, n.done, n.started,"
    "       n.published, n.publish = 'at_least_once' AS loose, m.incarnation, m.born_on"
    "  FROM outbox.meta m JOIN outbox.lane n ON n.map = m.lane_map ORDER BY n.lane";
static const char ticks_sql[] =
    "SELECT EXISTS (SELECT FROM outbox.tick t WHERE t.id = $1 AND t.nonce = $2::uuid)"
    "   AND EXISTS (SELECT FROM outbox.tick t WHERE t.id = $3 AND t.nonce = $4::uuid)";

static const struct {
    const char *name, *text;
} verdicts[MARKER_VERDICTS] = {
    [MARKER_GOOD] = {"good", "Kafka and the database agree"},
    [MARKER_NONE] = {"new", "nothing has been published yet"},
    [MARKER_MISSING] = {"marker_missing", "it has published, and Kafka has no marker of it"},
    [MARKER_FOREIGN] = {"marker_foreign", "the progress topic has markers of another incarnation only"},
    [MARKER_BEHIND] = {"marker_behind", "the marker in Kafka lies behind what the database has acknowledged"},
    [MARKER_AHEAD] = {"marker_ahead", "Kafka has events that were published after what this database remembers"},
    [MARKER_CONFLICT] = {"marker_conflict", "the marker in Kafka and the position in the database cannot both be true"},
};

const char *marker_verdict_name(enum marker_verdict verdict)
{
    return verdicts[verdict].name;
}

const char *marker_verdict_text(enum marker_verdict verdict)
{
    return verdicts[verdict].text;
}

static void get_uuid(const PGresult *rows, int row, const char *column, uint8_t ret[16])
{
    struct outbox__uuid uuid = {{0}};

    outbox__uuid_parse(PQgetvalue(rows, row, PQfnumber(rows, column)), &uuid);
    memcpy(ret, uuid.bytes, sizeof(uuid.bytes));
}

static int64_t get_int(const PGresult *rows, int row, const char *column)
{
    return pg_get_int(rows, row, PQfnumber(rows, column));
}

static struct marker read_ours(const PGresult *rows, int row)
{
    struct marker ours = {.system_identifier = get_int(rows, row, "born_on"),
                          .map = (int)get_int(rows, row, "map"),
                          .lane = (int)get_int(rows, row, "lane"),
                          .published = get_int(rows, row, "published")};

    get_uuid(rows, row, "incarnation", ours.incarnation);
    ours.position.from.id = get_int(rows, row, "from_tick");
    get_uuid(rows, row, "from_nonce", ours.position.from.nonce);
    ours.position.to.id = get_int(rows, row, "to_tick");
    get_uuid(rows, row, "to_nonce", ours.position.to.nonce);
    ours.position.seq = get_int(rows, row, "seq");
    ours.position.done = pg_get_bool(rows, row, PQfnumber(rows, "done"));
    return ours;
}

static void put_tick(struct pg_args *args, const struct tick_id *tick, char text[OUTBOX__UUID_TEXT])
{
    struct outbox__uuid uuid;

    memcpy(uuid.bytes, tick->nonce, sizeof(uuid.bytes));
    outbox__uuid_format(&uuid, text);
    pg_arg_int(args, tick->id);
    pg_arg_text(args, text);
}

static int has_ticks(struct cli *cli, const struct position *position, bool *ret)
{
    char from[OUTBOX__UUID_TEXT], to[OUTBOX__UUID_TEXT];
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    put_tick(&args, &position->from, from);
    put_tick(&args, &position->to, to);
    code = cli_query(cli, ticks_sql, &args, &result);
    if (code == CLI_OK)
        *ret = pg_get_bool(result, 0, 0);
    PQclear(result);
    return code;
}

/* As the relay judges at its takeover. */
static int judge(struct cli *cli, struct lane_marker *lane, bool loose, bool foreign)
{
    bool known = false;
    int code = CLI_OK;

    if (!lane->found) {
        lane->verdict = foreign ? MARKER_FOREIGN : lane->started && !loose ? MARKER_MISSING : MARKER_NONE;
        return CLI_OK;
    }
    switch (position_compare(&lane->ours.position, &lane->theirs.position)) {
    case POSITION_SAME:
    case POSITION_BEFORE:
        code = has_ticks(cli, &lane->theirs.position, &known);
        lane->verdict = known ? MARKER_GOOD : MARKER_AHEAD;
        return code;
    case POSITION_AFTER:
        lane->verdict = loose ? MARKER_GOOD : MARKER_BEHIND;
        return CLI_OK;
    default:
        lane->verdict = MARKER_CONFLICT;
        return CLI_OK;
    }
}

static int read_newest_map(struct progress *progress, mono_us patience, struct lane_markers *markers)
{
    outbox_error *err = NULL;
    enum sink_result result;

    if (markers->count == 0)
        return CLI_OK;
    result = progress_newest_map(progress, markers->list[0].ours.incarnation, clock_now() + patience,
                                 &markers->newest_map, &err);
    if (result != SINK_OK && result != SINK_TOPIC_MISSING)
        return cli_fail_error(err);
    outbox_error_free(err);
    /* What the lanes of that map have published this database does not know. */
    for (size_t i = 0; i < markers->count && markers->newest_map > markers->list[0].ours.map; i++)
        markers->list[i].verdict = MARKER_AHEAD;
    return CLI_OK;
}

/* A progress topic that does not exist has no markers. */
static int read_one(struct cli *cli, struct progress *progress, mono_us patience, bool loose,
                    struct lane_marker *lane)
{
    struct progress_answer answer = {.found = false};
    outbox_error *err = NULL;
    enum sink_result result = progress_read(progress, lane->ours.incarnation, lane->ours.map, lane->ours.lane,
                                            clock_now() + patience, &answer, &err);

    if (result != SINK_OK && result != SINK_TOPIC_MISSING)
        return cli_fail_error(err);
    outbox_error_free(err);
    lane->found = answer.found && answer.marker.system_identifier == lane->ours.system_identifier;
    lane->theirs = answer.marker;
    return judge(cli, lane, loose, answer.foreign || (answer.found && !lane->found));
}

int markers_read(struct cli *cli, struct kafka *kafka, mono_us patience, struct lane_markers *ret)
{
    struct lane_markers markers = {NULL, 0, 0};
    struct progress *progress = NULL;
    outbox_error *err = NULL;
    PGresult *rows = NULL;
    int code = cli_query(cli, positions_sql, NULL, &rows);

    if (code != CLI_OK)
        return code;
    markers.list = calloc((size_t)PQntuples(rows) + 1, sizeof(*markers.list));
    progress = progress_open(kafka, &err);
    if (!markers.list || !progress)
        code = err ? cli_fail_error(err) : cli_fail(CLI_FAILED, "out of memory");
    for (int row = 0; code == CLI_OK && row < PQntuples(rows); row++) {
        struct lane_marker *lane = &markers.list[markers.count++];

        lane->ours = read_ours(rows, row);
        lane->started = pg_get_bool(rows, row, PQfnumber(rows, "started"));
        code = read_one(cli, progress, patience, pg_get_bool(rows, row, PQfnumber(rows, "loose")), lane);
    }
    if (code == CLI_OK)
        code = read_newest_map(progress, patience, &markers);
    progress_close(progress);
    PQclear(rows);
    if (code == CLI_OK)
        *ret = markers;
    else
        markers_free(&markers);
    return code;
}

void markers_free(struct lane_markers *markers)
{
    free(markers->list);
    *markers = (struct lane_markers){NULL, 0, 0};
}

bool markers_good(const struct lane_markers *markers)
{
    for (size_t i = 0; i < markers->count; i++) {
        if (markers->list[i].verdict != MARKER_GOOD && markers->list[i].verdict != MARKER_NONE)
            return false;
    }
    return true;
}
