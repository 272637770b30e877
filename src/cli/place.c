#include "cli/place.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/output.h"
#include "runtime/log.h"
#include "sink/configured.h"

#define PATIENCE SECONDS(10) /* for each lane's marker */

static int read_standing(struct place *place)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int code;

    pg_arg_text(&args, place->host);
    code = cli_query(place->cli, "SELECT s.state, s.detail FROM outbox.standing($1) AS s", &args, &result);
    if (code == CLI_OK) {
        snprintf(place->state, sizeof(place->state), "%s", PQgetvalue(result, 0, 0));
        snprintf(place->detail, sizeof(place->detail), "%s", PQgetvalue(result, 0, 1));
    }
    PQclear(result);
    return code;
}

int place_open(struct cli *cli, struct place *ret)
{
    outbox_error *err = NULL;
    int code;

    *ret = (struct place){.cli = cli};
    /* What Kafka's client says on its own comes with the error, if it is one. */
    log_set_level(LOG_LEVEL_ERROR);
    if (gethostname(ret->host, sizeof(ret->host) - 1) != 0)
        return cli_fail(CLI_FAILED, "this machine has no name");
    if (!relay_config_named(cli))
        return cli_fail(CLI_USAGE, "which Kafka? Give the relay's --config, or --kafka and --topic-prefix");
    code = relay_config_load(cli, &ret->config);
    if (code == CLI_OK)
        code = cli_connect(cli);
    if (code == CLI_OK)
        code = read_standing(ret);
    if (code != CLI_OK)
        return code;
    ret->kafka = kafka_of_config(config_relay(ret->config), &err);
    if (!ret->kafka)
        return cli_fail_error(err);
    return markers_read(cli, ret->kafka, PATIENCE, &ret->markers);
}

void place_close(struct place *place)
{
    markers_free(&place->markers);
    kafka_free(place->kafka);
    place->cli->dsn = NULL; /* the configuration's */
    config_free(place->config);
}

void place_print(const struct place *place)
{
    printf("database: %s\n", place->state[0] ? place->state : "enabled here");
    if (place->state[0])
        printf("    %s\n", place->detail);
    for (size_t i = 0; i < place->markers.count; i++) {
        const struct lane_marker *lane = &place->markers.list[i];

        printf("lane %d: %s\n    %s\n", lane->ours.lane, marker_verdict_name(lane->verdict),
               marker_verdict_text(lane->verdict));
    }
}

json_t *place_json(const struct place *place, bool done)
{
    json_t *lanes = json_array();

    for (size_t i = 0; i < place->markers.count; i++) {
        const struct lane_marker *lane = &place->markers.list[i];

        json_array_append_new(lanes, json_pack("{s:i,s:s,s:s}", "lane", lane->ours.lane, "marker",
                                               marker_verdict_name(lane->verdict), "meaning",
                                               marker_verdict_text(lane->verdict)));
    }
    return json_pack("{s:s?,s:s?,s:o,s:b}", "state", place->state[0] ? place->state : NULL, "detail",
                     place->detail[0] ? place->detail : NULL, "lanes", lanes, "done", (int)done);
}
