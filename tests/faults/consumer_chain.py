#!/usr/bin/python3
# deadline: 400
"""A chain of three services, each with a PostgreSQL of its own: A emits, a relay publishes; two instances of B consume,
write to B's database and emit there; another relay publishes; C consumes. Relays, consumers, servers of PostgreSQL
and the broker die at random; what A has committed has its effect at B and at C once, in order per key.

CHAIN_SECONDS says for how long they die (60)."""
import collections
import json
import os
import random
import threading
import time

import psycopg2

import consumers
import relay
import restarts
import tap

SECONDS = int(os.environ.get("CHAIN_SECONDS", "60"))
SEED = int(os.environ.get("CHAIN_SEED") or random.randrange(10**9))
KEYS = 9
EMIT = """
with new as (insert into emitted select nextval('number') from generate_series(1, %s) returning n)
select count(outbox.emit(type => 'chain', topic => %s, key => (n %% %s)::text, payload => jsonb_build_object('n', n)))
from new
"""


class Server:
    """Of PostgreSQL or Kafka, for this test alone."""

    def __init__(self, kind, name):
        self.kind, self.directory = kind, restarts.own_directory(name)
        self.address = tap.start_postgres(self.directory) if kind == "postgres" else tap.start_kafka(self.directory)

    def die(self):
        """All of its processes at once; it comes back."""
        if self.kind == "postgres":
            restarts.control(self.kind, self.directory, "restart", "--mode", "immediate")
        else:
            restarts.control(self.kind, self.directory, "kill")
            restarts.control(self.kind, self.directory, "start", "--owner", str(os.getpid()))


class Link:
    """A relay or a consumer; dies and comes back."""

    def __init__(self, start):
        self.start, self.process = start, start()

    def die(self):
        self.process.kill()
        self.process = self.start()


class Source:
    """The service A: emits without a pause, and has in `emitted` what it has committed, whatever it was told of it."""

    def __init__(self, site, topic, dice):
        self.site, self.topic, self.dice = site, topic, dice
        self.done, self.failures = threading.Event(), 0
        site.sql("create table emitted (n bigint primary key)")
        site.sql("create sequence number")
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.done.wait(self.dice.uniform(0, 0.4)):
            try:
                self.site.sql(EMIT, (self.dice.randint(1, 60), self.topic, KEYS))
            except psycopg2.Error:
                self.failures += 1  # its server is away, or has died under it

    def stop(self):
        self.done.set()
        self.thread.join(60)
        return [row[0] for row in self.site.sql("select n from emitted")]


def numbers(site):
    """Of each effect, in order, with its key."""
    return [(key, json.loads(text)["n"]) for key, text in site.sql(
        "select convert_from(key, 'UTF8'), convert_from(payload, 'UTF8') from effect order by n")]


def complaints(wanted, effects):
    found = collections.Counter(n for _, n in effects)
    result = [f"lost: {n}" for n in sorted(set(wanted) - set(found))]
    result += [f"never committed: {n}" for n in sorted(set(found) - set(wanted))]
    result += [f"{n}: {times} times" for n, times in found.items() if times > 1]
    last = {}
    for key, n in effects:
        if n < last.get(key, 0):
            result.append(f"key {key}: {n} after {last[key]}")
        last[key] = n
    return result


def strike(victims, dice):
    """For SECONDS, and each of them at least once; returns how often each died."""
    deaths = collections.Counter()
    due = dice.sample(list(victims), len(victims))
    end = time.monotonic() + SECONDS
    while due or time.monotonic() < end:
        name = due.pop() if due else dice.choice(list(victims))
        victims[name].die()
        deaths[name] += 1
        time.sleep(dice.uniform(0, 3))  # of work, at whatever moment of it
    return deaths


def main():
    dice = random.Random(SEED)
    servers = {name: Server("postgres", "postgres-" + name) for name in "ABC"}
    broker = Server("kafka", "kafka")
    tap.KAFKA = broker.address
    a, b = (relay.Outbox(tap.create_database(servers[name].address)) for name in "AB")
    first, second = a.create_topic("first", 3), b.create_topic("second", 3)
    at_b, at_c = consumers.Site(b.dsn), consumers.Site(tap.create_database(servers["C"].address))
    for site in (at_b, at_c):
        site.slow_down()
    links = {"relay A": Link(a.start), "relay B": Link(b.start),
             "consumer B1": Link(lambda: at_b.start(first, "--emit", second)),
             "consumer B2": Link(lambda: at_b.start(first, "--emit", second)),
             "consumer C": Link(lambda: at_c.start(second))}
    source = Source(a, first, random.Random(SEED))
    source.thread.start()
    deaths = strike({**links, **{f"PostgreSQL {name}": server for name, server in servers.items()}, "broker": broker}, dice)
    wanted = source.stop()
    tap.diag(f"seed {SEED}: {len(wanted)} events committed, {source.failures} times A could not, deaths {dict(deaths)}")
    if not tap.ok(at_c.wait_effects(len(wanted), 120), "all events come to the end of the chain"):
        for link in links.values():
            link.process.show(15)
    for name, link in links.items():
        tap.is_(link.process.stop(30), 0, f"{name}: stops well")
    for name, site, topic in (("B", at_b, first), ("C", at_c, second)):
        tap.no_complaints(complaints(wanted, numbers(site)), f"each event's effect is at {name} once, in order per key")
        tap.no_complaints(site.audit(topic), f"and as the topic has them, at {name}")
    tap.done_testing()


main()
