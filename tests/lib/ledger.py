"""The ledger oracle: what was committed, against what came out at the ends.

    book = ledger.Ledger(outbox, topics)     business tables, beside the schema
    book.add_endpoint(receiver)
    with book.writers(3): ...                transactions meanwhile, some rolled back
    book.settle()
    complaints = book.audit()                [] if nothing is lost, doubled, ...

The ledger itself is a table: an event's id and number are noted in it by the
same transaction that emits the event, so that it is right whatever becomes of
a connection. Numbers are drawn from a counter of the key whose row the
transaction has locked: they must come out in rising order.
"""
import base64
import collections
import contextlib
import hashlib
import hmac
import http.server
import json
import random
import threading
import time

import psycopg2

import relay
import tap

KEYS = 12
TYPES = ("order.placed", "order.paid", "user.created")


class Writers:
    """Threads that commit business transactions until they are stopped. With
    persist they connect again when the server has gone; whether a COMMIT without
    an answer was one, the ledger tells. The first of them, as many as careless
    says, commit without waiting for the disk. They do not stop before the ledger has
    as many events as least says, and something was rolled back: or what is judged
    afterwards would mean the less the faster the machine is."""

    def __init__(self, book, count, pause, persist=False, careless=0, forgiven=(), least=0):
        self.book, self.pause, self.persist, self.careless = book, pause, persist, careless
        self.forgiven, self.least = forgiven, least
        self.disconnected = self.refused = 0
        self.quit = threading.Event()
        self.errors = []
        self.threads = [threading.Thread(target=self.main, args=(n,), daemon=True)
                        for n in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, exception, *_):
        if exception is None and self.least:
            tap.wait_until(self.enough, 60, 0.1)
        self.quit.set()
        for thread in self.threads:
            thread.join(30)
        if self.errors:
            raise self.errors[0]

    def enough(self):
        if self.errors:
            return True
        try:
            return self.book.count() >= self.least and self.book.rolled_back
        except psycopg2.OperationalError:
            return False

    def main(self, number):
        dice = random.Random(f"{self.book.seed}.{number}")
        while not self.quit.is_set():
            try:
                self.write(number, dice)
            except psycopg2.Error as error:
                if error.pgcode in self.forgiven:
                    self.refused += 1
                    self.quit.wait(0.02)
                    continue
                # without an SQLSTATE: it is psycopg2's, of a connection that has ended; 57P: the server's last word
                if not self.persist or not (error.pgcode or "57P").startswith("57P"):
                    self.errors.append(error)
                    return
                self.disconnected += 1
                self.quit.wait(0.1)

    def write(self, number, dice):
        with contextlib.closing(psycopg2.connect(self.book.outbox.dsn)) as connection:
            if number < self.careless:
                with connection.cursor() as cursor:
                    cursor.execute("set synchronous_commit = off")
                connection.commit()
            while not self.quit.is_set():
                self.transaction(connection, dice)
                self.quit.wait(dice.uniform(0, 2 * self.pause))

    def transaction(self, connection, dice):
        kind = dice.choices(("one", "several", "lasting"), (80, 15, 5))[0]
        ids = []
        # several keys in one order, or two writers would wait for each other
        for key in sorted(dice.sample(range(KEYS), 1 if kind == "one" else 3)):
            ids += self.book.emit(connection, key, dice.choice(TYPES), 1 if kind == "one" else 4)
        if kind == "lasting":
            self.quit.wait(0.2)
        if dice.random() < 0.2:
            connection.rollback()
            self.book.rolled_back.update(ids)
        else:
            connection.commit()


