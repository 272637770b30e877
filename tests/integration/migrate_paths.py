#!/usr/bin/python3
"""outboxctl and psql make the same schema, with the same record, as a superuser and as
the plain owner of a database who may create roles.  Each on a cluster of its own,
since roles belong to clusters, in 15 and in 18."""
import json
import os

import tap

CATALOG = {
    "relations": """
        SELECT c.relname, c.relkind, pg_get_userbyid(c.relowner), c.reloptions, pg_get_expr(c.relpartbound, c.oid)
          FROM pg_class c WHERE c.relnamespace = 'outbox'::regnamespace""",
    "columns": """
        SELECT a.attrelid::regclass::text, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               a.attgenerated, a.attidentity, pg_get_expr(d.adbin, d.adrelid)
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'outbox'::regnamespace AND NOT a.attisdropped""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
         WHERE connamespace = 'outbox'::regnamespace""",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'outbox'",
    "sequences": """
        SELECT s.seqrelid::regclass::text, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle
          FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE c.relnamespace = 'outbox'::regnamespace""",
    "functions": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid), pg_get_userbyid(p.proowner) FROM pg_proc p
         WHERE p.pronamespace = 'outbox'::regnamespace""",
    "rights": """
        SELECT 'schema', nspname, (aclexplode(nspacl)).* FROM pg_namespace WHERE nspname = 'outbox'
        UNION ALL SELECT 'function', oid::regprocedure::text, (aclexplode(proacl)).* FROM pg_proc
         WHERE pronamespace = 'outbox'::regnamespace
        UNION ALL SELECT 'relation', oid::regclass::text, (aclexplode(relacl)).* FROM pg_class
         WHERE relnamespace = 'outbox'::regnamespace""",
    "record": "SELECT version, name, checksum FROM outbox.migration",
    "rows": """
        SELECT 'lane', count(*) FROM outbox.lane UNION ALL SELECT 'tick', count(*) FROM outbox.tick
        UNION ALL SELECT 'meta', count(*) FROM outbox.meta UNION ALL SELECT 'lease', count(*) FROM outbox.lease
        UNION ALL SELECT 'partition', count(*) FROM outbox.event_partition""",
}
SCRIPT = tap.BUILD + "/sql/outbox.sql"


def catalog(dsn):
    return {name: sorted(map(repr, tap.sql(dsn, query))) for name, query in CATALOG.items()}


def psql(dsn):
    return tap.run(["psql", "-X", "-v", "ON_ERROR_STOP=1", dsn, "-f", SCRIPT])


def same(got, wanted, name):
    for part, rows in wanted.items():
        if got[part] != rows:
            tap.diag(f"{part} differ:", sorted(set(got[part]) ^ set(rows))[:4])
    tap.ok(got == wanted, name)


def database(server, name, owner=None):
    tap.sql(server, f"create database {name}" + (f" owner {owner}" if owner else ""))
    return f"{server} dbname={name}" + (f" user={owner}" if owner else "")


def check_dry_run(dsn, on):
    before = tap.sql(dsn, "SELECT count(*) FROM pg_namespace")
    status, output, errors = tap.outboxctl(dsn, "migrate", "--dry-run")
    tap.is_((status, errors), (0, ""), f"{on}: --dry-run succeeds on an empty database")
    tap.like(output, "would apply 0001_foundation\n(.*\n)*would apply 0010_consumers(\n.*)*$", f"{on}: and lists what it would do")
    status, output, _ = tap.outboxctl(dsn, "migrate", "--dry-run", "--json")
    plan = json.loads(output)
    tap.is_((plan["pending"][:2], plan["version"]), ([1, 2], 0), f"{on}: as JSON too")
    status, output, _ = tap.outboxctl(dsn, "migrate", "--status")
    tap.like(output, "0001 +foundation +pending", f"{on}: --status tells what is pending")
    tap.is_(tap.sql(dsn, "SELECT count(*) FROM pg_namespace"), before, f"{on}: and nothing has changed")
    tap.is_(tap.sql(dsn, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'outbox%'"), [(0,)],
            f"{on}: not even a role was made")


def check_again(dsn, on):
    record = tap.sql(dsn, "SELECT * FROM outbox.migration ORDER BY 1")
    status, output, errors = tap.outboxctl(dsn, "migrate")
    tap.is_((status, output, errors), (0, f"up to date at version {len(record)}\n", ""),
            f"{on}: a second migrate does nothing")
    tap.is_(psql(dsn), (0, "", ""), f"{on}: nor does outbox.sql after it")
    tap.is_(tap.sql(dsn, "SELECT * FROM outbox.migration ORDER BY 1"), record, f"{on}: the record is the same")
    status, output, _ = tap.outboxctl(dsn, "migrate", "--status", "--json")
    tap.is_([(m["version"], m["name"], m["checksum"], m["applied"]) for m in json.loads(output)],
            [(r[0], r[1], r[2], True) for r in record], f"{on}: --status --json shows it")


def check_halfway(server, wanted, on):
    """One begins, the other goes on: the script cut after its third migration."""
    dsn = database(server, "halfway")
    with open(SCRIPT, encoding="utf-8") as f:
        text = f.read()
    part = tap.TMP + "/part.sql"
    with open(part, "w", encoding="utf-8") as f:
        f.write(text[:text.index("-- ===== 0004")])
    tap.is_(tap.run(["psql", "-X", dsn, "-f", part])[0], 0, f"{on}: psql applies three migrations")
    status, output, _ = tap.outboxctl(dsn, "migrate", "--json")
    tap.is_(json.loads(output)["applied"], list(range(4, len(tap.MIGRATIONS) + 1)), f"{on}: and outboxctl the others")
    same(catalog(dsn), wanted, f"{on}: with the same result")


def check_works(dsn, on):
    status, output, errors = tap.outboxctl(dsn, "emit", "--type", "t", "--payload", "{}")
    tap.is_((status, errors), (0, ""), f"{on}: an event can be emitted")
    tap.is_(tap.sql(dsn, "SELECT id IS NOT NULL FROM outbox.tick()"), [(True,)], f"{on}: and a tick be taken")


def check_second_owner(server, on):
    """The roles are there, made by another: a clear answer, not half a schema."""
    tap.sql(server, "CREATE ROLE plain2 LOGIN CREATEROLE")
    dsn = database(server, "owned2", "plain2")
    status, _, errors = tap.outboxctl(dsn, "migrate")
    tap.is_(status, 5, f"{on}: another owner is refused")
    tap.like(errors, "GRANT outbox_owner, outbox_maintenance TO plain2 WITH ADMIN OPTION", f"{on}: with the remedy")
    tap.sql(server, "GRANT outbox_owner, outbox_maintenance TO plain2 WITH ADMIN OPTION")
    tap.is_(tap.outboxctl(dsn, "migrate")[0], 0, f"{on}: which helps")


def check(version):
    directory = f"{tap.TMP}/pg{version}"
    os.mkdir(directory)
    server = tap.start_postgres(directory, "--version", version)
    tap.sql(server, "CREATE ROLE plain LOGIN CREATEROLE")
    owned = database(server, "owned", "plain")
    on = f"{version}"
    check_dry_run(owned, on)
    status, output, errors = tap.outboxctl(owned, "migrate")
    tap.is_((status, errors), (0, ""), f"{on}: a plain owner with CREATEROLE can migrate")
    tap.is_(output.count("applied "), len(tap.MIGRATIONS), f"{on}: and is told what was done")
    check_again(owned, f"{on}, plain owner")
    check_works(owned, f"{on}, plain owner")
    if version != "15":
        check_second_owner(server, on)
    by_outboxctl = database(server, "by_outboxctl")
    tap.is_(tap.outboxctl(by_outboxctl, "migrate")[0], 0, f"{on}: a superuser can migrate")
    wanted = catalog(by_outboxctl)
    tap.ok(len(wanted["columns"]) > 200 and len(wanted["rights"]) > 100, f"{on}: the catalog is read")
    by_psql = database(server, "by_psql")
    tap.is_(psql(by_psql)[::2], (0, ""), f"{on}: outbox.sql runs without a warning")
    same(catalog(by_psql), wanted, f"{on}: outbox.sql makes the same schema as outboxctl")
    check_halfway(server, wanted, on)


check("15")
check("18")
tap.done_testing()
