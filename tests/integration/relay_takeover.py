#!/usr/bin/python3
# deadline: 500
# waits
"""Two relays on one outbox: whatever becomes of the owner of the lease, another
takes over, and what the former owner still does when it comes back is void."""
import functools
import signal
import time

import ledger
import relay
import tap

# A delivery that its sender left is another's when its timeout and 10 s are over.
OPTIONS = {"batch_events": "5", "webhook_allow": "127.0.0.0/8", "fallback_poll": "200ms"}
# Of one that must not lose its lease, however busy the machine is.
STEADY_LEASE = 8
STEADY = dict(OPTIONS, lease=f"{STEADY_LEASE}s")
# Of a writer, after each transaction: no more than what the relays keep up with.
PAUSE = 0.03

# Where the owner is stopped, with the passage.
STOPS = {
    "relay_after_lease": 1,
    "relay_after_read": 4,
    "relay_before_acknowledge": 4,
    "tick_before": 4,
    "tick_after": 4,
    "kafka_before_init": 1,
    "kafka_after_init": 1,
    "kafka_after_begin": 4,
    "kafka_after_half_produce": 3,
    "kafka_after_marker": 4,
    "kafka_before_commit": 4,
    "kafka_after_commit": 4,
}


def prepare(webhooks=False):
    outbox = relay.Outbox()
    book = ledger.Ledger(outbox, outbox.create_topic("orders", 2), outbox.create_topic("rest", 3))
    if webhooks:
        endpoint = book.add_endpoint(ledger.Receiver(seed=book.seed))
        outbox.sql("update outbox.endpoint set timeout_ms = 500 where id = %s", (endpoint,))
    return outbox, book


def judge(name, book, *relays, kills=0):
    """After the writers have stopped."""
    complaints = [] if book.settle() else ["not settled"]
    complaints += book.audit(kills)
    if not tap.no_complaints(complaints, name, f"seed {book.seed}"):
        for process in relays:
            process.show()
    return not complaints


def owner(outbox):
    return outbox.lease()["holder"]


def killed_owner():
    outbox, book = prepare(webhooks=True)
    with book.writers(pause=PAUSE):
        first = outbox.start("first", **STEADY)
        first.wait_running()
        second = outbox.start("second", **OPTIONS)
        tap.ok(second.wait_said("event=lease_taken .*holder=first"), "killed owner: a second relay waits")
        outbox.wait_published(outbox.published() + 100)
        tap.is_((owner(outbox), second.said("state=(comparing|fencing|running)")), ("first", None),
                "killed owner: while the first lives it alone publishes")
        before = outbox.published()
        killed_at = time.monotonic()
        first.kill()
        tap.ok(second.wait_running(), "killed owner: the second takes over")
        tap.diag(f"{time.monotonic() - killed_at:.1f} s after the kill, with a lease of {STEADY_LEASE} s")
        tap.ok(outbox.wait_published(before + 50), "killed owner: and publishes")
    judge("killed owner: nothing lost, nothing doubled", book, first, second, kills=1)
    tap.is_(owner(outbox), "second", "killed owner: the lease is the second's")
    tap.is_(second.stop(), 0, "killed owner: the second stops well")


def stopped_at(point, passage):
    """The owner stops there, all of it, until another has taken over; then it
    goes on from where it was, and does not know."""
    outbox, book = prepare()
    name = f"SIGSTOP at {point} until another has taken over"
    with book.writers(pause=PAUSE):
        first = outbox.start("first", fault=f"{point}:{passage}:stop", **OPTIONS)
        if not tap.ok(first.wait_stopped(), f"{name}: it stops there"):
            first.show()
            return
        second = outbox.start("second", **STEADY)
        tap.ok(second.wait_running(), f"{name}: the second takes over")
        before = outbox.published()
        outbox.wait_published(before + 20)
        first.send(signal.SIGCONT)
        # it must notice; and what it does until then must be void
        tap.ok(first.wait_said("event=lease_lost"), f"{name}: it notices, and says so")
        before = outbox.published()
        tap.ok(outbox.wait_published(before + 50), f"{name}: publishing goes on")
    judge(f"{name}: nothing lost, nothing doubled", book, first, second)
    tap.is_(owner(outbox), "second", f"{name}: the second remains the owner")
    if point == "kafka_before_commit":
        # it may see that the lease is over before it hears of its commit
        told = first.said("result=fenced")
        tap.diag("the first was told of its fencing" if told else "the first did not wait to be told of its fencing")
        back_and_forth(outbox, book, first, second)
    second.stop()
    first.stop()


