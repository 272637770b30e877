#!/usr/bin/python3
# deadline: 300
"""What outbox-relay makes of events, how it wakes, stops, and says what is wrong."""
import json
import os
import signal
import time

import ledger
import relay
import tap

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def by_id(outbox, *topics):
    return {relay.header(record, "outbox-id"): record for record in outbox.records(*topics)}


# ---- topics and records ----

def routes(outbox, receiver):
    """Where an event goes: its own topic, a route by type, the type itself."""
    exact, wild, longer, tail, own, itself = (outbox.create_topic(name) for name in
                                              ("exact", "wild", "longer", "tail", "own", "itself"))
    for pattern, topic in (("orders.*", wild), ("orders.placed", exact), ("orders.eu.*", longer), ("*.audit", tail),
                           ("internal.*", None)):
        outbox.sql("insert into outbox.route (pattern, topic) values (%s, %s)", (pattern, topic))
    outbox.sql("select outbox.endpoint_add(%s, %s, p_types => '{internal.*}')", (receiver.url, receiver.secret))
    wanted = {}
    for event_type, topic, home, why in (
            ("orders.placed", None, exact, "an exact route beats one with a wildcard"),
            ("orders.paid", None, wild, "a route with a wildcard"),
            ("orders.eu.paid", None, longer, "the more specific of two wildcards"),
            ("stock.audit", None, tail, "a wildcard in front"),
            ("orders.audit", None, wild, "of two that fit, the one whose wildcard comes later"),
            ("orders.placed", own, own, "the event's own topic beats every route"),
            (itself, None, itself, "without a route the type is the topic")):
        wanted[outbox.emit(type=event_type, topic=topic, key="k", payload="1")] = (home, why)
    internal = outbox.emit(type="internal.note", key="k", payload='"for webhooks alone"')
    first = outbox.start("basic", webhook_allow="127.0.0.0/8")
    outbox.wait_published(8)
    found = by_id(outbox, exact, wild, longer, tail, own, itself)
    for event, (home, why) in wanted.items():
        tap.is_(found.get(event, {}).get("topic"), home, f"topic: {why}")
    tap.ok(internal not in found, "topic: an event whose route has none is not in Kafka")
    outbox.wait_delivered(1)
    tap.is_(list(receiver.taken()), [internal], "topic: that event goes to its webhook")
    return first


