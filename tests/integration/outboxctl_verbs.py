#!/usr/bin/python3
"""Each verb of outboxctl on a real database: what it does, what it prints, its exit code."""
import base64
import json
import os
import uuid

import tap

OK, FAILED, USAGE, CONNECT, NOT_FOUND, REFUSED = range(6)


def ctl(dsn, *arguments, **options):
    return tap.outboxctl(dsn, *arguments, **options)


def ctl_json(dsn, *arguments, **options):
    status, output, errors = ctl(dsn, *arguments, "--json", **options)
    if status:
        tap.diag(errors)
        return status
    return json.loads(output)


def refused(dsn, arguments, wanted, pattern, name, **options):
    status, output, errors = ctl(dsn, *arguments, **options)
    tap.is_((status, output), (wanted, ""), f"{name}: exit {wanted}")
    tap.like(errors, "^outboxctl: .*" + pattern, f"{name}: says why")


def command_line(dsn):
    status, output, errors = tap.run([tap.BUILD + "/outboxctl"])
    tap.is_((status, output), (USAGE, ""), "without arguments: exit 2")
    tap.like(errors, "usage: outboxctl COMMAND(.|\n)*exit codes:", "without arguments: help on standard error")
    status, output, _ = ctl(dsn, "help")
    tap.is_(status, OK, "help: exit 0")
    verbs = [line.split("  ")[1].strip() for line in output.split("\n\n")[1].splitlines()[1:-1]]
    verbs = [" ".join(word for word in verb.split() if word.islower()) for verb in verbs]
    tap.is_(len(verbs), 32, "help: lists the commands")
    for verb in verbs:
        status, output, _ = ctl(dsn, "help", *verb.split())
        tap.ok(status == OK and output.startswith(f"usage: outboxctl {verb}"), f"help {verb}")
        tap.is_(ctl(dsn, *verb.split(), "--help")[1], output, f"{verb} --help is the same")
    tap.like(ctl(dsn, "--version")[1], "^outboxctl [0-9]", "--version")
    refused(dsn, ["endpiont"], USAGE, "did you mean endpoint", "a misspelt command")
    refused(dsn, ["endpoint"], USAGE, "endpoint: one of these(.|\n)*endpoint add URL", "half a command")
    refused(dsn, ["endpoint", "lsit"], USAGE, "endpoint", "half a command, half misspelt")
    refused(dsn, ["status", "now"], USAGE, "usage: outboxctl status", "too many words")
    refused(dsn, ["route", "add"], USAGE, "usage: outboxctl route add PATTERN", "too few words")
    refused(dsn, ["status", "--jsno"], USAGE, "did you mean --json", "a misspelt flag")
    refused(dsn, ["status", "--statement-timeout=5"], USAGE, "time with its unit", "a time without a unit")


def connecting(dsn):
    without = {k: v for k, v in os.environ.items() if k != "OUTBOX_DSN"}
    status, _, errors = tap.run([tap.BUILD + "/outboxctl", "status"], env=without)
    tap.is_(status, USAGE, "no database named: exit 2")
    tap.like(errors, "OUTBOX_DSN", "no database named: says how")
    tap.is_(tap.run([tap.BUILD + "/outboxctl", "--dsn", dsn, "status"], env=without)[0], OK, "--dsn before the verb")
    tap.is_(tap.run([tap.BUILD + "/outboxctl", "status", "--dsn=" + dsn], env=without)[0], OK, "--dsn after it")
    refused("host=127.0.0.1 port=1 password=GEHEIM", ["status"], CONNECT, "127.0.0.1", "nobody there")
    refused("host=/nonexistent password=GEHEIM", ["status"], CONNECT, "nonexistent", "no socket")
    for bad in ("host=127.0.0.1 GEHEIM", "postgres://u:GEHEIM/x@y:z/", "password='GEHEIM"):
        status, output, errors = ctl(bad, "status")
        tap.is_(status, USAGE, "a broken connection string: exit 2")
        tap.ok("GEHEIM" not in output + errors, "a broken connection string: is not shown")
    status, output, errors = ctl(tap.DSN_TCP.replace("password=", "password=wrong") if tap.DSN_TCP else dsn, "status")
    if tap.DSN_TCP:
        tap.is_(status, CONNECT, "a wrong password: exit 3")
        tap.ok("wrong" not in errors, "a wrong password: is not shown")
    empty = tap.create_database(migrate=False)
    refused(empty, ["status"], FAILED, "outboxctl migrate", "a database without an outbox")
    with tap.connect(dsn) as locker:
        cursor = locker.cursor()
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE outbox.route")
        refused(dsn, ["route", "list", "--statement-timeout=300ms"], CONNECT, "timed out", "a statement that waits")
        cursor.execute("ROLLBACK")


