#!/usr/bin/python3
# deadline: 300
"""The verbs of outboxctl that change things, with a dispatcher and receivers at the other end:
endpoint disable, enable and test, delivery retry and resolve, lane list, and the audit of all."""
import json
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ["OUTBOX_SRC"], "tests", "tools"))
import tap  # noqa: E402
from scripted_receiver import Receiver, drop_after, status  # noqa: E402

OK, FAILED, USAGE, CONNECT, NOT_FOUND, REFUSED = range(6)
SECRET = bytes(range(32))
LOOPBACK = ("--allow", "127.0.0.0/8")

dsn = tap.create_database()
receiver = Receiver()
tap.at_exit(receiver.close)


def sql(statement, *arguments):
    return tap.sql(dsn, statement, arguments or None)


def ctl(*arguments, user=None):
    return tap.outboxctl(dsn + (f" user={user}" if user else ""), *arguments)


def ctl_json(*arguments, wanted=OK):
    code, output, errors = ctl(*arguments, "--json")
    if code != wanted:
        tap.diag(f"exit {code}: {errors}")
        return None
    return json.loads(output)


def refused(arguments, wanted, pattern, name):
    code, output, errors = ctl(*arguments)
    tap.is_((code, output), (wanted, ""), f"{name}: exit {wanted}")
    tap.like(errors, "^outboxctl: .*" + pattern, f"{name}: says why")


def audit(*columns):
    """The newest row of the audit."""
    return sql(f"select {', '.join(columns)} from outbox.audit order by id desc limit 1")[0]


def audited():
    return sql("select count(*) from outbox.audit")[0][0]


def endpoint(name, url=None, policy="resend", schedule="{0ms}"):
    """A schedule of one attempt: what fails is dead at once."""
    return sql("select outbox.endpoint_add(%s, %s, %s, p_policy => %s, p_schedule => %s::interval[])",
               url or receiver.url("/" + name), SECRET, name, policy, schedule)[0][0]


def deliver(endpoint_id, count=1):
    """Emits events and makes their deliveries, as the relay's acknowledgement does."""
    sql("select count(outbox.emit(type => 't', key => g::text, payload => '{}')) from generate_series(1, %s) g", count)
    return [row[0] for row in sql(
        "insert into outbox.delivery (event_seq, event_id, event_type, endpoint) select e.seq, e.id, e.type, %s"
        "  from outbox.event e where not exists (select from outbox.delivery d where d.event_seq = e.seq)"
        " order by e.seq returning id", endpoint_id)]


def states(endpoint_id):
    return dict(sql("select state, count(*)::int from outbox.delivery where endpoint = %s group by 1", endpoint_id))


def ends_as(endpoint_id, wanted):
    return tap.wait_until(lambda: states(endpoint_id) == wanted) or tap.diag(states(endpoint_id))