def records(outbox):
    """What is in a record."""
    topic = outbox.create_topic("records")
    plain = outbox.emit(type="t", topic=topic, key="clé", payload='{"a": "ü"}')
    full = outbox.emit(type="t.full", topic=topic, key="k", payload="[]", tenant="acme", traceparent=TRACEPARENT,
                       tracestate="a=1,b=2", headers='{"x-one": "1", "x-two": "zwei: ü"}',
                       occurred_at="2024-02-29T23:59:59.000007+01:00")
    keyless = outbox.emit(type="t", topic=topic, payload="{}")
    tombstone = outbox.emit(type="t", topic=topic, key="gone")
    raw = "select outbox.emit(type => 't', key => %s, payload => %s, content_type => 'application/octet-stream'," \
          " topic => %s)::text"
    binary = outbox.sql(raw, ("b", b"\xff\x00\xfe", topic))[0][0]
    empty = outbox.sql(raw, ("", b"", topic))[0][0]
    began = time.time() * 1000
    early = outbox.emit(type="t", topic=topic, payload="{}", occurred_at="1969-07-20T20:17:40.000007Z")
    late = outbox.emit(type="t", topic=topic, payload="{}", occurred_at="2999-01-01T00:00:00Z")
    chosen = outbox.emit(type="t", topic=topic, key="k", partition=3, payload="{}")
    outbox.wait_published(8 + 9)
    found = by_id(outbox, topic)
    tap.is_(len(found), 9, "record: all are there")
    tap.is_((found[plain]["key"], found[plain]["payload"]), ("clé", '{"a": "ü"}'), "record: key and payload")
    sequence = dict(outbox.sql("select id::text, seq::text from outbox.event"))
    tap.is_(found[full]["headers"],
            [["outbox-id", full], ["outbox-type", "t.full"], ["outbox-time", "2024-02-29T22:59:59.000007Z"],
             ["outbox-seq", sequence[full]], ["outbox-tenant", "acme"], ["content-type", "application/json"],
             ["traceparent", TRACEPARENT], ["tracestate", "a=1,b=2"], ["x-one", "1"], ["x-two", "zwei: ü"]],
            "record: every header")
    tap.is_([name for name, _ in found[plain]["headers"]],
            ["outbox-id", "outbox-type", "outbox-time", "outbox-seq", "content-type"],
            "record: no header without a value")
    tap.is_(found[full]["timestamp"], 1709247599000, "record: its timestamp is when the event occurred")
    for name, when in ((early, "1969-07-20T20:17:40.000007Z"), (late, "2999-01-01T00:00:00.000000Z")):
        # two clocks of one machine, and time that the test's may go back meanwhile
        tap.is_((relay.header(found[name], "outbox-time"), found[name]["timestamp"] > began - 60000,
                 found[name]["timestamp"] < time.time() * 1000 + 60000), (when, True, True),
                f"record: of {when[:4]}, which Kafka would not have: its timestamp is when it was published")
    tap.is_(found[keyless]["key"], None, "record: without a key")
    tap.is_((found[tombstone]["key"], found[tombstone]["payload"]), ("gone", None), "record: a tombstone")
    tap.is_(relay.header(found[tombstone], "content-type"), None, "record: a tombstone has no content type")
    tap.is_(found[binary]["payload"], {"hex": "ff00fe"}, "record: bytes")
    tap.is_((found[empty]["key"], found[empty]["payload"]), ("", ""), "record: empty is not absent")
    tap.is_(found[chosen]["partition"], 3, "record: the partition asked for")


