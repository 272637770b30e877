#!/usr/bin/python3
# deadline: 400
"""Nothing lost, doubled, or out of order per key, whatever the writers do.

16 writers of all kinds emit while the log rotates and a reader ticks when it
likes, leaves ticks out, reads pages of any size and is replaced by a successor
that knows nothing but the position. The oracle compares what was delivered with
what the log has in the end, and, independently, with counters: a writer draws
the next number of a key from its counter, whose row it has locked, and emits it.

Then the twins, which do one thing wrong each; they are played step by step, and
the same oracle must catch them.
"""
import collections
import multiprocessing
import os
import random
import sys
import threading
import time
import uuid

import psycopg2

import lane_reader
import tap

SECONDS = 15
LONGEST = 75  # of a machine so busy that something has not happened by then
WRITERS = 16
KEYS = 40
KINDS = {"plain": 36, "rollback": 8, "savepoint": 10, "long": 3, "repeatable_read": 10, "serializable": 6,
         "two_phase": 5, "two_phase_rollback": 2, "early_xid": 6, "array": 6, "copy": 4, "slow_copy": 1, "id": 6}
LOCK_CLASS = 1868721016


# ---- the oracle ----

def oracle(delivered, committed):
    """Both are lists of (seq, key, number); key None promises no order. Returns complaints."""
    complaints = collections.Counter()
    times = collections.Counter(seq for seq, _, _ in delivered)
    known = {seq for seq, _, _ in committed}
    complaints["lost"] = len(known - times.keys())
    complaints["not committed"] = len(times.keys() - known)
    complaints["doubled"] = sum(n > 1 for n in times.values())
    last = {}
    for _, key, number in delivered:
        if key is not None:
            complaints["out of order"] += int(number) != last.get(key, 0) + 1
            last[key] = int(number)
    return +complaints


def committed_events(dsn):
    return tap.sql(dsn, "SELECT seq, key, convert_from(payload, 'UTF8') FROM outbox.event")


def final_counters(dsn):
    return dict(tap.sql(dsn, "SELECT key::text, n FROM test.counter WHERE n > 0"))


# ---- writers ----

class SlowFile:
    """What COPY reads: a row, then nothing for a while, then the others."""

    def __init__(self, first, others, pause_before, pause_between):
        self.chunks = [(pause_before, first), (pause_between, others)]

    def read(self, _size):
        if not self.chunks:
            return ""
        pause, chunk = self.chunks.pop(0)
        time.sleep(pause)
        return chunk


