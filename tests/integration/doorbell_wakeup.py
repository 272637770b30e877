#!/usr/bin/python3
# deadline: 300
"""No wake-up is lost: a relay that sleeps without a fallback sees every event.

The relay's protocol in Python, against the bell of outbox.emit(): LISTEN; poll;
when there is nothing try the bell's lock; when it is granted tick and poll once
more; sleep on the socket, for ever if need be; when woken give the lock back.

Writers come in bursts with silence between them. A wake-up is lost if, in the
silence, an event that was committed stays unseen although nothing else will
ever happen. The time allowed for that is no measure of speed; it only ends the
waiting for something that never comes. Relays that do one thing wrong are
played step by step, and must be caught.
"""
import collections
import os
import random
import select
import sys
import threading
import time
import uuid

import psycopg2

import lane_reader
import tap

ROUNDS = 60
WRITERS = 8
NEVER = 20  # seconds of silence
KINDS = {"plain": 30, "autocommit": 15, "rollback": 8, "savepoint": 10, "savepoint_before": 10, "long": 4,
         "repeatable_read": 10, "serializable": 5, "array": 8, "id": 5, "two_phase": 6}
BELL = (1868721016, 4)
TRY_BELL = "SELECT pg_try_advisory_lock(%s, %s)"
FREE_BELL = "SELECT pg_advisory_unlock(%s, %s)"


class Relay:
    """mode: right, or one of the mistakes: lets_go (of the lock before it sleeps),
    does_not_look_again (when the lock was granted)."""

    def __init__(self, dsn, mode="right", before_lock=lambda: None):
        self.mode = mode
        self.before_lock = before_lock
        self.connection = tap.connect(dsn)
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET ROLE outbox_relay")
        self.cursor.execute("LISTEN outbox")
        self.reader = lane_reader.Reader(self.connection)
        self.changed = threading.Condition()
        self.seen = set()
        self.asleep = False
        self.counts = collections.Counter()
        self.error = None
        self.stop_read, self.stop_write = os.pipe()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        os.write(self.stop_write, b"x")
        self.thread.join(30)
        self.connection.close()
        if self.error:
            tap.bail(f"the relay failed: {self.error}")

    def run(self):
        try:
            while self.step():
                pass
        except psycopg2.Error as error:
            self.error = error

    def ask(self, statement):
        self.cursor.execute(statement, BELL)
        return self.cursor.fetchone()[0]

    def poll(self, forced=False):
        self.reader.tick(forced)
        rows = self.reader.read_batch(50)
        with self.changed:
            self.seen.update(row[1] for row in rows)
            self.changed.notify_all()
        return bool(rows)

    def step(self):
        """One round; false when it was told to stop."""
        if self.poll():
            return True
        self.before_lock()
        if not self.ask(TRY_BELL):
            self.counts["refused"] += 1
            return not self.told_to_stop(0.005)
        if self.mode == "lets_go":
            self.ask(FREE_BELL)
        news = self.mode != "does_not_look_again" and self.poll(forced=True)
        going_on = news or self.sleep()
        if self.mode != "lets_go":
            self.ask(FREE_BELL)
        return going_on

    def told_to_stop(self, seconds):
        return bool(select.select([self.stop_read], [], [], seconds)[0])

    def sleep(self):
        self.connection.poll()
        if self.connection.notifies:  # it has come with the answer to a query
            self.connection.notifies.clear()
            return True
        self.counts["sleeps"] += 1
        self.set_asleep(True)
        while True:
            ready = select.select([self.connection, self.stop_read], [], [])[0]
            if self.stop_read in ready:
                return False
            self.connection.poll()
            if self.connection.notifies:
                break
        self.connection.notifies.clear()
        self.set_asleep(False)
        return True

    def set_asleep(self, asleep):
        with self.changed:
            self.asleep = asleep
            self.changed.notify_all()

    def has_seen(self, ids, seconds=NEVER):
        with self.changed:
            return self.changed.wait_for(lambda: ids <= self.seen, seconds)

    def falls_asleep(self, seconds=NEVER):
        with self.changed:
            return self.changed.wait_for(lambda: self.asleep, seconds)


