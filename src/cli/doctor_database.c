/* What PostgreSQL tells: lanes, ticks, deliveries, and what keeps them from working. */
#include <stdlib.h>

#include "cli/doctor.h"
#include "cli/lanes.h"

/* What a check takes as $1. */
enum parameter { NOTHING, PATIENCE, TRANSACTION_AGE, HOST };

/* A row is a finding: its subject (may be null), its detail. */
struct check {
    enum finding finding;
    enum parameter parameter;
    bool sees_others; /* needs to see what other users' sessions do */
    const char *sql;
};

#define AGE(moment) "date_trunc('second', clock_timestamp() - " moment ")"

static const struct check checks[] = {
    {FINDING_DATABASE_COPIED, NOTHING, false,
     "SELECT NULL, format('enabled on system %s, running on %s', m.system_identifier, c.system_identifier)"
     "  FROM outbox.meta m, pg_control_system() c WHERE m.system_identifier <> c.system_identifier"},
    {FINDING_NOT_ENABLED, HOST, false,
     "SELECT NULL, s.detail FROM outbox.standing($1) AS s WHERE s.state = 'not_enabled'"},
    {FINDING_XIDS_AHEAD, HOST, false,
     "SELECT NULL, s.detail FROM outbox.standing($1) AS s WHERE s.state = 'xids_ahead'"},
    {FINDING_STANDBY, NOTHING, false,
     "SELECT NULL, 'pg_is_in_recovery() is true' WHERE pg_is_in_recovery()"},
    {FINDING_TICKS_STOPPED, PATIENCE, false,
     "SELECT NULL, format('tick %s covers up to number %s and is %s old; number %s is drawn', t.id, t.last_seq,"
     "                    " AGE("t.at") ", s.last_value)"
     "  FROM (SELECT * FROM outbox.tick ORDER BY id DESC LIMIT 1) AS t, outbox.event_seq s"
     " WHERE s.is_called AND s.last_value > t.last_seq AND t.at < clock_timestamp() - $1::interval"
     "   AND (SELECT e.occurred_at FROM outbox.event e WHERE e.seq > t.last_seq ORDER BY e.seq LIMIT 1)"
     "       < clock_timestamp() - $1::interval"
     "   AND EXISTS (SELECT FROM outbox.lease l WHERE l.holder IS NOT NULL AND l.expires_at > clock_timestamp())"},
    {FINDING_BELL_HELD, PATIENCE, true,
     "SELECT format('pid %s', a.pid), format('%s of %s has been %s for %s', coalesce(nullif(a.application_name, ''),"
     "              'a session'), a.usename, a.state, " AGE("a.state_change") ")"
     "  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
     " WHERE l.locktype = 'advisory' AND l.classid = 1868721016 AND l.objid = 4 AND l.objsubid = 2 AND l.granted"
     "   AND l.mode = 'ExclusiveLock' AND a.state_change < clock_timestamp() - $1::interval"
     "   AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"},
    /* the 65th; core/share.h */
    {FINDING_RELAYS_MANY, NOTHING, false,
     "SELECT r.name, format('%s relays are alive', (SELECT count(*) FROM outbox.relay a"
     "                                               WHERE a.expires_at > clock_timestamp()))"
     "  FROM outbox.relay r WHERE r.expires_at > clock_timestamp() ORDER BY r.name COLLATE \"C\" OFFSET 64 LIMIT 1"},
    {FINDING_PARTITIONS_FEW, NOTHING, false,
     "SELECT NULL, format('%s ahead', p.ahead) FROM ("
     "    SELECT count(*) AS ahead FROM outbox.event_partition p, outbox.event_seq s"
     "     WHERE p.low > s.last_value AND p.state = 'attached') AS p WHERE p.ahead < 2"},
    {FINDING_EVENTS_PARKED, NOTHING, false,
     "SELECT k.topic, format('%s events, since %s: %s', count(*), min(k.parked_at), min(k.reason))"
     "  FROM outbox.parked_event k WHERE k.released_at IS NULL GROUP BY 1"
     " UNION ALL SELECT t.topic, format('the whole topic, since %s: %s', t.parked_at, t.reason)"
     "  FROM outbox.parked_topic t ORDER BY 1"},
    {FINDING_TRANSACTION_LONG, TRANSACTION_AGE, true,
     "SELECT format('pid %s', a.pid), format('%s, %s of %s, open for %s%s', a.state, coalesce("
     "              nullif(a.application_name, ''), 'a session'), a.usename, " AGE("a.xact_start") ","
     "              CASE WHEN EXISTS (SELECT FROM pg_locks k WHERE k.pid = a.pid AND k.mode = 'RowExclusiveLock'"
     "                                   AND k.relation = 'outbox.event'::regclass) THEN ', has emitted' END)"
     "  FROM pg_stat_activity a"
     " WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()"
     "   AND (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)"
     "   AND a.xact_start < clock_timestamp() - $1::interval ORDER BY a.xact_start"},
    {FINDING_TRANSACTION_PREPARED, TRANSACTION_AGE, false,
     "SELECT x.gid, format('of %s in %s, prepared %s ago', x.owner, x.database, " AGE("x.prepared") ")"
     "  FROM pg_prepared_xacts x WHERE x.prepared < clock_timestamp() - $1::interval ORDER BY x.prepared"},
    {FINDING_SLOT_INACTIVE, NOTHING, false,
     "SELECT s.slot_name, format('%s, keeps %s of WAL', s.slot_type, coalesce(pg_size_pretty(s.kept), 'none'))"
     "  FROM (SELECT r.*, CASE WHEN NOT pg_is_in_recovery() THEN"
     "               pg_wal_lsn_diff(pg_current_wal_lsn(), r.restart_lsn) END AS kept"
     "          FROM pg_replication_slots r WHERE NOT r.active) AS s"
     " WHERE s.kept > 64 * 1048576 OR s.wal_status IN ('unreserved', 'lost')"
     "    OR greatest(age(s.xmin), age(s.catalog_xmin)) > 1000000 ORDER BY 1"},
    {FINDING_DURABILITY_OFF, NOTHING, false,
     "SELECT s.name, format('%s = %s', s.name, s.setting) FROM pg_settings s"
     " WHERE s.name IN ('fsync', 'full_page_writes') AND s.setting = 'off' ORDER BY 1"},
    {FINDING_STANDBYS_MISSING, NOTHING, true,
     "SELECT NULL, format('synchronous_standby_names = %s', current_setting('synchronous_standby_names'))"
     " WHERE current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery()"
     "   AND NOT EXISTS (SELECT FROM pg_stat_replication r WHERE r.sync_state IN ('sync', 'quorum'))"},
    {FINDING_AUTOVACUUM_OFF, NOTHING, false,
     "SELECT s.name, format('%s = %s', s.name, s.setting) FROM pg_settings s"
     " WHERE s.name IN ('autovacuum', 'track_counts') AND s.setting = 'off'"
     " UNION ALL SELECT c.oid::regclass::text, o.option FROM pg_class c, unnest(c.reloptions) AS o(option)"
     " WHERE c.relnamespace = 'outbox'::regnamespace"
     "   AND o.option IN ('autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=0',"
     "                    'autovacuum_enabled=no') ORDER BY 1"},
    {FINDING_TABLE_BLOATED, NOTHING, false,
     "SELECT format('outbox.%s', t.relname), format('%s dead rows, %s live, last vacuum: %s', t.n_dead_tup,"
     "              t.n_live_tup, coalesce(greatest(t.last_vacuum, t.last_autovacuum)::text, 'never'))"
     "  FROM pg_stat_user_tables t WHERE t.schemaname = 'outbox' AND t.n_dead_tup > 10000"
     "   AND t.n_dead_tup > 5 * t.n_live_tup ORDER BY 1"},
    {FINDING_NOTIFY_QUEUE_FULL, NOTHING, false,
     "SELECT NULL, format('it is %s %% full', round((q.used * 100)::numeric, 1))"
     "  FROM pg_notification_queue_usage() AS q(used) WHERE q.used > 0.5"},
    {FINDING_RIGHTS_PUBLIC, NOTHING, false,
     "SELECT r.what, string_agg(DISTINCT r.privilege, ', ') FROM ("
     "    SELECT 'schema outbox' AS what, a.privilege_type AS privilege"
     "      FROM pg_namespace n, aclexplode(n.nspacl) AS a WHERE n.nspname = 'outbox' AND a.grantee = 0"
     "    UNION ALL SELECT c.oid::regclass::text, a.privilege_type FROM pg_class c, aclexplode(c.relacl) AS a"
     "     WHERE c.relnamespace = 'outbox'::regnamespace AND a.grantee = 0"
     "    UNION ALL SELECT p.oid::regprocedure::text, a.privilege_type"
     "      FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a"
     "     WHERE p.pronamespace = 'outbox'::regnamespace AND a.grantee = 0) AS r GROUP BY 1 ORDER BY 1"},
    {FINDING_RIGHTS_WRITER, NOTHING, false,
     "SELECT r.what, string_agg(DISTINCT r.privilege, ', ') FROM ("
     "    SELECT c.oid::regclass::text AS what, a.privilege_type AS privilege"
     "      FROM pg_class c, aclexplode(c.relacl) AS a"
     "     WHERE c.relnamespace = 'outbox'::regnamespace AND a.grantee = 'outbox_writer'::regrole"
     "       AND (c.relname, a.privilege_type) NOT IN (('new_event', 'INSERT'), ('new_json_event', 'INSERT'),"
     "                                                ('event_seq', 'USAGE'))"
     "    UNION ALL SELECT p.oid::regprocedure::text, a.privilege_type FROM pg_proc p, aclexplode(p.proacl) AS a"
     "     WHERE p.pronamespace = 'outbox'::regnamespace AND a.grantee = 'outbox_writer'::regrole"
     "       AND p.proname NOT IN ('emit', 'emit_event', 'emit_events', 'admit', 'admit_json')"
     "    UNION ALL SELECT 'schema outbox', a.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) AS a"
     "     WHERE n.nspname = 'outbox' AND a.grantee = 'outbox_writer'::regrole AND a.privilege_type <> 'USAGE'"
     "    UNION ALL SELECT 'role ' || m.roleid::regrole, 'membership' FROM pg_auth_members m"
     "     WHERE m.member = 'outbox_writer'::regrole) AS r GROUP BY 1 ORDER BY 1"},
    {FINDING_RELAY_SUPERUSER, NOTHING, false,
     "SELECT r.rolname, format('%s connections', count(*)) FROM pg_stat_activity a"
     "  JOIN pg_roles r ON r.oid = a.usesysid"
     " WHERE a.application_name LIKE 'outbox-relay%' AND r.rolsuper AND a.datname = current_database()"
     " GROUP BY 1"},
    {FINDING_ENDPOINT_DISABLED, NOTHING, false,
     "SELECT coalesce(p.name, p.id::text), format('%s; %s deliveries wait', coalesce(p.disabled_reason,"
     "       'no reason was given'), (SELECT count(*) FROM outbox.delivery d WHERE d.endpoint = p.id"
     "                                   AND d.state IN ('pending', 'failed')))"
     "  FROM outbox.endpoint p WHERE NOT p.enabled AND p.removed_at IS NULL ORDER BY p.created_at"},
    {FINDING_ENDPOINT_FAILING, NOTHING, false,
     "SELECT coalesce(p.name, p.id::text), format('%s deliveries, the oldest of %s; the last error: %s', f.failed,"
     "       f.oldest, coalesce(f.error, format('status %s', f.status)))"
     "  FROM outbox.endpoint p CROSS JOIN LATERAL ("
     "       SELECT count(*) AS failed, min(d.created_at) AS oldest,"
     "              (array_agg(d.last_error ORDER BY d.id DESC))[1] AS error,"
     "              (array_agg(d.last_status ORDER BY d.id DESC))[1] AS status"
     "         FROM outbox.delivery d WHERE d.endpoint = p.id AND d.state = 'failed' AND d.attempts >= 3) AS f"
     " WHERE p.enabled AND p.removed_at IS NULL AND f.failed > 0 ORDER BY p.created_at"},
    {FINDING_DELIVERIES_LATE, PATIENCE, false,
     "SELECT coalesce(p.name, p.id::text), format('%s deliveries, the first has been due for %s', f.late,"
     "       " AGE("f.first") ")"
     "  FROM outbox.endpoint p CROSS JOIN LATERAL ("
     "       SELECT count(*) AS late, min(x.due) AS first FROM ("
     "           SELECT d.next_at AS due FROM outbox.delivery d"
     "            WHERE d.endpoint = p.id AND d.state IN ('pending', 'failed')"
     "              AND d.next_at < clock_timestamp() - $1::interval"
     "           UNION ALL SELECT d.lease_until FROM outbox.delivery d"
     "            WHERE d.endpoint = p.id AND d.state = 'sending'"
     "              AND d.lease_until < clock_timestamp() - $1::interval) AS x) AS f"
     " WHERE p.enabled AND p.removed_at IS NULL AND f.late > 0 ORDER BY p.created_at"},
    {FINDING_DELIVERIES_UNDECIDED, NOTHING, false,
     "SELECT coalesce(p.name, d.endpoint::text), format('%s %s, the oldest of %s', count(*), d.state,"
     "       min(d.created_at))"
     "  FROM outbox.delivery d LEFT JOIN outbox.endpoint p ON p.id = d.endpoint"
     " WHERE d.state IN ('parked', 'unknown') GROUP BY d.endpoint, p.name, d.state ORDER BY 1, d.state"},
};