def start_dispatcher():
    process = tap.spawn([tap.BUILD + "/tests/tools/dispatch-driver", "--dsn", dsn + " options='-c role=outbox_relay'",
                         "--worker", "w", "--poll-ms", "30", "--allow", "127.0.0.0/8"],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if process.stdout.readline() != "ready\n":
        tap.bail("the dispatcher does not start")
    return process


# ---- endpoints ----

def switching():
    switched = endpoint("switched")
    code, output, _ = ctl("endpoint", "disable", "switched", "--reason", "maintenance")
    tap.is_((code, output), (OK, f"disabled {switched}; its 0 open deliveries wait\n"), "endpoint disable")
    tap.is_(audit("who", "action", "subject", "reason"), ("postgres", "endpoint disable", switched, "maintenance"),
            "endpoint disable: who, what and why are in the audit")
    deliver(switched, 3)
    dispatcher = start_dispatcher()
    other = endpoint("other")
    deliver(other)
    tap.ok(ends_as(other, {"delivered": 1}), "endpoint disable: others get theirs")
    tap.is_(states(switched), {"pending": 3}, "endpoint disable: what is open waits")
    tap.is_(ctl_json("endpoint", "disable", switched), {"id": switched, "changed": False, "open": 3},
            "endpoint disable: again it changes nothing, and says how many wait")
    tap.is_(ctl_json("endpoint", "list")[0]["disabled_reason"], "maintenance", "endpoint disable: the list says why")
    tap.is_(ctl_json("endpoint", "enable", "switched", "--reason", "done"),
            {"id": switched, "changed": True, "open": 3}, "endpoint enable: says how many waited")
    tap.ok(ends_as(switched, {"delivered": 3}), "endpoint enable: the running dispatcher sends them")
    tap.like(ctl("endpoint", "enable", "switched")[1], "is enabled already; it has 0 open", "endpoint enable: again")
    for verb in ("disable", "enable", "test"):
        refused(["endpoint", verb, "nobody"], NOT_FOUND, "there is no endpoint nobody", f"endpoint {verb}: unknown")
    tap.end(dispatcher)


def certificate():
    both = tap.TMP + "/both.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", both, "-out", tap.TMP + "/ca.pem", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, stderr=subprocess.DEVNULL)
    with open(tap.TMP + "/ca.pem", encoding="ascii") as made, open(both, "a", encoding="ascii") as f:
        f.write(made.read())
    return both


def testing():
    tested = endpoint("tested")
    sql("insert into outbox.endpoint_secret (endpoint, secret) values (%s, %s)", tested, SECRET[::-1])
    ctl("endpoint", "disable", "tested")
    got = ctl_json("endpoint", "test", "tested", "--reason", "a try", *LOOPBACK)
    request = receiver.requests("/tested")[0]
    tap.is_((got["delivered"], got["status"], got["address"], got["error"]), (True, 200, "127.0.0.1", None),
            "endpoint test: delivered, also to a disabled one")
    tap.ok(request.signed_by(SECRET) and request.signed_by(SECRET[::-1]), "endpoint test: signed by each secret")
    tap.is_((request.id, request.headers["outbox-type"], request.headers["content-type"]),
            (got["message_id"], "outbox.test", "application/json"), "endpoint test: the headers of a webhook")
    tap.is_(json.loads(request.body)["type"], "outbox.test", "endpoint test: a small JSON")
    tap.ok(0 <= got["resolved_us"] <= got["connected_us"] <= got["first_byte_us"] <= got["total_us"],
           "endpoint test: the phases in their order")
    tap.ok(got["sent_bytes"] > len(request.body) and got["tls_us"] is None, "endpoint test: bytes sent, no TLS")
    tap.is_(audit("action", "subject", "reason", "detail ->> 'message_id'"),
            ("endpoint test", tested, "a try", got["message_id"]), "endpoint test: is in the audit")
    tap.is_(states(tested), {}, "endpoint test: is no delivery")
    receiver.script("/tested", [status(503, body=b"no\x1b[2J")])
    code, output, _ = ctl("endpoint", "test", "tested", *LOOPBACK)
    tap.is_(code, FAILED, "endpoint test: exit 1 if the answer is no 2xx")
    tap.like(output, r"first byte +[0-9.]+ ms  status 503\n(.*\n)*no\\x1b\[2J.*\n\nNOT DELIVERED", "endpoint test: shows it")
    receiver.script("/tested", [status(503, body=b"\xff\xfe")])
    tap.like(ctl("endpoint", "test", "tested", *LOOPBACK)[1], "2 bytes that are not UTF-8", "endpoint test: binary")
    receiver.script("/tested", [status(302, {"Location": receiver.url("/elsewhere")})])
    tap.is_(ctl_json("endpoint", "test", "tested", *LOOPBACK, wanted=FAILED)["status"], 302, "endpoint test: no redirect")
    tap.is_(receiver.requests("/elsewhere"), [], "endpoint test: is followed")
    receiver.script("/tested", [drop_after()])
    got = ctl_json("endpoint", "test", "tested", *LOOPBACK, wanted=FAILED)
    tap.ok(got["status"] is None and got["sent_bytes"] > 0 and got["error"], "endpoint test: sent, and no answer")
    tap.is_(len(receiver.requests("/tested")), 5, "endpoint test: never repeats a request")
    got = ctl_json("endpoint", "test", "tested", wanted=FAILED)
    tap.ok(got["sent_bytes"] == 0 and "127.0.0.1 is not public" in got["error"], "endpoint test: not to any address")
    tap.like(ctl("endpoint", "test", "tested")[2], "here it is --allow", "endpoint test: says how to allow it")
    endpoint("nowhere", "http://nowhere.invalid/")
    got = ctl_json("endpoint", "test", "nowhere", wanted=FAILED)
    tap.ok(got["resolved_us"] is None and got["error"], "endpoint test: a name that does not resolve")
    sql("delete from outbox.endpoint_secret where endpoint = %s", tested)
    before = audited()
    refused(["endpoint", "test", "tested", *LOOPBACK], REFUSED, "no live secret.*never sent unsigned", "endpoint test: unsigned")
    refused(["endpoint", "test", "nowhere", "--ca-file", "/nonexistent"], USAGE, "cannot read", "endpoint test: no CA file")
    tap.is_(audited(), before + 1, "endpoint test: one that is refused leaves no row, one that is not sent does")


