#!/usr/bin/python3
# deadline: 300
"""An id that the caller supplies is emitted once, whoever comes second and however.

Two transactions with the same id, step by step: the second waits for the first,
and what becomes of it depends on how the first ends. Then many at once.
"""
import threading
import time
import uuid

import psycopg2

import tap

WORKERS = 8
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


class Session:
    def __init__(self, dsn):
        self.connection = tap.connect(dsn)
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET ROLE outbox_writer")
        self.thread = None
        self.outcome = None

    def run(self, statement, arguments=None):
        self.cursor.execute(statement, arguments)
        return self.cursor.fetchall() if self.cursor.description else []

    def emit(self, identity):
        """'emitted', 'already', or the SQLSTATE."""
        try:
            rows = self.run("SELECT already_emitted FROM outbox.emit_event('t', p_id => %s)", (identity,))
            return "already" if rows[0][0] else "emitted"
        except psycopg2.Error as error:
            return error.pgcode

    def emit_array(self, ids):
        try:
            rows = self.run("SELECT already_emitted FROM outbox.emit_events(array_fill('t'::text, ARRAY[%s]),"
                            " p_id => %s::uuid[])", (len(ids), ids))
            return ["already" if row[0] else "emitted" for row in rows]
        except psycopg2.Error as error:
            return error.pgcode

    def start(self, function, argument):
        """Runs it meanwhile; finish() returns what it returned."""
        def work():
            self.outcome = function(argument)
        self.thread = threading.Thread(target=work)
        self.thread.start()
        return self

    def finish(self):
        self.thread.join(30)
        return self.outcome

    def is_waiting(self):
        pid = self.connection.info.backend_pid
        return tap.sql(self.connection.dsn, "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
                       " AND wait_event_type = 'Lock'", (pid,)) == [("advisory",)]

    def waits(self):
        return tap.wait_until(self.is_waiting, interval=0.01)

    def close(self):
        self.connection.close()


def new_id():
    return str(uuid.uuid4())


def count(dsn, *ids):
    return tap.sql(dsn, "SELECT count(*) FROM outbox.event WHERE id = ANY (%s::uuid[])", (list(ids),))[0][0]


def concurrent(dsn, level, end, claimed_before=None):
    """The first emits; the second, with a snapshot from before, waits; the first ends."""
    identity = new_id()
    first, second = Session(dsn), Session(dsn)
    second.run(f"BEGIN ISOLATION LEVEL {level}")
    second.run("SELECT 1")  # its snapshot, if it has one for all
    first.run("BEGIN")
    if claimed_before:
        claimed_before(first, identity)
    else:
        first.emit(identity)
    waited = second.start(second.emit, identity).waits()
    first.run(end)
    outcome = second.finish()
    second.run("ROLLBACK" if len(outcome) == 5 and outcome.isdigit() else "COMMIT")
    again = second.emit(identity) if outcome == "40001" else None
    first.close()
    second.close()
    return bool(waited), outcome, again, count(dsn, identity)


def test_pairs(dsn, version):
    for level in LEVELS:
        waited, outcome, again, events = concurrent(dsn, level, "COMMIT")
        if level == "READ COMMITTED":
            tap.is_((waited, outcome, events), (True, "already", 1),
                    f"{version}: {level}: the second waits, and is told when the first commits")
        else:
            tap.is_((waited, outcome, again, events), (True, "40001", "already", 1),
                    f"{version}: {level}: the second, whose snapshot is older, must retry, and is told then")
        tap.is_(concurrent(dsn, level, "ROLLBACK"), (True, "emitted", None, 1),
                f"{version}: {level}: the second emits when the first rolls back")


def test_committed_before(dsn, version):
    """Nobody is waited for: the first is over, but younger than the second's snapshot."""
    for level in LEVELS:
        identity = new_id()
        first, second = Session(dsn), Session(dsn)
        second.run(f"BEGIN ISOLATION LEVEL {level}")
        second.run("SELECT count(*) FROM pg_catalog.pg_class")
        first.emit(identity)
        outcome = second.emit(identity)
        second.run("ROLLBACK")
        tap.is_((outcome, count(dsn, identity)), ("already" if level == "READ COMMITTED" else "40001", 1),
                f"{version}: {level}: an id that was emitted after the snapshot is not emitted again")
        first.close()
        second.close()


def claim_of_day(offset):
    """A claim as emit() made it that many days ago: the first transaction began before midnight."""
    def claim(session, identity):
        session.run("RESET ROLE")
        session.run("SELECT pg_advisory_xact_lock(uuid_hash_extended(%s, 0))", (identity,))
        session.run("INSERT INTO outbox.event (id, type) VALUES (%s, 't')", (identity,))
        session.run("INSERT INTO outbox.emitted (id, slot) VALUES"
                    " (%s, outbox.day_slot(clock_timestamp() - make_interval(days => %s)))", (identity, offset))
    return claim


