#!/usr/bin/python3
# deadline: 300
"""PostgreSQL cannot write while writers, relay and receivers are at work: there is no room for data, so
that statements fail, and the relay that meets this is killed and followed by another; there is no room
for its log, so that it crashes, and does not come back until there is; and it is read-only."""
import contextlib
import functools
import os
import shutil
import subprocess

import psycopg2

import disks
import relay
import restarts
import tap

FULL, READ_ONLY = "53100", "25006"

disks.unshare()
DIRECTORY = restarts.own_directory("postgres")


control = functools.partial(restarts.control, "postgres", DIRECTORY)


def answers():
    with contextlib.suppress(psycopg2.Error):
        return tap.sql(server, "select 1") == [(1,)]
    return False


def runs():
    with open(DIRECTORY + "/pid", encoding="ascii") as f:
        pid = f.read().strip()
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"  # nobody may have asked for its status
    except OSError:
        return False


def outbox_on(disk):
    """One whose database lies there, but for what the cluster has in common."""
    tap.sql(server, f"create tablespace small location '{disk.path}'")
    name = tap.unique("small")
    tap.sql(server, f"create database {name} tablespace small")
    outbox = relay.Outbox(dsn=f"{server} dbname={name}")
    status, output, errors = tap.outboxctl(outbox.dsn, "migrate")
    if status:
        tap.bail(f"outboxctl migrate: {output}{errors}")
    return outbox


def no_room_for_data():
    disk = disks.Small("data", 96)
    case = restarts.Case("no room for data", outbox_on(disk))
    with case.writing(persist=True, forgiven=(FULL,)) as writers:
        case.process.wait_running()
        case.progress()
        disk.fill()
        told = case.process.wait_said(f"level=warning event=[a-z_]+ .*{FULL}|No space left on device", 60)
        tap.ok(told, "no room for data: the relay says so")
        case.process.kill()
        case.process = case.outbox.start(**restarts.OPTIONS)
        case.process.wait_said("event=starting")
        writers.refused = 0
        tap.ok(tap.wait_until(lambda: writers.refused > 20, 60), "no room for data: writers get an error")
        tap.ok(case.process.running(), "no room for data: a relay that is started then waits")
        disk.free()
        case.progress(100)
    case.judge(kills=1)


def fill_log():
    """Until the server has crashed, in its own way: what it writes into a new file of its log must go on."""
    with contextlib.suppress(psycopg2.Error):
        for _ in range(50):
            tap.sql(server, "create temp table filling as select repeat('x', 1000) from generate_series(1, 5000)")
            tap.sql(server, "select pg_switch_wal()")
        return False
    return True


def no_room_for_the_log():
    case = restarts.Case("no room for the log", relay.Outbox(tap.create_database(server)))
    with case.writing(persist=True, forgiven=(FULL,)):
        case.process.wait_running()
        case.progress()
        wal.fill()
        tap.ok(fill_log(), "no room for the log: PostgreSQL crashes")
        # it may come back, and crash again, or give up
        tap.wait_until(lambda: case.attempts()["database_failed"] and not answers(), restarts.BACKOFF_MAX)
        case.moment(3)
        wal.free()
        if not tap.wait_until(lambda: answers() or not runs(), 60) or not answers():
            control("start", "--owner", str(os.getpid()))
        case.progress(100)
    case.judge()


def read_only():
    case = restarts.Case("read-only", relay.Outbox(tap.create_database(server)))
    database = psycopg2.extensions.parse_dsn(case.outbox.dsn)["dbname"]

    def set_it(value):
        """Of the sessions that begin now: so the others have to end."""
        tap.sql(server, f"alter database {database} set default_transaction_read_only = {value}")
        tap.sql(server, "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (database,))

    with case.writing(persist=True, forgiven=(READ_ONLY,)) as writers:
        case.process.wait_running()
        case.progress()
        set_it("on")
        tap.ok(case.process.wait_said("level=warning .*read-only transaction"), "read-only: the relay says so")
        tap.ok(tap.wait_until(lambda: writers.refused > 20, 60), "read-only: writers get an error")
        set_it("off")
        case.progress(120)
    case.judge()


server = tap.start_postgres(DIRECTORY, "--set", "min_wal_size=32MB", "--set", "max_wal_size=64MB")
wal = disks.Small("wal", 128)
control("stop")
os.rmdir(wal.path)
shutil.copytree(DIRECTORY + "/data/pg_wal", wal.path)
subprocess.run(["chown", "-R", "--reference", DIRECTORY + "/data", wal.path], check=True)
shutil.rmtree(DIRECTORY + "/data/pg_wal")
os.symlink(wal.path, DIRECTORY + "/data/pg_wal")
control("start", "--owner", str(os.getpid()))
no_room_for_data()
no_room_for_the_log()
read_only()
tap.done_testing()
