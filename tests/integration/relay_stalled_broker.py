#!/usr/bin/python3
# deadline: 300
"""A broker that stops for longer than a record may take, and goes on: what was sent may be
there or not. At least once nothing is lost and order is kept."""
import os
import signal

import repeats
import tap


def broker_pids(directory):
    with open(directory + "/pid", encoding="ascii") as f:
        return [int(line) for line in f.read().split()]


def main():
    directory = f"{tap.TMP}/{tap.unique('kafka')}"
    tap.KAFKA = tap.start_kafka(directory)
    outbox, book = repeats.prepare(webhooks=False)
    process = outbox.start(**repeats.LOOSE)
    with book.writers():
        tap.ok(outbox.wait_published(60), "stalled broker: it publishes")
        for pid in broker_pids(directory):
            os.kill(pid, signal.SIGSTOP)
        tap.ok(process.wait_said("event=(records_abandoned|kafka_failed)"),
               "stalled broker: the relay gives its records up")
        for pid in broker_pids(directory):
            os.kill(pid, signal.SIGCONT)
        before = outbox.published()
        tap.ok(outbox.wait_published(before + 60, 60), "stalled broker: publishing goes on")
    repeats.judge("stalled broker: nothing lost, order kept", book, process)
    tap.is_(process.stop(), 0, "stalled broker: the relay is the same all the time, and stops well")
    tap.done_testing()


main()
