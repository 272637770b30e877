#!/usr/bin/python3
# deadline: 400
"""Consumers that die, come, leave and come back late: no effect is lost or repeated, and each key's are in order.

The oracle reads the topics themselves, and counts effects in a table that forbids no duplicates."""
import os
import random
import threading
import time

import consumers
import tap

SEED = random.randrange(10**9)


class Filler:
    """Writes records until it is told to end."""

    def __init__(self, *topics, size=150, pause=0.3):
        self.topics, self.size, self.pause = topics, size, pause
        self.quit = threading.Event()
        self.thread = threading.Thread(target=self.main, daemon=True)
        self.written = 0

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.quit.set()
        self.thread.join(60)

    def main(self):
        while not self.quit.is_set():
            for topic in self.topics:
                consumers.fill(topic, self.size, keys=20)
                self.written += self.size
            self.quit.wait(self.pause)


def finish(site, filler, name, *drivers):
    topics = filler.topics
    if not tap.ok(site.wait_effects(filler.written, 120), f"{name}: all of it is done in the end"):
        for driver in drivers:
            driver.show(30)
    for driver in drivers:
        consumers.stop(driver, f"{name}: the last ones stop well")
    tap.no_complaints(site.audit(*topics), f"{name}: nothing lost, nothing repeated, all in order ({filler.written})")


def deaths(times=int(os.environ.get("CONSUMER_KILLS", "3"))):
    site = consumers.Site()
    site.slow_down()
    dice = random.Random(SEED)
    topics = [site.topic(4), site.topic(2)]
    with Filler(*topics) as filler:
        for _ in range(times):
            drivers = [site.start(topics, "--batch", str(dice.choice((7, 100))), "--workers", "3") for _ in range(2)]
            before = site.effects()
            # at times while they take over, at times when they work
            if dice.random() < 0.8:
                tap.wait_until(lambda: site.effects() > before + dice.randint(1, 150), 20, 0.01)
                time.sleep(dice.uniform(0, 0.1))
            else:
                drivers[0].wait_said("event=takeover", 20)
            for driver in drivers:
                consumers.kill(driver)
    finish(site, filler, f"kill -9, {times} times two", site.start(topics))


def restless(seconds=int(os.environ.get("CONSUMER_SECONDS", "12"))):
    """They join and leave every second or two, by SIGTERM or by SIGKILL, and lose their connections."""
    site = consumers.Site()
    site.slow_down()
    dice = random.Random(SEED + 1)
    topics = [site.topic(6)]
    drivers = [site.start(topics) for _ in range(2)]
    moves = 0
    with Filler(*topics) as filler:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(dice.uniform(0.5, 1.5))
            if len(drivers) > 1 and dice.random() < 0.5:
                driver = drivers.pop(dice.randrange(len(drivers)))
                if dice.random() < 0.2:
                    consumers.kill(driver)
                else:
                    consumers.stop(driver, "restless: one leaves")
            elif len(drivers) < 4:
                drivers.append(site.start(topics, "--batch", str(dice.choice((20, 100)))))
            site.cut_sessions(0.3)
            moves += 1
    finish(site, filler, f"restless, {moves} moves", *drivers)


def hasty():
    """They leave while they join, when librdkafka has no assignment yet and some of its releases assert one."""
    site = consumers.Site()
    topic = site.topic(6)
    stays = site.start(topic)
    consumers.fill(topic, 20)
    site.wait_effects(20)
    statuses = []
    for i in range(10):
        driver = site.start(topic)
        driver.wait_said("(?m)^ready$")
        time.sleep(0.05 * i)  # into another moment of its way into the group each time
        statuses.append(driver.stop(30))
    tap.is_(statuses, [0] * 10, "hasty: those who leave while they join end well")
    consumers.stop(stays, "hasty: who stays goes on")


def zombie():
    """Stopped in a transaction, taken for dead by Kafka, and going on when another has its partition."""
    site = consumers.Site()
    topic = site.topic(1)
    consumers.fill(topic, 20)
    first = site.start(topic, "--batch", "1", "--drain", "60000")
    site.wait_effects(20)
    consumers.fill(topic, records=[{"key": "z", "payload": "nap"}])
    tap.wait_until(lambda: site.sql("select 1 from pg_stat_activity where datname = current_database()"
                                    " and state = 'idle in transaction'"))
    first.send(consumers.signal.SIGSTOP)
    second = site.start(topic)
    tap.ok(site.wait_effects(21), "zombie: another does its work meanwhile")
    fence = site.sql("select fence from outbox.consumer_position")
    first.send(consumers.signal.SIGCONT)
    tap.ok(first.wait_said("event=fenced"), "zombie: it is refused")
    consumers.fill(topic, 20)
    site.wait_effects(41)
    tap.ok(site.sql("select fence from outbox.consumer_position") >= fence, "zombie: the fence rises only")
    consumers.stop(first, "zombie: it stops well")
    consumers.stop(second)
    tap.no_complaints(site.audit(topic), "zombie: nothing repeated")


