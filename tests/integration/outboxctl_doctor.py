#!/usr/bin/python3
# deadline: 300
"""outboxctl doctor: each finding is provoked, named with its subject and its severity, and
gone when what provoked it is. In a healthy outbox it finds what is true of the test's
servers, and nothing else."""
import contextlib
import re

import psycopg2

import findings
import relay
import tap

outbox = relay.Outbox()
sql = outbox.sql
examined = findings.Doctor(outbox.dsn)
provoked, healed, tried = examined.provoked, examined.healed, examined.tried


def found(*arguments):
    return examined.report(*arguments)[0]


def with_kafka(*arguments):
    return ("--kafka", tap.KAFKA, "--topic-prefix", outbox.prefix, *arguments)


@contextlib.contextmanager
def session(**options):
    connection = psycopg2.connect(outbox.dsn, **options)
    try:
        yield connection
    finally:
        connection.close()


def changed(name, severity, subject, do, undo, *arguments, detail=""):
    sql(do)
    provoked(name, severity, subject, *arguments, detail=detail)
    sql(undo)
    healed(name, *arguments)


# ---- the schema ----

def schema():
    empty = relay.Outbox(tap.create_database(migrate=False))
    status, output, _ = tap.outboxctl(empty.dsn, "doctor")
    tried.add("schema_missing")
    tap.is_((status, "critical: schema_missing: " in output, "outboxctl migrate" in output), (1, True, True),
            "schema_missing")
    last = sql("select version, name, checksum from outbox.migration order by 1 desc limit 1")[0]
    sql("delete from outbox.migration where version = %s", (last[0],))
    provoked("schema_outdated", "warning", "", detail=f"{last[0] - 1} of {last[0]} migrations")
    sql("insert into outbox.migration (version, name, checksum) values (%s, %s, %s)", last)
    healed("schema_outdated")
    changed("schema_newer", "warning", "future",
            "insert into outbox.migration (version, name, checksum) values (999, 'future', 'x')",
            "delete from outbox.migration where version = 999")
    sql("update outbox.migration set checksum = 'x' || checksum where version = 2")
    provoked("schema_altered", "critical", "")
    sql("update outbox.migration set checksum = substr(checksum, 2) where version = 2")
    healed("schema_altered")


# ---- lanes and the bell ----

def lanes():
    lease = "update outbox.lease set holder = 'somebody', expires_at = clock_timestamp() + interval '1 hour'"
    free = "update outbox.lease set holder = null, expires_at = '-infinity'"
    provoked("lane_unowned", "critical", "lane 0")
    sql(lease)
    healed("lane_unowned")
    changed("lane_halted", "critical", "lane 0",
            "update outbox.lane set halted = 'marker_missing', halted_detail = 'no marker'",
            "update outbox.lane set halted = null, halted_detail = null", detail="marker_missing: no marker")
    changed("lane_paused", "warning", "lane 0", "select outbox.lane_pause(0)", "select outbox.lane_resume(0)")
    changed("relays_many", "warning", "b",
            "insert into outbox.relay (name, expires_at, started_at, able) select x, now() + interval '1 hour', now(), true"
            "  from (select 'a' || n from generate_series(100, 163) n union select 'b') as r(x)",
            "delete from outbox.relay", detail="65 relays")
    outbox.emit(type="t", payload="1")
    provoked("ticks_stopped", "critical", "", "--patience", "1ms")
    sql("select outbox.tick()")
    healed("ticks_stopped", "--patience", "1ms")
    provoked("lane_behind", "warning", "lane 0", "--patience", "1ms", detail="1 events")
    healed("lane_behind", "--patience", "1h")
    sql(free)
    with session() as bell:
        bell.autocommit = True
        bell.cursor().execute("select pg_advisory_lock(1868721016, 4)")
        provoked("bell_held", "warning", f"pid {bell.info.backend_pid}", "--patience", "1ms")
    healed("bell_held", "--patience", "1ms")


def log():
    changed("partitions_few", "critical", "", "update outbox.event_partition set state = 'detached' where n > 1",
            "update outbox.event_partition set state = 'attached' where n > 1", detail="1 ahead")
    changed("events_parked", "warning", "orders",
            "insert into outbox.parked_topic (topic, reason, next_at) values ('orders', 'topic_missing', now())",
            "delete from outbox.parked_topic", detail="the whole topic")


