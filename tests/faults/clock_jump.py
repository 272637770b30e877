#!/usr/bin/python3
# deadline: 300
"""Wall clocks are set by hours, to and fro, while writers, relays and receivers are at work: that of two
relays, which must not care; and that of PostgreSQL, by which leases are kept."""
import os
import signal
import time

import clocks
import ledger
import relay
import restarts
import tap

HOUR = 3600
HANGS = tap.TMP + "/curl.hangs"
ledger.Receiver.tolerance = 24 * HOUR  # a signature has the relay's time


def epochs(outbox):
    return outbox.sql("select sum(epoch)::int from outbox.lease")[0][0]


def ends(process, clock):
    """With a thread that does not end, while the clock goes back further all the time."""
    with open(HANGS, "wb"):
        pass
    process.send(signal.SIGTERM)
    for n in range(500):
        clock.set(-600 * n)
        if process.wait(0.05) is not None:
            return process.wait(0)
    process.show()
    process.kill()
    return None


def relays():
    """Nothing that a relay waits for has to do with the wall clock."""
    clock = clocks.Clock("relay", "hanging_calls", HANGING_CALL="curl_multi_perform", HANGING_FILE=HANGS)
    other = clocks.Clock("standby")
    # no machine is so busy that it loses a lease as long as this
    options = dict(restarts.OPTIONS, shutdown_timeout="5s", lease="15s", lease_renew="1s")
    case = restarts.Case("the relays' clocks", relay.Outbox(), policy="park", environment=clock.environment, **options)
    with case.writing():
        case.process.wait_running()
        case.progress()
        standby = case.outbox.start("standby", environment=other.environment, **options)
        standby.wait_said("event=lease_taken .*holder=relay")
        for hours in (3, -2, 1, -5, 0):
            clock.set(hours * HOUR)
            other.set(-hours * HOUR)
            case.progress()
            case.moment()
        tap.is_((case.outbox.lease()["holder"], case.process.said("event=lease_lost"), standby.said("state=comparing")),
                ("relay", None, None), "the relays' clocks: no lease changes hands")
        case.moment()
        tap.is_(ends(case.process, clock), 0, "the relays' clocks: set back at its end, it ends in time all the same")
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
    case.judge(kills=1)


def settle(case):
    """A receiver that asks for patience is given a 64th of the delivery's age: minutes, of one that was open when the
    clock was set forwards by hours."""
    def settled():
        case.outbox.sql("update outbox.delivery set next_at = clock_timestamp()"
                        " where state = 'failed' and next_at > clock_timestamp() + interval '5 seconds'")
        return case.book.settled()

    tap.wait_until(settled, 120, 1)


def database():
    """Forwards: all leases have ended, and all deliveries that wait for their time are due.  Backwards: they
    would last for longer, and are renewed by their owner.  The last time is the latest, or what was to
    be sent again would not be until then."""
    options = dict(restarts.OPTIONS, lease="15s", lease_renew="1s")
    case = restarts.Case("PostgreSQL's clock", relay.Outbox(tap.create_database(server)), policy="park", **options)
    jumps = (-2, 1, -1, 3)
    with case.writing():
        case.process.wait_running()
        case.progress()
        standby = case.outbox.start("standby", **options)
        standby.wait_said("event=lease_taken .*holder=relay")
        before = epochs(case.outbox)
        for hours in jumps:
            servers_clock.set(hours * HOUR)
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
    settle(case)
    case.judge(kills=len(jumps))


def start_server():
    """And whatever it starts."""
    former = dict(os.environ)
    os.environ.update(servers_clock.environment)
    try:
        return tap.start_postgres(restarts.own_directory("postgres"))
    finally:
        os.environ.clear()
        os.environ.update(former)


servers_clock = clocks.Clock("postgres")
server = start_server()
tap.side_by_side([relays, database])
tap.done_testing()
