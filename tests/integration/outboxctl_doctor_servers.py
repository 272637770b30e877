#!/usr/bin/python3
# deadline: 300
"""outboxctl doctor: the findings that take servers of their own. A standby, which is then
promoted; a dump that was restored where fewer transactions have been; a queue of
notifications that somebody holds up."""
import socket

import psycopg2

import findings
import places
import tap

STANDS = ("standby", "not_enabled", "xids_ahead")


def has_schema(there):
    try:
        return there.sql("select to_regclass('outbox.migration') is not null") == [(True,)]
    except psycopg2.Error:  # not even the database, yet
        return False


def enable(outbox):
    outbox.sql("select outbox.enable(%s)", (socket.gethostname(),))


def standby():
    primary = places.Server("primary")
    following = places.Server("standby", "--standby", primary)
    outbox = places.made(primary)
    enable(outbox)
    outbox.create_topic("progress", 1, "cleanup.policy=compact")
    there = places.copied(outbox, following)
    tap.ok(tap.wait_until(lambda: has_schema(there)), "the standby has the outbox")
    doctor = findings.Doctor(there.dsn)
    findings.Doctor(outbox.dsn).healed("standby")
    doctor.provoked("standby", "warning", "", detail="pg_is_in_recovery()")
    tap.is_([name for name in STANDS if name in doctor.report()[1]], ["not_enabled", "xids_ahead"],
            "a standby: whether it may publish cannot be told")
    following.promote()
    doctor.healed("standby")
    doctor.provoked("not_enabled", "critical", "", detail="enabled on timeline 1, this is 2")
    enable(there)
    doctor.healed("not_enabled")
    doctor.healed("xids_ahead")
    dump(primary, outbox, following)


def dump(primary, outbox, following):
    """The promoted standby is the same PostgreSQL system, in which less has happened since."""
    places.burn(outbox, 3000)
    outbox.emit(type="t", payload="1")
    there = places.restored(outbox, primary, following)
    doctor = findings.Doctor(there.dsn)
    doctor.provoked("xids_ahead", "critical", "", detail="an event has transaction id")
    places.succeeds(there, "done: incarnation", "and it is rebased", "rebase", "--republish", "--yes")
    doctor.healed("xids_ahead")


def notifications():
    """From PostgreSQL 17 on the queue can be made small."""
    server = places.Server("small-queue", "--version", "18", "--set", "max_notify_queue_pages=64")
    outbox = places.made(server)
    doctor = findings.Doctor(outbox.dsn)
    listener = tap.connect(outbox.dsn, autocommit=False)
    listener.cursor().execute("listen something")
    listener.commit()
    listener.cursor().execute("select 1")
    # each fills a page but for a few bytes, and alike ones of a transaction are one
    fill = "select count(pg_notify('something', rpad(n::text, 7990, 'x'))) from generate_series(%s, %s) n"
    outbox.sql(fill, (1, 20))
    doctor.healed("notify_queue_full")
    outbox.sql(fill, (21, 40))
    doctor.provoked("notify_queue_full", "warning", "", detail="% full")
    listener.commit()
    tap.ok(tap.wait_until(lambda: "notify_queue_full" not in doctor.report()[0]), "the listener reads them")
    doctor.healed("notify_queue_full")
    listener.close()


tap.side_by_side([standby, notifications])
tap.done_testing()
