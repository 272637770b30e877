#!/usr/bin/python3
# deadline: 300
"""Nothing happens for longer than the broker remembers: a lane's transactional id (seven days by default,
here two seconds), and the producers that wrote to a partition. The relay goes on by itself, exactly
once: the one that was idle, one that was stopped meanwhile, and one that is started afterwards. Beside
it, one that publishes at least once."""
import signal
import time

import relay
import restarts
import tap

EXPIRY = 2  # seconds
SETTINGS = (f"transactional.id.expiration.ms={EXPIRY * 1000}", f"producer.id.expiration.ms={EXPIRY * 1000}",
            "transaction.remove.expired.transaction.cleanup.interval.ms=200",
            "producer.id.expiration.check.interval.ms=200")
PATIENCE = 60
TRIES = 6
# What the broker says to a producer whose id it has forgotten, and nothing else does.
FORGOTTEN = "event=kafka_failed .*not currently assigned to its transactional id"


class Lane:
    def __init__(self, name, **options):
        self.name, self.options = name, dict(restarts.OPTIONS, lease="10s", lease_renew="1s", **options)
        self.outbox = relay.Outbox()
        self.topic = self.outbox.create_topic("events", 2)
        self.emitted = []
        self.process = self.outbox.start(**self.options)
        self.process.wait_running()

    def emit(self, count=20):
        """And all of it is published."""
        rows = self.outbox.sql("select outbox.emit(type => 't', topic => %s, key => 'k' || g %% 3,"
                               " payload => to_jsonb(g))::text from generate_series(1, %s) g", (self.topic, count))
        self.emitted += [row[0] for row in rows]
        if not tap.ok(self.outbox.wait_published(len(self.emitted), PATIENCE), f"{self.name}: published"):
            self.process.show()

    def judge(self):
        status = self.process.stop()
        got = relay.ids(self.outbox.records(self.topic))
        if not tap.ok(status == 0 and sorted(got) == sorted(self.emitted),
                      f"{self.name}: nothing lost, nothing doubled"):
            tap.diag(f"exit status {status}, {len(got)} records of {len(set(got))} events, wanted {len(self.emitted)}")
            self.process.show()


def forget():
    """That it is longer is the point; whether it was, the broker tells by what it answers."""
    stopped.process.send(signal.SIGSTOP)
    time.sleep(EXPIRY + 2)
    stopped.process.send(signal.SIGCONT)


def forgotten():
    return all(lane.process.said(FORGOTTEN) for lane in (idle, stopped))


tap.KAFKA = tap.start_kafka(restarts.own_directory("kafka"), *(w for text in SETTINGS for w in ("--set", text)))
idle = Lane("idle")
stopped = Lane("stopped meanwhile")
gone = Lane("started afterwards")
careless = Lane("at least once", publish="at_least_once")
lanes = (idle, stopped, gone, careless)
for lane in lanes:
    lane.emit()
tap.is_(gone.process.stop(), 0, "started afterwards: it stops")
forget()
gone.process = gone.outbox.start(**gone.options)
for lane in lanes:
    lane.emit()
for _ in range(TRIES):  # a busy broker forgets later
    if forgotten():
        break
    forget()
    for lane in lanes:
        lane.emit()
for lane in (idle, stopped):
    tap.ok(lane.process.said(FORGOTTEN), f"{lane.name}: the broker had forgotten it")
for lane in lanes:
    lane.judge()
tap.done_testing()
