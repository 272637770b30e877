"""A storm: real servers of its own, three brokers among them, and blows that fall on
them and on the relays while writers and receivers are at work.

    scene = storm.Scene()
    round = storm.Round(scene, seed)
    round.blow(storm.BLOWS["broker_killed"])     strikes, heals, waits for progress
    round.judge()                                the ledger oracle

A blow is one mishap and its end. Between two of them the relay must come to publish
again by itself; how long that takes from the end of the mishap on is noted.
"""
import collections
import contextlib
import os
import random
import signal
import statistics
import time

import psycopg2

import clocks
import ledger
import proxy
import relay
import restarts
import tap

# Long enough for the slowest: an elected coordinator, an expired lease, a pause of five seconds.
RECOVERY_MAX = 90
ledger.Receiver.tolerance = 24 * 3600  # a signature has the relay's time, and its clock is set
OPTIONS = dict(restarts.OPTIONS, transaction_timeout="5s", connect_timeout="3s", statement_timeout="8s")


class Scene:
    """The servers, and the line between the relays and PostgreSQL."""

    def __init__(self):
        self.kafka = restarts.own_directory("kafka3")
        self.postgres = restarts.own_directory("postgres")
        self.server = tap.start_postgres(self.postgres, "--fsync", "on")
        tap.KAFKA = tap.start_kafka(self.kafka, "--brokers", "3")
        with open(self.postgres + "/dsn-tcp", encoding="ascii") as f:
            self.tcp = psycopg2.extensions.parse_dsn(f.read().strip())
        self.line = proxy.Proxy((self.tcp["host"], int(self.tcp["port"])))

    def through(self, dsn):
        """The same database, through the line."""
        name = psycopg2.extensions.parse_dsn(dsn)["dbname"]
        return psycopg2.extensions.make_dsn(**dict(self.tcp, port=self.line.port, dbname=name))

    def control(self, server, command, *options):
        directory = self.kafka if server == "kafka" else self.postgres
        restarts.control(server, directory, command, *options)

    def broker(self, node):
        with open(f"{self.kafka}/node-{node}/pid", encoding="ascii") as f:
            return int(f.read())

    def replicated(self):
        """Do all partitions have all their replicas again?"""
        client = relay.load_program(tap.SRC + "/dev/kafka-client")
        try:
            with client.Connection(tap.KAFKA.split(",")[0]) as connection:
                topics = connection.replicas(None)[2]
        except OSError:
            return False
        return all(len(replicas) == len(in_sync) for parts in topics.values() for _, replicas, in_sync in parts)


class Round:
    """One ledger, two relays of which one stands by, and what happened to them."""

    def __init__(self, scene, seed, **options):
        self.scene, self.seed = scene, seed
        outbox = relay.Outbox(tap.create_database(scene.server))
        self.clock = clocks.Clock(f"round-{seed}")
        self.options = dict(OPTIONS, dsn=scene.through(outbox.dsn), environment=self.clock.environment, **options)
        self.case = restarts.Case(f"seed {seed}", outbox, policy="park", **self.options)
        self.dice = random.Random(seed)
        self.relays = {"relay": self.case.process}
        self.kills = 0
        self.recoveries = collections.defaultdict(list)
        self.start("standby")

    def start(self, name):
        self.relays[name] = self.case.outbox.start(name, **self.options)

    def holder(self):
        """The relay that has the lane: its name."""
        def look():
            with contextlib.suppress(psycopg2.Error):
                name = self.case.outbox.lease()["holder"]
                if name in self.relays and self.relays[name].running():
                    return name
            return None

        return tap.wait_until(look, 30) or "relay"

    def revive(self, name):
        """A relay that ended by itself, or is away, and should not be."""
        if self.relays[name].running():
            return
        status = self.relays[name].process.poll()
        if status not in (0, -signal.SIGKILL):
            self.case.complaints.append(f"{name} ended with {status}")
            self.relays[name].show()
        self.start(name)

    def progress(self, count=20):
        """Until that many more have been published, by whichever relay."""
        case = self.case
        tap.wait_until(lambda: case.published() >= 0, RECOVERY_MAX)
        wanted = case.published() + count
        if not tap.wait_until(lambda: case.published() >= wanted, RECOVERY_MAX):
            case.complaints.append(f"nobody publishes, {RECOVERY_MAX} s after somebody could")

    def blow(self, blow):
        self.progress()
        self.case.moment(0.5)
        tap.diag(f"{time.strftime('%H:%M:%S')} {blow.__name__}")
        blow(self)
        for name in list(self.relays):
            self.revive(name)
        began = time.monotonic()
        self.progress()
        self.recoveries[blow.__name__].append(time.monotonic() - began)

    def judge(self):
        """When the writers have stopped. True if nothing is wrong."""
        self.case.book.settle(RECOVERY_MAX)
        for name, process in self.relays.items():
            if process is not self.case.process and process.stop() != 0:
                self.case.complaints.append(f"{name}: exit status {process.process.poll()}")
        if not self.case.process.running():  # it was replaced
            self.case.process = self.case.outbox.start("relay", **self.options)
            self.case.process.wait_running()
        self.case.judge(kills=self.kills)
        return not self.case.complaints


# ---- blows: to relays ----

def relay_killed(storm):
    storm.kills += 1
    storm.relays[storm.holder()].kill()


def relay_stopped(storm):
    name = storm.holder()
    status = storm.relays[name].stop(30)
    if status != 0:
        storm.case.complaints.append(f"{name}: exit status {status} after SIGTERM")


