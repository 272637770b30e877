#!/usr/bin/python3
# deadline: 300
"""The example API: each status where it belongs, and for each committed change of a user exactly one event, whatever
clients, keys and kill -9 do. A trigger of this test keeps what was committed; the events must tell the same."""
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

import tap

API = os.path.join(tap.BUILD, "examples", "crud-api", "crud-api")
LOG = os.path.join(tap.TMP, "crud-api.log")
JSON = {"Content-Type": "application/json"}
THREADS = 8
REQUESTS = 60  # of each thread
HOT = 6        # users that all threads change
SEED = int(os.environ.get("CRUD_SEED", random.randrange(1 << 30)))

HISTORY = """
create table crud.history (n bigserial, xid text not null default pg_current_xact_id()::text, op text not null,
                           id bigint not null, version bigint, name text, email text);
create function crud.keep_history() returns trigger language plpgsql security definer as $$
declare r crud.users := case when tg_op = 'DELETE' then old else new end;
begin
    insert into crud.history (op, id, version, name, email) values (tg_op, r.id, r.version, r.name, r.email);
    return null;
end $$;
create trigger keep_history after insert or update or delete on crud.users
    for each row execute function crud.keep_history()"""

role = tap.unique("api")
tap.at_exit(tap.sql, tap.DSN, f"drop role if exists {role}")  # after the database, where it has rights
owner_dsn = tap.create_database()
dsn = f"{owner_dsn} user={role}"


# ---- the API and its clients ----

def start(*options, port=0):
    """Returns the process and its port."""
    with open(LOG, "ab") as log:
        process = tap.spawn([API, "--port", str(port), "--statement-timeout-ms", "20000", *options], stdout=subprocess.PIPE, stderr=log, text=True,
                            env=dict(os.environ, OUTBOX_DSN=dsn))
    found = re.match(r"listening on http://127\.0\.0\.1:(\d+)$", process.stdout.readline())
    if not found:
        tap.bail("the API does not start: " + log_text())
    return process, int(found.group(1))


def log_text():
    with open(LOG, encoding="utf-8") as file:
        return file.read()


def log_lines():
    return len(re.findall("^event=request ", log_text(), re.M))


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.text = response.status, response.headers, response.read().decode()
        self.json = json.loads(self.text) if self.text else None


class Client:
    """One connection, that is kept."""
    calls = 0  # of all; exact as long as one thread calls

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def __call__(self, method, path, body=None, **headers):
        """A dict is sent as JSON; a header's name has _ for -."""
        if isinstance(body, dict):
            body, headers = json.dumps(body), {**JSON, **headers}
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        Client.calls += 1
        try:
            self.connection.request(method, path, body, headers, encode_chunked="Transfer-Encoding" in headers)
            return Answer(self.connection.getresponse())
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def send_only(self, method, path, body):
        """And go away without hearing what became of it."""
        self.connection.request(method, path, json.dumps(body), JSON)
        self.connection.close()


def user(name, email=None):
    return {"name": name, "email": email or f"{name}@example.org"}


# ---- the oracle ----

def expected_event(entry, before):
    xid, operation, key, version, name, email = entry
    state = {"id": key, "version": version, "name": name, "email": email}
    if operation == "INSERT":
        return xid, "user_created", {"user": state}
    if operation == "UPDATE":
        return xid, "user_updated", {"user": state, "before": before}
    return xid, "user_deleted", {"user": {"id": key, "version": version + 1}}


def history():
    return tap.sql(owner_dsn, "select xid, op, id, version, name, email from crud.history order by n")


