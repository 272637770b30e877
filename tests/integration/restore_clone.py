#!/usr/bin/python3
# deadline: 300
"""Copies of the outbox beside the original stay silent and leave it alone: a clone of the
whole server, a copy of the database, a restored dump. What was restored goes on when an
operator says how."""
import places
import relay
import tap


def goes_on(outbox, topic, process, name):
    before = outbox.published()
    outbox.emit(type="t", key="k", topic=topic, payload=f'"{name}"')
    tap.ok(outbox.wait_published(before + 1), f"{name}: the original goes on")
    tap.is_((places.payloads(outbox, topic)[-1], process.said("result=fenced")), (f'"{name}"', None),
            f"{name}: and was not fenced")


def clone(outbox, topic, process):
    """With the same timeline: only the address is another. Until somebody enables it, or would."""
    server = places.Server("clone", "--clone", main)
    there = places.copied(outbox, server)
    there.emit(type="t", key="k", topic=topic, payload='"of the clone"')
    places.halts(there, [topic], "not_enabled", 9, "clone", "enabled at local:")
    places.doctor_says(there, "not_enabled", "outboxctl enable")
    status, said, _ = tap.run([relay.RELAY, "--check", *(f"--{n}={v}" for n, v in there.options().items())])
    tap.ok(status == 1 and "outbox enabled here: FAILED: not_enabled" in said, "clone: --check tells")
    goes_on(outbox, topic, process, "clone")
    places.refused(there, "marker_ahead", "clone: it is not enabled, since production has gone on", "enable", "--yes")
    server.stop("immediate")


def copy_of_database(outbox, topic, process, name):
    there = places.copied(outbox, main, name)
    places.halts(there, [topic], "not_enabled", 9, "copy in the same server", "enabled in database")
    goes_on(outbox, topic, process, "copy in the same server")


def dump(outbox, topic, process):
    # its transaction ids are far beyond those of a fresh server
    places.burn(outbox, 3000)
    for n in range(3):
        outbox.emit(type="t", key="k", topic=topic, payload=f'"dump {n}"')
    outbox.wait_published(outbox.sql("select count(*) from outbox.event")[0][0])
    process.send(19)  # SIGSTOP: what is in the dump and not in Kafka
    outbox.emit(type="t", key="k", topic=topic, payload='"waits"')
    fresh = places.Server("fresh")
    places.made(fresh, "roles")
    there = places.restored(outbox, main, fresh)
    process.send(18)
    outbox.wait_published(outbox.sql("select count(*) from outbox.event")[0][0])
    places.halts(there, [topic], "wrong_server", 8, "restored dump", "enabled on PostgreSQL system")
    places.doctor_says(there, "database_copied", "rebase")
    goes_on(outbox, topic, process, "restored dump")
    there.sql("update outbox.meta set system_identifier = (select system_identifier from pg_control_system())")
    places.halts(there, [topic], "xids_ahead", 10, "its transaction ids", "has transaction id")
    there.sql("update outbox.meta set system_identifier = born_on")
    places.refused(there, "rebase", "restored dump: it is not adopted", "adopt", "--yes")
    places.refused(there, "adopt", "restored dump: nor enabled", "enable", "--yes")
    rebase(outbox, there, topic, process)


def rebase(outbox, there, topic, process):
    """The original is given up."""
    before = places.payloads(outbox, topic)
    process.stop()
    places.succeeds(there, "1 events are not published", "rebase explains", "rebase")
    places.succeeds(there, "nothing was changed", "rebase changes nothing unless told to", "rebase", "--republish")
    tap.is_(there.sql("select count(*) from outbox.audit where action = 'rebase'"), [(0,)], "rebase: no audit yet")
    places.succeeds(there, "1 events will be published", "rebase --republish", "rebase", "--republish", "--yes")
    tap.is_(there.sql("select reason, detail->>'republish' from outbox.audit where action = 'rebase'"),
            [("test", "true")], "rebase: the audit has it")
    places.publish(there, topic, "after")
    tap.is_(places.payloads(there, topic), before + ['"waits"', '"after"'],
            "rebase: only what the dump did not know to be published came again, and what came since")
    many(there, topic)


def many(there, topic):
    """While the counter of the new server passes the old ids, none of the old comes again."""
    before = places.payloads(there, topic)
    process = there.start(**places.OPTIONS)
    process.wait_running()
    published = there.published()
    for n in range(40):
        there.emit(type="t", key="k", topic=topic, payload=str(n))
        places.burn(there, 100)
    tap.ok(there.wait_published(published + 40), "rebase: thousands of transactions later")
    tap.is_(places.payloads(there, topic), before + [str(n) for n in range(40)], "rebase: each came once")
    process.stop()


main = places.Server("main")
production = places.made(main)
events = production.create_topic("events", 1)
places.publish(production, events, "1", "2")
tap.sql(main.dsn, f"create database copied template outbox")
running = production.start(**places.OPTIONS)
running.wait_running()
clone(production, events, running)
copy_of_database(production, events, running, "copied")
dump(production, events, running)
tap.done_testing()
