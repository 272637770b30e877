#!/usr/bin/python3
"""Migrations that run at once: two outboxctl and two psql in one database, and in several
databases of a new cluster, where they meet at the roles."""
import os
import subprocess

import tap

COUNT = len(tap.MIGRATIONS)
COMMANDS = {
    "outboxctl": [tap.BUILD + "/outboxctl", "migrate"],
    "psql": ["psql", "-X", "-f", tap.BUILD + "/sql/outbox.sql"],
}


def start(kind, dsn):
    command = COMMANDS[kind] + ([dsn] if kind == "psql" else ["--dsn", dsn])
    return tap.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(processes, name):
    """All succeed; returns what they say they applied."""
    applied = []
    for process in processes:
        output, errors = process.communicate(timeout=120)
        if not tap.ok(process.returncode == 0, f"{name}: {os.path.basename(process.args[0])} succeeds"):
            tap.diag(errors)
        applied += [line.split()[-1] for line in output.splitlines() if "applied" in line]
    return applied


def one_database(server, on):
    dsn = f"{server} dbname=together"
    for again in range(3):
        tap.sql(server, "DROP DATABASE IF EXISTS together")
        tap.sql(server, "CREATE DATABASE together")
        applied = finish([start(kind, dsn) for kind in ("psql", "outboxctl", "psql", "outboxctl")], f"{on}, {again}")
        tap.is_(len(applied), COUNT, f"{on}, {again}: each migration is applied once")
        tap.is_(len(set(applied)), COUNT, f"{on}, {again}: and by one of them")
        tap.is_(tap.sql(dsn, "SELECT count(*), max(version) FROM outbox.migration"), [(COUNT, COUNT)],
                f"{on}, {again}: the record has each once")


def several_databases(server, on):
    names = [f"apart{i}" for i in range(4)]
    for name in names:
        tap.sql(server, f"CREATE DATABASE {name}")
    kinds = ("psql", "outboxctl", "psql", "outboxctl")
    finish([start(kind, f"{server} dbname={name}") for kind, name in zip(kinds, names)], f"{on}, several databases")
    for name in names:
        tap.is_(tap.sql(f"{server} dbname={name}", "SELECT count(*) FROM outbox.migration"), [(COUNT,)],
                f"{on}, several databases: {name} is complete")


def meeting_at_a_role(server, on):
    """Another database's migration has granted a membership and not yet committed."""
    dsn = f"{server} dbname=meeting"
    tap.sql(server, "CREATE DATABASE meeting")
    other = tap.connect(server, autocommit=False)
    tap.sql(server, "CREATE ROLE outbox_owner")
    tap.sql(server, "CREATE ROLE outbox_maintenance")
    other.cursor().execute("GRANT outbox_owner TO outbox_maintenance")
    process = start("outboxctl", dsn)
    waits = "SELECT pid FROM pg_stat_activity WHERE datname = 'meeting' AND wait_event_type = 'Lock'"
    tap.ok(tap.wait_until(lambda: tap.sql(server, waits)), f"{on}, at a role: the second waits for the first")
    other.commit()
    other.close()
    tap.is_(len(finish([process], f"{on}, at a role")), COUNT, f"{on}, at a role: and then goes on")


for version in ("15", "18"):
    directory = f"{tap.TMP}/pg{version}"
    os.mkdir(directory)
    cluster = tap.start_postgres(directory, "--version", version)
    meeting_at_a_role(cluster, version)  # first: no role exists yet
    several_databases(cluster, version)
    one_database(cluster, version)
tap.done_testing()