class Ledger:
    def __init__(self, outbox, topic, routed, seed=None):
        self.outbox, self.topics = outbox, (topic, routed)
        self.topic = topic
        self.seed = random.randrange(10**9) if seed is None else seed
        self.rolled_back = set()
        self.receivers = {}
        connection = tap.connect(outbox.dsn)
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("create table counter (key text primary key, n bigint not null default 0);"
                           "create table ledger (id uuid primary key, key text not null, n bigint not null,"
                           " type text not null)")
            cursor.execute("insert into counter select 'key-' || g from generate_series(0, %s) g", (KEYS - 1,))
            # order.* goes where the event says or where a route says, the rest by the route
            cursor.execute("insert into outbox.route (pattern, topic) values ('*', %s)", (routed,))

    def writers(self, count=3, pause=0.01, **options):
        return Writers(self, count, pause, **options)

    def emit(self, connection, key, event_type, count):
        """In the connection's transaction; returns the ids."""
        with connection.cursor() as cursor:
            cursor.execute("""
                with counted as (update counter set n = n + %(count)s where key = %(key)s returning n),
                     emitted as (
                         select outbox.emit(type => %(type)s, key => %(key)s,
                                            topic => case when %(type)s like 'order.%%' then %(topic)s end,
                                            payload => jsonb_build_object('n', g.n)) as id, g.n
                           from counted, generate_series(counted.n - %(count)s + 1, counted.n) as g(n))
                insert into ledger select id, %(key)s, n, %(type)s from emitted returning id::text""",
                           {"key": f"key-{key}", "type": event_type, "topic": self.topic, "count": count})
            return [row[0] for row in cursor.fetchall()]

    def count(self):
        return self.outbox.sql("select count(*) from ledger")[0][0]

    def add_endpoint(self, receiver, types=("*",), policy="resend"):
        """With a schedule for the impatient."""
        endpoint = self.outbox.sql(
            "select outbox.endpoint_add(%s, %s, p_types => %s, p_policy => %s, p_timeout_ms => 5000,"
            " p_schedule => array_prepend(interval '0', array_fill(interval '50 ms', array[40])))::text",
            (receiver.url, receiver.secret, list(types), policy))[0][0]
        self.receivers[endpoint] = receiver
        return endpoint

    def settled(self):
        published, open_deliveries = self.outbox.sql(
            "select (select sum(published) from outbox.lane),"
            "       (select count(*) from outbox.delivery where state not in ('delivered', 'dead', 'parked'))")[0]
        return published >= self.count() and open_deliveries == 0

    def settle(self, deadline=120):
        """Waits until all is done, when nobody writes any more."""
        return tap.wait_until(self.settled, deadline, 0.1)

    # ---- the audit ----

    def collect(self):
        """Everything that the audit is about."""
        return {
            "ledger": {i: (key, n, t) for i, key, n, t in
                       self.outbox.sql("select id::text, key, n, type from ledger")},
            "rolled_back": self.rolled_back,
            "records": self.outbox.records(*self.topics),
            "published": self.outbox.published(),
            "unpublished": self.outbox.unpublished(),
            "deliveries": self.outbox.sql(
                "select d.endpoint::text, d.event_id::text, d.state, d.sends,"
                "       (select count(*) from outbox.delivery_attempt a where a.delivery = d.id),"
                "       (select count(*) from outbox.delivery_attempt a where a.delivery = d.id"
                "                                                         and a.outcome = 'delivered')"
                "  from outbox.delivery d"),
            "unpaired": self.outbox.sql(
                "select coalesce(d.id, o.delivery) from outbox.delivery d full join outbox.delivery_of_event o"
                "    on (o.event_seq, o.endpoint, o.replay, o.event_id, o.delivery)"
                "     = (d.event_seq, d.endpoint, d.replay, d.event_id, d.id)"
                " where d.id is null or o.delivery is null"),
            "wanted": dict(self.outbox.sql(
                "select p.id::text, array(select l.id::text from ledger l"
                "                          where l.type like any (p.types_like))"
                "  from outbox.endpoint p")),
            "policies": dict(self.outbox.sql("select id::text, policy from outbox.endpoint")),
            "requests": {endpoint: receiver.taken() for endpoint, receiver in self.receivers.items()},
        }

    def audit(self, kills=0):
        """What is wrong, in words; nothing: []."""
        found = self.collect()
        return audit_kafka(found) + audit_position(found) + audit_deliveries(found, kills)


def some(things):
    things = sorted(things)
    return f"{len(things)}: {', '.join(map(str, things[:5]))}{' ...' if len(things) > 5 else ''}"


def audit_kafka(found):
    complaints = []
    seen = collections.Counter(relay.ids(found["records"]))
    lost = [i for i in found["ledger"] if seen[i] == 0]
    doubled = [i for i, n in seen.items() if n > 1]
    ghosts = [i for i in seen if i in found["rolled_back"]]
    strangers = [i for i in seen if i not in found["ledger"] and i not in found["rolled_back"]]
    for things, words in ((lost, "lost on the way to Kafka"), (doubled, "doubled in Kafka"),
                          (ghosts, "rolled back, yet in Kafka"), (strangers, "in Kafka, but never emitted")):
        if things:
            complaints.append(f"{words}, {some(map(str, things))}")
    return complaints + audit_order(found)


def audit_order(found):
    complaints = []
    last = {}
    homes = {}
    for record in sorted(found["records"], key=lambda r: (r["topic"], r["partition"], r["offset"])):
        where = (record["topic"], record["partition"], record["key"])
        n = json.loads(record["payload"])["n"]
        if n <= last.get(where, 0):
            complaints.append(f"order: {where} has {n} after {last[where]}")
        last[where] = n
        if homes.setdefault((record["topic"], record["key"]), record["partition"]) != record["partition"]:
            complaints.append(f"{record['key']} is in two partitions of {record['topic']}")
        if found["ledger"].get(relay.header(record, "outbox-id"), (None, n))[1] != n:
            complaints.append(f"{where}: {n} belongs to another event")
    return complaints[:5]