def test_days(dsn, version):
    for level in LEVELS:
        identity = new_id()
        session = Session(dsn)
        claim_of_day(1)(session, identity)
        session.run("SET ROLE outbox_writer")
        session.run(f"BEGIN ISOLATION LEVEL {level}")
        tap.is_((session.emit(identity), count(dsn, identity)), ("already", 1), f"{version}: {level}: an id of yesterday is found")
        session.run("COMMIT")
        session.close()
        outcome = concurrent(dsn, level, "COMMIT", claim_of_day(1))
        wanted = (True, "already", None, 1) if level == "READ COMMITTED" else (True, "40001", "already", 1)
        tap.is_(outcome, wanted, f"{version}: {level}: so is one whose transaction, begun yesterday, commits today")
        tap.is_(concurrent(dsn, level, "ROLLBACK", claim_of_day(1))[1], "emitted",
                f"{version}: {level}: and if it rolls back, the id is free")


def test_savepoint(dsn, version):
    identity = new_id()
    first, second = Session(dsn), Session(dsn)
    first.run("BEGIN")
    first.run("SAVEPOINT s")
    first.emit(identity)
    second.start(second.emit, identity).waits()
    first.run("ROLLBACK TO s")
    tap.is_(second.finish(), "emitted", f"{version}: a rollback to a savepoint frees the id at once")
    tap.is_((first.emit(identity), count(dsn, identity)), ("already", 1), f"{version}: and the first is told, should it try again")
    first.run("COMMIT")
    first.close()
    second.close()


def test_two_phase(dsn, version):
    identity = new_id()
    first, second = Session(dsn), Session(dsn)
    first.run("BEGIN")
    first.run("SET LOCAL outbox.two_phase = on")
    first.emit(identity)
    first.run("PREPARE TRANSACTION 'ids'")
    waited = second.start(second.emit, identity).waits()
    tap.sql(dsn, "COMMIT PREPARED 'ids'")
    tap.is_((bool(waited), second.finish(), count(dsn, identity)), (True, "already", 1),
            f"{version}: a prepared transaction keeps its ids until it ends")
    first.close()
    second.close()


def test_arrays(dsn, version):
    """The same ids in opposite orders: whoever takes locks in the order of the array deadlocks."""
    ids = [new_id() for _ in range(200)]
    for level in LEVELS:
        mine = [new_id() for _ in range(200)]
        outcomes = race(dsn, lambda session, n, m=mine: session.emit_array(m if n % 2 else m[::-1]), level)
        emitted = [o for o in outcomes if o == ["emitted"] * 200]
        others = [o for o in outcomes if o not in (["already"] * 200, "40001") and o not in emitted]
        tap.is_((len(emitted), others, count(dsn, *mine)), (1, [], 200),
                f"{version}: {level}: {WORKERS} arrays with the same ids in opposite orders: one emits all, none deadlocks")
    first, second = Session(dsn), Session(dsn)
    first.run("BEGIN")
    first.emit(ids[100])
    waited = second.start(second.emit_array, ids).waits()
    first.run("COMMIT")
    tap.is_((bool(waited), second.finish()), (True, ["emitted"] * 100 + ["already"] + ["emitted"] * 99),
            f"{version}: an array waits for one of its ids, and emits the others")
    first.close()
    second.close()


def race(dsn, work, level):
    """All start at once, each in a transaction of its own that takes its time; returns the outcomes."""
    outcomes = [None] * WORKERS
    barrier = threading.Barrier(WORKERS)

    def run(n):
        session = Session(dsn)
        session.run(f"BEGIN ISOLATION LEVEL {level}")
        session.run("SELECT 1")
        barrier.wait(30)
        outcomes[n] = work(session, n)
        time.sleep(0.001 * n)
        session.run("COMMIT")
        session.close()
    threads = [threading.Thread(target=run, args=(n,)) for n in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


def test_race(dsn, version):
    for level in LEVELS:
        ids = [new_id() for _ in range(30)]
        emitted = 0
        strange = []
        for identity in ids:
            outcomes = race(dsn, lambda session, _, i=identity: session.emit(i), level)
            emitted += outcomes.count("emitted")
            strange += [o for o in outcomes if o not in ("emitted", "already", "40001")]
        tap.is_((emitted, strange, count(dsn, *ids)), (30, [], 30), f"{version}: {level}: {WORKERS} at once, 30 times: one emits")


def main():
    for version, server in {"15": tap.DSN, "18": tap.DSN18}.items():
        if not server:
            tap.bail(f"no PostgreSQL {version}")
        dsn = tap.create_database(server)
        test_pairs(dsn, version)
        test_committed_before(dsn, version)
        test_days(dsn, version)
        test_savepoint(dsn, version)
        test_two_phase(dsn, version)
        test_arrays(dsn, version)
        test_race(dsn, version)
        tap.is_(tap.sql(dsn, "SELECT id FROM outbox.event GROUP BY id HAVING count(*) > 1"), [],
                f"{version}: no id has two events")
    tap.done_testing()


main()