def testing_tls():
    secure = Receiver(certificate=certificate())
    tap.at_exit(secure.close)
    endpoint("secure", secure.url("/s", "localhost"))
    allow = ("--allow", "127.0.0.0/8,::1/128")
    got = ctl_json("endpoint", "test", "secure", *allow, "--ca-file", tap.TMP + "/ca.pem")
    tap.ok(got["delivered"] and got["connected_us"] < got["tls_us"] <= got["first_byte_us"], "endpoint test: TLS is a phase")
    got = ctl_json("endpoint", "test", "secure", *allow, wanted=FAILED)
    tap.like(got["error"], "certificate", "endpoint test: an unknown certificate")
    tap.is_(len(secure.requests()), 1, "endpoint test: for which nothing is sent")


# ---- deliveries ----

def retrying():
    dead = endpoint("dead")
    receiver.script("/dead", [status(500)])
    dispatcher = start_dispatcher()
    ids = deliver(dead, 5)
    tap.ok(ends_as(dead, {"dead": 5}), "delivery retry: five are dead")
    receiver.script("/dead", [status(200)])
    before = audited()
    code, output, _ = ctl("delivery", "retry", str(ids[0]), str(ids[1]), "--reason", "repaired")
    tap.is_((code, output), (OK, "2 deliveries are due now\n"), "delivery retry: two of them")
    tap.ok(ends_as(dead, {"dead": 3, "delivered": 2}), "delivery retry: are delivered")
    tap.is_(sql("select sends, attempts from outbox.delivery where id = %s", ids[0]), [(2, 1)],
            "delivery retry: the sends go on, the schedule begins anew")
    shown = ctl_json("delivery", "show", str(ids[0]))["attempt_list"]
    tap.is_([(a["attempt"], a["outcome"], a["status"]) for a in shown], [(1, "refused", 500), (2, "delivered", 200)],
            "delivery retry: delivery show has both attempts")
    tap.is_(audited(), before + 2, "delivery retry: each is in the audit")
    tap.is_(audit("action", "subject", "reason", "detail"),
            ("delivery retry", str(ids[1]), "repaired", {"was": "dead"}), "delivery retry: with what it was, and why")
    tap.is_(ctl_json("delivery", "retry", "--endpoint", "dead", "--state", "dead", "--limit", "1"), {"retried": 1},
            "delivery retry: one of an endpoint's")
    tap.ok(ends_as(dead, {"dead": 2, "delivered": 3}), "delivery retry: is delivered")
    tap.is_(ctl_json("delivery", "retry", "--endpoint", "dead", "--state", "dead"), {"retried": 2}, "delivery retry: all")
    tap.ok(ends_as(dead, {"delivered": 5}), "delivery retry: are delivered")
    tap.is_(ctl_json("delivery", "retry", "--endpoint", "dead", "--state", "dead"), {"retried": 0}, "delivery retry: none left")
    refused(["delivery", "retry", str(ids[0])], REFUSED, "was delivered", "delivery retry: a delivered one")
    refused(["delivery", "retry", "0"], NOT_FOUND, "no delivery 0", "delivery retry: unknown")
    for arguments, pattern in (([], "Give their IDs, or"), (["x"], "ID: must be a number"), (["--endpoint", "dead"], "which"),
                               (["1", "--endpoint", "dead"], "either IDs or"), (["1", "--limit", "3"], "either IDs or"),
                               (["--endpoint", "dead", "--state", "delivered"], "failed, dead, parked or unknown"),
                               (["--endpoint", "dead", "--state", "dead", "--limit", "0"], "from 1")):
        refused(["delivery", "retry", *arguments], USAGE, pattern, "delivery retry " + " ".join(arguments))
    tap.end(dispatcher)


