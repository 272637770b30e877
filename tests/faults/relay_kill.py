#!/usr/bin/python3
# deadline: 600
"""kill -9 of the relay at each step of its cycle, on a real Kafka and a real
PostgreSQL, with the ledger oracle (tests/lib/ledger.py).

At each point the relay dies twice, with writers at work: the first time it
comes there, of a lane that has never run, and again some passages later, after
a restart. Then it is started once more and must bring everything to its end.
"""
import functools
import signal
import subprocess
import sys
import time

import ledger
import relay
import tap

# Each point with the passage of the second death: late enough that events have
# been published, and in the midst of others.
POINTS = {
    "relay_after_lease": 1,
    "relay_after_read": 4,
    "relay_before_acknowledge": 4,
    "relay_after_acknowledge": 4,
    "tick_before": 6,
    "tick_after": 4,
    "maintenance_step": 3,
    "kafka_before_init": 1,
    "kafka_after_init": 1,
    "kafka_after_begin": 4,
    "kafka_after_half_produce": 3,
    "kafka_after_produce": 4,
    "kafka_after_marker": 4,
    "kafka_before_commit": 4,
    "kafka_after_commit": 4,
    "webhook_after_claim": 3,
    "webhook_before_send": 5,
    "webhook_after_send": 5,
    "webhook_after_record": 3,
}
# These are passed only when an event is parked, or released: once is enough.
PARKING = ("relay_before_park", "relay_after_park")
RELEASING = ("relay_after_release_taken", "relay_before_release_acknowledged", "relay_after_release_acknowledged")
# While the lane map changes: one relay of two dies, and the other brings the change to its end.
CHANGING = ("map_ends", "relay_before_lane_release", "relay_after_lane_release", "map_begins")
# Small, so that there are several Kafka transactions in a batch.
OPTIONS = {"batch_events": "5", "webhook_allow": "127.0.0.0/8", "fallback_poll": "200ms"}
# Of a writer, after each transaction: no more than what the relay keeps up with.
PAUSE = 0.03
# Partitions wait for the lane: it must keep up.
OPTIONS_OF = {"maintenance_step": {"batch_events": "1000", "maintenance_interval": "200ms", "rotate_every": "400ms",
                                   "retention": "1s"}}


class Failure(Exception):
    """The run did not come to where there is something to audit."""


def points_in_source():
    found = subprocess.run(["grep", "-rhoP", r'(?<=\bFAULT\(")\w+', tap.SRC + "/src"], check=True,
                           stdout=subprocess.PIPE, text=True).stdout
    return set(found.split())


def prepare():
    outbox = relay.Outbox()
    book = ledger.Ledger(outbox, outbox.create_topic("orders", 2), outbox.create_topic("rest", 3))
    book.add_endpoint(ledger.Receiver(seed=book.seed))
    book.add_endpoint(ledger.Receiver(seed=book.seed + 1), ["order.*"])
    return outbox, book


def die_at(outbox, fault, options):
    """Starts a relay that must die there, by its own SIGKILL."""
    process = outbox.start(fault=fault, **options)
    status = process.wait()
    name = fault.split(":")[0]
    if status != -signal.SIGKILL or not process.said(f"event=fault point={name}\\b"):
        process.show()
        raise Failure(f"the relay did not die at {fault}: exit status {status}")


def start_again(outbox, options):
    """Under the same name; now it works."""
    process = outbox.start(**options)
    before = outbox.published()
    if not process.wait_running() or not outbox.wait_published(before + 20):
        process.show()
        raise Failure("the restarted relay does not publish")
    return process


def bring_to_end(outbox, book, process):
    """After the writers have stopped."""
    settled = book.settle()
    status = process.stop()
    if not settled or status != 0:
        process.show()
        deliveries = outbox.sql("select state, count(*) from outbox.delivery group by 1")
        raise Failure(f"not settled: {book.count()} committed, {outbox.lane()}, exit status {status}, "
                      f"deliveries {deliveries}")


def judge(name, book, kills):
    complaints = book.audit(kills)
    tap.diag(f"{book.count()} events committed, {len(book.rolled_back)} rolled back")
    if book.count() < 50 or not book.rolled_back:
        complaints.append("too little happened for this to mean anything")
    tap.no_complaints(complaints, name, f"seed {book.seed}")


def kill_at(point, passage):
    started = time.monotonic()
    name = f"kill -9 at {point}: nothing lost, nothing doubled"
    options = {**OPTIONS, **OPTIONS_OF.get(point, {})}
    outbox, book = prepare()
    try:
        with book.writers(pause=PAUSE):
            die_at(outbox, point, options)
            die_at(outbox, f"{point}:{passage}", options)
            process = start_again(outbox, options)
            tap.wait_until(lambda: book.count() >= 60 and book.rolled_back, 60)
        bring_to_end(outbox, book, process)
    except Failure as failure:
        tap.ok(False, name)
        tap.diag(f"seed {book.seed}: {failure}")
        return
    judge(name, book, kills=2)
    tap.diag(f"{time.monotonic() - started:.1f} s")