def reading_changes_nothing(dsn):
    """Commands that only read do so in a read-only transaction: a mistake cannot write."""
    tap.sql(dsn, "CREATE FUNCTION outbox.trap() RETURNS text LANGUAGE plpgsql AS "
                 "$$ BEGIN INSERT INTO outbox.route_real VALUES ('trap', 't'); RETURN 'x'; END $$")
    tap.sql(dsn, "ALTER TABLE outbox.route RENAME TO route_real")
    tap.sql(dsn, "CREATE VIEW outbox.route AS SELECT outbox.trap() AS pattern, 't' AS topic, now() AS created_at")
    refused(dsn, ["route", "list"], REFUSED, "read-only transaction", "a reading command that would write")
    tap.sql(dsn, "DROP VIEW outbox.route")
    tap.sql(dsn, "ALTER TABLE outbox.route_real RENAME TO route")
    tap.sql(dsn, "DROP FUNCTION outbox.trap()")


def event(dsn, event_id):
    return tap.sql(dsn, "SELECT type, key, convert_from(payload, 'UTF8'), content_type, topic, partition, headers,"
                        " tenant, traceparent FROM outbox.event WHERE id = %s", (event_id,))[0]


def emitting(dsn):
    status, output, errors = ctl(dsn, "emit", "--type", "order_placed", "--key", "42", "--payload", '{"id": 42}',
                                 "--header", "a=b=c", "--header", "d=", "--topic", "orders", "--partition", "3",
                                 "--tenant", "acme", "--traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    tap.is_((status, errors), (OK, ""), "emit: exit 0")
    tap.is_(str(uuid.UUID(output.strip())), output.strip(), "emit: prints the id")
    tap.is_(event(dsn, output.strip()),
            ("order_placed", "42", '{"id": 42}', "application/json", "orders", 3, {"a": "b=c", "d": ""}, "acme",
             "00-" + "a" * 32 + "-" + "b" * 16 + "-01"), "emit: each field arrives")
    made = ctl_json(dsn, "emit", "--type", "t", "--payload", "-", "--content-type", "text/plain", input="a\nb")
    tap.is_(event(dsn, made["id"])[2:4], ("a\nb", "text/plain"), "emit: payload from standard input")
    path = tap.TMP + "/payload"
    with open(path, "wb") as f:
        f.write(bytes(range(256)))
    made = ctl_json(dsn, "emit", "--type", "t", "--payload", "@" + path, "--content-type", "application/octet-stream")
    tap.is_(tap.sql(dsn, "SELECT payload FROM outbox.event WHERE id = %s", (made["id"],))[0][0].tobytes(),
            bytes(range(256)), "emit: any bytes from a file")
    made = ctl_json(dsn, "emit", "--type", "t")
    tap.is_(tap.sql(dsn, "SELECT payload, content_type FROM outbox.event WHERE id = %s", (made["id"],)),
            [(None, None)], "emit: no payload is a tombstone")
    own = str(uuid.uuid4())
    tap.is_(ctl_json(dsn, "emit", "--type", "t", "--id", own)["already_emitted"], False, "emit: an own id is new")
    status, output, errors = ctl(dsn, "emit", "--type", "t", "--id", own)
    tap.is_((status, output), (OK, own + "\n"), "emit: again, it is the same")
    tap.like(errors, "emitted before", "emit: and said so")
    tap.is_(tap.sql(dsn, "SELECT count(*) FROM outbox.event WHERE id = %s", (own,)), [(1,)], "emit: but only once")
    before = tap.sql(dsn, "SELECT count(*) FROM outbox.event")
    for arguments, pattern in (
            ([], "--type: is missing"),
            (["--type", ""], "type: is empty. Name what happened"),
            (["--type", "t", "--payload", "no json"], "not JSON.*--content-type"),
            (["--type", "t", "--payload", "{} {}"], "not JSON"),
            (["--type", "t", "--payload", "@/nonexistent"], "/nonexistent: cannot be read"),
            (["--type", "t", "--content-type", "a/b"], "no payload"),
            (["--type", "t", "--topic", "a b"], "topic: 'a b' is not a Kafka topic name"),
            (["--type", "t", "--header", "x"], "--header: must be NAME=VALUE"),
            (["--type", "t", "--header", "=x"], "--header: must be NAME=VALUE"),
            (["--type", "t", "--header", "a=1", "--header", "a=2"], "a is given twice"),
            (["--type", "t", "--header", "Host=1"], "'Host' is reserved"),
            (["--type", "t", "--id", "42"], "--id: must be a UUID"),
            (["--type", "t", "--partition", "-1"], "--partition: must be a number"),
            (["--type", "t", "--traceparent", "x"], "traceparent: is not"),
    ):
        refused(dsn, ["emit", *arguments], USAGE, pattern, "emit " + " ".join(arguments))
    tap.is_(tap.sql(dsn, "SELECT count(*) FROM outbox.event"), before, "emit: what is refused leaves nothing")


def endpoints(dsn):
    tap.is_(ctl(dsn, "endpoint", "list"), (OK, "no endpoints\n", ""), "endpoint list: none")
    tap.is_(ctl_json(dsn, "endpoint", "list"), [], "endpoint list: none, as JSON")
    status, output, errors = ctl(dsn, "endpoint", "add", "https://example.org/hook", "--name", "shop", "--types",
                                 "user_created, order.*", "--tenant", "acme", "--timeout", "3s", "--policy", "park",
                                 "--concurrency", "7")
    tap.is_(status, OK, "endpoint add: exit 0")
    shown = dict(line.split() for line in output.splitlines())
    tap.like(shown["secret"], "^whsec_", "endpoint add: prints a secret")
    tap.is_(len(base64.b64decode(shown["secret"][6:])), 32, "endpoint add: of 32 bytes")
    tap.is_(tap.sql(dsn, "SELECT encode(secret, 'base64') FROM outbox.endpoint_secret")[0][0], shown["secret"][6:],
            "endpoint add: which is the one that signs")
    tap.is_(tap.sql(dsn, "SELECT url, name, types, tenant, timeout_ms, policy, concurrency FROM outbox.endpoint"),
            [("https://example.org/hook", "shop", ["user_created", "order.*"], "acme", 3000, "park", 7)],
            "endpoint add: each field arrives")
    known = "whsec_" + base64.b64encode(b"k" * 24).decode()
    other = ctl_json(dsn, "endpoint", "add", "http://example.org/", "--secret-file", "-", input=known + "\n")
    tap.is_(other["secret"], known, "endpoint add: takes a secret from standard input")
    again = ctl_json(dsn, "endpoint", "add", "http://example.org/")
    tap.ok(again["secret"] not in (known, shown["secret"]), "endpoint add: each secret is another")
    refused(dsn, ["endpoint", "add", "https://x/", "--name", "shop"], REFUSED, "endpoint shop already", "same name")
    for arguments, pattern in (
            (["ftp://x"], "https://"),
            (["https://user:GEHEIM@x/"], "user or password"),
            (["https://x/", "--name", "a b"], "--name"),
            (["https://x/", "--policy", "maybe"], "resend, reconcile or park"),
            (["https://x/", "--types", "a,,b"], "empty word"),
            (["https://x/", "--timeout", "1h"], "from 100ms to 2m"),
            (["https://x/", "--concurrency", "0"], "from 1 to 1000"),
            (["https://x/", "--secret-file", "/nonexistent"], "cannot be read"),
    ):
        refused(dsn, ["endpoint", "add", *arguments], USAGE, pattern, "endpoint add " + " ".join(arguments))
    status, output, errors = ctl(dsn, "endpoint", "add", "https://x/", "--secret-file", "-", input="whsec_GEHEIM")
    tap.is_(status, USAGE, "endpoint add: a short secret is refused")
    tap.ok("GEHEIM" not in output + errors, "endpoint add: and not shown")
    listed = ctl_json(dsn, "endpoint", "list")
    tap.is_([(e["id"], e["name"], e["types"], e["enabled"]) for e in listed][:2],
            [(shown["id"], "shop", ["user_created", "order.*"], True), (other["id"], None, ["*"], True)],
            "endpoint list: in the order of their adding")
    one = ctl_json(dsn, "endpoint", "show", "shop")
    tap.is_((one["id"], one["timeout_ms"], one["deliveries"]), (shown["id"], 3000, {}), "endpoint show: by name")
    tap.is_(ctl_json(dsn, "endpoint", "show", other["id"].upper())["id"], other["id"], "endpoint show: by id")
    tap.like(ctl(dsn, "endpoint", "show", "shop")[1], "url +https://example.org/hook\n", "endpoint show: for people")
    tap.ok("secret" not in ctl(dsn, "endpoint", "show", "shop", "--json")[1], "endpoint show: no secret")
    refused(dsn, ["endpoint", "show", "nobody"], NOT_FOUND, "no endpoint nobody", "endpoint show: unknown")
    removed = ctl_json(dsn, "endpoint", "remove", other["id"], "--reason", "test")
    tap.is_(removed, {"id": other["id"], "removed": True}, "endpoint remove: by id")
    refused(dsn, ["endpoint", "remove", other["id"]], NOT_FOUND, "no endpoint", "endpoint remove: again")
    tap.is_(tap.sql(dsn, "SELECT count(*) FROM outbox.endpoint_secret WHERE endpoint = %s", (other["id"],)), [(0,)],
            "endpoint remove: its secret is gone")
    tap.is_(tap.sql(dsn, "SELECT reason FROM outbox.audit WHERE action = 'endpoint remove'"), [("test",)],
            "endpoint remove: is in the audit log")
    tap.is_(len(ctl_json(dsn, "endpoint", "list")), 2, "endpoint list: without the removed one")
    tap.is_(len(ctl_json(dsn, "endpoint", "list", "--all")), 3, "endpoint list --all: with it")
    return shown["id"]


def deliveries(dsn, endpoint):
    tap.is_(ctl(dsn, "delivery", "list"), (OK, "no deliveries\n", ""), "delivery list: none")
    made = ctl_json(dsn, "emit", "--type", "user_created")
    for replay, state in enumerate(("pending", "delivered", "dead")):
        tap.sql(dsn, "INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, replay, state, sends)"
                     " VALUES (%s, %s, 'user_created', %s, %s, %s, 1)", (made["seq"], made["id"], endpoint, replay, state))
    tap.sql(dsn, "INSERT INTO outbox.delivery_of_event (event_seq, endpoint, replay, event_id, delivery)"
                 " SELECT event_seq, endpoint, replay, event_id, id FROM outbox.delivery")
    first = tap.sql(dsn, "SELECT min(id) FROM outbox.delivery")[0][0]
    tap.sql(dsn, "INSERT INTO outbox.delivery_attempt (delivery, attempt, token, started_at, outcome, status, error,"
                 " resolved_us, connected_us, sent_bytes) VALUES (%s, 1, 1, now(), 'refused', 503, %s, 10, 20, 30)",
            (first, "oh\x1b[2J"))
    listed = ctl_json(dsn, "delivery", "list")
    tap.is_([d["state"] for d in listed], ["dead", "delivered", "pending"], "delivery list: the newest first")
    tap.is_(listed[0]["endpoint"], "shop", "delivery list: the endpoint by its name")
    for filters, count in ((["--state", "dead"], 1), (["--state", "sending"], 0), (["--endpoint", "shop"], 3),
                           (["--endpoint", endpoint], 3), (["--event", made["id"]], 3), (["--limit", "2"], 2),
                           (["--event", str(uuid.uuid4())], 0), (["--state", "dead", "--event", made["id"]], 1)):
        tap.is_(len(ctl_json(dsn, "delivery", "list", *filters)), count, "delivery list " + filters[0] + f": {count}")
    refused(dsn, ["delivery", "list", "--state", "lost"], USAGE, "pending, sending", "delivery list: no such state")
    refused(dsn, ["delivery", "list", "--event", "1"], USAGE, "must be a UUID", "delivery list: no id")
    refused(dsn, ["delivery", "list", "--endpoint", "x"], NOT_FOUND, "no endpoint x", "delivery list: no endpoint")
    refused(dsn, ["delivery", "list", "--limit", "0"], USAGE, "from 1", "delivery list: no limit")
    one = ctl_json(dsn, "delivery", "show", str(first))
    tap.is_((one["id"], one["state"], one["url"]), (first, "pending", "https://example.org/hook"), "delivery show")
    tap.is_([(a["attempt"], a["outcome"], a["status"], a["resolved_us"], a["connected_us"], a["tls_us"],
              a["sent_bytes"]) for a in one["attempt_list"]], [(1, "refused", 503, 10, 20, None, 30)],
            "delivery show: its attempts with their phases")
    status, output, _ = ctl(dsn, "delivery", "show", str(first))
    tap.like(output, r"refused +503 +oh\\x1b\[2J", "delivery show: for people, without control characters")
    refused(dsn, ["delivery", "show", "999999"], NOT_FOUND, "no delivery 999999", "delivery show: unknown")
    refused(dsn, ["delivery", "show", "x"], USAGE, "must be a number", "delivery show: no number")
    tap.is_(ctl_json(dsn, "endpoint", "show", "shop")["deliveries"], {"dead": 1, "delivered": 1, "pending": 1},
            "endpoint show: its deliveries by state")


def routes(dsn):
    tap.like(ctl(dsn, "route", "list")[1], "^no routes", "route list: none")
    tap.is_(ctl(dsn, "route", "add", "order.*", "orders"), (OK, "order.* goes to orders\n", ""), "route add")
    tap.is_(ctl(dsn, "route", "add", "internal.*", "--webhooks-only")[0], OK, "route add --webhooks-only")
    tap.is_([(r["pattern"], r["topic"]) for r in ctl_json(dsn, "route", "list")],
            [("internal.*", None), ("order.*", "orders")], "route list")
    tap.like(ctl(dsn, "route", "list")[1], r"internal\.\* +\(webhooks only\)", "route list: for people")
    refused(dsn, ["route", "add", "order.*", "other"], REFUSED, "has a route already; --replace", "route add: twice")
    tap.is_(ctl_json(dsn, "route", "add", "order.*", "other", "--replace")["topic"], "other", "route add --replace")
    refused(dsn, ["route", "add", "x"], USAGE, "either a topic or --webhooks-only", "route add: no topic")
    refused(dsn, ["route", "add", "x", "t", "--webhooks-only"], USAGE, "either", "route add: both")
    refused(dsn, ["route", "add", "x", "a b"], USAGE, "route", "route add: no topic name")
    tap.is_(ctl(dsn, "route", "remove", "order.*"), (OK, "removed the route for order.*\n", ""), "route remove")
    refused(dsn, ["route", "remove", "order.*"], NOT_FOUND, "no route for order", "route remove: again")


def rights(dsn):
    """A reader may look but not change; what it may not is refused, not failed."""
    role = tap.unique("reader")
    tap.sql(dsn, f"CREATE ROLE {role} LOGIN IN ROLE outbox_reader")
    tap.at_exit(tap.sql, tap.DSN, f"DROP ROLE IF EXISTS {role}")
    reader = f"{dsn} user={role}"
    for verb in (["status"], ["route", "list"], ["endpoint", "list"], ["delivery", "list"], ["migrate", "--status"],
                 ["tail", "--from-beginning", "--no-follow"]):
        status, _, errors = ctl(reader, *verb)
        tap.is_((status, errors), (OK, ""), "a reader may " + " ".join(verb))
    for verb in (["emit", "--type", "t"], ["route", "add", "a", "b"], ["endpoint", "add", "https://x/"]):
        refused(reader, verb, REFUSED, "permission denied", "a reader may not " + " ".join(verb))


database = tap.create_database()
command_line(database)
connecting(database)
reading_changes_nothing(database)
emitting(database)
deliveries(database, endpoints(database))
routes(database)
rights(database)
tap.done_testing()
