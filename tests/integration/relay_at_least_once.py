#!/usr/bin/python3
# deadline: 300
"""publish = at_least_once, on a real Kafka and a real PostgreSQL: nothing is lost and the
first occurrences of a key are in order, whatever dies, and without a failure nothing is
published twice."""
import json
import random
import signal
import time

import relay
import repeats
import tap


def flow():
    # a slow machine must not look like a failure of Kafka, for which a third of it is left
    options = dict(repeats.LOOSE, lease="60s")
    outbox, book = repeats.prepare()
    with book.writers():
        process = outbox.start(**options)
        tap.ok(process.wait_running(), "flow: it runs")
        tap.is_(repeats.published_as(outbox), "at_least_once", "flow: the database knows how before anything is published")
        tap.ok(outbox.wait_published(150), "flow: it publishes")
        started = outbox.lane()["started"]
        tap.is_(process.stop(), 0, "flow: SIGTERM under load: it stops well")
        process = outbox.start("other", **options)
        tap.ok(process.wait_running(), "flow: another takes over at once")
        tap.is_(process.said("state=fencing"), None, "flow: and needs to fence nobody")
        outbox.wait_published(outbox.published() + 50)
    tap.is_(started, True, "flow: a first marker stands in Kafka, for clones to see")
    repeats.judge("flow: nothing lost, nothing repeated without a failure, webhooks once", book, process,
          may_repeat=lambda event: False)
    tap.like(tap.outboxctl(outbox.dsn, "lane", "list")[1], "at_least_once", "flow: outboxctl lane list says how")
    tap.is_(json.loads(tap.outboxctl(outbox.dsn, "status", "--json")[1])["lanes"][0]["publish"], "at_least_once",
            "flow: so does outboxctl status")
    tap.is_(process.stop(), 0, "flow: it stops well when there is nothing to do")


# ---- deaths ----

def deaths(times):
    outbox, book = repeats.prepare()
    dice = random.Random(book.seed)
    ended = []
    with book.writers(count=4, pause=0.005):
        for _ in range(times):
            process = outbox.start(**repeats.LOOSE)
            before = outbox.published()
            # at times in the midst of the takeover, at times when it runs
            if dice.random() < 0.7:
                outbox.wait_published(before + dice.randint(1, 40))
            else:
                process.wait_said("state=" + dice.choice(("comparing", "checking_lease", "opening")))
            ended.append(process.kill())
        process = outbox.start(**repeats.LOOSE)
        tap.ok(outbox.wait_published(outbox.published() + 30), f"kill -9, {times} times: the last one publishes")
    found = repeats.judge(f"kill -9, {times} times under load: nothing lost, order kept, webhooks once", book, process,
                  kills=times)
    tap.is_(set(ended), {-signal.SIGKILL}, "kill -9: none ended by itself")
    repeats.check_oracle(book, found)
    process.stop()


def stopped_relay():
    """What a stopped relay had queued is bounded by its lease; order holds nevertheless."""
    outbox, book = repeats.prepare(webhooks=False)
    with book.writers(count=4, pause=0.005):
        first = outbox.start("first", **repeats.LOOSE)
        outbox.wait_published(60)
        first.send(signal.SIGSTOP)
        second = outbox.start("second", **repeats.LOOSE)
        tap.ok(second.wait_running(), "stopped relay: another takes over")
        outbox.wait_published(outbox.published() + 30)
        first.send(signal.SIGCONT)
        tap.ok(first.wait_said("event=lease_lost"), "stopped relay: it notices when it goes on")
        outbox.wait_published(outbox.published() + 30)
    repeats.judge("stopped relay: nothing lost, order kept", book, first, second)
    first.stop()
    second.stop()


def main():
    for test in (flow, lambda: deaths(10), stopped_relay):
        started = time.monotonic()
        test()
        tap.diag(f"{time.monotonic() - started:.1f} s")
    tap.done_testing()


main()
