#!/usr/bin/python3
"""outboxctl tail shows each committed event once, however its transaction ends: writers
that roll back, use savepoints, stay open long, read repeatably, prepare, or commit out of
the order of their numbers, all while it looks as often as it can.  On 15 and 18."""
import json
import random
import subprocess
import threading

import psycopg2
import tap

WRITERS = 8
ROUNDS = 60


def emit(cursor, count=1):
    cursor.execute("SELECT outbox.emit(type => 'load', payload => '{}') FROM generate_series(1, %s)", (count,))
    return [row[0] for row in cursor.fetchall()]


def plain(connection, cursor, rng):
    ids = emit(cursor, rng.randrange(1, 4))
    if rng.random() < 0.3:
        connection.rollback()
        return []
    connection.commit()
    return ids


def savepoint(connection, cursor, rng):
    ids = emit(cursor)
    cursor.execute("SAVEPOINT s")
    lost = emit(cursor)
    if rng.random() < 0.5:
        cursor.execute("ROLLBACK TO s")
    else:
        ids += lost
    ids += emit(cursor)
    connection.commit()
    return ids


def repeatable(connection, cursor, rng):
    cursor.execute("SET TRANSACTION ISOLATION LEVEL " + rng.choice(("REPEATABLE READ", "SERIALIZABLE")))
    cursor.execute("SELECT 1")
    ids = emit(cursor)
    try:
        connection.commit()
    except psycopg2.Error:
        connection.rollback()
        return []
    return ids


def slow(connection, cursor, rng):
    ids = emit(cursor)
    cursor.execute("SELECT pg_sleep(%s)", (rng.random() / 4,))
    ids += emit(cursor)
    connection.commit()
    return ids


def prepared(connection, cursor, rng):
    """Prepared here, ended by another session."""
    name = f"{connection.info.dbname}_{connection.info.backend_pid}"
    cursor.execute("SET LOCAL outbox.two_phase = on")
    ids = emit(cursor)
    cursor.execute("PREPARE TRANSACTION %s", (name,))
    connection.commit()
    keep = rng.random() < 0.7
    tap.sql(connection.dsn, f"{'COMMIT' if keep else 'ROLLBACK'} PREPARED '{name}'")
    return ids if keep else []


def xid_first(connection, cursor, rng):
    """Has its xid long before its first event, so a snapshot in between knows it."""
    cursor.execute("SELECT pg_current_xact_id()")
    cursor.execute("SELECT pg_sleep(%s)", (rng.random() / 50,))
    ids = emit(cursor)
    connection.commit()
    return ids


def write(dsn, seed, committed):
    rng = random.Random(seed)
    connection = tap.connect(dsn, autocommit=False)
    mine = []
    with connection.cursor() as cursor:
        for _ in range(ROUNDS):
            kinds = (plain, plain, plain, savepoint, repeatable, xid_first, prepared, slow)
            mine += rng.choice(kinds)(connection, cursor, rng)
    connection.close()
    committed += mine