class Writer:
    def __init__(self, dsn, number, seed):
        self.number = number
        self.random = random.Random(f"{seed}/{number}")
        self.connection = tap.connect(dsn)
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET ROLE outbox_writer")
        self.committed = set()      # in this burst
        self.silent = set()         # of two-phase transactions, which do not ring
        self.counts = collections.Counter()
        self.prepared = 0
        self.error = None

    def burst(self):
        self.committed = set()
        try:
            for _ in range(self.random.randint(1, 4)):
                self.transaction(self.random.choices(list(KINDS), KINDS.values())[0])
                if self.random.random() < 0.5:
                    time.sleep(self.random.random() * 0.02)
        except psycopg2.Error as error:
            self.error = error

    def emit(self, identity=None):
        if identity is None and self.random.random() < 0.5:  # as the C library does
            identity = str(uuid.uuid4())
            self.cursor.execute("INSERT INTO outbox.new_event (id, type, key) VALUES (%s, 't', %s)",
                                (identity, str(self.number)))
            return identity
        self.cursor.execute("SELECT outbox.emit(type => 't', key => %s, payload => '{}', id => %s)::text",
                            (str(self.number), identity))
        return self.cursor.fetchone()[0]

    def transaction(self, kind):
        self.counts[kind] += 1
        if kind == "autocommit":
            self.committed.add(self.emit())
            return
        isolation = {"repeatable_read": "REPEATABLE READ", "serializable": "SERIALIZABLE"}.get(kind, "READ COMMITTED")
        self.cursor.execute(f"BEGIN ISOLATION LEVEL {isolation}")
        ids = self.events(kind)
        if kind == "long":
            time.sleep(self.random.random() * 0.3)
        elif self.random.random() < 0.3:
            time.sleep(self.random.random() * 0.01)
        if kind == "two_phase":
            self.prepared += 1
            name = f"bell_{os.getpid()}_{self.number}_{self.prepared}"
            self.cursor.execute(f"PREPARE TRANSACTION '{name}'")
            self.cursor.execute(f"COMMIT PREPARED '{name}'")
            self.silent |= ids
        elif kind == "rollback":
            self.cursor.execute("ROLLBACK")
        else:
            self.cursor.execute("COMMIT")
            self.committed |= ids

    def events(self, kind):
        if kind == "savepoint":  # lock and notification go with the event
            self.cursor.execute("SAVEPOINT a")
            self.emit()
            self.cursor.execute("ROLLBACK TO a")
            return {self.emit()}
        if kind == "savepoint_before":
            kept = self.emit()
            self.cursor.execute("SAVEPOINT a")
            self.emit()
            self.cursor.execute("ROLLBACK TO a")
            return {kept}
        if kind == "array":
            self.cursor.execute("SELECT id::text FROM outbox.emit_events(array_fill('t'::text, ARRAY[5]))")
            return {row[0] for row in self.cursor.fetchall()}
        if kind == "two_phase":
            self.cursor.execute("SET LOCAL outbox.two_phase = on")
        if kind == "id":
            self.cursor.execute("SELECT gen_random_uuid()::text")
            return {self.emit(self.cursor.fetchone()[0])}
        return {self.emit()}


