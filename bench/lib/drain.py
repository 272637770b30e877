"""drain: a backlog of events of 300 bytes, out of PostgreSQL and into Kafka, exactly once;
beside librdkafka alone, which produces the same records in transactions of the same size.
The rate is that between a tenth and the end, since a start costs connections and a lease."""
import os
import re
import subprocess
import time

import servers
from rounds import Bound, Ratio, Variant

TITLE = "draining a backlog into Kafka"
SERVERS = ("postgres", "kafka")
PAYLOAD = 300
KEYS = 1000

INSERT = f"""
INSERT INTO outbox.event (type, topic, key, content_type, payload)
SELECT 'bench', '%s', (g %% {KEYS})::text, 'application/json',
       convert_to('{{"n":"' || rpad(g::text, {PAYLOAD - 8}, 'x') || '"}}', 'UTF8')
  FROM generate_series(1, %d) AS g"""


def add_arguments(parser):
    parser.add_argument("--events", type=int, default=1_000_000, help="of each round (1000000)")
    parser.add_argument("--batch", type=int, default=5000, help="events of a transaction (5000)")


class Benchmark:
    variants = [
        Variant("alone", "librdkafka alone, the relay's headers"),
        Variant("bare", "librdkafka alone, no headers"),
        Variant("exactly_once", "outbox-relay, exactly once"),
        Variant("at_least_once", "outbox-relay, at least once"),
    ]
    ratios = [
        Ratio("exactly once / librdkafka alone", "events/s", "exactly_once", "alone", 0.4),
        Ratio("exactly once / librdkafka alone without headers", "events/s", "exactly_once", "bare"),
        Ratio("at least once / librdkafka alone", "events/s", "at_least_once", "alone"),
    ]
    bounds = [Bound("RSS of the relay, exactly once", "RSS MiB", "exactly_once", 64)]

    def __init__(self, stack, options):
        self.stack, self.options = stack, options
        self.rounds = 0
        self.has_at_least_once = "at_least_once" in stack.call("outbox-relay", "--help")
        if not self.has_at_least_once:
            self.variants = [variant for variant in self.variants if variant.name != "at_least_once"]

    def topic(self):
        self.rounds += 1
        name = f"bench-{self.rounds}"
        servers.call(os.path.join(servers.SOURCE, "dev", "kafka"), "create-topic", self.stack.kafka, name, "4")
        return name

    def measure(self, variant):
        if variant.name in ("alone", "bare"):
            done = self.stack.call("bench/kafka-alone", self.stack.kafka, self.topic(), str(self.options.events),
                                   str(self.options.batch), "all" if variant.name == "alone" else "none")
            return {"events/s": float(done)}
        return self.drain(variant.name)

    def drain(self, mode):
        topic = self.topic()
        before = int(self.stack.sql("SELECT published FROM outbox.lane"))
        self.stack.sql(INSERT % (topic, self.options.events))
        self.stack.sql("VACUUM ANALYZE outbox.event")
        relay = self.relay(mode)
        try:
            rate = self.watch(relay, before)
            usage = used(relay.pid)
        finally:
            relay.terminate()
            relay.wait(30)
        self.verify(topic)
        return {"events/s": rate, "RSS MiB": usage["rss"], "relay CPU us/event": usage["cpu"] / self.options.events * 1e6}

    def relay(self, mode, name="bench"):
        options = ["--kafka.bootstrap.servers=" + self.stack.kafka, "--create_topics=yes", "--name=" + name,
                   f"--batch_events={self.options.batch}", "--log_level=warning"]
        if mode == "at_least_once":
            options.append("--publish=at_least_once")
        log = open(os.path.join(self.stack.folder, "relay.log"), "ab")
        return self.stack.spawn([self.stack.program("outbox-relay"), *options], stdout=log, stderr=log,
                                env=self.stack.environment())

    def watch(self, relay, before):
        """Events a second, from the relay's own acknowledgements."""
        first, goal = None, before + self.options.events
        while True:
            at, published = self.stack.sql("SELECT extract(epoch FROM acknowledged_at), published FROM outbox.lane").split("|")
            if published and int(published) >= before + self.options.events / 10 and not first:
                first = (float(at), int(published))
            if int(published) >= goal:
                return (int(published) - first[1]) / (float(at) - first[0])
            if relay.poll() is not None:
                raise SystemExit("bench: the relay ended: " + os.path.join(self.stack.folder, "relay.log"))
            time.sleep(0.1)

    def verify(self, topic):
        """As many records as events, as the consumer of committed transactions counts."""
        dump = [self.stack.program("tests/tools/topic-dump"), "--bootstrap", self.stack.kafka, "--timeout", "120", topic]
        with subprocess.Popen(dump, stdout=subprocess.PIPE) as process:
            arrived = sum(chunk.count(b"\n") for chunk in iter(lambda: process.stdout.read(1 << 20), b""))
        if process.returncode != 0 or arrived != self.options.events:
            raise SystemExit(f"bench: {arrived} records arrived, {self.options.events} were committed")


def used(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        rss = int(re.search(r"VmHWM:\s+(\d+)", f.read())[1]) / 1024
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return {"rss": rss, "cpu": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")}