# ---- the server ----

def transactions():
    with session() as lasting:
        lasting.cursor().execute("select outbox.emit(type => 't', payload => '1'::jsonb)")
        provoked("transaction_long", "warning", f"pid {lasting.info.backend_pid}", "--transaction-age", "1ms",
                 detail="has emitted")
        lasting.rollback()
    healed("transaction_long", "--transaction-age", "1ms")
    name = tap.unique("prepared")
    with session() as prepared:
        prepared.autocommit = True
        cursor = prepared.cursor()
        cursor.execute("begin; select pg_current_xact_id()")
        cursor.execute(f"prepare transaction '{name}'")
        provoked("transaction_prepared", "warning", name, "--transaction-age", "1ms")
        cursor.execute(f"rollback prepared '{name}'")
    healed("transaction_prepared", "--transaction-age", "1ms")


def server():
    slot = tap.unique("slot")
    sql("select pg_create_physical_replication_slot(%s, true)", (slot,))
    tap.at_exit(tap.sql, outbox.dsn, f"select pg_drop_replication_slot(slot_name) from pg_replication_slots"
                                     f" where slot_name = '{slot}'")
    for _ in range(2):
        sql("select pg_logical_emit_message(false, 'test', repeat('x', 40 * 1048576))")
    provoked("slot_inactive", "warning", slot, detail="of WAL")
    sql("select pg_drop_replication_slot(%s)", (slot,))
    healed("slot_inactive")
    changed("autovacuum_off", "warning", "outbox.lease", "alter table outbox.lease set (autovacuum_enabled = off)",
            "alter table outbox.lease reset (autovacuum_enabled)")
    standbys()
    with session() as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("insert into outbox.emitted select gen_random_uuid(), 0 from generate_series(1, 12000)")
        cursor.execute("delete from outbox.emitted")
    # what a session has done is counted some time after it
    tap.wait_until(lambda: "table_bloated" in found())
    provoked("table_bloated", "warning", "outbox.emitted_0")
    sql("vacuum outbox.emitted")
    tap.wait_until(lambda: "table_bloated" not in found())
    healed("table_bloated")


def standbys():
    """Nobody can commit meanwhile, by which nothing here is disturbed."""
    def names(value):
        with session() as connection:
            connection.autocommit = True
            connection.cursor().execute(f"alter system set synchronous_standby_names = {value}")
            connection.cursor().execute("select pg_reload_conf()")
        tap.wait_until(lambda: sql("show synchronous_standby_names")[0][0] == value.strip("'"))

    names("'nowhere'")
    try:
        provoked("standbys_missing", "critical", "", detail="nowhere")
    finally:
        names("''")
    healed("standbys_missing")


# ---- rights ----

def rights():
    changed("rights_public", "critical", "outbox.event", "grant select on outbox.event to public",
            "revoke select on outbox.event from public", detail="SELECT")
    changed("rights_writer", "critical", "outbox.event", "grant select on outbox.event to outbox_writer",
            "revoke select on outbox.event from outbox_writer", detail="SELECT")
    with session(application_name="outbox-relay lane"):
        provoked("relay_superuser", "warning", "")
    tap.wait_until(lambda: "relay_superuser" not in found())
    healed("relay_superuser")


# ---- webhooks ----

def webhooks():
    sql("select outbox.endpoint_add('http://127.0.0.1:1/', %s, 'shop')", (bytes(32),))
    changed("endpoint_disabled", "warning", "shop", "select outbox.endpoint_disable(id, 'a test') from outbox.endpoint",
            "select outbox.endpoint_enable(id, 'a test') from outbox.endpoint", detail="a test")
    sql("insert into outbox.delivery (event_seq, event_id, event_type, endpoint, state, attempts, last_status, next_at)"
        " select 1, gen_random_uuid(), 't', id, 'failed', 3, 503, now() + interval '1 hour' from outbox.endpoint")
    provoked("endpoint_failing", "warning", "shop", detail="status 503")
    sql("update outbox.delivery set attempts = 0, next_at = now() - interval '1 hour'")
    healed("endpoint_failing")
    provoked("deliveries_late", "warning", "shop", detail="1 deliveries")
    sql("update outbox.delivery set state = 'parked'")
    healed("deliveries_late")
    provoked("deliveries_undecided", "warning", "shop", detail="1 parked")
    sql("delete from outbox.delivery")
    healed("deliveries_undecided")
    sql("select outbox.endpoint_remove(id, 'a test') from outbox.endpoint")


