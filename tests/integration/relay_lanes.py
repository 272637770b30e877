#!/usr/bin/python3
# deadline: 300
"""Several relays share the lanes: evenly, at once after a graceful stop, and across a change of
the map. What comes out is judged by the ledger: nothing lost, nothing doubled, each key in order."""
import signal
import time

import ledger
import relay
import tap

OPTIONS = {"batch_events": "200", "webhook_allow": "127.0.0.0/8", "lease": "10s", "lease_renew": "500ms"}
LEASE = 10
# Of the one that gives its lanes back: nobody who had to wait for its end would be in time.
LONG_LEASE = 60
# for what takes far less; the machine may be busy
SLACK = 8


def owners(outbox):
    """Of each lane of the present map."""
    return [row[0] for row in outbox.sql(
        "select case when l.expires_at > clock_timestamp() then l.holder end from outbox.meta m"
        "  join outbox.lane n on n.map = m.lane_map"
        "  join outbox.lease l on l.name = format('lane/%s/%s', n.map, n.lane) order by n.lane")]


def shared(outbox, *parts):
    """Each relay has so many lanes: ("a", 2), ("b", 1)."""
    found = owners(outbox)
    return all(found.count(name) == part for name, part in parts)


def wait_shared(outbox, *parts, deadline=60):
    began = time.monotonic()
    good = tap.wait_until(lambda: shared(outbox, *parts), deadline, 0.02)
    return time.monotonic() - began if good else None


def ticker(outbox):
    return outbox.sql("select holder from outbox.lease where name = 'ticker' and expires_at > clock_timestamp()")


def lane_set(outbox, lanes):
    began = time.monotonic()
    status, output, errors = tap.outboxctl(outbox.dsn, "lane", "set", str(lanes), "--reason", "test", "--json")
    if status:
        tap.diag(output, errors)
    return time.monotonic() - began if status == 0 else None


def progress(outbox, count=60):
    return outbox.wait_published(outbox.published() + count)


def said(name, seconds, most):
    """What ended, after how long."""
    if seconds is not None:
        tap.diag(f"{name}: {seconds:.2f} s")
    return tap.ok(seconds is not None and seconds < most, name)


def life_of_a_map(outbox, book, relays):
    """With writers at work all the while."""
    relays["a"] = outbox.start("a", **dict(OPTIONS, lease=f"{LONG_LEASE}s"))
    tap.ok(relays["a"].wait_running() and progress(outbox), "one relay publishes one lane")
    said("the map changes to four lanes under load", lane_set(outbox, 4), 5 + SLACK)
    said("one relay has all four", wait_shared(outbox, ("a", 4)), 5 + SLACK)
    tap.ok(progress(outbox), "and publishes")
    for name, parts in (("b", (("a", 2), ("b", 2))), ("c", (("a", 2), ("b", 1), ("c", 1)))):
        relays[name] = outbox.start(name, **OPTIONS)
        tap.ok(wait_shared(outbox, *parts) is not None, f"{name} gets its part")
    tap.ok(progress(outbox), "the three publish")
    tap.is_(ticker(outbox), [("a",)], "one ticks, the first")


def handover(outbox, relays):
    began = time.monotonic()
    relays["a"].send(signal.SIGTERM)
    took = wait_shared(outbox, ("b", 2), ("c", 2))
    took = None if took is None else time.monotonic() - began
    said("SIGTERM: the others have its lanes, long before a lease would have ended", took, LONG_LEASE / 2)
    tap.is_(relays["a"].wait(), 0, "SIGTERM: it ends well")
    tap.ok(tap.wait_until(lambda: ticker(outbox) not in ([], [("a",)])), "SIGTERM: another ticks")
    tap.ok(progress(outbox), "SIGTERM: they publish")


