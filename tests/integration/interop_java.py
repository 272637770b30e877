#!/usr/bin/python3
# deadline: 400
"""Stock Java on topics of the relay: 10,000 keys lie where the Java producer puts them, a topology of Kafka Streams and
a JDBC sink of Kafka Connect get each committed event as it is: key or none, headers, payload or tombstone; and
nothing of transactions that were aborted, in PostgreSQL or in Kafka."""
import collections
import itertools
import json
import os
import random
import re
import signal
import subprocess

import psycopg2.extensions

import relay
import tap

KEYS = 10000
PARTITIONS = 23
EVENTS, PEOPLE, PERSONS = 400, 300, 30
SEED = int(os.environ.get("INTEROP_SEED", random.randrange(1 << 30)))
DEADLINE = 120
JAVA = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={tap.SRC}/dev/kafka-jars/log4j2.properties"]

# What the JSON converter needs to make columns of a payload.
SCHEMA = {"type": "struct", "fields": [{"field": "name", "type": "string"}, {"field": "n", "type": "int32"}]}

# Of a tombstone, if that comes first, the sink cannot make it.
LATEST_TABLE = "create table latest (key text primary key, name text not null, n integer not null, id text, seq text)"


# ---- what is emitted ----

def make_keys(dice):
    """Different ones, of all lengths modulo 4, and bytes above 127 at each place of these."""
    letters = "aZ09 ~\u00e9\u00ff\u0416\u20ac\u4e2d\U0001f642"
    keys = {"": None, "\u00e9": None, "k" * 4096: None, "\U0001f642" * 1024: None}
    keys.update(dict.fromkeys(str(n) for n in range(3000)))
    while len(keys) < KEYS:
        keys["".join(dice.choices(letters, k=dice.randrange(1, 40)))] = None
    return list(keys)


class Writer:
    """Transactions of several events of both topics, of which some roll back."""

    def __init__(self, outbox, events, people, dice):
        self.connection = tap.connect(outbox.dsn, autocommit=False)
        self.cursor = self.connection.cursor()
        self.events, self.people, self.dice = events, people, dice
        self.numbers = itertools.count()
        self.rolled_back = 0

    def emit(self, topic, key, payload):
        n = next(self.numbers)
        self.cursor.execute(
            "select outbox.emit(type => %s, key => %s, topic => %s, payload => %s::jsonb, headers => %s::jsonb)",
            (f"type.{n % 3}", key, topic, payload, json.dumps({"x-text": f"{n}: zw\u00f6lf"})))

    def event(self):
        key = self.dice.choice([None, None, "", *(f"kl\u00e9-{n}" for n in range(20))])
        payload = self.dice.choice([None, json.dumps({"n": next(self.numbers), "text": "\u20ac"})] + ['"x"'] * 2)
        self.emit(self.events, key, payload)

    def person(self, key=None, gone=None):
        key = key or f"p-{self.dice.randrange(PERSONS)}"
        gone = self.dice.random() < 0.3 if gone is None else gone
        person = {"name": f"n\u00e4me {next(self.numbers)}", "n": self.dice.randrange(1 << 31)}
        self.emit(self.people, key, None if gone else json.dumps({"schema": SCHEMA, "payload": person}))

    def write(self):
        for number in range(PERSONS):
            self.emit(self.people, f"p-{number}", None)
        self.connection.commit()
        left = [self.event] * EVENTS + [self.person] * (PEOPLE - PERSONS - 2)
        self.dice.shuffle(left)
        while left:
            size = self.dice.randrange(1, 8)
            back = self.dice.random() < 0.2
            for one in left[:size]:
                one()
            if back:
                self.connection.rollback()
                self.rolled_back += 1
            else:
                self.connection.commit()
                left = left[size:]
        self.person("p-0", gone=True)
        self.person("p-1", gone=False)
        self.connection.commit()
        self.connection.close()


def emit_keys(outbox, topic, keys):
    outbox.sql("select count(outbox.emit(type => 'key', key => k, topic => %s)) from unnest(%s::text[]) k",
               (topic, keys))


def committed(outbox, topic):
    """The events of the topic in the order of the log."""
    rows = outbox.sql("select id::text, key, convert_from(payload, 'UTF8'), type, seq::text, headers->>'x-text'"
                      "  from outbox.event e where topic = %s order by e.seq", (topic,))
    return [dict(zip(("id", "key", "payload", "type", "seq", "text"), row)) for row in rows]


# ---- the relays, two of which die with a transaction open ----

def publish(outbox, count, topics):
    """The first transaction has events of two topics, the second one keys; half of each is on the broker when
    the relay dies."""
    for number in (1, 2):
        victim = outbox.start(f"victim{number}", fault=f"kafka_after_half_produce:{number}",
                              batch_events=str(EVENTS + PEOPLE))
        if not tap.is_(victim.wait(60), -9, f"relay {number} dies amid its transaction {number}"):
            victim.show()
    last = outbox.start("last")
    if not tap.ok(outbox.wait_published(count, DEADLINE), "another publishes everything"):
        last.show()
    for topic in topics:
        seen = [len(relay.dump(topic, isolation=i)) for i in ("read_uncommitted", "read_committed")]
        tap.ok(seen[0] > seen[1], f"{topic.split('.')[-1]} has records of aborted transactions")