def retrying_many():
    """More than one batch: each is a transaction, and a row in the audit."""
    many = endpoint("many")
    ctl("endpoint", "disable", "many")
    deliver(many, 2300)
    sql("update outbox.delivery set state = 'parked' where endpoint = %s", many)
    before = audited()
    tap.is_(ctl_json("delivery", "retry", "--endpoint", "many", "--state", "parked"), {"retried": 2300},
            "delivery retry: many")
    tap.is_(sql("select (detail ->> 'count')::int, jsonb_array_length(detail -> 'deliveries') from outbox.audit"
                " order by id desc limit %s", audited() - before), [(300, 300), (1000, 1000), (1000, 1000)],
            "delivery retry: in batches, with the ids in the audit")


def fencing():
    """An operator's decision and a sender that is still at it: whoever comes second learns of it."""
    fenced = endpoint("fenced", policy="park", schedule="{0ms,1h}")
    delivery = deliver(fenced)[0]
    claim = "select delivery, token from outbox.delivery_claim('s', array[%s]::uuid[], array[1], 1, '1 hour')"
    finish = """select count(*) from outbox.delivery_finish(array[%s]::bigint[], array[%s]::bigint[], array['delivered'],
                array[true], array[null]::interval[], array['delivered'], array[200], array[null], array[now()], array['a'],
                array[1::bigint], array[1::bigint], array[1::bigint], array[1::bigint], array[1::bigint], array[1::bigint],
                array[''])"""
    _, token = sql(claim, fenced)[0]
    refused(["delivery", "retry", str(delivery)], REFUSED, "is being sent", "fencing: a delivery that is being sent")
    refused(["delivery", "resolve", str(delivery), "--as", "dead"], REFUSED, "is being sent", "fencing: is not resolved")
    sql("update outbox.delivery set lease_until = now() - interval '1 s' where id = %s", delivery)
    sql("select outbox.delivery_recover()")
    tap.is_(states(fenced), {"parked": 1}, "fencing: its sender is thought to be gone")
    tap.is_(ctl("delivery", "retry", str(delivery))[0], OK, "fencing: an operator retries")
    tap.is_(sql(finish, delivery, token), [(0,)], "fencing: the old sender's result is not accepted")
    _, second = sql(claim, fenced)[0]
    tap.ok(second > token, "fencing: the next has a token of its own")
    tap.is_(sql(finish, delivery, token), [(0,)], "fencing: still not accepted")
    tap.is_(sql(finish, delivery, second), [(1,)], "fencing: the bearer's result is")

    # a claim that has not committed: the operator waits for it, then is refused
    delivery = deliver(fenced)[0]
    sql("update outbox.delivery set state = 'failed' where id = %s", delivery)
    claiming = tap.connect(dsn, autocommit=False)
    claiming.cursor().execute(claim, (fenced,))
    answer = []
    thread = threading.Thread(target=lambda: answer.append(ctl("delivery", "retry", str(delivery))))
    thread.start()
    waits = "select count(*) from pg_stat_activity where application_name = 'outboxctl' and wait_event_type = 'Lock'"
    tap.ok(tap.wait_until(lambda: sql(waits) == [(1,)]), "fencing: the retry waits for a claim that is being made")
    claiming.commit()
    claiming.close()
    thread.join(30)
    tap.is_(answer[0][0], REFUSED, "fencing: and is refused then")
    tap.like(answer[0][2], "is being sent", "fencing: because it is being sent")
    tap.is_(states(fenced), {"delivered": 1, "sending": 1}, "fencing: which goes on")


