#!/usr/bin/python3
# deadline: 300
# waits
"""SIGHUP: each option that can be reloaded takes effect in a relay that runs; what is
wrong, or needs a restart, is named and changes nothing."""
import os
import re
import signal
import socket
import threading
import time

import admin
import ledger
import relay
import tap

SECRET = "s3cr3t-of-the-file"


class Subject:
    """A relay with a configuration file, which the test rewrites."""

    def __init__(self, outbox, options, **flags):
        self.outbox, self.path = outbox, f"{tap.TMP}/{tap.unique('reload')}.conf"
        self.reloads = 0
        self.write(options)
        base = outbox.options(admin_listen=admin.LISTEN, config=self.path, **flags)
        self.process = relay.Relay({n: v for n, v in base.items() if n not in options})

    def write(self, options):
        self.options = dict(options)
        with open(self.path, "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), 0o600)  # it may hold a secret
            f.write("".join(f"{n} = {v}\n" for n, v in self.options.items()))

    def hup(self):
        self.process.send(signal.SIGHUP)

    def settle(self):
        """Waits until the database knows all to be published; returns how many that is."""
        tap.wait_until(lambda: self.outbox.unpublished() == 0)
        return self.outbox.published()

    def said(self, regex):
        return len(re.findall(regex, self.process.log()))

    def reload(self, **changes):
        """Changes these options of the file and waits until they are in force."""
        before = self.said("event=reloaded ")
        self.write({**self.options, **changes})
        self.hup()
        if not tap.wait_until(lambda: self.said("event=reloaded ") > before):
            raise RuntimeError(self.process.log()[-3000:])
        return self.process.log().rpartition("event=reloaded ")[2].splitlines()[0]


# ---- what can be reloaded, one by one; each is named after its option ----

def log_level(_):
    outbox = relay.Outbox()
    subject = Subject(outbox, {"log_level": "error"})
    tap.wait_until(outbox.lease)
    tap.wait_until(lambda: outbox.lane()["started"])
    tap.is_(subject.process.log(), "", "log_level: error says nothing in good times")
    tap.is_(subject.reload(log_level="info"), "changed=log_level", "log_level: a reload changes it")
    subject.process.stop()


def fallback_poll(subject):
    # its events ring no bell
    subject.reload(fallback_poll="100ms")
    before = subject.settle()
    connection = tap.connect(subject.outbox.dsn, autocommit=False)
    with connection.cursor() as cursor:
        cursor.execute("set local outbox.two_phase = on")
        cursor.execute("select outbox.emit(type => 't', topic => %s, payload => '1'::jsonb)", (subject.topic,))
    connection.commit()
    connection.close()
    tap.ok(subject.outbox.wait_published(before + 1), "fallback_poll: found by the new one")


def poll_interval(_):
    outbox = relay.Outbox()
    subject = Subject(outbox, {"poll_interval": "60s"}, wake="poll")
    topic = outbox.create_topic("poll")
    subject.process.wait_running()
    subject.reload(poll_interval="20ms")
    for n in range(1, 4):  # the first may be found by what the reload itself does
        outbox.emit(type="t", topic=topic, payload="1")
        outbox.wait_published(n)
    tap.is_(outbox.published(), 3, "poll_interval: found by the new one")
    subject.process.stop()


def transactions(subject, page):
    return page.value("outbox_transaction_events_count"), page.value("outbox_events_published_total")


def batch_events(subject):
    subject.reload(batch_events="10")
    before = transactions(subject, subject.pages.metrics())
    subject.outbox.sql("select outbox.emit(type => 't', key => 'k', topic => %s, payload => to_jsonb(g))"
                       "  from generate_series(1, 100) g", (subject.topic,))
    page = subject.pages.wait_metric(lambda p: transactions(subject, p)[1] >= before[1] + 100)
    tap.ok(transactions(subject, page)[0] - before[0] >= 10, "batch_events: 100 events are ten transactions of 10")
    subject.reload(batch_events="5000")


def batch_bytes(subject):
    subject.reload(batch_bytes="64KiB")
    before = transactions(subject, subject.pages.metrics())
    subject.outbox.sql("select outbox.emit(type => 't', key => 'k', topic => %s, payload => to_jsonb(repeat('x', 30000)))"
                       "  from generate_series(1, 30) g", (subject.topic,))
    page = subject.pages.wait_metric(lambda p: transactions(subject, p)[1] >= before[1] + 30)
    tap.ok(transactions(subject, page)[0] - before[0] >= 10, "batch_bytes: 30 of 30 kB are ten transactions of 64 KiB")
    subject.reload(batch_bytes="16MiB")


def topics(subject):
    """create_topics, topic_partitions, topic_replication"""
    outbox, missing = subject.outbox, [f"{subject.outbox.prefix}.missing{n}" for n in range(3)]
    before = subject.settle()
    outbox.emit(type="t", topic=missing[0], payload="1")
    tap.ok(subject.process.wait_said("event=kafka_failed .*result=topic_missing"), "create_topics: no")
    tap.is_(subject.reload(create_topics="yes", topic_partitions="3"), "changed=create_topics,topic_partitions",
            "create_topics: yes, after a reload")
    tap.ok(outbox.wait_published(before + 1), "create_topics: then the topic is made")
    tap.is_(relay.partitions(missing[0]), 3, "topic_partitions: with as many as the reload said")
    subject.reload(topic_partitions="5")
    outbox.emit(type="t", topic=missing[1], payload="1")
    outbox.wait_published(before + 2)
    tap.is_(relay.partitions(missing[1]), 5, "topic_partitions: and the next with as many as the next")
    subject.reload(topic_replication="7")
    outbox.emit(type="t", topic=missing[2], payload="1")
    tap.ok(subject.process.wait_said(r"event=kafka_failed .*\breplicat"), "topic_replication: more than there are brokers")
    tap.is_(relay.partitions(missing[2]), 0, "topic_replication: no topic")
    subject.reload(topic_replication="1")
    tap.ok(outbox.wait_published(before + 3), "topic_replication: as many as there are")
    subject.reload(create_topics="no")


def webhook_allow(subject):
    outbox = subject.outbox
    receiver = ledger.Receiver(refuse=0)
    outbox.sql("select outbox.endpoint_add(%s, %s, p_types => '{hook}', p_schedule => %s::interval[])",
               (receiver.url, receiver.secret, ["0"] + ["500ms"] * 60))
    failed = "select count(*) from outbox.delivery_attempt where outcome = 'not_sent' and error like '%not listed%' or error like '%not public%'"
    outbox.emit(type="hook", topic=subject.topic, payload="1")
    tap.ok(tap.wait_until(lambda: outbox.sql(failed)[0][0] > 0), "webhook_allow: none: nothing is sent to a private address")
    subject.reload(webhook_allow="127.0.0.0/8")
    tap.ok(outbox.wait_delivered(1), "webhook_allow: sent once it is allowed")
    for n in range(2, 5):
        outbox.emit(type="hook", topic=subject.topic, payload="1")
        outbox.wait_delivered(n)
    before = outbox.sql(failed)[0][0]
    subject.reload(webhook_allow="")
    outbox.emit(type="hook", topic=subject.topic, payload="1")
    # a connection that stayed open from before must not be used any more
    tap.ok(tap.wait_until(lambda: outbox.sql(failed)[0][0] > before + 5, 30),
           "webhook_allow: not sent any more when it is taken back")
    tap.is_((len(receiver.taken()), outbox.sql("select count(*) from outbox.delivery where state = 'delivered'")[0][0]),
            (4, 4), "webhook_allow: nor over a connection that is still open")
    subject.reload(webhook_allow="127.0.0.0/8")
    tap.ok(outbox.wait_delivered(5), "webhook_allow: and again")


class Silent:
    """Takes connections and says nothing; notes how long each lasted."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lasted = []
        threading.Thread(target=self.main, daemon=True).start()

    def main(self):
        while True:
            client = self.listener.accept()[0]
            threading.Thread(target=self.hold, args=(client,), daemon=True).start()

    def hold(self, client):
        begin = time.monotonic()
        try:
            while client.recv(4096):
                pass
        except OSError:
            pass
        client.close()
        self.lasted.append(time.monotonic() - begin)


def connect_timeout(_):
    silent = Silent()
    outbox = relay.Outbox(dsn=f"host=127.0.0.1 port={silent.port} sslmode=disable gssencmode=disable")
    subject = Subject(outbox, {"connect_timeout": "6s"})
    tap.wait_until(lambda: len(silent.lasted) >= 3, 60)
    # the first one only asks which servers the dsn means, and says nothing to them
    tap.ok(min(silent.lasted[1:3]) > 4, "connect_timeout: waits as long as it says")
    subject.reload(connect_timeout="100ms")
    tap.ok(tap.wait_until(lambda: min(silent.lasted[3:], default=6) < 3), "connect_timeout: and shorter after a reload")
    subject.process.kill()


def statement_timeout(subject):
    subject.reload(statement_timeout="300ms")
    blocker = tap.connect(subject.outbox.dsn, autocommit=False)
    with blocker.cursor() as cursor:
        cursor.execute("lock table outbox.tick in access exclusive mode")
        subject.outbox.emit(type="t", topic=subject.topic, payload="1")
        tap.ok(subject.process.wait_said("event=ticker_failed .*timed out"), "statement_timeout: the new one ends a statement")
        blocker.rollback()
    blocker.close()
    subject.reload(statement_timeout="60s")


def shutdown_timeout(subject):
    """The last one: a request that is never answered holds up the end."""
    silent = Silent()
    outbox = subject.outbox
    outbox.sql("select outbox.endpoint_add(%s, %s, p_types => '{silent}', p_timeout_ms => 120000)",
               (f"http://127.0.0.1:{silent.port}/", b"x" * 32))
    outbox.emit(type="silent", topic=subject.topic, payload="1")
    tap.wait_until(lambda: outbox.sql("select 1 from outbox.delivery where state = 'sending' and event_type = 'silent'"))
    subject.reload(shutdown_timeout="1s")
    subject.process.send(signal.SIGTERM)
    tap.ok(subject.process.wait(30) is not None, "shutdown_timeout: the new one ends the relay")
    if subject.process.running():
        subject.process.show()


# ---- the rest ----

def refusals(subject):
    """A file with a mistake; options that need a restart."""
    good = dict(subject.options)
    outbox = subject.outbox
    for text, what in (("log_level = loud", "log_level"), ("batch_evens = 7", "batch_evens"), ("lease = 1 day", "lease")):
        before = subject.said("event=reload_refused")
        with open(subject.path, "w", encoding="utf-8") as f:
            f.write(f"batch_events = 77\n{text}\n")
        subject.hup()
        tap.wait_until(lambda: subject.said("event=reload_refused") > before)
        line = subject.process.log().rpartition("event=reload_refused ")[2].splitlines()[0]
        tap.ok(what in line and "stays as it was" in line, f"refused: {what}, by name: {line}")
    subject.write(good)
    tap.is_(subject.reload(), "changed=none", "refused: and nothing of such a file is in force")
    page = subject.pages.metrics()
    tap.is_(page.value("outbox_reloads_total", result="refused"), 3, "refused: they are counted")
    subject.reload(lease="9s", batch_events="4000", **{"kafka.sasl.password": SECRET, "kafka.client.id": "x"})
    tap.ok(subject.process.wait_said("level=warning event=needs_restart "
                                     "options=lease,kafka.sasl.password,kafka.client.id"),
           "restart: what cannot change is named")
    tap.ok(subject.process.said("event=reloaded changed=batch_events"), "restart: what can has changed")
    expires = "select extract(epoch from expires_at - clock_timestamp())::float from outbox.lease where name = 'lane/1/0'"
    tap.ok(outbox.sql(expires)[0][0] < 4, "restart: the lease is still the old one")
    subject.write(good)
    subject.reload()
    tap.ok(SECRET not in subject.process.log(), "no secret is in the log")


def under_load(subject):
    """Reloads while events flow: nothing is lost or doubled."""
    outbox = subject.outbox
    topic = outbox.create_topic("load")
    before = subject.settle()
    for n in range(40):
        outbox.sql("select outbox.emit(type => 't', key => 'k', topic => %s, payload => to_jsonb(%s * 25 + g))"
                   "  from generate_series(0, 24) g", (topic, n))
        subject.write({**subject.options, "batch_events": str(3 + n), "fallback_poll": f"{50 + n}ms",
                       "webhook_allow": f"127.0.0.0/8,10.{n}.0.0/16", "statement_timeout": f"{20 + n}s"})
        subject.hup()
    outbox.wait_published(before + 1000, 90)
    tap.is_([int(r["payload"]) for r in outbox.records(topic)], list(range(1000)), "load: nothing is lost or doubled")
    tap.ok(subject.process.running() and subject.process.said("event=reloaded changed=.*batch_events"),
           "load: the relay went on through 40 reloads")


UPKEEP = {"maintenance_interval": "400ms", "rotate_events": "1", "rotate_every": "3d", "retention": "forever",
          "delivery_retention": "2d", "id_retention": "2d", "inbox_retention": "2d", "audit_retention": "2d"}


def upkeep(subject):
    """The options of maintenance are those of one round, which reads them all anew."""
    outbox = subject.outbox
    outbox.sql("insert into outbox.audit (at, action, subject) values (now() - interval '3 days', 'old', 'x')")
    rotated = "select count(*) from outbox.event_partition where rotated_at is not null"
    before = outbox.sql(rotated)[0][0]
    tap.is_(set(subject.reload(**UPKEEP).partition("=")[2].split(",")), set(UPKEEP), "maintenance: each is changed")
    outbox.emit(type="t", topic=subject.topic, payload="1")
    outbox.emit(type="t", topic=subject.topic, payload="2")
    tap.ok(tap.wait_until(lambda: outbox.sql(rotated)[0][0] > before), "rotate_events: a rotation after a few")
    tap.ok(tap.wait_until(lambda: outbox.sql("select count(*) from outbox.audit where action = 'old'")[0][0] == 0),
           "audit_retention: what is older goes")
    subject.reload(rotate_events="2000000000")


def main():
    log_level(None)
    poll_interval(None)
    connect_timeout(None)
    outbox = relay.Outbox()
    subject = Subject(outbox, {"fallback_poll": "60s", "batch_events": "5000", "batch_bytes": "16MiB",
                               "create_topics": "no", "topic_partitions": "-1", "topic_replication": "-1",
                               "webhook_allow": "", "statement_timeout": "60s", "shutdown_timeout": "60s",
                               "maintenance_interval": "200ms", "lease": "2s"})
    outbox.create_topic("progress", 1, "cleanup.policy=compact")
    subject.topic = outbox.create_topic("reload", 1)
    if not tap.ok(subject.process.wait_running(), "it runs"):
        subject.process.show()
    subject.pages = admin.Pages(subject.process)
    for test in (fallback_poll, upkeep, batch_events, batch_bytes, topics, webhook_allow, statement_timeout, refusals,
                 under_load, shutdown_timeout):
        test(subject)
    tested = {test.__name__ for test in (log_level, poll_interval, connect_timeout, fallback_poll, batch_events,
                                         batch_bytes, webhook_allow, statement_timeout, shutdown_timeout)}
    tested |= {"create_topics", "topic_partitions", "topic_replication", *UPKEEP}
    help_text = tap.run([relay.RELAY, "--help"])[1]
    reloadable = {match[1] for match in re.finditer(r"^  ([a-z_]+)(?: = .*)?\n(?:      .*\n)+", help_text, re.M)
                  if "; reloadable)" in match[0].replace("\n      ", " ")}
    tap.is_(tested, reloadable, "each option that can be reloaded has been")
    tap.done_testing()


main()
