#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>

const struct finding_kind finding_kinds[FINDINGS] = {
    [FINDING_SCHEMA_MISSING] = {"schema_missing", true, "this database has no outbox",
                                "is it the right database? Then run outboxctl migrate"},
    [FINDING_SCHEMA_OUTDATED] = {"schema_outdated", false,
                                 "the schema is older than this program: what is newer will fail",
                                 "run outboxctl migrate"},
    [FINDING_SCHEMA_NEWER] = {"schema_newer", false, "the schema is newer than this program",
                              "use the outboxctl and the relay of the newer release"},
    [FINDING_SCHEMA_ALTERED] = {"schema_altered", true,
                                "a migration was applied with another text than that of this program, or the"
                                " record of migrations has a hole",
                                "find out who changed it (outbox.migration, outbox.audit); an applied migration"
                                " never changes"},
    [FINDING_DATABASE_COPIED] = {"database_copied", true,
                                 "this database runs on another PostgreSQL system than the outbox was made on: it"
                                 " is a restore or a copy, and no relay publishes from it",
                                 "if the original still publishes, leave it so; else, after pg_upgrade, outboxctl"
                                 " adopt, and after a restore outboxctl rebase"},
    [FINDING_NOT_ENABLED] = {"not_enabled", true,
                             "seen from here, this is not the place where the outbox was enabled: a clone, a promoted"
                             " standby, another address; no relay of this machine publishes from it",
                             "a clone: leave it so; else outboxctl enable, which says whether all is well"},
    [FINDING_XIDS_AHEAD] = {"xids_ahead", true,
                            "events or ticks came from another PostgreSQL, by a dump or a copy: as they are, they would"
                            " never be seen, or be taken for others; no relay publishes",
                            "if the original still publishes, leave it so; else outboxctl rebase"},
    [FINDING_STANDBY] = {"standby", false, "this is a standby: relays cannot work here, and some checks tell little",
                         "connect to the primary"},
    [FINDING_LANE_UNOWNED] = {"lane_unowned", true,
                              "no relay holds the lane's lease: its events are not published",
                              "start outbox-relay, or look into the log of the one that should run"},
    [FINDING_LANE_HALTED] = {"lane_halted", true,
                             "the lane's relay stopped because the position cannot be proven; nothing was"
                             " published since",
                             "find the state in docs/troubleshooting.md; remove the cause, or decide by outboxctl"
                             " enable, adopt or rebase, which explain before they change anything; then start the"
                             " relay again"},
    [FINDING_LANE_PAUSED] = {"lane_paused", false, "an operator has paused the lane: its events wait",
                             "outboxctl lane resume; table outbox.audit has who paused it, and why"},
    [FINDING_LANE_BEHIND] = {"lane_behind", false, "events wait longer for their publishing than they should",
                             "look into the relay's log; compare published in two calls of outboxctl lane list: does"
                             " it advance?"},
    [FINDING_RELAYS_MANY] = {"relays_many", false,
                             "more relays are alive than can share the lanes: this one and those whose names come"
                             " after it have no part",
                             "stop some; there are at most 16 lanes, so that more relays than that only stand by"},
    [FINDING_TICKS_STOPPED] = {"ticks_stopped", true,
                               "a relay holds a lane, but no tick covers what was committed since",
                               "look into the relay's log for event=tick; a commit that waits for a synchronous"
                               " standby stops ticks too"},
    [FINDING_BELL_HELD] = {"bell_held", false,
                           "a session has held the doorbell without a sign of life: every writer notifies, and"
                           " no other relay can sleep on it",
                           "if it is no relay at work, end it with pg_terminate_backend()"},
    [FINDING_PARTITIONS_FEW] = {"partitions_few", true,
                                "fewer than two partitions of the event log are ahead: writers fail when the last"
                                " one is full",
                                "run SELECT outbox.partition_add() as outbox_maintenance"},
    [FINDING_EVENTS_PARKED] = {"events_parked", false,
                               "events that could not be published wait, and later ones of their keys behind them",
                               "see outboxctl parked list, then retry, reroute or discard them"},
    [FINDING_TRANSACTION_LONG] = {"transaction_long", false,
                                  "a transaction has been open for long: what it emitted is not published before"
                                  " it ends, and VACUUM cannot clean up behind it",
                                  "end it, or make its program commit sooner"},
    [FINDING_TRANSACTION_PREPARED] = {"transaction_prepared", false,
                                      "a prepared transaction has been left open: what it emitted is not published,"
                                      " and VACUUM cannot clean up behind it",
                                      "COMMIT PREPARED or ROLLBACK PREPARED it"},
    [FINDING_SLOT_INACTIVE] = {"slot_inactive", false,
                               "a replication slot without its reader keeps WAL from being removed: the disk fills",
                               "bring its reader back, or drop it with pg_drop_replication_slot()"},
    [FINDING_DURABILITY_OFF] = {"durability_off", true,
                                "a crash of the machine can lose committed transactions, also such as were"
                                " published already",
                                "set fsync and full_page_writes to on"},
    [FINDING_STANDBYS_MISSING] = {"standbys_missing", true,
                                  "synchronous standbys are demanded and none is connected: commits wait for ever,"
                                  " ticks too",
                                  "bring a standby back, or change synchronous_standby_names"},
    [FINDING_AUTOVACUUM_OFF] = {"autovacuum_off", false,
                                "leases, positions and deliveries are updated all the time; without autovacuum their"
                                " tables and indexes grow and slow down",
                                "set autovacuum and track_counts to on, and reset autovacuum_enabled of the table"},
    [FINDING_TABLE_BLOATED] = {"table_bloated", false, "a table has far more dead rows than live ones",
                               "find out what holds VACUUM back (transaction_long, slot_inactive), then VACUUM it"},
    [FINDING_NOTIFY_QUEUE_FULL] = {"notify_queue_full", false,
                                   "the queue of notifications is more than half full: writers skip the doorbell, and"
                                   " events come later; when it is full, every NOTIFY fails",
                                   "some session has listened and stays in a transaction: end it"},
    [FINDING_RIGHTS_PUBLIC] = {"rights_public", true, "everybody has rights on the outbox",
                               "REVOKE them FROM PUBLIC"},
    [FINDING_RIGHTS_WRITER] = {"rights_writer", true, "writers can do more than emit",
                               "REVOKE it FROM outbox_writer"},
    [FINDING_RELAY_SUPERUSER] = {"relay_superuser", false,
                                 "a relay is connected as a superuser; it needs outbox_relay only",
                                 "CREATE ROLE ... LOGIN IN ROLE outbox_relay, and give that to the relay"},
    [FINDING_ENDPOINT_DISABLED] = {"endpoint_disabled", false,
                                   "nothing is sent to an endpoint: what was due waits, and events published meanwhile"
                                   " get no delivery to it",
                                   "outboxctl endpoint test, then outboxctl endpoint enable; or remove it"},
    [FINDING_ENDPOINT_FAILING] = {"endpoint_failing", false,
                                  "an endpoint has refused deliveries three times or more",
                                  "see outboxctl delivery list --endpoint, and outboxctl endpoint test"},
    [FINDING_DELIVERIES_LATE] = {"deliveries_late", false,
                                 "deliveries are due and nobody sends them",
                                 "does a relay with webhooks=yes run? Is its webhook_max_in_flight, or the endpoint's"
                                 " concurrency, too small for so slow a receiver?"},
    [FINDING_DELIVERIES_UNDECIDED] = {"deliveries_undecided", false,
                                      "deliveries may have arrived or not, and by the endpoint's policy an operator"
                                      " decides",
                                      "ask the receiver by webhook-id, then outboxctl delivery resolve or retry"},
    [FINDING_KAFKA_UNREACHABLE] = {"kafka_unreachable", true, "Kafka does not answer from here",
                                   "check kafka.bootstrap.servers, the network, and TLS and SASL settings"},
    [FINDING_PROGRESS_MISSING] = {"progress_missing", true,
                                  "the progress topic does not exist: no relay takes over",
                                  "if a lane has published before: is it the right Kafka and topic_prefix? Else"
                                  " create it with cleanup.policy=compact, or set create_topics=yes"},
    [FINDING_PROGRESS_POLICY] = {"progress_policy", true,
                                 "the progress topic is not compacted: Kafka deletes the lanes' positions after a"
                                 " while",
                                 "set cleanup.policy=compact on it"},
    [FINDING_PROGRESS_PARTITIONS] = {"progress_partitions", true,
                                     "the progress topic has fewer partitions than there are lanes",
                                     "add partitions to it"},
    [FINDING_POSITION_MISMATCH] = {"position_mismatch", true,
                                   "the position in Kafka does not follow the one in the database: Kafka lost data,"
                                   " or one of them went back in time; no relay takes over",
                                   "find the state in docs/troubleshooting.md; if its cause cannot be removed,"
                                   " outboxctl rebase says what may be lost or doubled"},
    [FINDING_TOPIC_MISSING] = {"topic_missing", false, "a route leads to a topic that does not exist",
                               "create it, or set create_topics=yes"},
    [FINDING_REPLICATION_LOW] = {"replication_low", false,
                                 "a topic has fewer than three replicas: the loss of a broker can lose its events",
                                 "raise its replication factor (kafka-reassign-partitions)"},
    [FINDING_MIN_INSYNC_LOW] = {"min_insync_low", false,
                                "a topic acknowledges what a single broker has: its loss loses them",
                                "set min.insync.replicas=2 on it, of 3 replicas"},
    [FINDING_UNCLEAN_ELECTION] = {"unclean_election", true,
                                  "a broker that lags may become leader, and what it lacks is lost",
                                  "set unclean.leader.election.enable=false"},
};

