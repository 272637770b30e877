"""lanes: the same backlog, exactly once, by one relay with one lane and by two relays that share four;
with transactions of the usual size and with small ones. All is on one machine: what is compared
is what lanes cost and what they gain there, not what more machines would."""
import time

import drain
from rounds import Ratio, Variant

TITLE = "one lane beside four, shared by two relays"
SERVERS = ("postgres", "kafka")

LANES = "SELECT count(*) FROM outbox.lane n JOIN outbox.meta m ON m.lane_map = n.map"
HOLDERS = """
SELECT string_agg(format('%s:%s', holder, lanes), ' ' ORDER BY holder)
  FROM (SELECT l.holder, count(*) AS lanes
          FROM outbox.meta m JOIN outbox.lane n ON n.map = m.lane_map
          JOIN outbox.lease l ON l.name = format('lane/%s/%s', n.map, n.lane) AND l.expires_at > clock_timestamp()
         GROUP BY l.holder) AS holders"""
PUBLISHED = """
SELECT extract(epoch FROM clock_timestamp()), sum(n.published)
  FROM outbox.lane n JOIN outbox.meta m ON m.lane_map = n.map"""


def add_arguments(parser):
    parser.add_argument("--events", type=int, default=1_000_000,
                        help="of each round (1000000), of small transactions a fifth of it")


class Benchmark(drain.Benchmark):
    variants = [
        Variant("one", "one relay, one lane, 5000 events a transaction"),
        Variant("four", "two relays, four lanes, 5000"),
        Variant("one_small", "one relay, one lane, 200"),
        Variant("four_small", "two relays, four lanes, 200"),
    ]
    ratios = [
        Ratio("four lanes / one, 5000 events a transaction", "events/s", "four", "one"),
        Ratio("four lanes / one, 200 events a transaction", "events/s", "four_small", "one_small"),
    ]
    bounds = []

    def __init__(self, stack, options):
        super().__init__(stack, options)
        self.events = options.events

    def measure(self, variant):
        small = variant.name.endswith("small")
        self.options.batch = 200 if small else 5000
        self.options.events = self.events // 5 if small else self.events
        shares = {"bench-1": 2, "bench-2": 2} if variant.name.startswith("four") else {"bench-1": 1}
        relays = [self.relay("exactly_once", name) for name in shares]
        try:
            rate = self.drain_shared(relays, shares)
            cpu = sum(drain.used(relay.pid)["cpu"] for relay in relays)
        finally:
            for relay in relays:
                relay.terminate()
            for relay in relays:
                relay.wait(30)
        return {"events/s": rate, "relays' CPU us/event": cpu / self.options.events * 1e6}

    def drain_shared(self, relays, shares):
        """The lanes are given out before there is anything to do."""
        lanes = sum(shares.values())
        if int(self.stack.sql(LANES)) != lanes:
            self.stack.call("outboxctl", "lane", "set", str(lanes), "--reason", "bench")
        self.wait(relays, lambda: self.stack.sql(HOLDERS) == " ".join(f"{name}:{n}" for name, n in shares.items()))
        self.each_lane("pause", lanes)
        topic = self.topic()
        before = self.published()[1]
        self.stack.sql(drain.INSERT % (topic, self.options.events))
        self.stack.sql("VACUUM ANALYZE outbox.event")
        self.each_lane("resume", lanes)
        first = self.wait(relays, lambda: self.beyond(before + self.options.events / 10))
        last = self.wait(relays, lambda: self.beyond(before + self.options.events))
        self.verify(topic)
        return (last[1] - first[1]) / (last[0] - first[0])

    def each_lane(self, verb, lanes):
        for lane in range(lanes):
            self.stack.call("outboxctl", "lane", verb, str(lane), "--reason", "bench")

    def published(self):
        at, published = self.stack.sql(PUBLISHED).split("|")
        return float(at), int(published)

    def beyond(self, goal):
        at, published = self.published()
        return (at, published) if published >= goal else None

    def wait(self, relays, condition):
        end = time.monotonic() + 300
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            if any(relay.poll() is not None for relay in relays):
                raise SystemExit(f"bench: a relay ended: {self.stack.folder}/relay.log")
            time.sleep(0.05)
        raise SystemExit("bench: nothing comes of it")
