/* outboxctl status: is everything flowing? */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/lanes.h"
#include "cli/output.h"

/* The oldest transaction that has written events: its locks on the table tell.  Those of
 * a prepared one have no pid; the lock on its own xid, which it holds too, names it. */
static const char writer_sql[] =
    "SELECT w.kind, w.who, w.application, w.state, w.since,"
    "       round(extract(epoch FROM clock_timestamp() - w.since)::numeric, 3) AS seconds FROM ("
    "    SELECT 'session' AS kind, a.pid::text AS who, a.application_name AS application, a.state,"
    "           a.xact_start AS since"
    "      FROM pg_locks k JOIN pg_stat_activity a ON a.pid = k.pid"
    "     WHERE k.relation = 'outbox.event'::regclass AND k.mode = 'RowExclusiveLock' AND k.granted"
    "       AND k.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"
    "    UNION ALL"
    "    SELECT 'prepared', x.gid, NULL, 'prepared', x.prepared"
    "      FROM pg_locks k"
    "      JOIN pg_locks t ON t.virtualtransaction = k.virtualtransaction AND t.pid IS NULL"
    "       AND t.locktype = 'transactionid'"
    "      JOIN pg_prepared_xacts x ON x.transaction = t.transactionid AND x.database = current_database()"
    "     WHERE k.relation = 'outbox.event'::regclass AND k.mode = 'RowExclusiveLock' AND k.pid IS NULL) AS w"
    " ORDER BY w.since NULLS LAST LIMIT 1";

static const char deliveries_sql[] =
    "SELECT d.state, count(*) AS deliveries,"
    "       CASE WHEN d.state IN ('pending', 'failed') THEN min(d.next_at) END AS next_at"
    "  FROM outbox.delivery d GROUP BY 1 ORDER BY 1";

/* schema_version, of which the last is known to this program, is checked elsewhere. */
static const char summary_sql[] =
    "SELECT (SELECT max(version) FROM outbox.migration) AS schema_version, m.incarnation, m.lane_map,"
    "       t.id AS last_tick, t.at AS last_tick_at, CASE WHEN s.is_called THEN s.last_value ELSE "
    "s.last_value - 1 END AS last_seq,"
    "       (SELECT count(*) FROM outbox.event_partition p WHERE p.low > s.last_value AND p.state = "
    "'attached')"
    "       AS partitions_ahead,"
    "       (SELECT count(*) FROM outbox.parked_event k WHERE k.released_at IS NULL) AS parked_events,"
    "       (SELECT count(*) FROM outbox.parked_topic) AS parked_topics,"
    "       (SELECT count(*) FROM outbox.scheduled_event) AS scheduled_events,"
    "       (SELECT count(*) FROM outbox.endpoint e WHERE e.enabled AND e.removed_at IS NULL) AS "
    "endpoints_enabled,"
    "       (SELECT count(*) FROM outbox.endpoint e WHERE NOT e.enabled AND e.removed_at IS NULL)"
    "       AS endpoints_disabled"
    "  FROM outbox.meta m CROSS JOIN outbox.event_seq s"
    "  LEFT JOIN LATERAL (SELECT * FROM outbox.tick ORDER BY id DESC LIMIT 1) AS t ON true";

struct status {
    PGresult *summary, *lanes, *writer, *deliveries;
};

static int read_status(struct cli *cli, struct status *ret)
{
    int code = cli_query(cli, summary_sql, NULL, &ret->summary);

    if (code == CLI_OK)
        code = lanes_read(cli, &ret->lanes);
    if (code == CLI_OK)
        code = cli_query(cli, writer_sql, NULL, &ret->writer);
    if (code == CLI_OK)
        code = cli_query(cli, deliveries_sql, NULL, &ret->deliveries);
    return code;
}

static int column(const PGresult *result, const char *name)
{
    return PQfnumber(result, name);
}

/* The sum over the lanes, and the worst. */
static void total_lag(const PGresult *lanes, int64_t *ret_events, double *ret_seconds, bool *ret_exact)
{
    *ret_events = 0;
    *ret_seconds = 0;
    *ret_exact = true;
    for (int row = 0; row < PQntuples(lanes); row++) {
        double seconds = strtod(PQgetvalue(lanes, row, column(lanes, "lag_seconds")), NULL);

        *ret_events += pg_get_int(lanes, row, column(lanes, "lag_events"));
        *ret_exact = *ret_exact && pg_get_bool(lanes, row, column(lanes, "lag_exact"));
        if (seconds > *ret_seconds)
            *ret_seconds = seconds;
    }
}