void doctor_found(struct doctor *doctor, enum finding finding, const char *subject, const char *format, ...)
{
    const struct finding_kind *kind = &finding_kinds[finding];
    char detail[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    json_array_append_new(doctor->findings,
                          json_pack("{s:s,s:s,s:s?,s:s,s:s,s:s}", "name", kind->name, "severity",
                                    kind->critical ? "critical" : "warning", "subject", subject, "detail", detail,
                                    "meaning", kind->meaning, "remedy", kind->remedy));
}

void doctor_unchecked(struct doctor *doctor, enum finding finding, const char *format, ...)
{
    char why[512];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    json_array_append_new(doctor->unchecked,
                          json_pack("{s:s,s:s}", "name", finding_kinds[finding].name, "why", why));
}

bool doctor_query(struct doctor *doctor, enum finding first, enum finding last, const char *sql,
                  const struct pg_args *args, PGresult **ret)
{
    struct cli *cli = doctor->cli;
    mono_us deadline = clock_now() + cli->timeout;
    outbox_error *err = NULL;

    if (pg_usable(cli->pg) && pg_run(cli->pg, "SAVEPOINT one_check", deadline, &err) == OUTBOX_OK &&
        pg_exec(cli->pg, sql, args, 0, deadline, ret, &err) == OUTBOX_OK)
        return true;
    for (int finding = (int)first; finding <= (int)last; finding++)
        doctor_unchecked(doctor, (enum finding)finding, "%s",
                         err ? outbox_error_message(err) : "the connection is lost");
    outbox_error_free(err);
    if (pg_usable(cli->pg))
        pg_run(cli->pg, "ROLLBACK TO SAVEPOINT one_check", clock_now() + cli->timeout, NULL);
    return false;
}
