#!/usr/bin/python3
# deadline: 300
"""From exactly once to at least once and back under load, dying at each step of it: nothing
is lost, order is kept, and once the lane is published exactly once nothing is doubled."""
import signal
import time

import repeats
import tap


def kill_in_change(outbox, fault, options):
    process = outbox.start(fault=fault, **options)
    status = process.wait()
    if not tap.ok(status == -signal.SIGKILL, f"change: it dies at {fault} as {options.get('publish', 'exactly once')}"):
        process.show()


def changes():
    """At each step of the change the one who changes dies."""
    outbox, book = repeats.prepare()
    exactly = dict(repeats.OPTIONS)
    with book.writers():
        process = outbox.start(**exactly)
        outbox.wait_published(30)
        process.kill()
        for point in ("kafka_after_init", "relay_after_lease"):
            kill_in_change(outbox, point, repeats.LOOSE)
        tap.is_(repeats.published_as(outbox), "exactly_once", "change: not recorded before it has fenced")
        kill_in_change(outbox, "relay_before_acknowledge:2", repeats.LOOSE)
        process = outbox.start(**repeats.LOOSE)
        outbox.wait_published(outbox.published() + 30)
        process.kill()
        tap.is_(repeats.published_as(outbox), "at_least_once", "change: recorded")
        for point in ("relay_after_lease", "kafka_after_init", "kafka_after_begin", "kafka_before_commit"):
            kill_in_change(outbox, point, exactly)
        tap.is_(repeats.published_as(outbox), "at_least_once", "change back: not recorded before there is a marker")
        kill_in_change(outbox, "kafka_after_commit:1", exactly)
        kill_in_change(outbox, "kafka_after_commit:3", exactly)
        tap.is_(repeats.published_as(outbox), "exactly_once", "change back: recorded")
        # an exactly-once owner that died between Kafka's commit and the acknowledgement
        process = outbox.start(**repeats.LOOSE)
        tap.ok(outbox.wait_published(outbox.published() + 30), "change: its marker is acknowledged, then it goes on")
        process.stop()
        process = outbox.start(**exactly)
        process.wait_running()
        switched = outbox.sql("select last_value from outbox.event_seq")[0][0]
        outbox.wait_published(outbox.published() + 50)
        for _ in range(2):
            process.kill()
            process = outbox.start(**exactly)
            outbox.wait_published(outbox.published() + 30)
        tap.wait_until(lambda: outbox.sql("select count(*) > 50 from outbox.event where seq > %s", (switched,))[0][0])
    late = {row[0] for row in outbox.sql("select id::text from outbox.event where seq > %s", (switched,))}
    found = repeats.judge("change at each step of it: nothing lost, order kept, nothing doubled once it is exactly once",
                  book, process, kills=12, may_repeat=lambda event: event not in late)
    tap.ok(len(late) > 50 and found, "change back: enough happened after it to mean something")
    process.stop()


def halts():
    """What exactly once must be able to rely on, it relies on still."""
    outbox, book = repeats.prepare(webhooks=False)
    with book.writers():
        process = outbox.start(**repeats.OPTIONS)
        outbox.wait_published(30)
    process.kill()
    outbox.sql("update outbox.lane set publish = 'at_least_once'")
    process = outbox.start(**repeats.OPTIONS)
    tap.ok(process.wait_running() and repeats.published_as(outbox) == "exactly_once",
           "halts: a change back with a marker that has kept up needs none")
    process.stop()
    tap.run([tap.SRC + "/dev/kafka", "tool", "topics", "--bootstrap-server", tap.KAFKA, "--delete", "--topic",
             outbox.prefix + ".progress"])
    process = outbox.start(**repeats.LOOSE)
    tap.is_((process.wait(), outbox.lane()["halted"]), (3, "marker_missing"),
            "halts: without a marker at least once does not follow exactly once either")


def main():
    for test in (changes, halts):
        started = time.monotonic()
        test()
        tap.diag(f"{time.monotonic() - started:.1f} s")
    tap.done_testing()


main()