static void print_as_json(const struct status *status)
{
    json_t *object = result_object(status->summary, 0);
    json_t *states = json_object();
    int64_t events;
    double seconds;
    bool exact;

    total_lag(status->lanes, &events, &seconds, &exact);
    for (int row = 0; row < PQntuples(status->deliveries); row++)
        json_object_set_new(states, PQgetvalue(status->deliveries, row, 0),
                            result_value(status->deliveries, row, 1));
    json_object_set_new(
        object, "lag",
        json_pack("{s:I,s:f,s:b}", "events", (json_int_t)events, "seconds", seconds, "exact", exact));
    json_object_set_new(object, "lanes", result_array(status->lanes));
    json_object_set_new(object, "oldest_writer",
                        PQntuples(status->writer) > 0 ? result_object(status->writer, 0) : json_null());
    json_object_set_new(object, "deliveries", states);
    print_json(stdout, object);
}

static void print_lag(const struct status *status)
{
    int64_t events;
    double seconds;
    bool exact;

    total_lag(status->lanes, &events, &seconds, &exact);
    printf("lag: %s%lld events, %.3f s\n\n", exact ? "" : "about ", (long long)events, seconds);
}

/* A lane is a lot of columns for one line: what matters first is in the table, the rest
 * follows only where something is wrong. */
static void print_lanes(const PGresult *lanes)
{
    static const char *const shown[] = {"lane",    "lag_events", "lag_seconds",    "published",
                                        "to_tick", "seq",        "done",           "holder",
                                        "epoch",   "expires_at", "acknowledged_at"};
    enum { COLUMNS = sizeof(shown) / sizeof(shown[0]) };
    struct table *table = table_new(COLUMNS);

    for (int i = 0; i < COLUMNS; i++)
        table_cell(table, shown[i]);
    for (int row = 0; row < PQntuples(lanes); row++) {
        for (int i = 0; i < COLUMNS; i++)
            table_cell(table, PQgetvalue(lanes, row, column(lanes, shown[i])));
    }
    for (int i = 0; i < COLUMNS; i++) {
        if (i < 6 || strcmp(shown[i], "epoch") == 0)
            table_align_right(table, i);
    }
    table_print(table, stdout);
    table_free(table);
    for (int row = 0; row < PQntuples(lanes); row++) {
        const char *halted = pg_get_text(lanes, row, column(lanes, "halted"));
        const char *detail = pg_get_text(lanes, row, column(lanes, "halted_detail"));

        if (halted) {
            printf("lane %s is halted: %s: ", PQgetvalue(lanes, row, column(lanes, "lane")), halted);
            print_escaped(stdout, detail ? detail : "", detail ? strlen(detail) : 0);
            printf("\n");
        }
        if (pg_get_bool(lanes, row, column(lanes, "paused")))
            printf("lane %s is paused\n", PQgetvalue(lanes, row, column(lanes, "lane")));
        else if (!pg_get_bool(lanes, row, column(lanes, "lease_live")))
            printf("lane %s has no relay\n", PQgetvalue(lanes, row, column(lanes, "lane")));
    }
}

static void print_as_text(const struct status *status)
{
    print_lag(status);
    print_lanes(status->lanes);
    printf("\noldest open writer: ");
    if (PQntuples(status->writer) > 0) {
        printf("%s ", PQgetvalue(status->writer, 0, 0));
        print_escaped(stdout, PQgetvalue(status->writer, 0, 1), strlen(PQgetvalue(status->writer, 0, 1)));
        printf(", %s, since %s (%s s)\n", PQgetvalue(status->writer, 0, 3), PQgetvalue(status->writer, 0, 4),
               PQgetvalue(status->writer, 0, 5));
    } else {
        printf("none\n");
    }
    printf("\n");
    print_rows(stdout, status->deliveries, "no deliveries");
    printf("\n");
    print_record(stdout, status->summary, 0);
}

static int run(struct cli *cli)
{
    struct status status = {0};
    int code = read_status(cli, &status);

    if (code == CLI_OK && PQntuples(status.summary) != 1)
        code =
            cli_fail(CLI_FAILED, "outbox.meta is empty: the schema is not complete; run outboxctl migrate");
    else if (code == CLI_OK && cli->json)
        print_as_json(&status);
    else if (code == CLI_OK)
        print_as_text(&status);
    PQclear(status.summary);
    PQclear(status.lanes);
    PQclear(status.writer);
    PQclear(status.deliveries);
    return code;
}

const struct command status_command = {
    .name = "status",
    .operands = "",
    .summary = "Shows lag, lanes, lease, the oldest open writer, and deliveries by state",
    .help = "Lag in events: those committed whose publishing the relay has not yet recorded\n"
            "here; it does so about once a second, so a busy relay never shows 0. Exact up to\n"
            "100000, estimated beyond. Lag in seconds: the age of the oldest of them, or of\n"
            "the tick up to which all is published, if that is less.\n"
            "The oldest open writer has emitted and not yet ended; it delays only itself.",
    .connects = true,
    .run = run,
};