def killed(outbox, relays):
    relays["c"].kill()
    took = wait_shared(outbox, ("b", 4))
    said("kill -9: the other has its lanes within the lease and 2 s", took, LEASE + 2 + SLACK)
    tap.ok(progress(outbox), "kill -9: it publishes")
    tap.ok(tap.wait_until(lambda: ticker(outbox) == [("b",)]), "kill -9: it ticks")


def fewer(outbox, relays):
    relays["d"] = outbox.start("d", **OPTIONS)
    tap.ok(wait_shared(outbox, ("b", 2), ("d", 2)) is not None, "a fourth relay gets its part")
    said("the map changes to three lanes under load, with two relays", lane_set(outbox, 3), 5 + SLACK)
    tap.ok(progress(outbox), "they publish")
    said("the map changes to one lane under load", lane_set(outbox, 1), 5 + SLACK)
    tap.ok(progress(outbox), "one of them publishes")


def many_relays():
    """Only so many can share; one more says that it does not, and its lanes are the others'."""
    outbox = relay.Outbox()
    topic = outbox.create_topic("many", 1)
    process = outbox.start("z", **OPTIONS)
    process.wait_running()
    outbox.sql("insert into outbox.relay (name, expires_at, started_at, able)"
               " select 'a' || n, clock_timestamp() + interval '1 hour', clock_timestamp(), true"
               "   from generate_series(100, 163) n")
    tap.ok(process.wait_said("level=warning event=relay_left_out most=64 remedy="), "a 65th relay says that it has no part")
    tap.ok(tap.wait_until(lambda: owners(outbox) == [None]), "and gives its lanes back")
    outbox.sql("delete from outbox.relay where name <> 'z'")
    outbox.emit(type="t", key="k", topic=topic, payload="1")
    tap.ok(outbox.wait_published(1), "when the others are gone it publishes")
    tap.is_(len([line for line in process.log().splitlines() if "event=relay_left_out" in line]), 1, "it said so once")
    outbox.sql("""
        alter function outbox.relay_check_in rename to check_in_as_it_was;
        create function outbox.relay_check_in(text, interval, boolean, boolean, boolean, boolean, integer, integer[], bigint[])
        returns table (kind text, number integer, name text, lease_left double precision, yes boolean, closed boolean,
                       pinned_to text, tick bigint, nonce uuid) language sql security definer as $$
            select * from outbox.check_in_as_it_was($1, $2, $3, $4, $5, $6, $7, $8, $9)
            union all select 'weather', null, null, null, null, null, null, null, null $$""")
    tap.ok(process.wait_said("level=warning event=check_in_unknown kind=weather remedy="),
           "what a check-in tells and the relay does not understand is logged")
    outbox.emit(type="t", key="k", topic=topic, payload="2")
    tap.ok(outbox.wait_published(2), "and it goes on")
    tap.is_(process.stop(), 0, "it ends well")


def main():
    many_relays()
    outbox = relay.Outbox()
    book = ledger.Ledger(outbox, outbox.create_topic("orders", 2), outbox.create_topic("rest", 3))
    book.add_endpoint(ledger.Receiver(seed=book.seed))
    relays = {}
    with book.writers(3, 0.01):
        life_of_a_map(outbox, book, relays)
        handover(outbox, relays)
        killed(outbox, relays)
        fewer(outbox, relays)
    complaints = [] if book.settle(60) else ["not settled"]
    complaints += book.audit(kills=1)
    if not tap.ok(not complaints, "nothing lost, nothing doubled, each key in order"):
        tap.diag(f"seed {book.seed}", *complaints)
        for process in relays.values():
            process.show()
    audit = outbox.sql("select subject, reason, detail->>'lanes' from outbox.audit where action = 'lane_map' order by id")
    tap.is_(audit, [("2", "test", "4"), ("3", "test", "3"), ("4", "test", "1")], "the audit has the changes of the map")
    tap.is_([relays[name].stop() for name in "bd"], [0, 0], "the rest end well")
    tap.done_testing()


main()