def resolving():
    undecided = endpoint("undecided", policy="park")
    ctl("endpoint", "disable", "undecided")
    ids = deliver(undecided, 2)
    sql("update outbox.delivery set state = 'parked' where endpoint = %s", undecided)
    code, output, _ = ctl("delivery", "resolve", str(ids[0]), "--as", "delivered", "--reason", "seen in their log")
    tap.is_((code, output), (OK, f"delivery {ids[0]} is delivered now; it was parked\n"), "delivery resolve")
    tap.is_(audit("action", "subject", "reason", "detail"),
            ("delivery resolve", str(ids[0]), "seen in their log", {"was": "parked", "as": "delivered"}),
            "delivery resolve: is in the audit")
    tap.is_(ctl_json("delivery", "resolve", str(ids[1]), "--as", "dead"),
            {"id": ids[1], "state": "dead", "was": "parked"}, "delivery resolve: as dead, as JSON")
    tap.is_(states(undecided), {"delivered": 1, "dead": 1}, "delivery resolve: it is so")
    before = audited()
    refused(["delivery", "resolve", str(ids[0]), "--as", "dead"], REFUSED, "that stands", "delivery resolve: a delivered one")
    refused(["delivery", "resolve", "0", "--as", "dead"], NOT_FOUND, "no delivery 0", "delivery resolve: unknown")
    refused(["delivery", "resolve", str(ids[0])], USAGE, "--as: must be delivered or dead", "delivery resolve: as what?")
    refused(["delivery", "resolve", str(ids[0]), "--as", "failed"], USAGE, "--as: must be", "delivery resolve: as failed")
    refused(["delivery", "resolve", "x", "--as", "dead"], USAGE, "ID: must be a number", "delivery resolve: no number")
    tap.is_(audited(), before, "delivery resolve: what is refused leaves no row")


# ---- the rest ----

def routes():
    ctl("route", "add", "order.*", "orders", "--reason", "by topic")
    tap.is_(audit("action", "subject", "reason", "detail"), ("route add", "order.*", "by topic", {"topic": "orders"}),
            "route add: is in the audit")
    ctl("route", "add", "order.*", "--webhooks-only", "--replace")
    tap.is_(audit("detail"), ({"topic": None, "was": "orders"},), "route add --replace: with what was")
    ctl("route", "remove", "order.*", "--reason", "over")
    tap.is_(audit("action", "subject", "reason"), ("route remove", "order.*", "over"), "route remove: is in the audit")


def reasons():
    added = ctl_json("endpoint", "add", "https://x/", "--reason", "it's new; \"quoted\"")
    tap.is_(audit("action", "subject", "reason"), ("endpoint add", added["id"], "it's new; \"quoted\""), "endpoint add --reason")
    ctl("endpoint", "remove", added["id"], "--reason", "old")
    tap.is_(audit("action", "subject", "reason"), ("endpoint remove", added["id"], "old"), "endpoint remove --reason")
    fresh = tap.create_database(migrate=False)
    tap.outboxctl(fresh, "migrate", "--reason", "first")
    tap.is_(tap.sql(fresh, "select who, action, subject, reason from outbox.audit order by id desc limit 1")[0][:2],
            ("postgres", "migrate"), "migrate: is in the audit")
    tap.is_(tap.sql(fresh, "select count(*) from outbox.audit where action = 'migrate'"), [(len(tap.MIGRATIONS),)],
            "migrate: each migration")