# ---- Java ----

def class_path(*lists):
    paths = [subprocess.run([tap.SRC + "/dev/kafka-fetch", *name], check=True, stdout=subprocess.PIPE, text=True,
                            timeout=300).stdout.strip() for name in lists]
    return ":".join(path + "/*" for path in paths)


class Process:
    """A Java program; what it says is in files."""

    def __init__(self, name, jars, arguments):
        self.out, self.log = (f"{tap.TMP}/{name}.{kind}" for kind in ("out", "log"))
        with open(self.out, "wb") as out, open(self.log, "wb") as log:
            self.process = tap.spawn([*JAVA, "-cp", jars, *arguments], stdin=subprocess.PIPE, stdout=out, stderr=log)

    def said(self):
        with open(self.out, encoding="utf-8") as f:
            return f.read()

    def wait(self, condition):
        """Until it is true, or the program has ended."""
        done = tap.wait_until(lambda: condition() or self.process.poll() is not None, DEADLINE, 0.2) and condition()
        if not done:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                lines = f.read().splitlines()
            for line in [l for l in lines if " ERROR " in l or "xception" in l][:20] + lines[-20:]:
                tap.diag("java |", line[:300])
        return done


def documented(name):
    """The settings that docs/consumers.md has for that file."""
    with open(tap.SRC + "/docs/consumers.md", encoding="utf-8") as f:
        found = re.search(rf"^```properties\n# {name}\.properties\n(.*?)^```$", f.read(), re.M | re.S)
    return dict(line.split("=", 1) for line in found.group(1).splitlines())


def start_connect(jars, warehouse, topics):
    """What differs from the document is where things are, and a header that these events have."""
    database = {"connection.url": "jdbc:postgresql://{host}:{port}/{dbname}".format(**warehouse),
                "connection.username": warehouse["user"],
                "connection.password": f"${{file:{tap.TMP}/secret.properties:password}}"}
    log = documented("log")
    changes = {"worker": {"bootstrap.servers": tap.KAFKA, "offset.storage.file.filename": tap.TMP + "/connect-offsets",
                          "listeners": "http://127.0.0.1:0", "plugin.discovery": "service_load"},
               "log": {**database, "topics": ",".join(topics),
                       "transforms.headers.headers": log["transforms.headers.headers"] + ",x-text",
                       "transforms.headers.fields": log["transforms.headers.fields"] + ",text"},
               "latest": {**database, "topics": topics[-1]}}
    with open(f"{tap.TMP}/secret.properties", "w", encoding="utf-8") as f:
        f.write(f"password={warehouse['password']}\n")
    for name, change in changes.items():
        with open(f"{tap.TMP}/{name}.properties", "w", encoding="utf-8") as f:
            f.writelines(f"{key}={value}\n" for key, value in {**documented(name), **change}.items())
    return Process("connect", jars, ["org.apache.kafka.connect.cli.ConnectStandalone",
                                     *(f"{tap.TMP}/{name}.properties" for name in changes)])


def rows(dsn, table):
    """Its rows; none as long as there is no such table."""
    if not tap.sql(dsn, "select to_regclass(%s)", (table,))[0][0]:
        return []
    return [row[0] for row in tap.sql(dsn, f"select to_jsonb(t) from {table} t")]


def last_of_each(records):
    """The last value of each key."""
    records = sorted(records, key=lambda r: (r["partition"], r["offset"]))
    return {r["key"]: r["payload"] for r in records}


# ---- what they made of it ----

def differences(found, wanted):
    return [f"{name!r}: {found.get(name, 'missing')!r}, wanted {wanted.get(name, 'nothing')!r}"
            for name in sorted(found.keys() | wanted.keys(), key=str)
            if name not in found or name not in wanted or found[name] != wanted[name]]


def check_keys(outbox, java, topic, keys):
    if not tap.ok(java.wait(lambda: java.said().endswith("end\n")), "a Java consumer reads all keys"):
        return
    lines = [line.split()[1:] for line in java.said().splitlines()[:-1]]
    key_of = {event["id"]: event["key"] for event in committed(outbox, topic)}
    tap.is_((len(lines), len({line[0] for line in lines})), (KEYS, KEYS), "each once")
    tap.ok(sorted(key_of.get(line[0], "?") for line in lines) == sorted(keys), "they are those that were committed")
    tap.no_complaints([f"{key_of.get(event)!r}: {here}, Java: {there}"
                       for event, here, there in lines if here != there],
                      "each of 10,000 keys lies on the partition that the Java producer chooses")
    tap.is_(len({line[1] for line in lines}), PARTITIONS, "and no partition is empty")


def described(event):
    key, payload = (("-" if event[name] is None else "=" + event[name]) for name in ("key", "payload"))
    return key + "\n" + payload


