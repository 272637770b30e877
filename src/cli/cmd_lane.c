/* outboxctl lane: who publishes what, and how far it has come. */
#include <string.h>

#include "cli/cli.h"
#include "cli/lanes.h"
#include "cli/output.h"

static void add_row(struct table *table, const PGresult *lanes, int row)
{
    static const char *const names[] = {"map",         "lane",      NULL,          "state",
                                        "holder",      "epoch",     "lease_left",  NULL,
                                        "lag_events",  "lag_seconds", "publish",     "published", "acknowledged_at"};
    char text[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i]) {
            table_cell(table, PQgetvalue(lanes, row, PQfnumber(lanes, names[i])));
            continue;
        }
        if (i == 2)
            snprintf(text, sizeof(text), "%s-%s", PQgetvalue(lanes, row, PQfnumber(lanes, "bucket_low")),
                     PQgetvalue(lanes, row, PQfnumber(lanes, "bucket_high")));
        else
            snprintf(text, sizeof(text), "%s-%s:%s%s", PQgetvalue(lanes, row, PQfnumber(lanes, "from_tick")),
                     PQgetvalue(lanes, row, PQfnumber(lanes, "to_tick")),
                     PQgetvalue(lanes, row, PQfnumber(lanes, "seq")),
                     pg_get_bool(lanes, row, PQfnumber(lanes, "done")) ? "" : "...");
        table_cell(table, text);
    }
}

static void print_remarks(const PGresult *lanes, int row)
{
    const char *lane = PQgetvalue(lanes, row, PQfnumber(lanes, "lane"));
    const char *halted = pg_get_text(lanes, row, PQfnumber(lanes, "halted"));
    const char *detail = pg_get_text(lanes, row, PQfnumber(lanes, "halted_detail"));
    const char *relay = pg_get_text(lanes, row, PQfnumber(lanes, "pinned_to"));

    if (halted) {
        printf("lane %s is halted: %s: ", lane, halted);
        print_escaped(stdout, detail ? detail : "", detail ? strlen(detail) : 0);
        printf("\n");
    }
    if (relay) {
        printf("lane %s stays with ", lane);
        print_escaped(stdout, relay, strlen(relay));
        printf(" while that one is alive\n");
    }
}

static void print_lanes(const PGresult *lanes)
{
    static const char *const titles[] = {"map",        "lane",        "buckets",   "state",
                                         "owner",      "epoch",       "lease_left", "position",
                                         "lag_events", "lag_seconds", "publish",   "published", "acknowledged_at"};
    enum { COLUMNS = sizeof(titles) / sizeof(titles[0]) };
    static const int right[] = {0, 1, 5, 6, 8, 9, 11};
    struct table *table = table_new(COLUMNS);

    for (int i = 0; i < COLUMNS; i++)
        table_cell(table, titles[i]);
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        table_align_right(table, right[i]);
    for (int row = 0; row < PQntuples(lanes); row++)
        add_row(table, lanes, row);
    table_print(table, stdout);
    table_free(table);
    for (int row = 0; row < PQntuples(lanes); row++)
        print_remarks(lanes, row);
    if (PQntuples(lanes) > 0 && pg_get_text(lanes, 0, PQfnumber(lanes, "next_lanes")))
        printf("the map is being changed to one of %s lanes\n",
               PQgetvalue(lanes, 0, PQfnumber(lanes, "next_lanes")));
}

static int run_list(struct cli *cli)
{
    PGresult *lanes = NULL;
    int code = lanes_read(cli, &lanes);

    if (code != CLI_OK)
        return code;
    if (cli->json)
        print_json(stdout, result_array(lanes));
    else
        print_lanes(lanes);
    PQclear(lanes);
    return CLI_OK;
}

const struct command lane_list_command = {
    .name = "lane list",
    .operands = "",
    .summary = "Lists the lanes: owner, lease, position, lag",
    .help = "State: running (a relay holds its lease), halted (its relay stopped and says why),\n"
            "paused (by an operator), unowned (no relay holds it). lease_left: seconds; negative, it\n"
            "ended so long ago. Position: the ticks of the batch, and the number of the last event of it that is\n"
            "published; \"...\" if the batch has more. Lag as in outboxctl status.\n"
            "Publish: how it was published last, exactly_once or at_least_once.",
    .connects = true,
    .run = run_list,
};