def follow(dsn, *arguments):
    return tap.spawn([tap.BUILD + "/outboxctl", "tail", "--dsn", dsn, "--json", "--interval", "1ms", *arguments],
                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def collect(process, lines):
    for line in process.stdout:
        lines.append(json.loads(line))


def under_load(server, on):
    dsn = tap.create_database(server)
    committed, shown = [], []
    seed = random.randrange(1 << 30)
    tap.diag(f"{on}: seed {seed}")
    tail = follow(dsn, "--from-beginning")
    reader = threading.Thread(target=collect, args=(tail, shown))
    reader.start()
    writers = [threading.Thread(target=write, args=(dsn, seed + i, committed)) for i in range(WRITERS)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    last = json.loads(tap.outboxctl(dsn, "emit", "--type", "last", "--json")[1])["id"]
    tap.ok(tap.wait_until(lambda: any(e["id"] == last for e in shown)), f"{on}: the last event is shown")
    tap.end(tail)
    reader.join()
    ids = [event["id"] for event in shown if event["id"] != last]
    tap.ok(len(committed) > WRITERS * ROUNDS / 2, f"{on}: {len(committed)} events were committed")
    tap.is_(tap.sql(dsn, "SELECT count(*) FROM outbox.event"), [(len(committed) + 1,)], f"{on}: the ledger is right")
    tap.is_(len(ids) - len(set(ids)), 0, f"{on}: none is shown twice")
    tap.is_(len(set(committed) - set(ids)), 0, f"{on}: none is missing")
    tap.is_(len(set(ids) - set(committed)), 0, f"{on}: none is shown that was rolled back")
    status, output, _ = tap.outboxctl(dsn, "tail", "--from-beginning", "--no-follow", "--json")
    seqs = [json.loads(line)["seq"] for line in output.splitlines()]
    tap.is_((status, len(seqs)), (0, len(committed) + 1), f"{on}: all of them again, from the beginning")
    tap.is_(seqs, sorted(seqs), f"{on}: in the order of their numbers")


def late_commit(server, on):
    """The rarest order, made certain: an older number commits after a newer was shown."""
    dsn = tap.create_database(server)
    other = tap.connect(dsn, autocommit=False)
    late = emit(other.cursor())[0]
    tail, shown = follow(dsn, "--from-beginning", "--count", "2"), []
    reader = threading.Thread(target=collect, args=(tail, shown), daemon=True)
    reader.start()
    early = json.loads(tap.outboxctl(dsn, "emit", "--type", "load", "--json")[1])["id"]
    tap.wait_until(lambda: shown)
    tap.is_([e["id"] for e in shown], [early], f"{on}: the newer number is shown first")
    other.commit()
    tap.wait_until(lambda: len(shown) > 1)
    tap.is_([e["id"] for e in shown], [early, late], f"{on}: the older one when it commits")
    tap.ok(tap.wait_until(lambda: tail.poll() == 0), f"{on}: --count ends it")
    other.close()


def what_is_shown(server, on):
    dsn = tap.create_database(server)
    tap.outboxctl(dsn, "emit", "--type", "before")
    # whose session is not taken for that of the next
    tap.wait_until(lambda: not tap.sql(dsn, "SELECT FROM pg_stat_activity WHERE application_name = 'outboxctl'"
                                            " AND datname = current_database()"))
    tail = follow(dsn, "--type", "a.*", "--count", "4")
    # It has begun once it has a position: what it shows is committed after this.
    begun = ("SELECT 1 FROM pg_stat_activity WHERE application_name = 'outboxctl' AND datname = current_database()"
             " AND query = 'COMMIT'")
    tap.wait_until(lambda: tap.sql(dsn, begun))
    tap.outboxctl(dsn, "emit", "--type", "b.x")
    tap.outboxctl(dsn, "emit", "--type", "aa")
    tap.outboxctl(dsn, "emit", "--type", "a.json", "--payload", '{"n": [1, "é"]}', "--key", "k", "--header", "h=v")
    tap.outboxctl(dsn, "emit", "--type", "a.text", "--payload", "x\ny", "--content-type", "text/plain")
    tap.outboxctl(dsn, "emit", "--type", "a.bytes", "--payload", "-", "--content-type", "application/x",
                  input="\x80", encoding="latin-1")
    tap.outboxctl(dsn, "emit", "--type", "a.none")
    output, errors = tail.communicate(timeout=60)
    events = [json.loads(line) for line in output.splitlines()]
    tap.is_([e["type"] for e in events], ["a.json", "a.text", "a.bytes", "a.none"], f"{on}: --type selects, from now on")
    tap.is_((events[0]["payload"], events[0]["key"], events[0]["headers"]), ({"n": [1, "é"]}, "k", {"h": "v"}),
            f"{on}: JSON as JSON")
    tap.is_(events[1]["payload"], "x\ny", f"{on}: text as text")
    tap.is_((events[2].get("payload_base64"), "payload" in events[2]), ("gA==", False), f"{on}: bytes in base64")
    tap.is_(events[3]["payload"], None, f"{on}: a tombstone as null")
    status, output, _ = tap.outboxctl(dsn, "tail", "--from-beginning", "--no-follow")
    tap.is_((status, len(output.splitlines())), (0, 7), f"{on}: a line per event for people")
    tap.like(output, r"a\.text \(no|a\.text x\\ny\n", f"{on}: with line ends escaped")
    tap.is_(tap.outboxctl(dsn, "tail", "--from-beginning", "--count", "2")[1].count("\n"), 2, f"{on}: --count alone")
    tap.is_(tap.outboxctl(dsn, "tail", "--count", "0")[0], 2, f"{on}: --count 0 is refused")


def pages(server, on):
    """More than a page at once, in one transaction and in several."""
    dsn = tap.create_database(server)
    tap.sql(dsn, "SELECT count(outbox.emit(type => 'bulk', payload => '{}')) FROM generate_series(1, 2500)")
    tap.outboxctl(dsn, "emit", "--type", "odd")
    tap.sql(dsn, "SELECT count(outbox.emit(type => 'bulk', payload => '{}')) FROM generate_series(1, 500)")
    lines = tap.outboxctl(dsn, "tail", "--from-beginning", "--no-follow", "--json")[1].splitlines()
    tap.is_([json.loads(line)["seq"] for line in lines], list(range(1, 3002)), f"{on}: several pages")
    tap.is_(len(tap.outboxctl(dsn, "tail", "--from-beginning", "--no-follow", "--type", "odd")[1].splitlines()), 1,
            f"{on}: a page without a match does not end it")


for name, cluster in (("15", tap.DSN), ("18", tap.DSN18)):
    what_is_shown(cluster, name)
    late_commit(cluster, name)
    pages(cluster, name)
    under_load(cluster, name)
tap.done_testing()
