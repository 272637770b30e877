#!/usr/bin/python3
# deadline: 400
"""Nothing is published before it is on the disk: writers commit asynchronously, the
server crashes, and whatever a read_committed consumer has seen by then must be in
the ledger that the server comes back with.

The window is made wide: nobody flushes WAL but those who ask for it. That commits are
lost in these crashes is checked, and a twin whose ticks do not wait for the disk must
be caught by the same comparison. What a crash takes along is a matter of luck: there are
as many as it takes, until the time is over. fsync is off: what was written survives a crash of the
server, and what waits in its memory to be written does not.
"""
import subprocess
import threading
import time

import ledger
import relay
import restarts
import tap

DIRECTORY = restarts.own_directory("postgres")
# No flush by the walwriter, nor for dirty pages, nor by a checkpoint.
SETTINGS = ("wal_writer_delay=10s", "wal_writer_flush_after=1GB", "wal_buffers=32MB", "bgwriter_lru_maxpages=0",
            "checkpoint_timeout=1h", "autovacuum=off", "shared_buffers=128MB")
# Renewing the lease flushes, too.
OPTIONS = {"batch_events": "50", "lease": "120s", "lease_renew": "50s", "fallback_poll": "200ms"}
CRASHES = 5
PATIENCE = 90  # seconds, for more of them


class Noting(ledger.Writers):
    """Remembers what was answered by COMMIT."""

    def __init__(self, book, count):
        super().__init__(book, count, 0.01, persist=True, careless=count)
        self.committed, self.lock = set(), threading.Lock()

    def transaction(self, connection, dice):
        ids = self.book.emit(connection, dice.randrange(ledger.KEYS), "user.created", 1)
        connection.commit()
        with self.lock:
            self.committed.update(ids)


def in_ledger(book):
    return {row[0] for row in book.outbox.sql("select id::text from ledger")}


def seen_by_consumers(outbox, book):
    """When nothing more arrives."""
    found = []

    def same_again():
        found.append(set(relay.ids(outbox.records(*book.topics))))
        return len(found) > 1 and found[-1] == found[-2]

    tap.wait_until(same_again, 20, 0.3)
    return found[-1]


def crash(outbox, book, writers, process):
    """Once; returns what was seen by consumers, and what by writers, and is gone."""
    before = outbox.published()
    # with the writers, and not behind with what has long been flushed
    tap.wait_until(lambda: not process.running() or before + 100 < outbox.published() > book.count() - 100, 40)
    subprocess.run([tap.SRC + "/dev/postgres", "stop", DIRECTORY, "--mode", "immediate"], check=True, timeout=60)
    with writers.lock:
        answered = set(writers.committed)
    seen = seen_by_consumers(outbox, book)
    subprocess.run([tap.SRC + "/dev/postgres", "start", DIRECTORY], check=True, timeout=60)
    # what is there now includes what has been written since, which nobody had seen
    there = in_ledger(book)
    return seen - there, answered - there


def prepare():
    outbox = relay.Outbox(tap.create_database(server))
    return outbox, ledger.Ledger(outbox, outbox.create_topic("orders", 2), outbox.create_topic("rest", 3))


def durable_first():
    outbox, book = prepare()
    process = outbox.start(**OPTIONS)
    ahead, lost, crashes = set(), set(), 0
    end = time.monotonic() + PATIENCE
    with Noting(book, 4) as writers:
        process.wait_running()
        while crashes < CRASHES or (not lost and time.monotonic() < end):
            seen, answered = crash(outbox, book, writers, process)
            ahead |= seen
            lost |= answered
            crashes += 1
    tap.diag(f"{len(writers.committed)} commits were answered, of which {len(lost)} are gone, in {crashes} crashes")
    tap.ok(lost, "asynchronous commits are lost in these crashes")
    if not tap.is_(sorted(ahead), [], "what a consumer has seen is there after a crash of PostgreSQL"):
        process.show()
    settled = book.settle()
    tap.is_((settled, process.stop()), (True, 0), "and publishing goes on")
    if not tap.is_(book.audit(), [], "nothing lost, nothing doubled of what is there"):
        process.show()


def twin():
    """Ticks that do not wait for the disk. When a crash has taken the tick, but not what a consumer has seen, the relay
    halts before there is anything to compare: then another one begins."""
    ahead, games, end = set(), 0, time.monotonic() + PATIENCE
    while not ahead and (games == 0 or time.monotonic() < end):
        outbox, book = prepare()
        text = outbox.sql("select pg_get_functiondef('outbox.tick(boolean, bigint)'::regprocedure)")[0][0]
        changed = text.replace("'synchronous_commit', 'on'", "'synchronous_commit', 'off'")
        if changed == text:
            break
        outbox.sql(changed)
        process = outbox.start(**OPTIONS)
        games += 1
        with Noting(book, 4) as writers:
            process.wait_running()
            while not ahead and process.running() and time.monotonic() < end:
                ahead |= crash(outbox, book, writers, process)[0]
    tap.ok(games, "twin: its ticks do not wait for the disk")
    tap.diag(f"{len(ahead)} events were seen by a consumer and are gone, with relay {games}")
    tap.ok(ahead, "twin: the comparison catches it")
    tap.is_(process.wait(), 6, "twin: the relay halts")
    tap.is_(outbox.lane()["halted"], "marker_ahead", "twin: because the database went back in time")


server = tap.start_postgres(DIRECTORY, *(word for setting in SETTINGS for word in ("--set", setting)))
durable_first()
twin()
tap.done_testing()