def burst(writers):
    threads = [threading.Thread(target=writer.burst) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return set().union(*(writer.committed for writer in writers))


def test_bursts(dsn, version, seed):
    relay = Relay(dsn).start()
    writers = [Writer(dsn, number, f"{seed}/{version}") for number in range(WRITERS)]
    events = 0
    lost = 0
    for number in range(ROUNDS):
        if not relay.falls_asleep():
            tap.bail("the relay does not fall asleep")
        committed = burst(writers)
        events += len(committed)
        if not relay.has_seen(committed):
            lost += 1
            tap.diag(f"round {number}: {len(committed - relay.seen)} events never seen, asleep: {relay.asleep}")
            break
    relay.stop()
    silent = set().union(*(writer.silent for writer in writers))
    rest = lane_reader.Reader(tap.connect(dsn), relay.reader.position)
    rest.tick(True)
    seen = relay.seen | {row[1] for row in rest.read_batch()}
    counts = sum((writer.counts for writer in writers), relay.counts)
    tap.diag(f"PostgreSQL {version}: {events} events in {ROUNDS} bursts,",
             ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    tap.is_([writer.error for writer in writers if writer.error], [], f"{version}: no writer failed")
    tap.is_(lost, 0, f"{version}: every event of each burst was seen in the silence after it")
    tap.ok(silent and silent <= seen, f"{version}: those of two-phase transactions, which do not ring, by the next look")
    tap.is_({row[0] for row in tap.sql(dsn, "SELECT id::text FROM outbox.event")}, seen,
            f"{version}: all that was committed was seen, and nothing else")
    tap.ok(counts["sleeps"] >= ROUNDS and counts["refused"], f"{version}: the relay slept, and was refused")


# ---- mistakes, step by step ----

def emit_once(dsn):
    return tap.sql(dsn, "SELECT outbox.emit(type => 't')::text")[0][0]


def emits_while_asleep(dsn, mode):
    """A relay that sleeps, and one event."""
    relay = Relay(dsn, mode).start()
    relay.falls_asleep()
    identity = emit_once(dsn)
    seen = relay.has_seen({identity}, NEVER if mode == "right" else 1)
    relay.stop()
    return seen


def emits_before_the_lock(dsn, mode):
    """An event between the last look and the lock: its writer met nobody asleep."""
    emitted = []

    def before_lock():
        if not emitted:
            emitted.append(emit_once(dsn))
    relay = Relay(dsn, mode, before_lock).start()
    relay.falls_asleep()
    seen = relay.has_seen(set(emitted), NEVER if mode == "right" else 1)
    relay.stop()
    return seen


RING_AND_LET_GO = """
    SELECT CASE WHEN pg_try_advisory_lock_shared(1868721016, 4) THEN pg_advisory_unlock_shared(1868721016, 4)::text
                ELSE pg_notify('outbox', '')::text END"""


def rings_without_holding(dsn, emit, patience):
    """A transaction that rings while the relay is awake and commits when it sleeps; patience: for its falling asleep."""
    connection = tap.connect(dsn)
    cursor = connection.cursor()
    cursor.execute("BEGIN")
    identity = emit(cursor)
    relay = Relay(dsn).start()
    asleep = relay.falls_asleep(patience)
    cursor.execute("COMMIT")
    seen = relay.has_seen({identity}, 1 if asleep else NEVER)
    relay.stop()
    connection.close()
    return asleep, seen


def emit_properly(cursor):
    cursor.execute("SELECT outbox.emit(type => 't')::text")
    return cursor.fetchone()[0]


def emit_and_let_go(cursor):
    cursor.execute("INSERT INTO outbox.event (type) VALUES ('t') RETURNING id::text")
    identity = cursor.fetchone()[0]
    cursor.execute(RING_AND_LET_GO)
    return identity


def test_mistakes(dsn, version):
    tap.is_(emits_while_asleep(dsn, "right"), True, f"{version}: an event wakes a relay that sleeps")
    tap.is_(emits_while_asleep(dsn, "lets_go"), False,
            f"{version}: a relay that gives the lock back before it sleeps is caught")
    tap.is_(emits_before_the_lock(dsn, "right"), True, f"{version}: an event just before the lock is granted is seen")
    tap.is_(emits_before_the_lock(dsn, "does_not_look_again"), False,
            f"{version}: a relay that does not look again when the lock is granted is caught")
    tap.is_(rings_without_holding(dsn, emit_properly, 1), (False, True),
            f"{version}: an open writer keeps the relay awake, and is seen when it commits")
    tap.is_(rings_without_holding(dsn, emit_and_let_go, NEVER), (True, False),
            f"{version}: a writer that does not hold the lock until it commits is caught")


# ---- writers and the bell ----

def test_writers_never_wait(dsn, version):
    """Not even if the relay hangs with the bell's lock held, its socket unread."""
    hung = tap.connect(dsn).cursor()
    hung.execute("LISTEN outbox")
    hung.execute(TRY_BELL, BELL)
    held = hung.fetchone()[0]
    writer = tap.connect(dsn).cursor()
    writer.execute("SET lock_timeout = '1ms'")
    writer.execute("SET deadlock_timeout = '1s'")
    failed = 0
    for _ in range(300):
        try:
            writer.execute("SELECT outbox.emit(type => 't')")
        except psycopg2.Error:
            failed += 1
    tap.is_((held, failed), (True, 0), f"{version}: writers wait for no lock while a hung relay holds the bell")
    hung.connection.close()


def prepare(dsn, two_phase):
    """Emits, and prepares; returns the SQLSTATE, None if that went well. Leaves it prepared."""
    cursor = tap.connect(dsn).cursor()
    cursor.execute("BEGIN")
    if two_phase:
        cursor.execute("SET LOCAL outbox.two_phase = on")
    cursor.execute("SELECT outbox.emit(type => 't')")
    try:
        cursor.execute("PREPARE TRANSACTION %s", (f"bell_{os.getpid()}",))
        return None
    except psycopg2.Error as error:
        return error.pgcode
    finally:
        cursor.connection.close()


def test_two_phase(dsn, version):
    holder = tap.connect(dsn).cursor()
    commit = f"COMMIT PREPARED 'bell_{os.getpid()}'"

    def try_bell():
        holder.execute(TRY_BELL, BELL)
        return holder.fetchone()[0]
    tap.wait_until(try_bell)  # whoever had it before may not be quite gone
    tap.is_(prepare(dsn, False), "0A000", f"{version}: while the relay sleeps PREPARE refuses what has rung")
    tap.is_(prepare(dsn, True), None, f"{version}: with outbox.two_phase = on it does not")
    tap.sql(dsn, commit)
    holder.execute(FREE_BELL, BELL)
    tap.is_(prepare(dsn, False), None, f"{version}: nor while the relay is awake")
    tap.is_(try_bell(), False, f"{version}: which then cannot sleep")
    tap.sql(dsn, commit)
    tap.is_(try_bell(), True, f"{version}: until that is committed")
    holder.execute(FREE_BELL, BELL)
    tap.is_(prepare(dsn, True), None, f"{version}: with outbox.two_phase = on")
    tap.is_(try_bell(), True, f"{version}: it can, and finds the event by its fallback poll")
    tap.sql(dsn, commit)
    holder.connection.close()


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 31)
    tap.diag("seed", seed)
    for version, server in {"15": tap.DSN, "18": tap.DSN18}.items():
        if not server:
            tap.bail(f"no PostgreSQL {version}")
        dsn = tap.create_database(server)
        test_bursts(dsn, version, seed)
        test_mistakes(dsn, version)
        test_writers_never_wait(dsn, version)
        test_two_phase(dsn, version)
    tap.done_testing()


main()
