"""retention: what rotation and dropping cost the writers. pgbench, 8 clients, fsync on: a
business transaction with an event, each one's latency; beside it, in one variant, partitions
are added, entered, detached and dropped twice a second, with the relay's own statements, in
another while a reader has the log open."""
import glob
import os
import subprocess
import tempfile
import threading
import time

import psycopg2

from rounds import Ratio, Variant

TITLE = "writers' latency while partitions are entered and dropped"
SERVERS = ("postgres",)

TABLES = """
CREATE TABLE business (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int, amount int, note text);
CREATE ROLE service LOGIN IN ROLE outbox_writer;
GRANT INSERT ON business TO service;
"""
TRANSACTION = """
BEGIN;
INSERT INTO business (customer, amount, note) VALUES (:client_id, 1, 'x');
INSERT INTO outbox.new_event (type, key, payload)
    VALUES ('order.placed', :client_id, convert_to(repeat('x', 300), 'UTF8'));
COMMIT;
"""


def add_arguments(parser):
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=10, help="of each variant in each round (10)")


class Benchmark:
    variants = [
        Variant("without", "no maintenance"),
        Variant("with", "rotation and drop, twice a second"),
        Variant("reader", "the same, a reader has the log open"),
    ]
    ratios = [
        # at most 1.2 times as slow
        Ratio("p99 without / with rotation and drop", "p99_ms", "without", "with", 0.83),
        Ratio("p99 without / with those and a reader", "p99_ms", "without", "reader"),
        Ratio("transactions with / without", "tps", "with", "without"),
    ]

    def __init__(self, stack, options):
        self.stack, self.options = stack, options
        self.quit = threading.Event()
        self.dropped = 0
        stack.sql(TABLES)

    def one_round(self, cursor):
        """The statements of one round of the relay. The rule of what may go is not asked: no relay
        publishes here."""
        def one(statement):
            cursor.execute(statement)
            return cursor.fetchone()

        one("SELECT outbox.partition_add()")
        one("SELECT outbox.rotate()")
        found = one("SELECT n FROM outbox.event_partition WHERE rotated_at IS NOT NULL ORDER BY n LIMIT 1")
        for parent in ("event", "tick") if found else ():
            table = f"outbox.{parent}_{found[0]}"
            state = one(f"SELECT outbox.partition_table({found[0]}, '{parent}')")[0]
            if state in ("attached", "pending"):
                how = "FINALIZE" if state == "pending" else "CONCURRENTLY"
                cursor.execute(f"ALTER TABLE outbox.{parent} DETACH PARTITION {table} {how}")
            if state != "gone":
                cursor.execute(f"DROP TABLE {table}")
        if found:
            cursor.execute(f"DELETE FROM outbox.event_partition WHERE n = {found[0]}")
            self.dropped += 1

    def maintain(self):
        connection = psycopg2.connect(self.stack.dsn)
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SET lock_timeout = '2s'; SET statement_timeout = '2500ms'")
        while not self.quit.wait(0.5):
            try:
                self.one_round(cursor)
            except psycopg2.OperationalError:
                pass  # cancelled, as it is for the relay: the next round goes on from there
        connection.close()

    def load(self, folder):
        script = os.path.join(folder, "transaction.sql")
        with open(script, "w", encoding="utf-8") as f:
            f.write(TRANSACTION)
        subprocess.run(["pgbench", "-n", "-M", "prepared", "-c", str(self.options.clients), "-j", "2",
                        "-T", str(self.options.seconds), "-l", "--log-prefix", folder + "/log", "-f", script,
                        self.stack.dsn + " user=service"], capture_output=True, text=True, check=True)
        latencies = []
        for path in glob.glob(folder + "/log.*"):
            with open(path, encoding="ascii") as f:
                latencies += [int(line.split()[2]) for line in f]
        return sorted(latencies)

    def measure(self, variant):
        self.quit.clear()
        self.dropped = 0
        reader = thread = None
        if variant.name == "reader":
            reader = self.stack.spawn(["psql", "-X", "-q", self.stack.dsn, "-c", "BEGIN", "-c",
                                       "SELECT count(*) FROM (SELECT FROM outbox.event LIMIT 1) AS e", "-c",
                                       "SELECT pg_sleep(3600)"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.5)
        if variant.name != "without":
            thread = threading.Thread(target=self.maintain)
            thread.start()
        with tempfile.TemporaryDirectory() as folder:
            latencies = self.load(folder)
        self.quit.set()
        if reader:
            reader.kill()
            reader.wait()
            self.stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)%'"
                           " AND pid <> pg_backend_pid()")
        if thread:
            thread.join()
        self.stack.sql("TRUNCATE business")
        return {"tps": len(latencies) / self.options.seconds, "p50_ms": latencies[len(latencies) // 2] / 1000,
                "p99_ms": latencies[len(latencies) * 99 // 100] / 1000, "max_ms": latencies[-1] / 1000,
                "dropped": self.dropped}
