"""Endpoints, deliveries and dispatchers (tests/tools/dispatch-driver) for tests of webhooks.

    hooks = webhooks.Webhooks(tap.create_database())
    park = hooks.endpoint(receiver.url("/park"), policy="park")
    hooks.deliveries_of(park, 3)
    process = hooks.start(worker="w1")
    tap.ok(hooks.ends_as(park, {"delivered": 3}), "delivered")
"""
import os
import subprocess
import threading

import tap

DRIVER = os.path.join(tap.BUILD, "tests", "tools", "dispatch-driver")
LOOPBACK = "127.0.0.0/8,::1/128"
SECRET = bytes(range(32))
MILLISECONDS = "{0ms,20ms,20ms,20ms,20ms,20ms,20ms,20ms,20ms,20ms}"


def make_certificate():
    """For localhost; returns the file for clients to trust, and that for the server, which has its key."""
    certificate, key = os.path.join(tap.TMP, "certificate.pem"), os.path.join(tap.TMP, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, stderr=subprocess.DEVNULL)
    both = os.path.join(tap.TMP, "both.pem")
    with open(both, "w", encoding="ascii") as out:
        for part in (certificate, key):
            with open(part, encoding="ascii") as file:
                out.write(file.read())
    return certificate, both


def slow_resolver():
    """The environment of a process for which the look-up of slow.test takes minutes."""
    library = os.path.join(tap.TMP, "slow-resolver.so")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", library,
                    os.path.join(tap.SRC, "tests", "tools", "slow-resolver.c"), "-ldl"], check=True)
    options = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")
    return {"LD_PRELOAD": library, "ASAN_OPTIONS": options}


class Webhooks:
    def __init__(self, dsn):
        self.dsn = dsn
        self._connection = tap.connect(dsn)

    def sql(self, statement, *arguments):
        with self._connection.cursor() as cursor:
            cursor.execute(statement, arguments or None)
            return cursor.fetchall() if cursor.description else []

    def endpoint(self, url, policy="resend", schedule=MILLISECONDS, **columns):
        """Registers one; returns its id."""
        made = self.sql("""insert into outbox.endpoint (url, policy, schedule, enabled)
                           values (%s, %s, %s::interval[], false) returning id""", url, policy, schedule)[0][0]
        for secret, expires_in in columns.pop("secrets", [(SECRET, None)]):
            self.sql("""insert into outbox.endpoint_secret (endpoint, secret, expires_at)
                        values (%s, %s, clock_timestamp() + %s::interval)""", made, secret, expires_in)
        for name, value in columns.items():
            self.sql(f"update outbox.endpoint set {name} = %s where id = %s", value, made)
        # as a whole: the dispatcher may look at any time
        self.sql("update outbox.endpoint set enabled = true where id = %s", made)
        return made

    def deliveries_of(self, endpoint_id, count=1, **event):
        """Emits events and makes their deliveries, as the relay's acknowledgement does."""
        event.setdefault("payload", '{"n": 1}')
        event.setdefault("headers", None)
        return self.sql("""with made as materialized (
                select outbox.emit(type => 'order_placed', key => i::text, payload => %s::jsonb, headers => %s::jsonb,
                                   traceparent => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01') as id
                  from generate_series(1, %s) i)
            select array_agg(id) from made""", event["payload"], event["headers"], count) and \
            self.sql("""with made as (
                            insert into outbox.delivery (event_seq, event_id, event_type, endpoint)
                            select e.seq, e.id, e.type, %s from outbox.event e
                             where not exists (select from outbox.delivery_of_event d where d.event_seq = e.seq)
                            returning event_seq, endpoint, replay, event_id, id)
                        insert into outbox.delivery_of_event (event_seq, endpoint, replay, event_id, delivery)
                        select event_seq, endpoint, replay, event_id, id from made returning delivery""", endpoint_id)

    def start(self, *options, worker="w1", env=None, **more):
        # with the rights of a relay, not of the superuser
        arguments = [DRIVER, "--dsn", self.dsn + " options='-c role=outbox_relay'", "--worker", worker,
                     "--poll-ms", "30", *options]
        if "--allow" not in options and not more.pop("no_allow", False):
            arguments += ["--allow", LOOPBACK]
        process = tap.spawn(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=dict(os.environ, **(env or {})))
        process.log = []
        threading.Thread(target=lambda: process.log.extend(process.stderr), daemon=True).start()
        if process.stdout.readline() != "ready\n":
            tap.bail("the driver does not start: " + "".join(process.log))
        return process

    def states(self, endpoint_id):
        return dict(self.sql("select state, count(*)::int from outbox.delivery where endpoint = %s group by 1",
                             endpoint_id))

    def ends_as(self, endpoint_id, wanted, deadline=60):
        return tap.wait_until(lambda: self.states(endpoint_id) == wanted, deadline) or \
            tap.diag(self.states(endpoint_id))

    def attempts(self, endpoint_id):
        """Its attempts, each a dictionary, in order."""
        rows = self.sql("""select to_jsonb(a) from outbox.delivery_attempt a join outbox.delivery d on d.id = a.delivery
                            where d.endpoint = %s order by a.delivery, a.attempt""", endpoint_id)
        return [row[0] for row in rows]

    def retire(self, endpoint_id):
        self.sql("update outbox.endpoint set enabled = false where id = %s", endpoint_id)