static void run_check(struct doctor *doctor, const struct check *check)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;

    if (check->parameter == HOST)
        pg_arg_text(&args, doctor->host);
    else if (check->parameter != NOTHING)
        pg_arg_interval_us(&args, check->parameter == PATIENCE ? doctor->patience : doctor->transaction_age);
    if (!doctor_query(doctor, check->finding, check->finding, check->sql, &args, &result))
        return;
    for (int row = 0; row < PQntuples(result); row++)
        doctor_found(doctor, check->finding, pg_get_text(result, row, 0), "%s", PQgetvalue(result, row, 1));
    PQclear(result);
}

static void judge_lane(struct doctor *doctor, const PGresult *lanes, int row)
{
    const char *halted = pg_get_text(lanes, row, PQfnumber(lanes, "halted"));
    const char *detail = pg_get_text(lanes, row, PQfnumber(lanes, "halted_detail"));
    const char *holder = pg_get_text(lanes, row, PQfnumber(lanes, "holder"));
    const char *holder_text = holder ? holder : "nobody";
    const char *events = PQgetvalue(lanes, row, PQfnumber(lanes, "lag_events"));
    const char *seconds = PQgetvalue(lanes, row, PQfnumber(lanes, "lag_seconds"));
    char subject[64];

    snprintf(subject, sizeof(subject), "lane %s", PQgetvalue(lanes, row, PQfnumber(lanes, "lane")));
    if (halted)
        doctor_found(doctor, FINDING_LANE_HALTED, subject, "%s: %s", halted, detail ? detail : "");
    else if (pg_get_bool(lanes, row, PQfnumber(lanes, "paused")))
        doctor_found(doctor, FINDING_LANE_PAUSED, subject, "%s events wait", events);
    else if (!pg_get_bool(lanes, row, PQfnumber(lanes, "lease_live")))
        doctor_found(doctor, FINDING_LANE_UNOWNED, subject, "last holder: %s; %s events wait", holder_text,
                     events);
    else if (strtod(seconds, NULL) * 1e6 > (double)doctor->patience)
        doctor_found(doctor, FINDING_LANE_BEHIND, subject, "%s events, %s s", events, seconds);
}

static void check_lanes(struct doctor *doctor)
{
    PGresult *lanes = NULL;

    if (!doctor_query(doctor, FINDING_LANE_UNOWNED, FINDING_LANE_BEHIND, lanes_sql, NULL, &lanes))
        return;
    for (int row = 0; row < PQntuples(lanes); row++)
        judge_lane(doctor, lanes, row);
    PQclear(lanes);
}

/* Without these rights the sessions of others show no state and no times. */
static bool sees_others(struct doctor *doctor)
{
    PGresult *result = NULL;
    bool sees = false;

    if (doctor_query(doctor, FINDING_BELL_HELD, FINDING_BELL_HELD,
                     "SELECT pg_has_role('pg_read_all_stats', 'USAGE')", NULL, &result))
        sees = pg_get_bool(result, 0, 0);
    PQclear(result);
    return sees;
}

int doctor_check_database(struct doctor *doctor)
{
    bool sees = sees_others(doctor);

    if (!doctor->schema_usable)
        return CLI_OK;
    check_lanes(doctor);
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (checks[i].sees_others && !sees)
            doctor_unchecked(doctor, checks[i].finding, "needs the role pg_read_all_stats");
        else
            run_check(doctor, &checks[i]);
    }
    return CLI_OK;
}