def back_and_forth(outbox, book, first, second):
    with book.writers(pause=PAUSE):
        before = outbox.published()
        second.kill()
        tap.ok(outbox.wait_published(before + 50, 60),
               "back and forth: the first takes over again when the second is killed")
        tap.is_(owner(outbox), "first", "back and forth: and has the lease")
    judge("back and forth: nothing lost, nothing doubled", book, first, second)


def end_lease(outbox, name):
    outbox.sql("update outbox.lease set expires_at = clock_timestamp() where holder = %s", (name,))
    outbox.sql("update outbox.relay set expires_at = clock_timestamp() where name = %s", (name,))


def commit_before_fencing():
    """The owner, long given up, commits after its successor has read the marker
    and before it has fenced: that must be read again. It is the database that ends
    its lease, or it would see by its own clock that it is over, and not commit."""
    for attempt in range(6):
        outbox, book = prepare()
        options = dict(OPTIONS, transaction_timeout="60s", lease="120s", lease_renew="50s")
        with book.writers(pause=PAUSE):
            first = outbox.start("first", fault="kafka_before_commit:4:stop", **options)
            first.wait_stopped()
            end_lease(outbox, "first")
            second = outbox.start("second", fault="kafka_before_init:1:stop", **options)
            read = second.wait_stopped() and second.said("state=comparing")
            before = len(outbox.records(*book.topics))
            first.send(signal.SIGCONT)
            committed = tap.wait_until(lambda: len(outbox.records(*book.topics)) > before, 10)
            second.send(signal.SIGCONT)
            running = second.wait_running()
        if committed or attempt == 5:
            break
        second.stop()
        first.stop()
    tap.ok(read, "commit before fencing: the successor has read the marker")
    tap.ok(committed, "commit before fencing: then the former owner commits")
    tap.ok(running, "commit before fencing: the successor goes on")
    judge("commit before fencing: nothing lost, nothing doubled", book, first, second)
    second.stop()
    first.stop()


def bell_holder(outbox):
    rows = outbox.sql("select pid from pg_locks l join pg_database d on d.oid = l.database"
                      " where d.datname = current_database() and locktype = 'advisory'"
                      " and classid = outbox.lock_class() and objid = 4 and mode = 'ExclusiveLock' and granted")
    return rows[0][0] if rows else None


def hung_ticker():
    outbox = relay.Outbox()
    topic = outbox.create_topic("bell")
    # so that nothing but the bell can wake a relay in time
    first = outbox.start("first", fallback_poll="60s")
    held_by = tap.wait_until(lambda: bell_holder(outbox))
    tap.ok(held_by, "hung ticker: the first sleeps and holds the bell")
    first.send(signal.SIGSTOP)
    second = outbox.start("second", fallback_poll="60s", lease=f"{STEADY_LEASE}s")
    tap.ok(second.wait_running(), "hung ticker: the second takes over")
    tap.ok(second.wait_said(f"event=former_ticker_ended pid={held_by}\\b"),
           "hung ticker: it ends the session that holds the bell")
    tap.ok(tap.wait_until(lambda: bell_holder(outbox) not in (None, held_by)),
           "hung ticker: and sleeps holding the bell itself")
    tap.is_(outbox.sql("select count(*) from pg_stat_activity where pid = %s", (held_by,))[0][0], 0,
            "hung ticker: that session is gone")
    events = [outbox.emit(type="t", key="k", topic=topic, payload="1")]
    tap.ok(outbox.wait_published(1), "hung ticker: an event wakes the second")
    first.send(signal.SIGCONT)
    tap.ok(first.wait_said("event=lease_lost"), "hung ticker: the first notices when it goes on")
    events.append(outbox.emit(type="t", key="k", topic=topic, payload="2"))
    outbox.wait_published(2)
    tap.is_(relay.ids(outbox.records(topic)), events, "hung ticker: nothing lost, nothing doubled")
    tap.is_(bell_holder(outbox) == held_by, False, "hung ticker: the first does not take the bell back")
    tap.is_((first.stop(), second.stop()), (0, 0), "hung ticker: both stop well")


def main():
    # leases are waited for most of the time
    tap.side_by_side([killed_owner, commit_before_fencing, hung_ticker,
                      *(functools.partial(stopped_at, *stop) for stop in STOPS.items())], workers=3)
    tap.done_testing()


main()