def check_streams(outbox, java, topic, prefix):
    wanted = committed(outbox, topic)
    keyed = [event for event in wanted if event["key"] is not None]
    counts = collections.Counter(event["key"] for event in keyed if event["payload"] is not None)
    outputs = {"seen": len(wanted), "counts": sum(counts.values()), "latest": len(keyed)}
    found = {}

    def all_there():
        for name, count in outputs.items():
            if len(found.get(name, ())) < count:
                found[name] = relay.dump(f"{prefix}.{name}")
        return all(len(found[name]) >= count for name, count in outputs.items())

    tap.ok(java.wait(all_there), "Streams: each committed event comes to the topology")
    tap.is_({name: len(records) for name, records in found.items()}, outputs, "Streams: and none twice, and no other")
    seen = {record["key"]: record for record in found["seen"]}
    tap.no_complaints([event for event in wanted if seen.get(event["id"], {}).get("payload") != described(event)],
                      "Streams: with its key or none, its payload or none")
    tap.no_complaints([event for event in wanted if event["id"] in seen and [
        relay.header(seen[event["id"]], name) for name in ("outbox-type", "outbox-seq", "x-text")] != [
            event["type"], event["seq"], event["text"]]], "Streams: with its headers")
    tap.no_complaints(differences({key: int(count) for key, count in last_of_each(found["counts"]).items()}, counts),
                      "Streams: a count for each key, without tombstones")
    tap.no_complaints(differences(last_of_each(found["latest"]), {event["key"]: event["payload"] for event in keyed}),
                      "Streams: a table has the last payload of each key, none after a tombstone")


def check_log(outbox, connect, warehouse, topics):
    wanted = {event["id"]: dict(event, topic=topic) for topic in topics for event in committed(outbox, topic)}
    places = {(r["topic"], r["partition"], r["offset"]): relay.header(r, "outbox-id") for r in relay.dump(*topics)}
    tap.ok(connect.wait(lambda: len(rows(warehouse, "log")) >= len(wanted)), "Connect: each event has its row")
    found = rows(warehouse, "log")
    tap.no_complaints(differences({(r["__connect_topic"], r["__connect_partition"], r["__connect_offset"]): r["id"]
                                   for r in found}, places),
                      "Connect: and no other, as they lie in the committed transactions")
    tap.no_complaints([row for row in found if any(row[name] != wanted.get(row["id"], {}).get(name) for name in (
        "payload", "type", "seq", "text"))], "Connect: with its headers, with payload or NULL for a tombstone")
    keyless = {event["id"] for event in wanted.values() if event["key"] is None}
    tap.ok(keyless and keyless <= {row["id"] for row in found}, "Connect: those without a key, too")


def check_latest(outbox, connect, warehouse, topic):
    last = {event["key"]: event for event in committed(outbox, topic)}
    wanted = {key: {"key": key, "id": event["id"], "seq": event["seq"], **json.loads(event["payload"])["payload"]}
              for key, event in last.items() if event["payload"] is not None}
    tap.ok(len(wanted) not in (0, len(last)), "some rows were deleted at the end, and some not")
    connect.wait(lambda: {row["key"]: row for row in rows(warehouse, "latest")} == wanted)
    tap.no_complaints(differences({row["key"]: row for row in rows(warehouse, "latest")}, wanted),
                      "Connect: a row for each key, its headers beside it, and none after a tombstone")


def main():
    tap.diag(f"INTEROP_SEED={SEED}")
    dice = random.Random(SEED)
    outbox = relay.Outbox()
    keys_topic, twin = (outbox.create_topic(name, PARTITIONS) for name in ("keys", "twin"))
    events, people = (outbox.create_topic(name) for name in ("events", "people"))
    outputs = f"{outbox.prefix}.streams"
    for name in ("seen", "counts", "latest"):
        tap.create_topic(f"{outputs}.{name}")
    warehouse = tap.create_database(tap.DSN_TCP, migrate=False)
    tap.sql(warehouse, LATEST_TABLE)
    jars = class_path([], ["interop"])
    connect = start_connect(jars, psycopg2.extensions.parse_dsn(warehouse), [events, people])
    keys = make_keys(dice)
    java = Process("readers", jars, [tap.SRC + "/tests/interop/Readers.java", tap.KAFKA, keys_topic, twin, str(KEYS),
                                     events, outputs, tap.TMP + "/streams"])
    writer = Writer(outbox, events, people, dice)
    writer.write()
    tap.ok(writer.rolled_back > 0, "some transactions roll back")
    emit_keys(outbox, keys_topic, keys)
    publish(outbox, EVENTS + PEOPLE + KEYS, (events, people, keys_topic))
    check_keys(outbox, java, keys_topic, keys)
    check_streams(outbox, java, events, outputs)
    check_log(outbox, connect, warehouse, (events, people))
    check_latest(outbox, connect, warehouse, people)
    tap.end(connect.process, signal.SIGKILL)
    java.process.stdin.close()
    tap.is_(java.process.wait(60), 0, "the Java program ends well")
    tap.done_testing()


main()
