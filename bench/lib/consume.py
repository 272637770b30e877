"""consume: records of 300 bytes out of Kafka and into PostgreSQL, in batches of one INSERT each; by the
consumer library, with its position in the same transaction, beside a bare loop of librdkafka that writes the same
batches by hand with one connection and leaves its offset to Kafka (at least once). fsync on."""
import os

import servers
from rounds import Ratio, Variant

TITLE = "consuming into PostgreSQL"
SERVERS = ("postgres", "kafka")
PARTITIONS = 4
TABLE = "CREATE TABLE consumed (partition int, off bigint, payload bytea)"


def add_arguments(parser):
    parser.add_argument("--events", type=int, default=500_000, help="of each round (500000)")
    parser.add_argument("--batch", type=int, default=1000, help="records of a transaction (1000)")


class Benchmark:
    variants = [
        Variant("raw", "bare loop, by hand"),
        Variant("one", "consumer library, one worker"),
        Variant("four", "consumer library, four workers"),
    ]
    ratios = [
        Ratio("one worker / bare loop", "records/s", "one", "raw", 0.8),
        Ratio("four workers / bare loop", "records/s", "four", "raw", 0.8),
    ]

    def __init__(self, stack, options):
        self.stack, self.options = stack, options
        self.rounds = 0
        stack.sql(TABLE)
        servers.call(os.path.join(servers.SOURCE, "dev", "kafka"), "create-topic", stack.kafka, "bench", str(PARTITIONS))
        stack.call("tests/tools/topic-fill", "--bootstrap", stack.kafka, "--count", str(options.events), "--keys", "1000",
                   "--size", "300", "bench")

    def measure(self, variant):
        self.rounds += 1
        self.stack.sql("TRUNCATE consumed; CHECKPOINT")
        program = "bench/consume-raw" if variant.name == "raw" else "bench/consume-library"
        workers = {"raw": [], "one": ["1"], "four": ["4"]}[variant.name]
        done = self.stack.call(program, self.stack.kafka, self.stack.dsn, "bench", f"bench-{self.rounds}",
                               str(self.options.events), str(self.options.batch), *workers)
        self.verify()
        return {"records/s": float(done)}

    def verify(self):
        """Each record once: here nobody died."""
        rows, places = self.stack.sql("SELECT count(*), count(DISTINCT (partition, off)) FROM consumed").split("|")
        if (int(rows), int(places)) != (self.options.events, self.options.events):
            raise SystemExit(f"bench: {rows} rows of {places} records, {self.options.events} were written")