class Writer:
    def __init__(self, dsn, number, seed, over):
        self.number = number
        self.over = over
        self.random = random.Random(f"{seed}/{number}")
        self.connection = tap.connect(dsn)
        self.cursor = self.connection.cursor()
        self.done = collections.Counter()
        self.prepared = 0

    def run(self):
        # of each kind there is one at first, however slow all is
        first = [list(KINDS)[self.number % len(KINDS)]]
        while not self.over.is_set():
            kind = first[0] if first else self.random.choices(list(KINDS), KINDS.values())[0]
            try:
                self.transaction(kind)
                self.done[kind] += 1
                first.clear()
            except psycopg2.Error as error:
                # what transactions above READ COMMITTED must expect
                if error.pgcode not in ("40001", "40P01"):
                    raise
                self.cursor.execute("ROLLBACK")
                self.done["serialization failure"] += 1
        self.connection.close()

    def emit(self, key, number, identity=None):
        if identity is None and self.random.random() < 0.5:  # as the C library does
            self.cursor.execute("INSERT INTO outbox.new_event (type, key, payload) VALUES ('t', %s, %s)",
                                (key, str(number).encode()))
            return True
        self.cursor.execute("SELECT already_emitted FROM outbox.emit_event('t', %s, %s, 'text/plain', p_id => %s)",
                            (key, str(number).encode(), identity))
        return not self.cursor.fetchone()[0]

    def transaction(self, kind):
        isolation = {"repeatable_read": "REPEATABLE READ", "serializable": "SERIALIZABLE"}.get(kind, "READ COMMITTED")
        self.cursor.execute(f"BEGIN ISOLATION LEVEL {isolation}")
        owner = kind in ("copy", "slow_copy")
        self.cursor.execute(f"SET LOCAL ROLE {'outbox_owner' if owner else 'outbox_writer'}")
        if kind == "early_xid":
            self.cursor.execute("SELECT pg_current_xact_id()")
            time.sleep(self.random.random() * 0.05)
        key = str(self.random.randint(1, KEYS))
        self.cursor.execute("UPDATE test.counter SET n = n + 1 WHERE key = %s RETURNING n", (key,))
        end = self.events(kind, key, self.cursor.fetchone()[0])
        if kind == "long":
            time.sleep(self.random.random() * 1.5)
        elif self.random.random() < 0.2:
            time.sleep(self.random.random() * 0.01)
        if kind.startswith("two_phase"):
            self.end_in_two_phases(kind)
        else:
            self.cursor.execute(end)

    def events(self, kind, key, number):
        """Emits; returns how the transaction shall end."""
        if kind == "savepoint":
            self.cursor.execute("SAVEPOINT a")
            self.emit(key, -1)
            self.cursor.execute("ROLLBACK TO a")
            if self.random.random() < 0.5:
                self.cursor.execute("SAVEPOINT b")
            self.emit(key, number)
        elif kind == "array":
            others = self.random.randint(0, 20)
            self.cursor.execute("SELECT count(*) FROM outbox.emit_events(%s, %s, %s)",
                                (["t"] * (others + 1), [key] + [None] * others,
                                 [str(number).encode()] + [b"0"] * others))
        elif kind in ("copy", "slow_copy"):
            pauses = (self.random.random(), self.random.random()) if kind == "slow_copy" else (0, 0)
            self.cursor.copy_expert("COPY outbox.event (type, key, payload) FROM STDIN",
                                    SlowFile(f"t\t{key}\t{number}\n", "t\t\\N\t0\n" * 20, *pauses))
        elif kind == "id":
            # from a pool with a favourite, so that it has sometimes been emitted before
            identity = uuid.UUID(int=self.random.choice([0, self.random.randrange(200)]) + (4 << 76))
            if not self.emit(key, number, str(identity)):
                self.done["already emitted"] += 1
                return "ROLLBACK"
        else:
            if kind.startswith("two_phase"):
                self.cursor.execute("SET LOCAL outbox.two_phase = on")
            self.emit(key, number)
        return "ROLLBACK" if kind == "rollback" else "COMMIT"

    def end_in_two_phases(self, kind):
        self.prepared += 1
        name = f"oracle_{os.getpid()}_{self.number}_{self.prepared}"
        self.cursor.execute(f"PREPARE TRANSACTION '{name}'")
        time.sleep(self.random.random() * 0.2)
        self.cursor.execute(f"{'COMMIT' if kind == 'two_phase' else 'ROLLBACK'} PREPARED '{name}'")


