#!/usr/bin/python3
# deadline: 300
"""A relay with some of the lanes is stopped, process and all, until others have them, and even
until the map is another; then it goes on. And what an operator may do with a lane meanwhile."""
import signal

import ledger
import relay
import tap

OPTIONS = {"batch_events": "50"}


def owners(outbox):
    return [row[0] for row in outbox.sql(
        "select case when l.expires_at > clock_timestamp() then l.holder end from outbox.meta m"
        "  join outbox.lane n on n.map = m.lane_map"
        "  join outbox.lease l on l.name = format('lane/%s/%s', n.map, n.lane) order by n.lane")]


def wait_owners(outbox, *wanted):
    return tap.wait_until(lambda: tuple(owners(outbox)) == wanted, 30, 0.02)


def ctl(outbox, *words):
    status, output, errors = tap.outboxctl(outbox.dsn, "lane", *words)
    if status:
        tap.diag(output, errors)
    return status, output, errors


def progress(outbox, count=40):
    return outbox.wait_published(outbox.published() + count)


def paused_lane(outbox):
    """A lane that is paused has nobody, and its events wait; the others flow."""
    status, output, _ = ctl(outbox, "pause", "1", "--reason", "test")
    tap.is_((status, output), (0, "lane 1 is paused\n"), "lane pause: is accepted")
    tap.ok(tap.wait_until(lambda: owners(outbox)[1] is None), "lane pause: nobody has it")
    former = outbox.sql("select published from outbox.lane where lane = 1")[0][0]
    tap.ok(progress(outbox), "lane pause: the others are published")
    tap.is_(outbox.sql("select published from outbox.lane where lane = 1")[0][0], former, "lane pause: it is not")
    tap.like(tap.outboxctl(outbox.dsn, "status")[1], "lane 1 is paused", "lane pause: status tells")
    status, _, errors = tap.outboxctl(outbox.dsn, "lane", "set", "3")
    tap.is_((status != 0, "lane 1 is paused" in errors), (True, True), "lane set: not while one is paused")
    tap.is_(ctl(outbox, "resume", "1")[0], 0, "lane resume: is accepted")
    tap.ok(tap.wait_until(lambda: owners(outbox)[1] is not None), "lane resume: somebody has it again")


def moved_lane(outbox):
    before = owners(outbox)
    other = "b" if before[0] == "a" else "a"
    tap.is_(ctl(outbox, "move", "0", other)[0], 0, "lane move: is accepted")
    tap.ok(tap.wait_until(lambda: owners(outbox)[0] == other), "lane move: that relay has it")
    tap.ok(tap.wait_until(lambda: sorted(map(str, owners(outbox))) == ["a", "a", "b", "b"]),
           "lane move: and gives another for it")
    tap.is_(tap.outboxctl(outbox.dsn, "lane", "move", "0", "nobody")[0] != 0, True, "lane move: only to one that lives")
    tap.is_(ctl(outbox, "move", "0", "--anywhere")[0], 0, "lane move: is undone")


def stopped_beyond_its_lease(outbox, first, second):
    first.send(signal.SIGSTOP)
    tap.ok(wait_owners(outbox, "b", "b", "b", "b"), "SIGSTOP: the other takes over its lanes")
    tap.ok(progress(outbox), "SIGSTOP: and publishes all of them")
    first.send(signal.SIGCONT)
    tap.ok(first.wait_said("event=lease_lost"), "SIGCONT: it notices that they are another's, and says so")
    tap.ok(tap.wait_until(lambda: sorted(map(str, owners(outbox))) == ["a", "a", "b", "b"]),
           "SIGCONT: and then gets its part")
    tap.ok(progress(outbox), "SIGCONT: both publish")


def stopped_while_the_map_changes(outbox, first):
    lost = first.log().count("event=lease_lost")
    first.send(signal.SIGSTOP)
    status, output, _ = ctl(outbox, "set", "2")
    tap.is_((status, output.startswith("map 3 has 2 lanes")), (0, True), "SIGSTOP: the map changes without it")
    tap.ok(progress(outbox), "SIGSTOP: the other publishes the lanes of the next map")
    first.send(signal.SIGCONT)
    tap.ok(tap.wait_until(lambda: first.log().count("event=lease_lost") > lost),
           "SIGCONT: it notices that its lanes are no more, and says so")
    tap.ok(tap.wait_until(lambda: sorted(map(str, owners(outbox))) == ["a", "b"]), "SIGCONT: and gets its part")


def main():
    outbox = relay.Outbox()
    book = ledger.Ledger(outbox, outbox.create_topic("orders", 2), outbox.create_topic("rest", 3))
    status, output, _ = ctl(outbox, "set", "4")
    tap.is_((status, output.startswith("map 2 has 4 lanes")), (0, True), "lane set: before there is any relay")
    with book.writers(3, 0.01):
        first = outbox.start("a", **OPTIONS)
        second = outbox.start("b", **OPTIONS)
        tap.ok(tap.wait_until(lambda: sorted(map(str, owners(outbox))) == ["a", "a", "b", "b"]), "two share four lanes")
        paused_lane(outbox)
        moved_lane(outbox)
        stopped_beyond_its_lease(outbox, first, second)
        stopped_while_the_map_changes(outbox, first)
    complaints = [] if book.settle(60) else ["not settled"]
    complaints += book.audit()
    if not tap.ok(not complaints, "nothing lost, nothing doubled, each key in order"):
        tap.diag(f"seed {book.seed}", *complaints)
        first.show()
        second.show()
    tap.is_((first.stop(), second.stop()), (0, 0), "both end well")
    tap.done_testing()


main()