def relay_paused(storm):
    """For longer than its lease; the other takes over, and it comes back."""
    storm.kills += 1  # what it was sending has an unknown outcome
    process = storm.relays[storm.holder()]
    process.send(signal.SIGSTOP)
    time.sleep(relay.LEASE + storm.dice.uniform(0.5, 3))
    process.send(signal.SIGCONT)


def clock_set(storm):
    """That of the relays, by hours; until the next time."""
    storm.clock.set(storm.dice.uniform(-6, 6) * 3600)


# ---- to PostgreSQL ----

def postgres_restarted(storm):
    storm.scene.control("postgres", "restart", "--mode", "fast")


def postgres_crashed(storm):
    storm.scene.control("postgres", "restart", "--mode", "immediate")


def postgres_away(storm):
    storm.scene.control("postgres", "stop", "--mode", "immediate")
    time.sleep(storm.dice.uniform(1, restarts.BACKOFF_MAX + 2))
    storm.scene.control("postgres", "start", "--owner", str(os.getpid()))


def line_cut(storm):
    storm.scene.line.cut()
    time.sleep(storm.dice.uniform(0, 6))
    storm.scene.line.resume()


def line_silent(storm):
    storm.scene.line.stall()
    time.sleep(storm.dice.uniform(1, 10))
    storm.dice.choice((storm.scene.line.resume, storm.scene.line.forget))()


def transactions_left_open(storm):
    """One that has emitted and does not end, and a prepared one: both end after others
    have come and gone."""
    book = storm.case.book
    name = tap.unique("prepared")
    book.outbox.sql("insert into counter values ('key-100'), ('key-101') on conflict do nothing")
    with contextlib.closing(psycopg2.connect(book.outbox.dsn)) as lasting, \
            contextlib.closing(psycopg2.connect(book.outbox.dsn)) as prepared:
        with prepared.cursor() as cursor:
            cursor.execute("set local outbox.two_phase = on")
            book.emit(prepared, 100, "order.placed", 3)
            cursor.execute(f"prepare transaction '{name}'")
        prepared.rollback()
        book.emit(lasting, 101, "order.placed", 3)
        storm.progress(100)
        lasting.commit()
        prepared.autocommit = True
        with prepared.cursor() as cursor:
            cursor.execute(f"commit prepared '{name}'")


# ---- to Kafka ----

def brokers_back(storm, *nodes):
    storm.scene.control("kafka", "start")
    if not tap.wait_until(storm.scene.replicated, 120, 0.5):
        tap.diag(f"after broker {nodes} the replicas are not in sync")


def broker_killed(storm):
    """Leaders of its partitions move, the coordinator of transactions perhaps too. Not the
    first, which is the only controller."""
    node = storm.dice.choice((2, 3))
    storm.scene.control("kafka", "kill", "--node", str(node))
    storm.progress()  # two of three are enough
    brokers_back(storm, node)


def broker_restarted(storm):
    storm.scene.control("kafka", "restart", "--node", str(storm.dice.choice((1, 2, 3))))
    tap.wait_until(storm.scene.replicated, 120, 0.5)


def broker_paused(storm):
    """So long that the others take it for dead."""
    pid = storm.scene.broker(storm.dice.choice((2, 3)))
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(storm.dice.uniform(4, 9))
    finally:
        os.kill(pid, signal.SIGCONT)
    tap.wait_until(storm.scene.replicated, 120, 0.5)


def replicas_lost(storm):
    """Fewer than min.insync.replicas: nothing can be published, nothing may be lost."""
    for node in (2, 3):
        storm.scene.control("kafka", "kill", "--node", str(node))
    time.sleep(storm.dice.uniform(1, 8))
    brokers_back(storm, 2, 3)


def all_brokers_killed(storm):
    storm.scene.control("kafka", "kill")
    brokers_back(storm, 1, 2, 3)


# Name to function, and how often each falls beside the others.
WEIGHTS = {relay_killed: 8, relay_stopped: 4, relay_paused: 4, clock_set: 2, postgres_restarted: 2, postgres_crashed: 2,
           postgres_away: 1, line_cut: 3, line_silent: 3, transactions_left_open: 2, broker_killed: 2,
           broker_restarted: 2, broker_paused: 2, replicas_lost: 1, all_brokers_killed: 1}
BLOWS = {blow.__name__: blow for blow in WEIGHTS}


class Report:
    """Of many rounds."""

    def __init__(self):
        self.began = time.monotonic()
        self.recoveries = collections.defaultdict(list)
        self.rounds = self.bad = self.events = self.rolled_back = 0
        self.complaints = []

    def add(self, storm):
        self.rounds += 1
        self.events += storm.case.book.count()
        self.rolled_back += len(storm.case.book.rolled_back)
        self.bad += bool(storm.case.complaints)
        self.complaints += [f"seed {storm.seed}: {text}" for text in storm.case.complaints]
        for name, times in storm.recoveries.items():
            self.recoveries[name] += times

    def count(self, *words):
        return sum(any(word in text for word in words) for text in self.complaints)

    def lines(self):
        every = [t for times in self.recoveries.values() for t in times]
        yield f"{(time.monotonic() - self.began) / 60:.1f} minutes, {self.rounds} rounds, {len(every)} blows"
        yield f"{self.events} events committed, {self.rolled_back} rolled back"
        yield (f"rounds with events lost: {self.count('lost', 'beyond')}, doubled: {self.count('doubled')}, "
               f"out of order: {self.count('order:')}, with any complaint: {self.bad}")
        if every:
            yield f"recovery after a blow: median {statistics.median(every):.1f} s, worst {max(every):.1f} s"
        for name, times in sorted(self.recoveries.items()):
            yield (f"  {name:<24} {len(times):5} times, median {statistics.median(times):5.1f} s, "
                   f"worst {max(times):5.1f} s")
        yield from self.complaints[:40]