# ---- Kafka ----

def kafka():
    progress = f"{outbox.prefix}.progress"
    provoked("progress_missing", "critical", progress, *with_kafka())
    outbox.create_topic("progress", 1, "cleanup.policy=delete", "unclean.leader.election.enable=true")
    tap.wait_until(lambda: "progress_missing" not in found(*with_kafka()))
    healed("progress_missing", *with_kafka())
    provoked("progress_policy", "critical", progress, *with_kafka(), detail="cleanup.policy=delete")
    provoked("unclean_election", "critical", progress, *with_kafka())
    provoked("replication_low", "warning", progress, *with_kafka(), detail="it has 1")
    provoked("min_insync_low", "warning", progress, *with_kafka(), detail="min.insync.replicas=1")
    changed("topic_missing", "warning", "nowhere", "insert into outbox.route values ('x', 'nowhere')",
            "delete from outbox.route", *with_kafka())


def partitions():
    few = relay.Outbox()
    doctor = findings.Doctor(few.dsn, "--kafka", tap.KAFKA, "--topic-prefix", few.prefix)
    topic = few.create_topic("progress", 2, "cleanup.policy=compact")
    few.sql("select outbox.lane_set(3)")
    doctor.provoked("progress_partitions", "critical", topic, detail="2 partitions, 3 lanes")
    few.sql("select outbox.lane_set(2)")
    doctor.healed("progress_partitions")
    tried.update(doctor.tried)


def positions():
    """Of an outbox that has published: its own topic is compacted, as the relay makes it."""
    other = relay.Outbox()
    process = other.start(webhooks="no")
    other.emit(type="t", topic=other.create_topic("t", 1), payload="1")
    tap.ok(other.wait_published(1), "something is published")
    tap.is_(process.stop(), 0, "and the relay stops")
    doctor = findings.Doctor(other.dsn, "--kafka", tap.KAFKA, "--topic-prefix", other.prefix)
    doctor.healed("position_mismatch")
    other.sql("update outbox.meta set incarnation = gen_random_uuid()")
    doctor.provoked("position_mismatch", "critical", "lane 0", detail="marker_foreign")
    tried.update(doctor.tried)


def healthy():
    """What is true of the test's servers, which do not wait for the disk, and have one broker."""
    told, unchecked = examined.report()
    tap.is_(sorted(told), ["durability_off", "lane_unowned"], "a new outbox: the server's, and that nobody publishes yet")
    tap.is_([n for n in unchecked if n.startswith(("kafka", "topic"))], ["kafka_unreachable", "topic_missing"],
            "and that Kafka was not named")
    tried.add("durability_off")


def looked_for(name, script):
    """A call that expects the finding, with its name."""
    with open(f"{tap.SRC}/tests/integration/{script}", encoding="utf-8") as f:
        return re.search(rf'(provoked|doctor_says|tap\.like)\([^\n]*"{name}\b', f.read()) is not None


# With servers of their own.
ELSEWHERE = {"database_copied": "restore_clone.py", "not_enabled": "outboxctl_doctor_servers.py",
             "standby": "outboxctl_doctor_servers.py", "xids_ahead": "outboxctl_doctor_servers.py",
             "notify_queue_full": "outboxctl_doctor_servers.py", "kafka_unreachable": "secure_kafka.py"}

healthy()
for part in (schema, lanes, log, transactions, server, rights, webhooks, kafka, partitions, positions):
    part()
tried.update(name for name, script in ELSEWHERE.items() if looked_for(name, script))
tap.is_(sorted(findings.all_names(outbox.dsn) ^ tried), [], "each finding is provoked in a test")
tap.done_testing()
