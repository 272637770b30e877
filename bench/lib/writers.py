"""writers: what an event costs the one who writes it. 16 clients, each with a connection
of its own, fsync on. No relay runs: what one costs besides is the doorbell's, which is
measured awake and asleep."""
import subprocess

from rounds import Ratio, Variant

TITLE = "business transactions with and without an event"
SERVERS = ("postgres",)

TABLES = """
CREATE TABLE business (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int, amount int, note text);
CREATE SEQUENCE plain_seq;
CREATE TABLE plain (LIKE outbox.event INCLUDING DEFAULTS INCLUDING GENERATED);
ALTER TABLE plain ALTER COLUMN seq SET DEFAULT nextval('plain_seq');
CREATE INDEX ON plain (seq);
CREATE INDEX ON plain (xid, seq);
CREATE ROLE service LOGIN IN ROLE outbox_writer;
GRANT INSERT ON business, plain TO service;
GRANT USAGE ON SEQUENCE plain_seq TO service;
"""


def add_arguments(parser):
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=4, help="of each variant in each round (4)")


class Benchmark:
    variants = [
        Variant("alone", "business transaction alone"),
        Variant("insert", "with a plain INSERT of the same row"),
        Variant("emit", "with outbox_emit(), prepared"),
        Variant("asleep", "the same, a relay asleep for ever (each one notifies)"),
        Variant("sql", "with SELECT outbox.emit(...), prepared"),
        Variant("unprepared", "with outbox_emit(), as behind a pooler"),
        Variant("insert_unprepared", "with a plain INSERT, unprepared"),
    ]
    ratios = [
        Ratio("transaction with event / without", "tps", "emit", "alone", 0.6),
        Ratio("event / plain INSERT of the same row", "tps", "emit", "insert", 0.9),
        Ratio("the same, each one notifying", "tps", "asleep", "insert"),
        Ratio("SQL function / plain INSERT", "tps", "sql", "insert"),
        Ratio("unprepared event / unprepared plain INSERT", "tps", "unprepared", "insert_unprepared"),
    ]

    def __init__(self, stack, options):
        self.stack, self.options = stack, options
        stack.sql(TABLES)

    def measure(self, variant):
        bell = None
        if variant.name == "asleep":
            bell = self.stack.spawn(["psql", "-X", "-q", self.stack.dsn, "-c",
                                     "SELECT pg_advisory_lock(1868721016, 4), pg_sleep(3600)"],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        load = [self.stack.program("bench/writers-load"), self.stack.dsn + " user=service",
                "emit" if variant.name == "asleep" else variant.name, str(self.options.clients),
                str(self.options.seconds)]
        done = subprocess.run(load, capture_output=True, text=True, check=True)
        if bell:
            self.stack.sql("SELECT pg_terminate_backend(pid) FROM pg_locks"
                           " WHERE locktype = 'advisory' AND objid = 4 AND mode = 'ExclusiveLock'")
            bell.wait()
        self.stack.sql("TRUNCATE business, plain")
        return {"tps": float(done.stdout)}
