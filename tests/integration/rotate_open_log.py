#!/usr/bin/python3
# deadline: 300
"""Partitions are added and entered while the log is in use, and nobody fails or waits.

A statement learns the partitions when it opens the log, and draws its first
number, and its xid, later: a COPY from a slow client much later. The jump must
not send it into a partition that it does not know.
"""
import os
import threading
import time

import psycopg2

import tap

WIDTH = 1 << 40


class Copy:
    """A COPY into the log that gets its rows when it is told."""

    def __init__(self, dsn):
        self.connection = tap.connect(dsn)
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET ROLE outbox_owner")
        reading, self.writing = os.pipe()
        self.file = os.fdopen(reading)
        self.error = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        if not tap.wait_until(lambda: self.has_opened(dsn), interval=0.01):
            tap.bail("COPY does not begin")

    def run(self):
        try:
            self.cursor.copy_expert("COPY outbox.event (type, key) FROM STDIN", self.file)
        except psycopg2.Error as error:
            self.error = str(error)

    def has_opened(self, dsn):
        return tap.sql(dsn, "SELECT count(*) FROM pg_locks WHERE relation = 'outbox.event'::regclass AND mode ="
                       " 'RowExclusiveLock' AND pid = %s", (self.connection.info.backend_pid,)) == [(1,)]

    def send(self, key, times=1):
        os.write(self.writing, f"t\t{key}\n".encode() * times)

    def end(self):
        os.close(self.writing)
        self.thread.join(30)
        self.connection.close()
        return self.error


def partition_of(dsn, key):
    return tap.sql(dsn, "SELECT array_agg(DISTINCT seq / %s ORDER BY seq / %s) FROM outbox.event WHERE key = %s",
                   (WIDTH, WIDTH, key))[0][0]


def one(dsn, statement):
    return tap.sql(dsn, statement)[0][0]


def exhaust(dsn):
    """Enters all partitions that there are."""
    while one(dsn, "SELECT outbox.rotate()") is not None:
        pass
    return one(dsn, "SELECT last_value / (1::bigint << 40) FROM outbox.event_seq")


def test_open_copy(dsn, version):
    here = exhaust(dsn)
    empty = Copy(dsn)
    with_row = Copy(dsn)
    # a page of rows, which COPY FROM reads at once
    with_row.send("with_row", 20000)
    added = one(dsn, "SELECT outbox.partition_add()")
    after = Copy(dsn)
    tap.is_(added, here + 1, f"{version}: a partition is added while COPY has the log open")
    tap.is_(one(dsn, "SELECT outbox.rotate()"), None, f"{version}: it is not entered yet")
    tap.is_(tap.sql(dsn, "SELECT outbox.emit(type => 't', key => 'meanwhile')") and partition_of(dsn, "meanwhile"),
            [here], f"{version}: writers go on in the old one")
    with_row.send("with_row")
    tap.is_(with_row.end(), None, f"{version}: a COPY that had begun to draw numbers ends well")
    tap.is_(one(dsn, "SELECT outbox.rotate()"), None, f"{version}: while one that has none yet is open, still not")
    empty.send("empty")
    tap.is_(empty.end(), None, f"{version}: that one ends well too")
    # the look that rotate() took came after the third had begun
    tap.is_(one(dsn, "SELECT outbox.rotate()"), None, f"{version}: nor while one is open that began before the first look")
    after.send("after")
    tap.is_(after.end(), None, f"{version}: which ends well")
    later = Copy(dsn)
    tap.is_(one(dsn, "SELECT outbox.rotate()"), added, f"{version}: then it is entered, though the log is open again")
    later.send("later")
    tap.is_(later.end(), None, f"{version}: who opened it knows the partition")
    tap.is_([partition_of(dsn, key) for key in ("with_row", "empty", "after", "later")],
            [[here], [here], [here], [added]], f"{version}: all events are where they belong")