def audit_position(found):
    complaints = []
    if found["published"] != len(found["ledger"]):
        complaints.append(f"the lane counts {found['published']} published of {len(found['ledger'])}")
    if found["unpublished"]:
        complaints.append(f"{found['unpublished']} events lie beyond the lane's position")
    return complaints


def audit_deliveries(found, kills):
    """kills: each can leave a delivery with one more send of unknown outcome."""
    complaints = [f"delivery {number} and what its event knows of it differ" for number, in found["unpaired"]]
    rows = collections.defaultdict(collections.Counter)
    delivered_to = collections.defaultdict(set)
    for endpoint, event, state, sends, attempts, delivered in found["deliveries"]:
        rows[endpoint][event] += 1
        what = f"delivery of {event} to {endpoint}"
        ends = ("delivered", "parked") if found["policies"][endpoint] == "park" else ("delivered",)
        if state not in ends:
            complaints.append(f"{what} is {state}")
        if attempts != sends:
            complaints.append(f"{what} was claimed {sends} times, but has {attempts} attempts noted")
        if delivered != (state == "delivered"):
            complaints.append(f"{what} is {state} and was noted as delivered {delivered} times")
        if state == "delivered":
            delivered_to[endpoint].add(event)
    for endpoint, wanted in found["wanted"].items():
        if rows[endpoint] != collections.Counter(wanted):
            complaints.append(f"{endpoint} has {sum(rows[endpoint].values())} deliveries of "
                              f"{len(rows[endpoint])} events, wanted are {len(wanted)}")
        if found["policies"][endpoint] == "park":
            complaints += audit_sent_once(found["requests"][endpoint], wanted, delivered_to[endpoint])
        else:
            complaints += audit_requests(found["requests"][endpoint], wanted, kills)
    return complaints[:10]


def audit_effects(requests, least, most):
    """Who must have accepted, and who may."""
    effects = {event for event, request in requests.items() if request.accepted}
    complaints = [f"{event} came with a wrong signature" for event, request in requests.items() if request.forged]
    if not set(least) <= effects <= set(most):
        complaints.append(f"effects lack {some(set(least) - effects)}; "
                          f"they exceed by {some(effects - set(most))}")
    return complaints


def audit_requests(requests, wanted, kills):
    complaints = audit_effects(requests, wanted, wanted)
    for event, request in requests.items():
        # refused: to be sent again. Accepted: only if the relay died before it noted that.
        if request.accepted > 1 + kills or request.count > 1 + request.refused + request.unanswered + kills:
            complaints.append(f"{event} was sent {request.count} times; {request}")
    return complaints


def audit_sent_once(requests, wanted, delivered):
    """Nothing again but what was refused by an answer, whatever has died."""
    complaints = audit_effects(requests, delivered, wanted)
    for event, request in requests.items():
        if request.count > 1 + request.refused:
            complaints.append(f"{event} was sent {request.count} times under the policy park; {request}")
    return complaints


class Request:
    """The requests with one webhook-id."""

    def __init__(self):
        self.count = self.accepted = self.refused = self.unanswered = self.forged = 0

    def __str__(self):
        return f"{self.accepted} were accepted, {self.refused} refused, {self.unanswered} not answered"


class Receiver:
    """An endpoint on the loopback that refuses some, and at times hangs up
    without an answer; the relay takes that for a refusal to be tried again."""

    host = "127.0.0.1"
    tolerance = 300  # seconds between the signature's time and ours

    def __init__(self, refuse=0.05, seed=0):
        self.secret = random.randbytes(32)
        self.dice, self.refuse = random.Random(seed), refuse
        self.lock = threading.Lock()
        self.requests = collections.defaultdict(Request)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.take(self.headers, body)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # the relay was killed

        self.server = Server((self.host, 0), Handler)
        self.url = f"http://{self.host}:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True).start()
        tap.at_exit(self.close)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def take(self, headers, body):
        event = headers["webhook-id"]
        signed = b".".join((event.encode(), headers["webhook-timestamp"].encode(), body))
        good = "v1," + base64.b64encode(hmac.new(self.secret, signed, hashlib.sha256).digest()).decode()
        with self.lock:
            request = self.requests[event]
            request.count += 1
            if good not in headers["webhook-signature"].split() or \
                    abs(int(headers["webhook-timestamp"]) - time.time()) > self.tolerance:
                request.forged += 1
            if self.dice.random() < self.refuse:
                status = self.dice.choice((500, 503, None))
                if status:
                    request.refused += 1
                else:
                    request.unanswered += 1
                return status
            request.accepted += 1
            return 200

    def taken(self):
        with self.lock:
            return dict(self.requests)