def compare():
    """What the events tell wrongly of the rows."""
    complaints, wanted, told, last = [], {}, {}, {}
    for entry in history():
        key, version = entry[2], entry[3]
        before = last.get(key)
        wanted.setdefault(key, []).append(expected_event(entry, before))
        if entry[1] != "DELETE" and version != (before["version"] if before else 0) + 1:
            complaints.append(f"user {key} went from {before} to version {version}")
        last[key] = None if entry[1] == "DELETE" else dict(zip(("id", "version", "name", "email"), entry[2:]))
    for xid, kind, key, topic, payload in tap.sql(
            owner_dsn, "select xid::text, type, key::bigint, topic, convert_from(payload, 'UTF8')"
                       "  from outbox.event order by seq"):
        told.setdefault(key, []).append((xid, kind, json.loads(payload)))
        if topic != "users":
            complaints.append(f"topic {topic}")
    for key in sorted(wanted.keys() | told.keys()):
        if wanted.get(key) != told.get(key):
            complaints.append(f"user {key}: committed {wanted.get(key)}; told {told.get(key)}")
    rows = {row[0]: row for row in tap.sql(owner_dsn, "select id, version, name, email from crud.users")}
    if rows != {key: tuple(state.values()) for key, state in last.items() if state}:
        complaints.append("the history is not that of the rows")
    return complaints


def changes():
    return len(history())


# ---- one by one ----

def readme(port):
    """The story of its README: each command, and the lines that it says are printed."""
    with open(os.path.join(tap.SRC, "examples", "crud-api", "README.md"), encoding="utf-8") as file:
        text = file.read()
    story = re.findall(r"^    \$ (curl (?:.*\\\n)*.*)\n((?:    .+\n)*)", text, re.M)
    for command, wanted in story:
        status, output, _ = tap.run(["bash", "-c", command.replace("8080", str(port))])
        lines = output.replace("\r", "").splitlines()
        missing = [line for line in map(str.strip, wanted.splitlines()) if line not in lines]
        tap.is_((status, missing), (0, []), "README: " + command.split(" -d ")[0].split("#")[0].split(" \\")[0])
    Client.calls += len(story)
    events = tap.sql(owner_dsn, "select type, convert_from(payload, 'UTF8') from outbox.event order by seq")
    table = re.findall(r"^\| `(user_\w+)` \| `(.*)` \|$", text, re.M)
    like = [(kind, re.escape(payload).replace(re.escape("..."), ".*")) for kind, payload in table]
    tap.ok(len(story) == 4 and len(events) == len(like) == 3 and
           all(e[0] == w[0] and re.fullmatch(w[1], e[1]) for e, w in zip(events, like)), "and its events")


def statuses(port):
    call, before = Client(port), changes()
    made = call("POST", "/users", user("ada"))
    tap.is_((made.status, made.headers["ETag"], made.json["version"]), (201, '"1"', 1), "POST: 201, with the version")
    path = made.headers["Location"]
    tap.is_(path, f"/users/{made.json['id']}", "and a Location")
    got = call("GET", path)
    tap.is_((got.status, got.headers["ETag"], got.json), (200, '"1"', made.json), "GET: 200, the same")
    tap.is_(call("HEAD", path).status, 200, "HEAD, too")
    put = call("PUT", path, user("Ada L", "ada@example.org"))
    tap.is_((put.status, put.headers["ETag"], put.json["name"]), (200, '"2"', "Ada L"), "PUT: 200, another version")
    count = changes()
    again = call("PUT", path, put.json)
    tap.is_((again.status, again.json, changes()), (200, put.json, count),
            "the same PUT again, of what GET gives: 200, and nothing to tell")
    tap.is_(call("PUT", path, user("stale"), If_Match='"1"').status, 412, "PUT if it still is version 1: 412")
    tap.is_(call("PUT", path, user("weak"), If_Match='W/"2"').status, 412, "a weak tag does not match")
    tap.is_(call("PUT", path, user("ada"), If_Match='"7", "2"').status, 200, "PUT if it is version 2 or 7: 200")
    tap.is_(call("POST", "/users", user("bob", "ADA@example.org")).status, 409, "an email that is taken: 409")
    call("POST", "/users", user("bob"))
    taken = call("PUT", path, user("ada", "bob@example.org"))
    tap.is_((taken.status, taken.json["errors"][0]["field"]), (409, "email"), "by PUT, too, and it says which field")
    refusals(call, path)
    tap.is_(call("DELETE", path, If_Match='"1"').status, 412, "DELETE if it still is version 1: 412")
    tap.is_((call("DELETE", path).status, call("DELETE", path).status), (204, 404), "DELETE: 204, then 404")
    tap.is_((call("GET", path).status, call("PUT", path, user("ada")).status), (404, 404), "and so GET and PUT")
    tap.is_(changes() - before, 5, "five changes were made")
    tap.no_complaints(compare(), "five events tell of them")
    # the last line may come after its answer
    tap.wait_until(lambda: log_lines() >= Client.calls)
    tap.is_(log_lines(), Client.calls, "each request has a line in the log")


