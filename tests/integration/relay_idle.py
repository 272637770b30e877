#!/usr/bin/python3
# deadline: 300
# waits
"""What three relays cost PostgreSQL while there is nothing to do: all of their statements, with metrics and
webhooks on and no endpoint. They come by timers, so the machine's speed makes no difference."""
import collections
import time

import psycopg2.extensions

import relay
import tap

SECONDS = 20
MOST = 5  # a second
DEFAULTS = {"lease": None, "lease_renew": None, "connect_timeout": None, "log_level": "info",
            "admin_listen": "127.0.0.1:0"}


def statements(outbox):
    """Sees each session begin another one, by looking often enough."""
    found = collections.Counter()
    began = {}
    name = psycopg2.extensions.parse_dsn(outbox.dsn)["dbname"]
    connection = tap.connect(tap.DSN)
    end = time.monotonic() + SECONDS
    with connection.cursor() as cursor:
        while time.monotonic() < end:
            cursor.execute("select pid, query_start, application_name, left(query, 40) from pg_stat_activity"
                           " where datname = %s and application_name like 'outbox-%%'", (name,))
            for pid, started, application, query in cursor.fetchall():
                if began.get(pid, started) != started:
                    found[f"{application}: {query}"] += 1
                began[pid] = started
            time.sleep(0.01)
    connection.close()
    return found


def main():
    outbox = relay.Outbox()
    topic = outbox.create_topic("idle")
    outbox.sql("select outbox.lane_set(4)")
    relays = [outbox.start(name, **DEFAULTS) for name in "abc"]
    tap.ok(tap.wait_until(lambda: outbox.sql("select count(distinct holder) from outbox.lease where name like 'lane/%%'")
                          [0][0] == 3), "three relays share four lanes")
    tap.ok(all(process.wait_said("event=lane lane=. state=running") for process in relays), "and are ready")
    outbox.emit(type="t", key="k", topic=topic, payload="1")
    tap.ok(outbox.wait_published(1), "an event is published")
    # until what follows from it has ended
    tap.wait_until(lambda: outbox.sql("select bool_and(acknowledged_at < now() - interval '3 s') from outbox.lane"
                                      " where acknowledged_at is not null")[0][0])
    found = statements(outbox)
    rate = sum(found.values()) / SECONDS
    tap.diag(f"{rate:.2f} statements a second", *(f"{count / SECONDS:.2f} {what}" for what, count in found.most_common()))
    tap.ok(sum(found.values()) > SECONDS, "they show that they are alive")
    tap.ok(rate < MOST, f"less than {MOST} statements a second, all told")
    tap.is_([process.stop() for process in relays], [0, 0, 0], "they end well")
    tap.done_testing()


main()
