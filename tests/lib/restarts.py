"""For the tests in which a party goes away under load and comes back.

    case = restarts.Case("PostgreSQL fast", outbox)       ledger, receivers, a relay
    with case.writing():
        case.progress()            publishes; how long that took
        ...
    case.judge()                   the ledger oracle, and what the relay did meanwhile
"""
import collections
import datetime
import os
import random
import re
import subprocess
import time

import psycopg2

import ledger
import tap

# The relay's longest pause between two attempts, whatever it tries.
BACKOFF_MAX = 5
# Of one kind within two seconds: pauses of 50 to 100 ms at first, doubled each time.
ATTEMPTS_MAX = 10
ATTEMPTS = ("database_failed", "ticker_failed", "lease_renewal_failed", "webhook_database", "kafka_failed")
# Events, for a case to mean anything.
LEAST = 100
MEMORY_MAX_KB = 64 * 1024
OPTIONS = {"batch_events": "200", "webhook_allow": "127.0.0.0/8", "fallback_poll": "200ms"}


def control(kind, directory, command, *options):
    """dev/postgres or dev/kafka. A Java that starts while all else is at work needs its time."""
    subprocess.run([f"{tap.SRC}/dev/{kind}", command, directory, *options], check=True, timeout=2 * tap.KAFKA_START,
                   env=dict(os.environ, OUTBOX_KAFKA_DEADLINE=str(tap.KAFKA_START)))


def instrumented():
    """A build whose memory says nothing about the relay's."""
    with open(tap.BUILD + "/outbox-relay", "rb") as f:
        return re.search(rb"__(asan|tsan|msan)_init", f.read()) is not None


def peak_memory(process):
    """The most it ever had, in kB; None of one that has ended."""
    try:
        with open(f"/proc/{process.process.pid}/status", encoding="ascii", errors="replace") as f:
            found = re.search(r"^VmHWM:\s*(\d+) kB", f.read(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) if found else None


class Case:
    def __init__(self, name, outbox, types=("*",), policy="resend", **options):
        self.name, self.outbox = name, outbox
        self.book = ledger.Ledger(outbox, outbox.create_topic("orders", 2), outbox.create_topic("rest", 3))
        self.dice = random.Random(self.book.seed)
        self.book.add_endpoint(ledger.Receiver(seed=self.book.seed))
        self.book.add_endpoint(ledger.Receiver(seed=self.book.seed + 1), types, policy)
        self.process = outbox.start(**dict(OPTIONS, **options))
        self.complaints = []
        self.slowest = 0

    def writing(self, count=3, pause=0.03, **options):
        return self.book.writers(count, pause, least=LEAST, **options)

    def moment(self, longest=1.0):
        """So that it is not always the same one of the relay's cycle."""
        time.sleep(self.dice.uniform(0, longest))

    def published(self):
        try:
            return self.outbox.published()
        except psycopg2.OperationalError:
            return -1

    def progress(self, count=30, deadline=BACKOFF_MAX + 55):
        """Until that many more have been published than when it was called: with
        writers at work, the relay does its work, and it does so in time."""
        began = time.monotonic()
        tap.wait_until(lambda: self.published() >= 0, deadline)
        wanted = self.published() + count
        if not tap.wait_until(lambda: self.published() >= wanted or not self.process.running(), deadline) or \
                not self.process.running():
            self.complaints.append(f"does not publish, {time.monotonic() - began:.0f} s after it could")
            return
        self.slowest = max(self.slowest, time.monotonic() - began)

    def attempts(self):
        """When it failed at what: {event: [seconds]}."""
        found = collections.defaultdict(list)
        for when, what in re.findall(r"^time=(\S+) .*?event=(\w+)", self.process.log(), re.MULTILINE):
            if what in ATTEMPTS:
                found[what].append(datetime.datetime.fromisoformat(when.replace("Z", "+00:00")).timestamp())
        return found

    def check_attempts(self):
        for what, times in self.attempts().items():
            most = max(sum(1 for t in times if start <= t < start + 2) for start in times)
            if most > ATTEMPTS_MAX:
                self.complaints.append(f"{what}: {most} attempts within two seconds")

    def check_memory(self):
        peak = peak_memory(self.process)
        if instrumented():
            return "memory not looked at: instrumented"
        if peak is None or peak > MEMORY_MAX_KB:
            self.complaints.append(f"memory: {peak} kB")
        return f"{peak} kB of memory at most"

    def judge(self, kills=0):
        """When the writers have stopped."""
        settled = self.book.settle()
        memory = self.check_memory()
        status = self.process.stop()
        self.check_attempts()
        if not settled:
            states = self.outbox.sql("select state, count(*) from outbox.delivery group by 1")
            self.complaints.append(f"not settled: {self.outbox.lane()}, deliveries {states}")
        if status != 0:
            self.complaints.append(f"exit status {status}")
        self.complaints += self.book.audit(kills)
        count = self.book.count()
        if count < LEAST or not self.book.rolled_back:
            self.complaints.append("too little happened for this to mean anything")
        tap.diag(f"{self.name}: {count} events committed, {len(self.book.rolled_back)} rolled back, slowest return "
                 f"{self.slowest:.1f} s, {memory}, failures "
                 f"{ {what: len(times) for what, times in self.attempts().items()} }")
        if not tap.no_complaints(self.complaints, f"{self.name}: nothing lost, nothing doubled", f"seed {self.book.seed}"):
            self.process.show()


def own_directory(name):
    path = f"{tap.TMP}/{name}"
    os.mkdir(path)
    return path
