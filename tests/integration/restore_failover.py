#!/usr/bin/python3
# deadline: 300
"""Promotions. A synchronous standby goes on exactly once when it is enabled; one that lagged
halts, cannot be enabled, and begins anew when an operator has chosen between doubling and
losing."""
import socket

import psycopg2

import ledger
import places
import tap


def synchronous():
    primary = places.Server("primary")
    standby = places.Server("standby", "--standby", primary, "--set", "cluster_name=standby")
    tap.sql(primary.dsn, "alter system set synchronous_standby_names = 'standby'")
    tap.sql(primary.dsn, "select pg_reload_conf()")
    tap.wait_until(lambda: tap.sql(primary.dsn, "select sync_state from pg_stat_replication") == [("sync",)])
    outbox = places.made(primary)
    book = ledger.Ledger(outbox, outbox.create_topic("orders", 2), outbox.create_topic("rest", 3))
    process = outbox.start(**places.OPTIONS)
    with book.writers(3, 0.02, persist=True):
        process.wait_running()
        outbox.wait_published(150)
        # killed in the middle of it, the relay before it
        process.kill()
        tap.wait_until(lambda: book.count() > outbox.published() + 30)
        primary.stop("immediate")
    standby.promote()
    tap.sql(standby.dsn, "alter system reset synchronous_standby_names")
    tap.sql(standby.dsn, "select pg_reload_conf()")
    there = places.copied(outbox, standby)
    places.halts(there, book.topics, "not_enabled", 9, "synchronous standby", "enabled on timeline 1, this is 2")
    places.succeeds(there, "--yes does it", "enable explains", "enable")
    tap.is_(there.sql("select timeline from outbox.meta"), [(1,)], "enable: nothing was changed")
    places.succeeds(there, "done: enabled at {local:", "enable --yes", "enable", "--yes")
    tap.is_(there.sql("select action, reason from outbox.audit where action = 'enable'"), [("enable", "test")],
            "enable: the audit has it")
    go_on(book, there)


def go_on(book, there):
    book.outbox = there
    process = there.start(**places.OPTIONS)
    with book.writers(2, 0.02):
        process.wait_running()
        there.wait_published(there.published() + 50)
    book.settle()
    process.stop()
    if not tap.is_(book.audit(), [], "promoted and enabled: nothing lost, nothing doubled"):
        process.show()


def lagging():
    """Two that were away while the primary published `lost`, and have `kept`, which it
    published then, too."""
    primary = places.Server("primary-2")
    standbys = [places.Server(f"standby-{n}", "--standby", primary) for n in (2, 3)]
    outbox = places.made(primary)
    topic = outbox.create_topic("events", 1)
    places.publish(outbox, topic, "first")
    outbox.emit(type="t", key="k", topic=topic, payload='"kept"')
    theirs = [places.copied(outbox, standby) for standby in standbys]
    for there, standby in zip(theirs, standbys):
        tap.wait_until(lambda there=there: has_both(there))
        standby.stop()
    places.publish(outbox, topic, "lost")
    primary.stop("immediate")
    promoted = ['"first"', '"kept"', '"lost"']
    begin_anew(standbys[0], theirs[0], topic, "--republish", promoted + ['"kept"', '"new"'])
    begin_anew(standbys[1], theirs[1], topic, "--skip", promoted + ['"kept"', '"new"', '"new"'])


def has_both(there):
    try:
        return there.sql("select count(*) from outbox.event") == [(2,)]
    except psycopg2.Error:  # not even the database, yet
        return False


def begin_anew(standby, there, topic, choice, wanted):
    name = f"lagging standby, {choice}"
    standby.start()
    standby.promote()
    if choice == "--republish":
        places.halts(there, [topic], "not_enabled", 9, name, "enabled on timeline")
        places.refused(there, "marker_ahead", f"{name}: it cannot be enabled", "enable", "--yes")
        # as if it had been
        there.sql("select outbox.enable(%s)", (socket.gethostname(),))
        places.halts(there, [topic], "marker_ahead", 6, f"{name}, enabled by hand")
        places.doctor_says(there, "marker_ahead", "outboxctl rebase")
    places.succeeds(there, "1 events are not published", f"{name}: rebase explains", "rebase")
    places.succeeds(there, "done: incarnation", f"{name}: rebase", "rebase", choice, "--yes")
    places.publish(there, topic, "new")
    tap.is_(places.payloads(there, topic), wanted, f"{name}: as chosen")


synchronous()
lagging()
tap.done_testing()