def parked(outbox, number):
    return tap.wait_until(lambda: outbox.sql("select count(*) from outbox.parked_event where released_at is null")
                          [0][0] == number, 45)


def reroute(outbox, topic):
    outbox.sql("select outbox.parked_reroute(array_agg(seq), %s) from outbox.parked_event where state = 'parked'",
               (topic,))


def types(outbox, topic):
    records = sorted(outbox.records(topic), key=lambda r: (r["partition"], r["offset"]))
    return [relay.header(r, "outbox-type") for r in records]


def kill_parking(point):
    """An event too large for its topic, which goes to another in the end."""
    outbox = relay.Outbox()
    orders, large = outbox.create_topic("orders", 1, "max.message.bytes=10000"), outbox.create_topic("large", 1)
    for number in range(1, 21):
        outbox.emit(type=str(number), topic=orders, key=f"k{number % 3}", payload='"%s"' % ("x" * (20000 if number == 5 else 9)))
    behind = [n for n in range(5, 21) if n % 3 == 2]
    try:
        if point in RELEASING:
            process = outbox.start(**OPTIONS)
            parked(outbox, len(behind))
            process.stop()
            reroute(outbox, large)
        die_at(outbox, point, OPTIONS)
        process = outbox.start(**OPTIONS)
        if point in PARKING:
            tap.ok(parked(outbox, len(behind)), f"kill -9 at {point}: parked all the same, with what waits")
            reroute(outbox, large)
        tap.ok(parked(outbox, 0), f"kill -9 at {point}: released in the end")
        tap.ok(tap.wait_until(lambda: outbox.unpublished() == 0, 45), f"kill -9 at {point}: all is published")
        process.stop()
    except Failure as failure:
        tap.ok(False, f"kill -9 at {point}")
        tap.diag(str(failure))
        return
    found = types(outbox, orders)
    tap.is_((types(outbox, large), sorted(found, key=int)), (["5"], [str(n) for n in range(1, 21) if n != 5]),
            f"kill -9 at {point}: each event once")
    tap.is_([n for n in found if int(n) % 3 == 2], ["2", *(str(n) for n in behind[1:])],
            f"kill -9 at {point}: in order")


def lane_map(outbox):
    return outbox.sql("select m.lane_map, count(*) from outbox.meta m join outbox.lane n on n.map = m.lane_map group by 1")


def change_lanes(outbox, lanes, number):
    outbox.sql("select outbox.lane_set(%s, '1 minute')", (lanes,))
    if not tap.wait_until(lambda: lane_map(outbox) == [(number, lanes)], 60):
        raise Failure(f"the map does not change: {lane_map(outbox)}, {outbox.sql('select * from outbox.lane_change')}")


def owners(outbox):
    return {row[0] for row in outbox.sql("select holder from outbox.lease where name like 'lane/%'")}


def has_died(process):
    return process.process.poll() is not None


def kill_changing(point):
    name = f"kill -9 at {point} of one relay of two: nothing lost, nothing doubled, in order"
    options = {**OPTIONS, "lease": "3s", "lease_renew": "500ms"}
    outbox, book = prepare()
    try:
        with book.writers(pause=PAUSE):
            other = outbox.start("b", **options)
            other.wait_running()
            change_lanes(outbox, 4, 2)
            victim = outbox.start("a", fault=point, **options)
            # whoever gives lanes back to the other comes to those points at once
            tap.wait_until(lambda: has_died(victim) or owners(outbox) == {"a", "b"}, 40)
            if not has_died(victim):
                outbox.sql("select outbox.lane_set(3, '1 minute')")
            if victim.wait() != -signal.SIGKILL:
                raise Failure(f"the relay did not die at {point}")
            if lane_map(outbox) != [(3, 3)] and not outbox.sql("select 1 from outbox.lane_change"):
                outbox.sql("select outbox.lane_set(3, '1 minute')")
            if not tap.wait_until(lambda: lane_map(outbox) == [(3, 3)], 60):
                raise Failure("the map does not change")
            again = outbox.start("a", **options)
            change_lanes(outbox, 2, 4)
            before = outbox.published()
            tap.wait_until(lambda: outbox.published() >= before + 20 and book.count() >= 60 and book.rolled_back, 40)
        status = other.stop()
        bring_to_end(outbox, book, again)
        if status != 0:
            raise Failure(f"the other relay ends with {status}")
    except Failure as failure:
        tap.ok(False, name)
        tap.diag(f"seed {book.seed}: {failure}")
        return
    judge(name, book, kills=1)


def main():
    only = sys.argv[1:]
    tap.is_(points_in_source(), {*POINTS, *PARKING, *RELEASING, *CHANGING}, "every fault point of the source has its test")
    cases = [functools.partial(kill_parking, point) for point in (*PARKING, *RELEASING) if not only or point in only]
    cases += [functools.partial(kill_changing, point) for point in CHANGING if not only or point in only]
    cases += [functools.partial(kill_at, point, passage) for point, passage in POINTS.items()
              if not only or point in only]
    tap.side_by_side(cases)
    tap.done_testing()


main()
