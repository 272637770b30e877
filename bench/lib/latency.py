"""latency: from the end of COMMIT to a consumer of committed records, one event to a
transaction at a steady rate; beside librdkafka alone, which is given the events when they are
due: the time that Kafka itself takes on this machine."""
import time

import drain
from rounds import Bound, Ratio, Variant

TITLE = "time from COMMIT to the consumer"
SERVERS = ("postgres", "kafka")


def add_arguments(parser):
    parser.add_argument("--seconds", type=int, default=10, help="of each variant in each round (10)")
    parser.set_defaults(batch=5000, events=0)


class Benchmark(drain.Benchmark):
    variants = [
        Variant("exactly_once 200", "exactly once, 200 events/s"),
        Variant("at_least_once 200", "at least once, 200 events/s"),
        Variant("alone exactly_once 200", "librdkafka alone, transactions, 200 events/s"),
        Variant("alone at_least_once 200", "librdkafka alone, idempotent, 200 events/s"),
        Variant("exactly_once 2000", "exactly once, 2,000 events/s"),
        Variant("at_least_once 2000", "at least once, 2,000 events/s"),
    ]
    ratios = [
        Ratio("p50 at 200 events/s, exactly once / librdkafka alone", "p50 ms", "exactly_once 200",
              "alone exactly_once 200"),
        Ratio("p50 at 200 events/s, at least once / librdkafka alone", "p50 ms", "at_least_once 200",
              "alone at_least_once 200"),
    ]
    bounds = [
        Bound("p50 exactly once at 200 events/s, ms", "p50 ms", "exactly_once 200", 10),
        Bound("p50 at least once at 200 events/s, ms", "p50 ms", "at_least_once 200", 3),
    ]

    def __init__(self, stack, options):
        super().__init__(stack, options)
        if not self.has_at_least_once:
            self.variants = [variant for variant in self.variants if "at_least" not in variant.name]
        self.warm_up()

    def warm_up(self):
        """A broker that has just started interprets its code: what the first minute takes says
        nothing about the others."""
        topic = self.topic()
        for _ in range(4):
            self.stack.call("bench/kafka-alone", self.stack.kafka, topic, "5000", "5", "all")

    def measure(self, variant):
        *alone, mode, rate = variant.name.split()
        topic = self.topic()
        if alone:
            return self.load(mode, topic, rate)
        relay = self.relay(mode)
        try:
            self.wait_running()
            return self.load(self.stack.dsn, topic, rate)
        finally:
            relay.terminate()
            relay.wait(30)

    def load(self, origin, topic, rate):
        p50, p99, longest, _ = self.stack.call("bench/latency-load", origin, self.stack.kafka, topic, rate,
                                               str(self.options.seconds), "8").split()
        return {"p50 ms": float(p50), "p99 ms": float(p99), "max ms": float(longest)}

    def wait_running(self):
        deadline = time.monotonic() + 30
        while self.stack.sql("SELECT count(*) FROM outbox.lane, outbox.lease"
                             " WHERE name = 'lane/1/0' AND holder IS NOT NULL AND started") != "1":
            if time.monotonic() > deadline:
                raise SystemExit("bench: the relay does not get its lane")
            time.sleep(0.1)