def test_old_snapshot(dsn, version):
    """Snapshots do not matter: a transaction with one for all emits into a partition it does not see."""
    here = exhaust(dsn)
    for level in ("REPEATABLE READ", "SERIALIZABLE"):
        connection = tap.connect(dsn)
        cursor = connection.cursor()
        cursor.execute(f"BEGIN ISOLATION LEVEL {level}")
        cursor.execute("SELECT max(n) FROM outbox.event_partition")
        before = cursor.fetchone()[0]
        one(dsn, "SELECT outbox.partition_add()")
        here = one(dsn, "SELECT outbox.rotate()")
        cursor.execute("SELECT max(n) FROM outbox.event_partition")
        tap.ok(cursor.fetchone()[0] == before < here, f"{version}: {level}: its snapshot is older than the partition")
        cursor.execute("SELECT outbox.emit(type => 't', key => %s)", (level,))
        cursor.execute("COMMIT")
        tap.is_(partition_of(dsn, level), [here], f"{version}: {level}: the event is in it")
        connection.close()


def test_nobody_waits(dsn, version):
    """An idle reader, a dump and an open writer: adding and entering wait for none, and writers for neither."""
    exhaust(dsn)
    reader, dump, writer, maintenance = (tap.connect(dsn).cursor() for _ in range(4))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM outbox.event")
    dump.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    dump.execute("DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relnamespace ="
                 " 'outbox'::regnamespace AND relkind IN ('r', 'p') LOOP"
                 " EXECUTE format('LOCK TABLE %s IN ACCESS SHARE MODE', t); END LOOP; END $$")
    writer.execute("BEGIN")
    writer.execute("SELECT outbox.emit(type => 't', key => 'open')")
    maintenance.execute("SET lock_timeout = '1ms'")
    maintenance.execute("SELECT outbox.partition_add()")
    added = maintenance.fetchone()[0]
    tap.ok(added, f"{version}: a partition is added under a reader, a dump and a writer, waiting for none")
    maintenance.execute("SELECT outbox.rotate()")
    tap.is_(maintenance.fetchone()[0], None, f"{version}: it is not entered while the writer is open")
    maintenance.execute("BEGIN")
    maintenance.execute("SELECT outbox.partition_add()")
    other = tap.connect(dsn).cursor()
    other.execute("SET lock_timeout = '1ms'")
    other.execute("SELECT outbox.emit(type => 't', key => 'during')")
    maintenance.execute("COMMIT")
    tap.is_(partition_of(dsn, "during"), [added - 1], f"{version}: a writer does not wait for one who adds")
    writer.execute("COMMIT")
    maintenance.execute("SELECT outbox.rotate()")
    tap.is_(maintenance.fetchone()[0], added, f"{version}: when the writer has ended it is, under reader and dump")
    other.execute("SELECT outbox.emit(type => 't', key => 'entered')")
    tap.is_(partition_of(dsn, "entered"), [added], f"{version}: and writers are in it")
    for cursor in (reader, dump, writer, maintenance, other):
        cursor.connection.close()


def test_numbers_rise(dsn, version):
    """Jumps from two sessions, numbers drawn in three: none ever goes back."""
    end = time.monotonic() + 2
    last_end = end + 60  # of a busy machine, for enough of them
    falls = []
    drawn = []
    jumps = []

    def going_on():
        return time.monotonic() < (end if len(jumps) > 5 else last_end)

    def draw():
        cursor = tap.connect(dsn).cursor()
        last = 0
        while going_on():
            cursor.execute("SELECT array_agg(nextval('outbox.event_seq')) FROM generate_series(1, 50)")
            numbers = cursor.fetchone()[0]
            falls.extend(b for a, b in zip([last] + numbers, numbers) if a >= b)
            last = numbers[-1]
            drawn.extend(numbers)
        cursor.connection.close()

    def jump():
        cursor = tap.connect(dsn).cursor()
        while going_on():
            cursor.execute("SELECT outbox.partition_add()")
            cursor.execute("SELECT outbox.rotate()")
            if cursor.fetchone()[0] is not None:
                jumps.append(1)
        cursor.connection.close()
    threads = [threading.Thread(target=work) for work in (draw, draw, draw, jump, jump)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    tap.diag(f"PostgreSQL {version}: {len(drawn)} numbers, {len(jumps)} jumps")
    tap.ok(len(jumps) > 5 and not falls and len(set(drawn)) == len(drawn), f"{version}: numbers rise, through all jumps")


def main():
    for version, server in {"15": tap.DSN, "18": tap.DSN18}.items():
        if not server:
            tap.bail(f"no PostgreSQL {version}")
        dsn = tap.create_database(server)
        test_open_copy(dsn, version)
        test_old_snapshot(dsn, version)
        test_nobody_waits(dsn, version)
        test_numbers_rise(dsn, version)
    tap.done_testing()


main()