def writer_process(dsn, numbers, seed, over, queue):
    writers = [Writer(dsn, number, seed, over) for number in numbers]
    errors = []

    def run(writer):
        try:
            writer.run()
        except Exception as error:  # any: the test must not pass with fewer writers
            errors.append(f"writer {writer.number}: {error}")
    threads = [threading.Thread(target=run, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.put((sum((writer.done for writer in writers), collections.Counter()), errors))


def rotator(dsn, over, counts, errors):
    try:
        connection = tap.connect(dsn)
        cursor = connection.cursor()
        cursor.execute("SET ROLE outbox_maintenance")
        while not over.is_set():
            time.sleep(0.5)
            cursor.execute("SELECT outbox.partition_add()")
            time.sleep(0.5)
            cursor.execute("SELECT outbox.rotate()")
            counts["rotations" if cursor.fetchone()[0] is not None else "rotations put off"] += 1
        connection.close()
    except psycopg2.Error as error:
        errors.append(f"rotator: {error}")


# ---- the reader ----

def read_once(reader, dice, counts, delivered):
    """Ticks and reads as it likes; at times a successor takes over, which has the position alone."""
    for _ in range(dice.choices([1, 2, 5], [70, 20, 10])[0]):
        counts["ticks"] += reader.tick(dice.random() < 0.3) is not None
    limit = dice.choice([1, 3, 20, 200, 5000])
    for _ in range(dice.choice([1, 1, 2, 50])):
        rows = reader.read(limit)
        delivered.extend((seq, key, number) for seq, _, key, number in rows)
        if reader.position.done:
            break
    counts["pages that ended within a batch"] += not reader.position.done
    if dice.random() < 0.05:
        counts["successors"] += 1
        waiting = reader.waiting
        reader = lane_reader.Reader(reader.connection, reader.position)
        reader.waiting = waiting
    return reader


def read_while(dsn, busy, seed, counts):
    dice = random.Random(seed)
    connection = tap.connect(dsn)
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE outbox_relay")
    reader = lane_reader.Reader(connection)
    delivered = []
    while busy():
        reader = read_once(reader, dice, counts, delivered)
        time.sleep(dice.random() * 0.01)
    delivered += [(seq, key, number) for seq, _, key, number in reader.read_batch(200)]
    reader.tick(True)
    delivered += [(seq, key, number) for seq, _, key, number in reader.read_batch()]
    connection.close()
    return delivered


# ---- the stress ----

def prepare(server):
    dsn = tap.create_database(server)
    tap.sql(dsn, f"""
        CREATE SCHEMA test;
        CREATE TABLE test.counter (key integer PRIMARY KEY, n bigint NOT NULL DEFAULT 0);
        INSERT INTO test.counter (key) SELECT generate_series(1, {KEYS});
        GRANT USAGE ON SCHEMA test TO outbox_writer, outbox_owner;
        GRANT SELECT, UPDATE ON test.counter TO outbox_writer, outbox_owner""")
    return dsn


def stress(dsn, seed):
    counts = collections.Counter()
    errors = []
    began = time.monotonic()
    over, queue = multiprocessing.Event(), multiprocessing.Queue()
    processes = [multiprocessing.Process(target=writer_process, daemon=True,
                                         args=(dsn, range(n, n + 4), seed, over, queue))
                 for n in range(0, WRITERS, 4)]
    for process in processes:
        process.start()
    rotation = threading.Thread(target=rotator, args=(dsn, over, counts, errors))
    rotation.start()

    def busy():
        took = time.monotonic() - began
        if took > LONGEST or (took > SECONDS and counts["rotations"] >= 3 and counts["successors"]
                              and counts["pages that ended within a batch"]):
            over.set()
        return any(p.is_alive() for p in processes) and queue.qsize() < len(processes) or rotation.is_alive()

    delivered = read_while(dsn, busy, seed, counts)
    rotation.join()
    for _ in processes:
        done, failures = queue.get(timeout=30)
        counts += done
        errors += failures
    return delivered, counts, errors


def lost_by_naive_formula(dsn):
    """Post hoc, over the same ticks: late means xip alone."""
    return tap.sql(dsn, """
        WITH t AS (SELECT id AS a, lead(id) OVER (ORDER BY id) AS b FROM outbox.tick)
        SELECT (SELECT count(*) FROM outbox.event) - count(*)
          FROM (SELECT a, b FROM t WHERE b IS NOT NULL OFFSET 0) AS t, test.naive_batch(t.a, t.b)""")[0][0]


def test_stress(server, version, seed):
    dsn = prepare(server)
    tap.sql(dsn, NAIVE)
    delivered, counts, errors = stress(dsn, f"{seed}/{version}")
    committed = committed_events(dsn)
    complaints = oracle(delivered, committed)
    last = {key: int(number) for _, key, number in delivered if key is not None}
    tap.diag(f"PostgreSQL {version}: {len(committed)} events,", ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    tap.diag(f"PostgreSQL {version}: the naive formula would have lost", lost_by_naive_formula(dsn))
    tap.is_(errors, [], f"{version}: no writer and no rotation failed")
    tap.is_(dict(complaints), {}, f"{version}: nothing lost, doubled or out of order")
    tap.is_(last, final_counters(dsn), f"{version}: the last number of each key is its counter")
    tap.ok(all(counts[kind] for kind in KINDS), f"{version}: writers of every kind took part")
    tap.ok(counts["rotations"] >= 3 and counts["successors"] and counts["pages that ended within a batch"]
           and counts["already emitted"], f"{version}: so did rotations, successors, pages and repeated ids")


# ---- the twins ----

NAIVE = """
    CREATE FUNCTION test.naive_batch(from_tick bigint, to_tick bigint)
    RETURNS TABLE (seq bigint, key text, number text) LANGUAGE sql STABLE AS $$
        SELECT e.seq, e.key, convert_from(e.payload, 'UTF8') FROM outbox.tick a, outbox.tick b, outbox.event e
         WHERE a.id = from_tick AND b.id = to_tick AND pg_visible_in_snapshot(e.xid, b.snapshot)
           AND (e.seq > a.last_seq AND e.seq <= b.last_seq
                OR e.seq <= a.last_seq AND e.xid IN (SELECT pg_snapshot_xip(a.snapshot)))
         ORDER BY e.seq $$"""
# outbox.tick() without its guard
UNGUARDED = """
    DO $do$ BEGIN
        EXECUTE replace(regexp_replace(pg_get_functiondef('outbox.tick'::regproc),
                'IF pg_current_xact_id_if_assigned\\(\\) IS NOT NULL.*?END IF;', ''),
            'FUNCTION outbox.tick(', 'FUNCTION test.unguarded_tick(');
    END $do$"""
# everything in one statement, whose snapshot is older than the lock
ONE_STATEMENT = f"""
    INSERT INTO outbox.tick (snapshot, last_seq, self_xid)
    SELECT pg_current_snapshot(), s.last_value, pg_current_xact_id()
      FROM (SELECT pg_advisory_xact_lock({LOCK_CLASS}, 3) OFFSET 0) AS locked, outbox.event_seq AS s RETURNING id"""


class Stage:
    """A database and sessions for a play by hand."""

    def __init__(self, server):
        self.dsn = prepare(server)
        tap.sql(self.dsn, NAIVE)
        tap.sql(self.dsn, UNGUARDED)
        self.sessions = []
        self.reader = lane_reader.Reader(self.session().connection)
        self.numbers = collections.Counter()

    def session(self):
        cursor = tap.connect(self.dsn).cursor()
        self.sessions.append(cursor)
        return cursor

    def emit(self, cursor, key="k"):
        self.numbers[key] += 1
        cursor.execute("SELECT seq FROM outbox.emit_event('t', %s, %s)", (key, str(self.numbers[key]).encode()))
        return cursor.fetchone()[0]

    def tick(self):
        return self.reader.tick(True)

    def batch(self, from_tick, to_tick, after=0):
        """By the right formula."""
        return [(seq, key, number) for seq, _, key, number in self.reader.page(from_tick, to_tick, after, 5000)]

    def naive_batch(self, from_tick, to_tick):
        return tap.sql(self.dsn, "SELECT * FROM test.naive_batch(%s, %s)", (from_tick, to_tick))

    def complaints(self, delivered):
        return dict(oracle(delivered, committed_events(self.dsn)))

    def close(self):
        for cursor in self.sessions:
            cursor.connection.close()


def is_beyond_xmax(stage, seq, tick):
    """Is the event's transaction unknown to the tick's snapshot, though its number is covered?
    Whoever else ends a transaction meanwhile, autovacuum for one, makes it known."""
    return tap.sql(stage.dsn, """
        SELECT e.xid >= pg_snapshot_xmax(t.snapshot) AND e.seq <= t.last_seq FROM outbox.event e, outbox.tick t
         WHERE e.seq = %s AND t.id = %s""", (seq, tick))[0][0]


def play_naive(stage):
    start, writer = stage.tick(), stage.session()
    writer.execute("BEGIN")
    seq = stage.emit(writer)
    middle = stage.tick()
    writer.execute("COMMIT")
    end = stage.tick()
    right = stage.batch(start, middle) + stage.batch(middle, end)
    wrong = stage.naive_batch(start, middle) + stage.naive_batch(middle, end)
    return is_beyond_xmax(stage, seq, middle), right, wrong


def play_old_xid(stage, function):
    """A tick in a transaction that has an xid older than a writer's."""
    start, ticker, writer = stage.tick(), stage.session(), stage.session()
    ticker.execute("BEGIN")
    ticker.execute("SELECT pg_current_xact_id()")
    writer.execute("BEGIN")
    seq = stage.emit(writer)
    ticker.execute(f"SELECT t.id FROM {function}() AS t")
    middle = ticker.fetchone()[0]
    ticker.execute("COMMIT")
    writer.execute("COMMIT")
    end = stage.tick()
    return is_beyond_xmax(stage, seq, middle), stage.batch(start, middle) + stage.batch(middle, end)


def test_naive(server, version):
    for _ in range(50):
        stage = Stage(server)
        hit, right, wrong = play_naive(stage)
        complaints, of_right = stage.complaints(wrong), stage.complaints(right)
        stage.close()
        if hit:
            break
    tap.is_(of_right, {}, f"{version}: a transaction that began last is not lost")
    tap.is_(complaints, {"lost": 1}, f"{version}: the oracle catches the naive formula, which knows xip only")


def test_old_xid(server, version):
    stage = Stage(server)
    try:
        play_old_xid(stage, "outbox.tick")
        refused = None
    except psycopg2.Error as error:
        refused = error.pgcode
    tap.is_(refused, "25001", f"{version}: a tick in a transaction that has an xid is refused")
    stage.close()
    for _ in range(50):
        stage = Stage(server)
        hit, delivered = play_old_xid(stage, "test.unguarded_tick")
        complaints = stage.complaints(delivered)
        stage.close()
        if hit:
            break
    tap.is_(complaints, {"lost": 1}, f"{version}: the oracle catches a tick in a transaction that already has an xid")


def play_coalesced(stage):
    """A late event and others; the lane lags and reads three ticks as one batch."""
    start, late, writer = stage.tick(), stage.session(), stage.session()
    late.execute("BEGIN")
    stage.emit(late, "late")
    stage.emit(writer, "a")
    ticks = [start, stage.tick()]
    late.execute("COMMIT")
    stage.emit(writer, "b")
    ticks.append(stage.tick())
    stage.emit(writer, "c")
    stage.emit(writer, "d")
    ticks.append(stage.tick())
    # two of the five are published, then the relay dies
    return ticks, [(seq, key, number) for seq, _, key, number in stage.reader.page(ticks[0], ticks[3], 0, 2)]


def test_position(server, version):
    stage = Stage(server)
    ticks, published = play_coalesced(stage)
    seq = published[-1][0]
    rest = stage.batch(ticks[0], ticks[3], seq)
    tap.is_(stage.complaints(published + rest), {}, f"{version}: a successor that knows both ticks reads on")
    without_from = stage.batch(ticks[2], ticks[3], seq)
    tap.is_(stage.complaints(published + without_from), {"lost": 1},
            f"{version}: the oracle catches a position without its from_tick")
    without_to = (stage.batch(ticks[0], ticks[1], seq) + stage.batch(ticks[1], ticks[2])
                  + stage.batch(ticks[2], ticks[3]))
    complaints = stage.complaints(published + without_to)
    tap.ok(complaints.get("doubled"), f"{version}: the oracle catches a position without its to_tick")
    stage.close()


def waits_for_lock(dsn):
    return tap.sql(dsn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 3 AND NOT granted"
                   " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == [(1,)]


def play_race(stage, statement):
    """Two tick; the one who waits for the lock must not have looked before."""
    start, first, second, writer = stage.tick(), stage.session(), stage.session(), stage.session()
    first.execute("BEGIN")
    first.execute(f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, 3)")
    thread = threading.Thread(target=second.execute, args=(statement,))
    thread.start()
    if not tap.wait_until(lambda: waits_for_lock(stage.dsn), interval=0.01):
        tap.bail("the second tick does not wait")
    stage.emit(writer)
    first.execute("SELECT t.id FROM outbox.tick() AS t")
    ticks = [start, first.fetchone()[0]]
    first.execute("COMMIT")
    thread.join()
    ticks += [second.fetchone()[0], stage.tick()]
    return [event for pair in zip(ticks, ticks[1:]) for event in stage.batch(*pair)]


def test_race(server, version):
    stage = Stage(server)
    delivered = play_race(stage, "SELECT t.id FROM outbox.tick() AS t")
    tap.is_(stage.complaints(delivered), {}, f"{version}: two who tick at once")
    stage.close()
    stage = Stage(server)
    complaints = stage.complaints(play_race(stage, ONE_STATEMENT))
    tap.ok(complaints.get("doubled"), f"{version}: the oracle catches lock and snapshot in one statement")
    stage.close()


def test_went_back(server, version):
    """A restored database: its transactions lie behind a tick that it has."""
    stage = Stage(server)
    stage.tick()
    tap.sql(stage.dsn, "INSERT INTO outbox.tick (snapshot, last_seq, self_xid) SELECT"
            " format('%s:%s:', x, x)::pg_snapshot, 0, x::xid8 FROM (SELECT (pg_current_xact_id()::text::bigint + 1000000)::text) AS f(x)")
    try:
        stage.tick()
        refused = None
    except psycopg2.Error as error:
        refused = error.pgcode
    tap.is_(refused, "XX001", f"{version}: a tick behind an earlier one is refused")
    stage.close()


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 31)
    tap.diag("seed", seed)
    servers = {"15": tap.DSN, "18": tap.DSN18}
    for version, server in servers.items():
        if not server:
            tap.bail(f"no PostgreSQL {version}")
    for version, server in servers.items():
        test_stress(server, version, seed)
        test_naive(server, version)
        test_old_xid(server, version)
        test_position(server, version)
        test_race(server, version)
        test_went_back(server, version)
    tap.done_testing()


main()
