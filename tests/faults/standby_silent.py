#!/usr/bin/python3
# deadline: 300
"""A synchronous standby that never answers: commits wait, a wait that is cancelled leaves
commits that are visible and not replicated, and nothing of those is published; not after
an immediate restart either, which makes them look like any other."""
import threading

import psycopg2

import ledger
import places
import tap

GHOST = "alter system set synchronous_standby_names = 'ghost'"
OPTIONS = {**places.OPTIONS, "statement_timeout": "2s"}


def demand_standby(server, statement):
    connection = tap.connect(server.dsn)
    with connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.execute("select pg_reload_conf()")
    connection.close()
    wanted = [("ghost" if "'ghost'" in statement else "",)]
    tap.wait_until(lambda: tap.sql(server.dsn, "show synchronous_standby_names") == wanted)


def cancelled(outbox, topic):
    """Commits, waits for the standby, and has the wait cancelled; the notices it gets."""
    connection = tap.connect(outbox.dsn)
    pid = connection.get_backend_pid()

    def cancel():
        tap.wait_until(lambda: outbox.sql("select wait_event from pg_stat_activity where pid = %s", (pid,))
                       == [("SyncRep",)])
        outbox.sql("select pg_cancel_backend(%s)", (pid,))

    thread = threading.Thread(target=cancel)
    thread.start()
    with connection.cursor() as cursor:
        cursor.execute("select outbox.emit(type => 't', key => 'k', topic => %s, payload => '\"unreplicated\"')",
                       (topic,))
    thread.join()
    notices = "".join(connection.notices)
    connection.close()
    return notices


def waits_in_vain(process, outbox, topic, before, name):
    """Until the relay has tried, and failed, more than once; then it has not published."""
    def failures():
        # one that has just come does not get as far as a lane
        return sum(process.log().count(f"event={what}_failed") for what in ("ticker", "database", "lease_renewal"))

    start = failures()
    tap.ok(tap.wait_until(lambda: failures() > start, 45), f"{name}: the relay notices")
    tap.is_(outbox.records(topic), before, f"{name}: nothing is published")
    tap.ok(process.running(), f"{name}: the relay tries on")


server = places.Server("silent")
outbox = places.made(server)
topic = outbox.create_topic("silent", 1)
process = outbox.start(**OPTIONS)
outbox.emit(type="t", key="k", topic=topic, payload='"replicated"')
tap.ok(outbox.wait_published(1), "with its standbys it publishes")
demand_standby(server, GHOST)
published = outbox.records(topic)
tap.like(cancelled(outbox, topic), "might not have been replicated", "a writer's wait is cancelled, with a warning")
tap.is_(outbox.sql("select count(*) from outbox.event"), [(2,)], "and what it wrote is visible")
waits_in_vain(process, outbox, topic, published, "silent standby")

server.run("restart", "--mode", "immediate")
tap.is_(outbox.sql("select count(*) from outbox.event"), [(2,)], "after an immediate restart it is there")
waits_in_vain(process, outbox, topic, published, "after an immediate restart")
process.kill()
process = outbox.start("another", **OPTIONS)
waits_in_vain(process, outbox, topic, published, "another relay")

demand_standby(server, "alter system reset synchronous_standby_names")
tap.ok(outbox.wait_published(2, 45), "without the demand it goes on")
tap.is_(places.payloads(outbox, topic), ['"replicated"', '"unreplicated"'], "each once")
process.stop()
tap.done_testing()