def lanes():
    tap.is_(ctl_json("lane", "list")[0]["state"], "unowned", "lane list: nobody holds it")
    sql("select outbox.lane_acquire(1, 0, 'relay one', '1 hour')")
    lane = ctl_json("lane", "list")[0]
    tap.is_([lane[name] for name in ("map", "lane", "bucket_low", "bucket_high", "state", "holder", "epoch", "published")],
            [1, 0, 0, 255, "running", "relay one", 1, 0], "lane list: who holds it")
    tap.ok(3500 < lane["lease_left"] <= 3600, "lane list: the rest of the lease")
    tap.ok(lane["lag_events"] > 0 and lane["lag_seconds"] >= 0, "lane list: its lag")
    output = ctl("lane", "list")[1]
    tap.like(output, r"^map  lane  buckets  state    owner      epoch +lease_left  position .*\n +1 +0  0-255 +running  relay one",
             "lane list: for people")
    sql("select outbox.lane_halt(1, 0, 1, 'marker_missing', 'no marker in ' || chr(27) || 'x')")
    tap.is_(ctl_json("lane", "list")[0]["state"], "halted", "lane list: halted")
    tap.like(ctl("lane", "list")[1], r"lane 0 is halted: marker_missing: no marker in \\x1bx", "lane list: says why")


def rights():
    """An admin operates by functions alone; a reader does not."""
    for role, verbs, wanted in (("outbox_admin", "may", OK), ("outbox_reader", "may not", REFUSED)):
        user = tap.unique("user")
        sql(f"create role {user} login in role {role}")
        tap.at_exit(tap.sql, tap.DSN, f"drop role if exists {user}")
        one = deliver(sql("select id from outbox.endpoint where name = 'other'")[0][0])[0]
        sql("update outbox.delivery set state = 'parked' where id = %s", one)
        for verb in (["endpoint", "disable", "other"], ["endpoint", "enable", "other"], ["delivery", "retry", str(one)],
                     ["delivery", "resolve", str(one), "--as", "dead"], ["route", "add", "x", "y", "--replace"],
                     ["route", "remove", "x"], ["endpoint", "test", "other", *LOOPBACK]):
            tap.is_(ctl(*verb, user=user)[0], wanted, f"{role} {verbs} " + " ".join(verb[:2]))
        if wanted == OK:
            tap.is_(audit("who"), (user,), f"{role}: the audit has the user's own name")
        tap.is_(ctl("lane", "list", user=user)[0], OK, f"{role} may lane list")


def manual():
    """help --json is what the manual is made of."""
    code, output, _ = tap.run([tap.BUILD + "/outboxctl", "help", "--json"])
    told = json.loads(output)
    tap.is_(code, OK, "help --json")
    names = [command["name"] for command in told["commands"]]
    tap.ok({"doctor", "lane list", "delivery retry", "endpoint test"} <= set(names), "help --json: names the commands")
    for command in told["commands"]:
        flags = [flag["name"] for flag in command["flags"]]
        changes = command["changes"] and command["name"] != "emit"
        tap.is_("reason" in flags, changes, f"{command['name']}: --reason exactly if it changes something")
        for example in command["examples"]:
            tap.ok(example["line"].startswith(command["name"]), f"{command['name']}: its example is one of it")


switching()
testing()
testing_tls()
retrying()
retrying_many()
fencing()
resolving()
routes()
reasons()
lanes()
rights()
manual()
tap.done_testing()