def locks():
    """Stopped with locks: PostgreSQL ends its session, so that others need not wait for ever."""
    site = consumers.Site()
    topic = site.topic(1)
    consumers.fill(topic, records=[{"key": "z", "payload": "sleep:1"}])
    first = site.start(topic, "--transaction", "4000")
    tap.wait_until(lambda: site.sql("select 1 from pg_stat_activity where datname = current_database()"
                                    " and query like 'SELECT pg_sleep%%' and state = 'active'"))
    first.send(consumers.signal.SIGSTOP)
    second = site.start(topic)
    tap.ok(site.wait_effects(1), "locks: another gets through")
    first.send(consumers.signal.SIGCONT)
    consumers.fill(topic, 20)
    site.wait_effects(21)
    consumers.stop(first)
    consumers.stop(second)
    tap.no_complaints(site.audit(topic), "locks: nothing repeated")


def stuck():
    """A handler that is slow when its partition goes: its transaction is cut off; one that never returns ends the run."""
    site = consumers.Site()
    topic = site.topic(1)
    consumers.fill(topic, records=[{"payload": "sleep:50"}])
    driver = site.start(topic, "--drain", "300")
    tap.wait_until(lambda: site.sql("select 1 from pg_stat_activity where query like 'SELECT pg_sleep(50%%'"))
    started = time.monotonic()
    consumers.stop(driver, "slow: it is cut off, and the stop is bounded")
    tap.ok(time.monotonic() - started < 25, "slow: the statement is not waited for")
    tap.is_(site.effects(), 0, "slow: and rolled back")
    other = site.topic(1)
    consumers.fill(other, records=[{"payload": "hang"}])
    driver = site.start(other, "--drain", "300")
    driver.wait_said("event=takeover")
    tap.wait_until(lambda: site.sql("select 1 from pg_stat_activity where datname = current_database()"
                                    " and state = 'idle in transaction'"))
    driver.send(consumers.signal.SIGTERM)
    tap.is_(driver.wait(60), 1, "hanging: the run ends nevertheless")
    tap.like(driver.log(), "a handler does not return", "hanging: and says so")


def returned():
    """A handler that does not return while its partition goes elsewhere, and in the end does when its process has the
    partition again: by then it takes nothing from its successor, who hears of each record as it comes."""
    site = consumers.Site()
    topic = site.topic(2)
    gate = f"{tap.TMP}/{topic}.gate"
    consumers.fill(topic, records=[{"partition": p, "payload": f"hold:{gate}"} for p in range(2)])
    first = site.start(topic, "--drain", "300", "--transaction", "180000")
    holding = "select count(*)::int from pg_stat_activity where datname = current_database()" \
              " and application_name = 'outbox-consumer' and state = 'idle in transaction'"
    tap.ok(tap.wait_until(lambda: site.sql(holding)[0][0] == 2, 60), "returned: two handlers hold their partitions")
    second = site.start(topic, "--drain", "300")
    tap.ok(first.wait_said("event=revoked", 60) and second.wait_said("event=takeover", 60),
           "returned: one of these is given to another instance")
    consumers.kill(second)
    tap.ok(tap.wait_until(lambda: first.log().count("event=takeover") == 3 and site.sql(holding)[0][0] == 2, 60),
           "returned: which dies, so that it comes back")
    with open(gate, "w", encoding="utf-8"):
        pass
    tap.ok(first.wait_said("event=postgres a transaction", 60), "returned: the first handler cannot commit any more")
    tap.ok(site.wait_effects(2), "returned: its successor can")
    # Without the news a partition is looked at every 10 seconds.
    late = [at_once(site, topic, partition) for partition in range(2)]
    tap.is_(late, [True, True], "returned: what comes then is handled at once")
    consumers.stop(first)
    tap.no_complaints(site.audit(topic), "returned: nothing lost or repeated")


def at_once(site, topic, partition):
    """Whether one of six records, each written when the one before it has been handled, took less than 5 seconds."""
    for number in range(6):
        done = site.effects()
        consumers.fill(topic, records=[{"partition": partition, "payload": "x"}])
        started = time.monotonic()
        site.wait_effects(done + 1)
        if number and time.monotonic() - started < 5:
            return True
    return False


def main():
    tap.diag("seed", SEED)
    tap.side_by_side((deaths, restless, hasty, zombie, locks, stuck, returned), 3)
    tap.done_testing()


main()
