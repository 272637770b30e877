#!/usr/bin/python3
# deadline: 240
"""Wall clocks are set by hours, to and fro, while writers, relays and receivers are at work: that of two
relays, which must not care; and that of PostgreSQL, by which leases are kept."""
import contextlib
import os
import signal
import time

import clocks
import ledger
import relay
import restarts
import tap

HOUR = 3600
ledger.Receiver.tolerance = 24 * HOUR  # a signature has the relay's time


@contextlib.contextmanager
def environment(**variables):
    """Of the programs that are started within."""
    former = dict(os.environ)
    os.environ.update(variables)
    yield
    os.environ.clear()
    os.environ.update(former)


def epochs(outbox):
    return outbox.sql("select sum(epoch)::int from outbox.lease")[0][0]


def relays():
    """Nothing that a relay waits for has to do with the wall clock."""
    clock, other = clocks.Clock("relay"), clocks.Clock("standby")
    case = restarts.Case("the relays' clocks", relay.Outbox(), environment=clock.environment, shutdown_timeout="8s")
    with case.writing():
        case.process.wait_running()
        case.progress()
        standby = case.outbox.start("standby", environment=other.environment, **restarts.OPTIONS)
        standby.wait_said("event=lease_taken .*holder=relay")
        before = epochs(case.outbox)
        for hours in (3, -2, 1, -5, 0):
            clock.set(hours * HOUR)
            other.set(-hours * HOUR)
            case.progress()
            case.moment()
        tap.is_(epochs(case.outbox), before, "the relays' clocks: no lease changes hands")
        case.moment()
        # its end, too, is a matter of its own clock
        case.process.send(signal.SIGTERM)
        clock.set(-4 * HOUR)
        tap.is_(case.process.wait(20), 0, "the relays' clocks: set back at its end, it ends in time all the same")
        tap.ok(standby.wait_running(), "the relays' clocks: the other one goes on")
        case.process = standby
        other.set(4 * HOUR)
        case.progress()
    # what slept by the wall clock, as librdkafka's threads do, sleeps for longer: it must be woken all the same
    case.book.settle()
    other.set(-6 * HOUR)
    case.moment(2)
    with case.writing():
        case.progress()
    case.judge()


def database():
    """Forwards: all leases have ended, and all deliveries that wait for their time are due.  Backwards: they
    would last for longer, and are renewed by their owner.  The last time is the latest, or what was to
    be sent again would not be until then."""
    clock = clocks.Clock("postgres")
    with environment(**clock.environment):
        server = tap.start_postgres(restarts.own_directory("postgres"))
    case = restarts.Case("PostgreSQL's clock", relay.Outbox(tap.create_database(server)), policy="park")
    jumps = (-2, 1, -1, 3)
    with case.writing():
        case.process.wait_running()
        case.progress()
        standby = case.outbox.start("standby", **restarts.OPTIONS)
        standby.wait_said("event=lease_taken .*holder=relay")
        before = epochs(case.outbox)
        for hours in jumps:
            clock.set(hours * HOUR)
            seen = tap.sql(server, "select extract(epoch from clock_timestamp())::float8")[0][0]
            tap.is_(round((seen - time.time()) / HOUR), hours, f"PostgreSQL's clock: {hours:+} hours")
            case.progress()
            case.moment()
        case.progress(100)
        took = epochs(case.outbox) - before
        tap.diag(f"{took} leases have changed hands")
        # lane and tick, each at most once with each jump forwards
        tap.ok(took <= 2 * sum(b > a for a, b in zip((0, *jumps), jumps)), "PostgreSQL's clock: no flight of leases")
    tap.is_(standby.stop(), 0, "PostgreSQL's clock: the standby stops well")
    case.judge(kills=len(jumps))


relays()
database()
tap.done_testing()
