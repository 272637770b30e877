"""For the tests of outbox-relay: an outbox with topics of its own, and relays on it.

    outbox = relay.Outbox()
    topic = outbox.create_topic("orders")
    first = outbox.start("first", fault="kafka_after_commit:3")
    outbox.wait_published(100)
    first.stop()
    outbox.records(topic)
"""
import importlib.machinery
import importlib.util
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import psycopg2.extensions

import tap

RELAY = tap.BUILD + "/outbox-relay"
TOPIC_DUMP = tap.BUILD + "/tests/tools/topic-dump"

# What a test has to wait for follows from these.
LEASE = 2
SHORT = {"lease": f"{LEASE}s", "lease_renew": "500ms", "transaction_timeout": "5s", "create_topics": "yes",
         "log_level": "debug", "connect_timeout": "5s",
         "admin_listen": ""}


class Relay:
    """A process of outbox-relay. Its log is kept in a file."""

    numbers = itertools.count(1)

    def __init__(self, options, fault=None, planted=None, environment=None, prefix=()):
        self.path = f"{tap.TMP}/relay-{os.getpid()}-{next(Relay.numbers)}.log"
        environment = {n: v for n, v in os.environ.items() if not n.startswith("OUTBOX_")} | (environment or {})
        if fault:
            environment["OUTBOX_FAULT"] = fault
        if planted:
            environment["OUTBOX_PLANTED"] = planted
        with open(self.path, "wb") as log:
            self.process = tap.spawn([*prefix, RELAY, *(f"--{n}={v}" for n, v in options.items())],
                                     stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        # one that a test has stopped would not take the SIGTERM at the test's end
        tap.at_exit(self.send, signal.SIGCONT)

    def log(self):
        with open(self.path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def said(self, regex):
        return re.search(regex, self.log())

    def wait_said(self, regex, deadline=60):
        """Waits until the log has it, or the process ends."""
        return bool(tap.wait_until(lambda: self.said(regex) or self.process.poll() is not None, deadline)
                    and self.said(regex))

    def wait_running(self, deadline=60):
        return self.wait_said("event=lane lane=0 state=running", deadline)

    def wait_stopped(self, deadline=60):
        """Until it has stopped itself at a fault point."""
        def state():
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii", errors="replace") as f:
                return f.read().rpartition(")")[2].split()[0]

        return bool(tap.wait_until(lambda: self.process.poll() is not None or state() == "T", deadline, 0.02)
                    and self.process.poll() is None)

    def running(self):
        return self.process.poll() is None

    def wait(self, deadline=60):
        """Its exit status; None if it does not end. Negative: by that signal."""
        tap.wait_until(lambda: self.process.poll() is not None, deadline, 0.01)
        return self.process.poll()

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        return self.process.wait()

    def stop(self, patience=40):
        return tap.end(self.process, signal.SIGTERM, patience)

    def show(self, lines=40):
        for line in self.log().splitlines()[-lines:]:
            tap.diag("relay |", line)


class Outbox:
    """A database with the schema, and a prefix of topics that no other has."""

    def __init__(self, dsn=None, prefix=None):
        self.dsn = dsn or tap.create_database()
        self.prefix = prefix or tap.unique("relay")

    def create_topic(self, name, partitions=4, *settings):
        return tap.create_topic(f"{self.prefix}.{name}", partitions, *settings)

    def options(self, name="relay", **changes):
        options = {"dsn": self.dsn, "name": name, "topic_prefix": self.prefix,
                   "kafka.bootstrap.servers": tap.KAFKA, **SHORT}
        options.update(changes)
        return {n: v for n, v in options.items() if v is not None}

    def start(self, name="relay", fault=None, planted=None, environment=None, prefix=(), **changes):
        return Relay(self.options(name, **changes), fault, planted, environment, prefix)

    def sql(self, statement, arguments=None):
        return tap.sql(self.dsn, statement, arguments)

    def emit(self, **event):
        """Emits one event in a transaction of its own; returns its id. The
        payload, if a text, is JSON."""
        names = ", ".join(f"{name} => %({name})s{TYPES.get(name, '')}" for name in event)
        return self.sql(f"select outbox.emit({names})::text", event)[0][0]

    def lane(self):
        return self.sql("select to_jsonb(l) from outbox.lane l where map = 1 and lane = 0")[0][0]

    def lease(self):
        return self.sql("select to_jsonb(l) from outbox.lease l where name = 'lane/1/0'")[0][0]

    def published(self):
        """By all lanes of the present map, which count on from those of the former."""
        return int(self.sql("select sum(published) from outbox.lane")[0][0])

    def wait_delivered(self, count, deadline=30):
        """Waits until that many deliveries have been."""
        return tap.wait_until(lambda: self.sql("select count(*) from outbox.delivery where state = 'delivered'")
                              [0][0] >= count, deadline)

    def wait_published(self, count, deadline=30):
        """Waits until the database knows of that many published events, or more."""
        return tap.wait_until(lambda: self.published() >= count, deadline)

    def unpublished(self):
        """What lies beyond the lane's position: its unfinished batch and what
        was emitted since."""
        connection = tap.connect(self.dsn)
        try:
            with connection.cursor() as cursor:
                cursor.execute("select (outbox.tick()).id")
                latest = cursor.fetchone()[0]
                cursor.execute("""
                    select sum((select count(*) from outbox.batch(from_tick, to_tick, seq, low => bucket_low,
                                                                  high => bucket_high) where not done)
                               + (select count(*) from outbox.batch(to_tick, %s, low => bucket_low,
                                                                    high => bucket_high)))::bigint
                      from outbox.lane""", (latest,))
                return cursor.fetchone()[0]
        finally:
            connection.close()

    def records(self, *topics):
        return dump(*topics)


TYPES = {"payload": "::jsonb", "headers": "::jsonb", "id": "::uuid", "occurred_at": "::timestamptz"}


def dump(*topics, isolation="read_committed", timeout=60):
    """All records of the topics, as topic-dump reads them: dictionaries with
    topic, partition, offset, timestamp, key, headers (pairs) and payload."""
    command = [TOPIC_DUMP, "--bootstrap", tap.KAFKA, "--isolation", isolation, "--json"]
    status, output, errors = tap.run([*command, "--timeout", str(timeout), *topics], timeout=timeout + 10)
    if status:
        raise RuntimeError(f"topic-dump: exit {status}: {errors}")
    return [json.loads(line) for line in output.splitlines()]


def header(record, name):
    """The value of its last header of that name, or None."""
    values = [value for key, value in record["headers"] if key == name]
    return values[-1] if values else None


def ids(records):
    return [header(record, "outbox-id") for record in records]


def load_program(name):
    """A Python program without .py in its name, as a module."""
    loader = importlib.machinery.SourceFileLoader(os.path.basename(name).replace("-", "_"), name)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def partitions(topic):
    """How many the topic has; 0 if there is no such topic."""
    kafka_client = load_program(tap.SRC + "/dev/kafka-client")
    with kafka_client.Connection(tap.KAFKA) as connection:
        return len(connection.metadata([topic])[2].get(topic, []))


def start_pgbouncer(dsn):
    """A pgbouncer in transaction mode before the server of that DSN, which has
    a socket; returns the DSN through it, of the same database and user."""
    server = psycopg2.extensions.parse_dsn(dsn)
    directory = f"{tap.TMP}/{tap.unique('pgbouncer')}"
    os.mkdir(directory, 0o755)
    root = os.getuid() == 0
    if root:
        shutil.chown(directory, "postgres", "postgres")
    for _ in range(5):
        port = free_port()
        with open(f"{directory}/ini", "w", encoding="utf-8") as f:
            f.write(f"[databases]\n* = host={server['host']} port={server['port']} user={server['user']}\n"
                    f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
                    f"pool_mode = transaction\nauth_type = any\nmax_client_conn = 100\ndefault_pool_size = 10\n")
        with open(f"{directory}/log", "w", encoding="utf-8") as log:
            process = tap.spawn(["pgbouncer", *(["-u", "postgres"] if root else []), f"{directory}/ini"],
                                stdout=log, stderr=log)
        if tap.wait_until(lambda: process.poll() is not None or answers(port), 30) and process.poll() is None:
            return f"host=127.0.0.1 port={port} dbname={server['dbname']} user={server['user']}"
    with open(f"{directory}/log", encoding="utf-8") as log:
        raise RuntimeError(f"pgbouncer does not start: {log.read()}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