def murmur2(data):
    """The hash by which the Java client chooses a partition."""
    mask, m = 0xffffffff, 0x5bd1e995
    value = (0x9747b28c ^ len(data)) & mask
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at:at + 4], "little") * m & mask
        value = (value * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if whole < len(data):
        value = (value ^ int.from_bytes(data[whole:], "little")) * m & mask
    value = (value ^ value >> 13) * m & mask
    return value ^ value >> 15


def order(outbox):
    topic = outbox.create_topic("order", 5)
    before = outbox.published()
    keys = [f"key-{n}" for n in range(10)]
    connection = tap.connect(outbox.dsn)
    with connection.cursor() as cursor:
        for n in range(300):
            cursor.execute("select outbox.emit(type => 't', key => %s, topic => %s, payload => to_jsonb(%s))",
                           (keys[n % 10], topic, n))
    connection.close()
    outbox.wait_published(before + 300)
    found = sorted(outbox.records(topic), key=lambda r: (r["partition"], r["offset"]))
    tap.is_({k: [int(r["payload"]) for r in found if r["key"] == k] for k in keys},
            {k: list(range(i, 300, 10)) for i, k in enumerate(keys)}, "order: per key as committed")
    tap.is_({k: {r["partition"] for r in found if r["key"] == k} for k in keys},
            {k: {(murmur2(k.encode()) & 0x7fffffff) % 5} for k in keys},
            "partition: of a key always the one, and the same as the Java client's")


# ---- transactions ----

def late_commits(outbox):
    """An open transaction holds up nothing but itself."""
    topic = outbox.create_topic("late")
    before = outbox.published()
    emit = "select outbox.emit(type => 't', key => 'a', topic => %s, payload => %s::jsonb)::text"
    late, prepared, given_up = (tap.connect(outbox.dsn, autocommit=False) for _ in range(3))
    with late.cursor() as cursor:
        cursor.execute(emit, (topic, '"late"'))
        late_id = cursor.fetchone()[0]
    with given_up.cursor() as cursor:
        cursor.execute(emit, (topic, '"given up"'))
    with prepared.cursor() as cursor:
        cursor.execute("set local outbox.two_phase = on")
        cursor.execute(emit, (topic, '"prepared"'))
        prepared_id = cursor.fetchone()[0]
        cursor.execute("prepare transaction 'two'")
    prepared.commit()
    prepared.autocommit = True
    quick = [outbox.emit(type="t", key="a", topic=topic, payload=str(n)) for n in range(5)]
    outbox.wait_published(before + 5)
    tap.is_(relay.ids(outbox.records(topic)), quick, "late: others pass an open and a prepared transaction")
    late.commit()
    given_up.rollback()
    outbox.wait_published(before + 6)
    tap.is_(relay.ids(outbox.records(topic)), quick + [late_id], "late: it arrives when it has committed")
    with prepared.cursor() as cursor:
        cursor.execute("commit prepared 'two'")
    outbox.wait_published(before + 7)
    tap.is_(relay.ids(outbox.records(topic)), quick + [late_id, prepared_id],
            "two-phase: it arrives when it is committed")
    tap.is_((outbox.published(), outbox.unpublished()), (before + 7, 0), "late: a rolled-back one never does")
    for connection in (late, prepared, given_up):
        connection.close()


def asynchronous(outbox):
    topic = outbox.create_topic("asynchronous")
    before = outbox.published()
    connection = tap.connect(outbox.dsn)
    with connection.cursor() as cursor:
        cursor.execute("set synchronous_commit = off")
        ids = []
        for n in range(50):
            cursor.execute("select outbox.emit(type => 't', key => 'k', topic => %s, payload => to_jsonb(%s))::text",
                           (topic, n))
            ids.append(cursor.fetchone()[0])
    connection.close()
    outbox.wait_published(before + 50)
    tap.is_(relay.ids(outbox.records(topic)), ids, "writers with synchronous_commit = off are published too")


# ---- topics that do not exist ----

def missing_topics():
    outbox = relay.Outbox()
    process = outbox.start(create_topics="no")
    tap.ok(process.wait_said(f"level=error event=kafka_failed .*{outbox.prefix}.progress.* does not exist; create it "
                             "with cleanup.policy=compact .*, or set create_topics=yes"),
           "missing: the log names the progress topic and the remedy")
    outbox.create_topic("progress", 1, "cleanup.policy=compact")
    tap.ok(process.wait_running(), "missing: the relay goes on when there is one")
    there = outbox.create_topic("there")
    missing = f"{outbox.prefix}.missing"
    ids = [outbox.emit(type="t", key="k", topic=topic, payload="1") for topic in (there, missing, there)]
    tap.ok(process.wait_said(f'level=error event=kafka_failed .*topic .*{missing}.* does not exist; create it, or set '
                             'create_topics=yes'), "missing: the log names the topic and the remedy")
    tap.ok(process.running(), "missing: the relay keeps trying")
    tap.is_(outbox.lane()["halted"], None, "missing: that is no halt")
    outbox.create_topic("missing")
    outbox.wait_published(3)
    tap.is_(sorted(relay.ids(outbox.records(there, missing))), sorted(ids),
            "missing: once it is created all arrive, each once")
    tap.is_(process.stop(), 0, "missing: it stops well")

    process = outbox.start(create_topics="yes", topic_partitions="3")
    made = f"{outbox.prefix}.made"
    event = outbox.emit(type="t", key="k", topic=made, payload="1")
    outbox.wait_published(4)
    tap.is_(relay.ids(outbox.records(made)), [event], "create_topics: a missing topic is created")
    tap.is_(relay.partitions(made), 3, "create_topics: with as many partitions as told")
    process.stop()


# ---- waking ----

def holds_bell(outbox):
    return outbox.sql("select count(*) from pg_locks l join pg_database d on d.oid = l.database"
                      " where d.datname = current_database() and locktype = 'advisory'"
                      " and classid = outbox.lock_class() and objid = 4 and mode = 'ExclusiveLock' and granted")[0][0]


def waking():
    outbox = relay.Outbox()
    topic = outbox.create_topic("waking")
    # nothing but the bell can wake it within the test's patience
    process = outbox.start(fallback_poll="60s")
    for n in range(3):
        tap.ok(tap.wait_until(lambda: holds_bell(outbox)), f"listen: asleep it holds the bell ({n})")
        outbox.emit(type="t", topic=topic, payload=str(n))
        tap.ok(tap.wait_until(lambda: len(outbox.records(topic)) == n + 1, 20), f"listen: an event wakes it ({n})")
    tap.is_(process.stop(), 0, "listen: it can be stopped asleep")

    process = outbox.start(wake="poll", poll_interval="50ms")
    process.wait_running()
    outbox.emit(type="t", topic=topic, payload="3")
    outbox.wait_published(4)
    tap.is_(len(outbox.records(topic)), 4, "poll: events are published")
    tap.is_(holds_bell(outbox), 0, "poll: the bell is left alone")
    process.stop()


def pooler():
    outbox = relay.Outbox()
    topic = outbox.create_topic("pooled")
    pooled = relay.start_pgbouncer(outbox.dsn)
    outbox.emit(type="t", topic=topic, payload="0")
    process = outbox.start(dsn=pooled)
    tap.is_(process.wait(), 1, "pooler: in listen mode the relay ends with 1")
    tap.like(process.log(), "event=pooler_detected .*connect without the pooler, or set wake=poll",
             "pooler: it says why, and what to do")
    tap.is_(outbox.published(), 0, "pooler: and publishes nothing")
    process = outbox.start(dsn=pooled, wake="poll")
    # more than one batch, and the connections change hands in between
    for n in range(1, 4):
        outbox.emit(type="t", topic=topic, payload=str(n))
        outbox.wait_published(n + 1)
    tap.is_([r["payload"] for r in sorted(outbox.records(topic), key=lambda r: int(r["payload"]))],
            ["0", "1", "2", "3"], "pooler: in poll mode it works")
    tap.is_(process.stop(), 0, "pooler: and stops well")


# ---- stopping ----

def stopping():
    outbox = relay.Outbox()
    book = ledger.Ledger(outbox, outbox.create_topic("orders", 2), outbox.create_topic("rest", 2))
    book.add_endpoint(ledger.Receiver(refuse=0, seed=1))
    # a lease that nobody here would wait for
    options = {"lease": "120s", "webhook_allow": "127.0.0.0/8", "batch_events": "50"}
    with book.writers(count=4, pause=0.003):
        first = outbox.start("first", **options)
        second = None
        outbox.wait_published(200)
        second = outbox.start("second", **options)
        tap.ok(second.wait_said("event=lease_taken"), "SIGTERM: a second relay finds the lease taken")
        before = time.monotonic()
        first.send(signal.SIGTERM)
        status = first.wait()
        took = time.monotonic() - before
        tap.is_(status, 0, "SIGTERM under load: exit 0")
        if not tap.ok(took < 15, "SIGTERM under load: within 5 s, and 10 for a busy machine"):
            first.show()
        at_end = outbox.published()
        tap.ok(second.wait_running(), "SIGTERM: the lease is given back: another takes over long before its end")
        outbox.wait_published(at_end + 100)
    tap.ok(book.settle(), "SIGTERM: the second relay publishes and delivers the rest")
    tap.is_(second.stop(), 0, "SIGTERM: it ends as well")
    # at the end of the patience a request may still have been open
    tap.is_(book.audit(kills=1), [], "SIGTERM under load: nothing lost, nothing doubled")
    tap.is_(outbox.lease()["holder"], None, "SIGTERM: the lease is free")


# ---- rights, checks, configuration ----

def least_rights():
    outbox = relay.Outbox()
    role = tap.unique("only_relay")
    outbox.sql(f"create role {role} login in role outbox_relay")
    tap.at_exit(tap.sql, tap.DSN, f"drop role {role}")
    receiver = ledger.Receiver(refuse=0)
    outbox.sql("select outbox.endpoint_add(%s, %s)", (receiver.url, receiver.secret))
    topic = outbox.create_topic("rights")
    process = outbox.start(dsn=f"{outbox.dsn} user={role}", webhook_allow="127.0.0.0/8")
    event = outbox.emit(type="t", key="k", topic=topic, payload="1")
    outbox.wait_published(1)
    outbox.wait_delivered(1)
    tap.is_(relay.ids(outbox.records(topic)), [event], "rights: a member of outbox_relay, and of nothing else, "
            "publishes")
    tap.is_(list(receiver.taken()), [event], "rights: and delivers")
    if not tap.is_(process.stop(), 0, "rights: and gives the lease back"):
        process.show()
    tap.is_(process.said("permission denied"), None, "rights: nothing was refused meanwhile")


def checked(outbox, **changes):
    flags = [f"--{n}={v}" for n, v in outbox.options(**changes).items()]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("OUTBOX_")}
    return tap.run([relay.RELAY, "--check", *flags], env=environment)