def refusals(call, path):
    count = changes()
    tap.is_([call("POST", "/users", body, **JSON).status for body in ("{", "", '{"name": "a", "name": "b"}', '"\xff"')],
            [400] * 4, "no JSON: 400")
    tap.is_([call("GET", "/users/" + i).status for i in ("x", "0", "-1", "+1", "01", "1%20", "9223372036854775808")],
            [400] * 7, "no id: 400")
    tap.is_(call("GET", "/users/9223372036854775807").status, 404, "the largest id: 404")
    tap.is_([call("GET", p).status for p in ("/", "/users/", "/users/1/x", "/user")], [404] * 4, "another path: 404")
    patch, get = call("PATCH", path), call("GET", "/users")
    tap.is_((patch.status, patch.headers["Allow"]), (405, "GET, HEAD, PUT, DELETE"), "PATCH of a user: 405")
    tap.is_((get.status, get.headers["Allow"]), (405, "POST"), "GET of all users: 405")
    tap.is_([call("PUT", path, "{}", Content_Type=t).status for t in ("text/plain", "application/jsonx", "")],
            [415] * 3, "not said to be JSON: 415")
    tap.is_(call("PUT", path, "{}", Content_Type="Application/JSON; charset=utf-8").status, 422, "said otherwise: 422")
    bad = call("PUT", path, {"name": "", "age": 7})
    tap.is_((bad.status, bad.headers["Content-Type"], {e["field"] for e in bad.json["errors"]}),
            (422, "application/problem+json", {"name", "email", "age"}), "fields that are wrong: 422, and which")
    many = call("PUT", path, {f"f{i}": i for i in range(1000)})
    tap.is_((many.status, len(many.json["errors"])), (422, 20), "of 1,000 wrong fields 20 are told")
    tap.is_([call("POST", "/users", user(*u)).status for u in
             (("n" * 201, "n@n"), ("a\nb",), ("ok", "@x"), ("ok", "x@"), ("ok", "a@b@c"), ("ok", "n@" + "n" * 254))],
            [422] * 6, "what is no name and no email: 422")
    tap.is_(call("POST", "/users", "[]", **JSON).status, 422, "JSON, but no object: 422")
    tap.is_(call("PUT", path, user("x" * 100000)).status, 413, "a body of 100 kB: 413")
    tap.is_(call("GET", path).status, 200, "on a connection that stays")
    tap.is_(call("PUT", path, iter([b" " * 40000] * 2), Transfer_Encoding="chunked", **JSON).status, 413,
            "and one of 80 kB that is not announced")
    with socket.create_connection(("127.0.0.1", call.connection.port), 10) as raw:
        raw.sendall(b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
        Client.calls += 1
        tap.like(raw.recv(100).decode(), r"^HTTP/1.1 413 ", "9 MB are refused before they come: 413")
    tap.is_(changes(), count, "none of it changed anything")


def idempotency(port):
    call = Client(port)
    first, again = (call("POST", "/users", user("key"), Idempotency_Key="k1") for _ in range(2))
    tap.is_((first.status, first.headers["Idempotency-Replayed"]), (201, None), "POST with a key: 201")
    tap.is_((again.status, again.text, again.headers["Location"], again.headers["Idempotency-Replayed"]),
            (201, first.text, first.headers["Location"], "true"), "again: the same answer")
    call("DELETE", first.headers["Location"])
    tap.is_(call("POST", "/users", user("key"), Idempotency_Key="k1").text, first.text, "even when the user is gone")
    tap.is_(call("POST", "/users", user("other"), Idempotency_Key="k1").status, 422, "the key with another body: 422")
    tap.is_(call("POST", "/users", user("key"), Idempotency_Key="k" * 256).status, 400, "no key: 400")
    tap.is_(call("POST", "/users", user("bob"), Idempotency_Key="k2").status, 409, "a POST that fails keeps no key")
    tap.is_(call("POST", "/users", user("carol"), Idempotency_Key="k2").status, 201, "which is free still")
    races(port)


def races(port):
    """Many with one key at once."""
    complaints, busy = [], 0
    for number in range(10):
        answers, barrier = [], threading.Barrier(THREADS)

        def race(name=f"race{number}", answers=answers, barrier=barrier):
            call = Client(port)
            barrier.wait(30)
            answers.append(call("POST", "/users", user(name), Idempotency_Key=name))

        complaints += run_threads([race] * THREADS)
        made = [a for a in answers if a.status == 201]
        told_busy = [a for a in answers if a.status == 409 and "under way" in a.json["detail"]]
        busy += len(told_busy)
        if len(made) + len(told_busy) != THREADS or len({a.text for a in made}) != 1 or \
                sum(a.headers["Idempotency-Replayed"] is None for a in made) != 1:
            complaints.append([(a.status, a.text) for a in answers])
    tap.no_complaints(complaints, "of eight POSTs with one key one creates, and all others tell of it or are busy: 409")
    tap.is_(tap.sql(owner_dsn, "select count(*)::int from crud.users where name like 'race%'"), [(10,)], "ten users")
    # The key is in use for certain while another transaction has it.
    holder = tap.connect(owner_dsn, autocommit=False)
    holder.cursor().execute("select pg_advisory_xact_lock(hashtextextended('crud.idempotency k3', 0))")
    tap.is_(Client(port)("POST", "/users", user("dave"), Idempotency_Key="k3").status, 409, "a key in use: 409")
    holder.close()
    tap.diag(f"{busy} were busy")


def run_threads(functions):
    """Returns what went wrong."""
    failed = []

    def guarded(function):
        try:
            function()
        except Exception as error:  # pylint: disable=broad-except
            failed.append(repr(error))

    threads = [threading.Thread(target=guarded, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return failed + ["a thread hangs"] * sum(t.is_alive() for t in threads)


# ---- everything at once ----

class Storm:
    """Clients that do all of it, to some users together; and what became of each change, by its unique name."""
    def __init__(self, port, ids):
        self.port, self.ids = port, ids
        self.made, self.failed, self.unknown, self.seen, self.deleted = set(), set(), set(), set(), []
        self.statuses = {}
        self.done = 0

    def client(self, number):
        dice = random.Random(SEED + number)
        call = Client(self.port)
        for i in range(REQUESTS):
            name = f"s{number}x{i}"
            try:
                self.step(call, dice, name)
            except (OSError, http.client.HTTPException):
                self.unknown.add(name)
                tap.wait_until(lambda: not refuses(self.port))
            self.done += 1

    def step(self, call, dice, name):
        place = dice.randrange(HOT)
        path = f"/users/{self.ids[place]}"
        what = dice.choices(("put", "if", "take", "bad", "get", "abort", "post", "delete"), (30, 10, 5, 5, 15, 10, 15, 2))[0]
        if what == "abort":
            self.unknown.add(name)
            call.send_only("PUT", path, user(name))
        elif what == "post":
            self.create(call, name)
        elif what == "get":
            self.note(call("GET", path), None)
        elif what == "delete":
            answer = call("DELETE", path)
            self.note(answer, None)
            if answer.status in (204, 404):  # the others go on with a new one
                self.deleted += [path] * (answer.status == 204)
                self.ids[place] = self.create(call, name).json["id"]
        elif what == "if":
            tag = call("GET", path).headers["ETag"]
            self.note(call("PUT", path, user(name), If_Match=tag or '"0"'), name)
        else:
            body = {"put": user(name), "take": user(name, "bob@example.org"), "bad": {"name": name}}[what]
            self.note(call("PUT", path, body), name)

    def create(self, call, name):
        """Again with the same key, until it is known what became of it."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                answer = call("POST", "/users", user(name), Idempotency_Key=name)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if answer.status == 409 and "errors" not in answer.json or answer.status == 503:
                continue
            self.note(answer, name)
            return answer
        raise TimeoutError(name)

    def note(self, answer, name):
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        if answer.status in (200, 201):
            self.seen.add((answer.json["id"], answer.json["version"], answer.json["name"]))
        if name and answer.status in (200, 201):
            self.made.add(name)
        elif name and answer.status == 500:  # the connection to the database broke during COMMIT
            self.unknown.add(name)
        elif name:
            self.failed.add(name)

    def complaints(self):
        found = []
        stored = {(h[2], h[3], h[4]) for h in history() if h[1] != "DELETE"}
        names = [h[4] for h in history() if h[1] != "DELETE" and re.match(r"s\d+x\d+$", h[4])]
        if len(names) != len(set(names)):
            found.append("a request changed something twice")
        found += [f"answered, but not committed: {n}" for n in self.made - set(names)]
        found += [f"refused, but committed: {n}" for n in self.failed & set(names)]
        found += [f"from nowhere: {n}" for n in set(names) - self.made - self.unknown]
        gone = {f"/users/{h[2]}" for h in history() if h[1] == "DELETE"}
        found += [f"deleted by an answer only, or twice: {p}" for p in self.deleted
                  if p not in gone or self.deleted.count(p) > 1]
        found += [f"shown, but never committed: {s}" for s in self.seen - stored]
        return found


def storm(process, port):
    tap.diag(f"CRUD_SEED={SEED}")
    call = Client(port)
    ids = [call("POST", "/users", user(f"hot{i}")).json["id"] for i in range(HOT)]
    total = Storm(port, ids)
    before = changes()

    def killer():
        """Twice, in the midst; the database has to find it out by itself."""
        current = process
        for share in (0.3, 0.6):
            tap.wait_until(lambda s=share: total.done > THREADS * REQUESTS * s, deadline=60, interval=0.002)
            tap.end(current, signal.SIGKILL)
            current, _ = start(port=port)
        total.process = current

    tap.no_complaints(run_threads([lambda n=n: total.client(n) for n in range(THREADS)] + [killer]),
                      "clients and killer come to their end")
    tap.wait_until(lambda: tap.sql(owner_dsn, "select count(*)::int from pg_stat_activity where state <> 'idle'"
                                              " and application_name = 'crud-api'") == [(0,)])
    tap.diag(f"{changes() - before} changes; answers: {sorted(total.statuses.items())}; {len(total.unknown)} unknown")
    tap.ok(len(total.made) > 100 and {409, 412, 422} <= total.statuses.keys(), "much was done and refused")
    tap.no_complaints(total.complaints(), "what was answered was committed, what was refused was not")
    tap.no_complaints(compare(), "for each committed change there is exactly one event, in order, and no other")
    return total.process


# ---- without what it needs, and at its end ----

def waiting():
    return tap.sql(owner_dsn, "select count(*)::int from pg_stat_activity where application_name = 'crud-api'"
                              " and wait_event_type = 'Lock'")[0][0]


def held_back():
    """A pool of one connection, that is held up by a lock of this test."""
    process, port = start("--connections", "1", "--pool-wait-ms", "200")
    call = Client(port)
    tap.sql(owner_dsn, "select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'crud-api'")
    made = call("POST", "/users", user("held"))
    tap.is_(made.status, 201, "a connection that the server has ended is replaced")
    path = made.headers["Location"]
    for at_end in (False, True):
        answers = []
        holder = tap.connect(owner_dsn, autocommit=False)
        holder.cursor().execute("select from crud.users where id = %s for update", (made.json["id"],))
        writer = threading.Thread(target=lambda a=answers, n=at_end: a.append(
            Client(port)("PUT", path, user(f"held{n}"))), daemon=True)
        writer.start()
        tap.ok(tap.wait_until(waiting), "a PUT waits for a lock")
        if at_end:
            process.send_signal(signal.SIGTERM)
            tap.ok(tap.wait_until(lambda: refuses(port)), "SIGTERM: nobody else is let in")
        else:
            none = call("GET", path)
            tap.is_((none.status, none.headers["Retry-After"]), (503, "1"), "no connection for a GET: 503")
        holder.close()
        writer.join(30)
        tap.is_([a.status for a in answers], [200], "the PUT is answered")
    tap.is_((process.wait(30), answers[0].headers["Connection"]), (0, "close"), "then it ends in order")


def broken_commit(port):
    """The connection breaks while COMMIT is under way."""
    tap.sql(owner_dsn, """create function crud.slow() returns trigger language plpgsql as $$
                          begin perform pg_advisory_xact_lock(77); return null; end $$;
                          create constraint trigger slow after insert on crud.users initially deferred
                          for each row execute function crud.slow()""")
    answers, count = [], changes()
    holder = tap.connect(owner_dsn, autocommit=False)
    holder.cursor().execute("select pg_advisory_xact_lock(77)")
    writer = threading.Thread(target=lambda: answers.append(Client(port)("POST", "/users", user("erin"))), daemon=True)
    writer.start()
    tap.ok(tap.wait_until(waiting), "a COMMIT waits")
    tap.sql(owner_dsn, "select pg_terminate_backend(pid, 10000) from pg_stat_activity where query = 'COMMIT'"
                       " and state = 'active' and application_name = 'crud-api'")
    writer.join(30)
    tap.is_([(a.status, a.headers["Retry-After"], a.json["detail"]) for a in answers],
            [(500, None, "It is not known whether the change was made.")], "without its answer: 500, and nothing is claimed")
    holder.close()
    tap.is_((Client(port)("POST", "/users", user("erin")).status, changes()), (201, count + 1), "and then it goes on")


def statement_timeout():
    process, port = start("--statement-timeout-ms", "1500")
    call = Client(port)
    made, count = call("POST", "/users", user("locked")), changes()
    holder = tap.connect(owner_dsn, autocommit=False)
    holder.cursor().execute("select from crud.users where id = %s for update", (made.json["id"],))
    late = call("PUT", made.headers["Location"], user("late"))
    tap.is_((late.status, late.headers["Retry-After"], changes()), (503, "1", count), "a lock that nobody lets go: 503")
    holder.close()
    tap.is_(call("PUT", made.headers["Location"], user("early")).status, 200, "then it goes on, on the same connection")
    tap.end(process)


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return False
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # just then
        return False


def prepare():
    environment = dict(os.environ, OUTBOX_DSN=owner_dsn)
    tap.is_([tap.run([API, "--setup"], env=environment)[0] for _ in range(2)], [0, 0], "the tables are created, once")
    tap.sql(owner_dsn, HISTORY)
    tap.sql(owner_dsn, f"create role {role} login")
    tap.sql(owner_dsn, f"grant outbox_writer to {role}")
    tap.sql(owner_dsn, f"grant usage on schema crud to {role}")
    tap.sql(owner_dsn, f"grant select, insert, update, delete on crud.users, crud.idempotency to {role}")
    status, _, errors = tap.run([API], env=dict(os.environ, OUTBOX_DSN="host=/nowhere password=hush"))
    tap.ok(status == 1 and "connect_failed" in errors and "hush" not in errors, "without a database it does not start")


prepare()
api, api_port = start()
readme(api_port)
statuses(api_port)
idempotency(api_port)
api = storm(api, api_port)
tap.ok("database_failed" not in log_text(), "the database never failed")
broken_commit(api_port)
tap.is_(tap.end(api), 0, "it ends in order")
held_back()
statement_timeout()
tap.no_complaints(compare(), "at the end, too, the events are those of the rows")
text = log_text()
tap.ok(re.search(r"^event=request method=PUT target=user id=\d+ status=200 us=\d+$", text, re.M), "a line for each request")
tap.ok("example.org" not in text, "without what is in it")
tap.done_testing()
