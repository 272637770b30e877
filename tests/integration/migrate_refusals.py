#!/usr/bin/python3
"""When a migration must not run: whoever asks gets the reason, and nothing changes."""
import hashlib
import os

import tap

SCRIPT = tap.BUILD + "/sql/outbox.sql"
LAST = len(tap.MIGRATIONS)
LAST_NAME = os.path.basename(tap.MIGRATIONS[-1]).removesuffix(".sql")


def psql(dsn, **environment):
    return tap.run(["psql", "-X", dsn, "-f", SCRIPT], env=dict(os.environ, **environment))


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def database_before_last():
    """A database in which only the last migration is pending."""
    dsn = tap.create_database(migrate=False)
    script = ""
    for version, path in enumerate(tap.MIGRATIONS[:-1], 1):
        name = os.path.basename(path).removesuffix(".sql").partition("_")[2]
        checksum = hashlib.sha256(read(path).encode()).hexdigest()
        script += read(tap.SRC + "/sql/begin.sql") + read(tap.SRC + "/sql/bootstrap.sql") + read(path) + (
            f"\nINSERT INTO outbox.migration (version, name, checksum) VALUES ({version}, '{name}', '{checksum}');\nCOMMIT;\n")
    status, _, errors = tap.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", dsn], input=script)
    if status:
        tap.bail(errors)
    return dsn


def both_refuse(dsn, by_outboxctl, by_psql, name, arguments=(), environment=None):
    record = "SELECT * FROM outbox.migration ORDER BY 1"
    before = tap.sql(dsn, record)
    status, output, errors = tap.outboxctl(dsn, "migrate", *arguments)
    tap.is_((status, output), (5, ""), f"{name}: outboxctl refuses")
    tap.like(errors, by_outboxctl, f"{name}: and says why")
    status, output, errors = psql(dsn, **(environment or {}))
    tap.is_((status, output), (3, ""), f"{name}: psql refuses")
    tap.like(errors, by_psql, f"{name}: and says why")
    tap.is_(tap.sql(dsn, record), before, f"{name}: the record is unchanged")


def changed_checksum():
    dsn = tap.create_database()
    tap.sql(dsn, "UPDATE outbox.migration SET checksum = 'feed' WHERE version = 3")
    why = r"migration 3 \(ticks\) was applied with the checksum feed, here it has [0-9a-f]{64}"
    both_refuse(dsn, why, why, "a changed migration")
    status, _, errors = tap.outboxctl(dsn, "migrate", "--status")
    tap.is_(status, 5, "a changed migration: --status refuses too")
    tap.is_(tap.outboxctl(dsn, "migrate", "--dry-run")[0], 5, "a changed migration: so does --dry-run")
    # Pending ones do not excuse it.
    tap.sql(dsn, "DELETE FROM outbox.migration WHERE version = %s", (LAST,))
    both_refuse(dsn, why, why, "a changed migration before a pending one")


def newer_database():
    dsn = tap.create_database()
    tap.sql(dsn, "INSERT INTO outbox.migration (version, name, checksum) VALUES (%s, 'later', 'x')", (LAST + 1,))
    both_refuse(dsn, rf"migration {LAST + 1} \(later\), which this outboxctl does not know.*newer release",
                rf"migration {LAST + 1} \(later\), which this outbox.sql does not know", "a newer database")


def missing_migration():
    dsn = tap.create_database()
    tap.sql(dsn, "DELETE FROM outbox.migration WHERE version = 2")
    status, _, errors = tap.outboxctl(dsn, "migrate")
    tap.is_(status, 5, "a hole in the record: outboxctl refuses")
    tap.like(errors, "migration 2 is missing before 3", "a hole in the record: and says why")


def running_migration():
    dsn = database_before_last()
    other = tap.connect(dsn, autocommit=False)
    other.cursor().execute("SELECT pg_advisory_xact_lock(1868721016, 1)")
    why = "another migration of this outbox has been running for 1[0-9]{2}ms"
    both_refuse(dsn, why, why, "another migration", ("--lock-timeout", "100ms"),
                {"PGOPTIONS": "-c outbox.migration_lock_timeout=101ms"})
    other.close()
    tap.is_(tap.outboxctl(dsn, "migrate")[0:2], (0, f"applied {LAST_NAME}\n"), "another migration: afterwards it runs")


def failing_migration():
    dsn = tap.create_database(migrate=False)
    # In the way of the second.
    tap.sql(dsn, "CREATE SCHEMA outbox; CREATE TABLE outbox.event_partition (x integer);"
                 "ALTER SCHEMA outbox OWNER TO outbox_owner; GRANT USAGE ON SCHEMA outbox TO outbox_owner")
    status, output, errors = tap.outboxctl(dsn, "migrate")
    tap.is_((status, output), (1, "applied 0001_foundation\n"), "a failing migration: those before it stay")
    tap.like(errors, '0002_events failed and was rolled back:\n.*"event_partition" already exists',
             "a failing migration: is named, with the reason")
    tap.is_(tap.sql(dsn, "SELECT to_regclass('outbox.event'), max(version) FROM outbox.migration"), [(None, 1)],
            "a failing migration: leaves nothing behind")
    status, _, errors = psql(dsn)
    tap.is_(status, 3, "a failing migration: psql stops there too")
    tap.is_(tap.sql(dsn, "SELECT to_regclass('outbox.event'), max(version) FROM outbox.migration"), [(None, 1)],
            "a failing migration: and leaves nothing behind")
    tap.sql(dsn, "DROP TABLE outbox.event_partition")
    status, output, _ = tap.outboxctl(dsn, "migrate")
    tap.is_((status, output.count("applied")), (0, LAST - 1), "a failing migration: the rest follows once it can")


def unsuitable_database():
    name = tap.unique("test")
    tap.sql(tap.DSN, f"CREATE DATABASE {name} ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0")
    tap.at_exit(tap.sql, tap.DSN, f"DROP DATABASE {name} WITH (FORCE)")
    dsn = f"{tap.DSN} dbname={name}"
    status, _, errors = tap.outboxctl(dsn, "migrate")
    tap.is_(status, 5, "another encoding: refused")
    tap.like(errors, "encoding UTF8; this one has SQL_ASCII", "another encoding: with the reason")
    tap.is_(tap.sql(dsn, "SELECT to_regnamespace('outbox')"), [(None,)], "another encoding: nothing was made")


def missing_rights():
    dsn = tap.create_database(migrate=False)
    role = tap.unique("nobody")
    tap.sql(tap.DSN, f"CREATE ROLE {role} LOGIN")
    tap.at_exit(tap.sql, tap.DSN, f"DROP ROLE {role}")
    status, _, errors = tap.outboxctl(f"{dsn} user={role}", "migrate")
    tap.is_(status, 5, "a user without rights: refused")
    tap.like(errors, "permission denied|must have|must be", "a user without rights: with the reason")
    tap.is_(tap.sql(dsn, "SELECT to_regnamespace('outbox')"), [(None,)], "a user without rights: nothing was made")


changed_checksum()
newer_database()
missing_migration()
running_migration()
failing_migration()
unsuitable_database()
missing_rights()
tap.done_testing()