def checks():
    outbox = relay.Outbox()
    status, output, _ = checked(outbox)
    tap.is_(status, 0, "--check: 0 when all is well")
    tap.like(output, r"PostgreSQL: ok\noutbox schema: ok\noutbox enabled here: ok\n(?:.*\n)*direct connection: ok\nKafka: ok\n",
             "--check: what it looked at")
    tap.is_(outbox.lane()["epoch"], 0, "--check: touches nothing")
    for change, regex, name in (
            ({"dsn": outbox.dsn + " port=1"}, "PostgreSQL: FAILED: ", "no PostgreSQL"),
            ({"dsn": tap.create_database(migrate=False)}, "outbox schema: FAILED: ", "no schema"),
            ({"dsn": relay.start_pgbouncer(outbox.dsn)}, "direct connection: FAILED: .*set wake=poll", "a pooler"),
            ({"kafka.bootstrap.servers": "127.0.0.1:1"}, "Kafka: FAILED: ", "no Kafka"),
            ({"create_topics": "no", "transaction_timeout": "20s"}, f"Kafka: FAILED: .*{outbox.prefix}.progress does not exist", "no progress topic")):
        status, output, _ = checked(outbox, **{"transaction_timeout": "2s", **change})
        tap.is_(status, 1, f"--check: 1 with {name}")
        tap.like(output, regex, f"--check: says so with {name}")


def bad_configuration():
    outbox = relay.Outbox()
    for change, regex, name in (
            ({"leese": "2s"}, "there is no option leese; did you mean lease", "an unknown option"),
            ({"lease": "2"}, "lease: must be a time with its unit", "a value that is none"),
            ({"lease": "2s", "lease_renew": "1500ms"}, "lease_renew", "two values that do not go together"),
            ({"dsn": None}, "dsn", "no DSN"),
            ({"kafka.transactional.id": "x"}, "kafka.transactional.id cannot be set", "a property of the relay's own"),
            ({"config": "/nonexistent"}, "/nonexistent", "no file")):
        process = outbox.start(**change)
        tap.is_(process.wait(), 2, f"configuration: 2 with {name}")
        tap.like(process.log(), f"^outbox-relay: .*{regex}", f"configuration: says so with {name}")


def main():
    outbox = relay.Outbox()
    process = routes(outbox, ledger.Receiver(refuse=0))
    records(outbox)
    order(outbox)
    late_commits(outbox)
    asynchronous(outbox)
    tap.is_(process.stop(), 0, "the relay stops well")
    missing_topics()
    waking()
    pooler()
    stopping()
    least_rights()
    checks()
    bad_configuration()
    tap.done_testing()


main()
