#!/usr/bin/python3
# deadline: 300
"""A key that is parked does not hold up the others: how long a backlog takes, with one and
without. The ratio is printed; what must hold is that all of it flows."""
import time

import relay
import tap

EVENTS = 50000
LONG = 60


def drain(parked):
    outbox = relay.Outbox()
    topic = outbox.create_topic("orders", 3)
    if parked:  # there is no such partition
        outbox.emit(type="stray", topic=topic, key="parked", partition=99, payload="1")
        process = outbox.start()
        tap.ok(tap.wait_until(lambda: outbox.sql("select count(*) from outbox.parked_event") == [(1,)], LONG), "parked")
        process.stop()
    outbox.sql("select count(outbox.emit(type => 't', topic => %s, key => 'k' || g %% 1000, payload => '1'))"
               "  from generate_series(1, %s) g", (topic, EVENTS))
    process = outbox.start(log_level="info")
    process.wait_running()
    began = time.monotonic()
    tap.ok(tap.wait_until(lambda: outbox.published() >= EVENTS, LONG, 0.02), "a backlog is published")
    took = time.monotonic() - began
    tap.is_(process.stop(), 0, "the relay stops well")
    return took


def main():
    times = {parked: min(drain(parked) for _ in range(2)) for parked in (False, True)}
    tap.diag(f"{EVENTS} events: {times[False]:.2f} s; with a key of their topic parked {times[True]:.2f} s, "
             f"{times[True] / times[False]:.2f} times as long")
    tap.done_testing()


main()
