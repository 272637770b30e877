#!/usr/bin/python3
# deadline: 300
"""A chain: A emits, a relay publishes; B consumes, writes to its own database and emits; another relay publishes;
C consumes. Relays and consumers die at random; each event of A has its effect at B and at C once."""
import collections
import json
import random
import time

import consumers
import relay
import tap

SEED = random.randrange(10**9)
SECONDS = 15


def payload_numbers(site):
    return collections.Counter(json.loads(row[0])["n"] for row in
                               site.sql("select convert_from(payload, 'UTF8') from effect"))


class Link:
    """One process of the chain; dies and comes back."""

    def __init__(self, start):
        self.start = start
        self.process = start()

    def die(self):
        self.process.kill()
        self.process = self.start()


def main():
    dice = random.Random(SEED)
    tap.diag("seed", SEED)
    a, b = relay.Outbox(), relay.Outbox()
    first, second = a.create_topic("first", 3), b.create_topic("second", 3)
    at_b, at_c = consumers.Site(b.dsn), consumers.Site()
    for site in (at_b, at_c):
        site.slow_down()
    links = [Link(lambda: a.start()), Link(lambda: b.start()), Link(lambda: at_b.start(first, "--emit", second)),
             Link(lambda: at_c.start(second))]
    emitted = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        count = dice.randint(1, 60)
        a.sql("select count(outbox.emit(type => 'chain', topic => %s, key => (g %% 9)::text,"
              " payload => jsonb_build_object('n', g))) from generate_series(%s, %s) as g",
              (first, emitted + 1, emitted + count))
        emitted += count
        time.sleep(dice.uniform(0, 0.4))
        if dice.random() < 0.25:
            dice.choice(links).die()
    if not tap.ok(at_c.wait_effects(emitted, 90), f"all {emitted} events come to the end of the chain"):
        for link in links:
            link.process.show(15)
    for link in links:
        tap.is_(link.process.stop(30), 0, "the link stops well")
    wanted = collections.Counter(range(1, emitted + 1))
    for name, site, topic in (("B", at_b, first), ("C", at_c, second)):
        found = payload_numbers(site)
        tap.no_complaints([f"lost: {n}" for n in (wanted - found)] + [f"repeated: {n}" for n in (found - wanted)],
                          f"each event's effect is at {name} once")
        tap.no_complaints(site.audit(topic), f"and in order at {name}")
    tap.done_testing()


main()
