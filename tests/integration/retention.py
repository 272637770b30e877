#!/usr/bin/python3
# deadline: 400
# waits
"""Rotation and retention by the relay, under load, on PostgreSQL 15 and 18: partitions go,
nothing is lost that is not yet published or delivered, and what still needs a partition
holds it, or has copies of what it needs.
"""
import contextlib
import re
import signal
import sys
import threading
import time

import psycopg2

import admin
import ledger
import relay
import tap

OPTIONS = {"maintenance_interval": "200ms", "rotate_every": "400ms", "retention": "1s", "fallback_poll": "200ms",
           "webhook_allow": "127.0.0.0/8"}
LATE = ("late", "repeatable")  # writers with keys of their own, after those of the ledger


def one(outbox, statement, *arguments):
    return outbox.sql(statement, arguments)[0][0]


def newest(outbox):
    return one(outbox, "select last_value >> 40 from outbox.event_seq")


def oldest(outbox):
    return one(outbox, "select min(n) from outbox.event_partition")


def wait_dropped(outbox, number, deadline=120):
    """Until the partition, and all before it, are gone."""
    return tap.wait_until(lambda: oldest(outbox) > number, deadline)


def wait_entered(outbox, number, deadline=60):
    return tap.wait_until(lambda: newest(outbox) >= number, deadline)


def prepare(server):
    outbox = relay.Outbox(tap.create_database(server))
    book = ledger.Ledger(outbox, outbox.create_topic("orders", 2), outbox.create_topic("rest", 2))
    outbox.sql("insert into counter select 'key-' || g from generate_series(%s, %s) g",
               (ledger.KEYS, ledger.KEYS + len(LATE)))
    book.add_endpoint(ledger.Receiver(seed=book.seed))
    book.add_endpoint(ledger.Receiver(seed=book.seed + 1), ["order.*"])
    # what is sent later than the retention is sent from copies
    outbox.sql("update outbox.endpoint set schedule = array_prepend('3s', schedule[2:])"
               " where id = (select id from outbox.endpoint where types = '{order.*}')")
    return outbox, book


class Repeatable:
    """A writer whose transactions have a snapshot from before the partition that they write into."""

    def __init__(self, outbox, book):
        self.outbox, self.book, self.crossed, self.error = outbox, book, 0, None
        self.quit = threading.Event()
        self.thread = threading.Thread(target=self.main, daemon=True)

    def main(self):
        try:
            with contextlib.closing(psycopg2.connect(self.outbox.dsn)) as connection:
                connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_REPEATABLE_READ)
                while not self.quit.is_set():
                    self.transaction(connection)
        except psycopg2.Error as error:
            self.error = error

    def transaction(self, connection):
        with connection.cursor() as cursor:
            cursor.execute("select last_value >> 40 from outbox.event_seq")
            before = cursor.fetchone()[0]
            tap.wait_until(lambda: self.quit.is_set() or newest(self.outbox) > before, 10)
        self.book.emit(connection, ledger.KEYS + LATE.index("repeatable"), "order.placed", 3)
        connection.commit()
        self.crossed += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.quit.set()
        self.thread.join(30)


def open_writer(name, outbox, book):
    """It has drawn a number: its partition stays, however many come after it."""
    writer = psycopg2.connect(outbox.dsn)
    book.emit(writer, ledger.KEYS + LATE.index("late"), "order.placed", 2)
    mine = newest(outbox)
    began = one(outbox, "select min(n) from outbox.event_partition")
    tap.ok(wait_dropped(outbox, mine - 1), f"{name}: an open writer: those before its partition go (from {began})")
    held = tap.wait_until(lambda: one(outbox, "select outbox.partition_held(%s, '1s')", oldest(outbox))
                          in ("transaction", "lane"), 60)
    tap.ok(held and oldest(outbox) <= mine, f"{name}: an open writer holds its own")
    writer.commit()
    writer.close()
    tap.ok(wait_dropped(outbox, mine), f"{name}: when it has committed, it goes")


def dump_and_kill(name, outbox, book, process):
    """A dump holds the detachment up; the relay that had begun it dies; another ends it."""
    dump = tap.connect(outbox.dsn)
    cursor = dump.cursor()
    cursor.execute("begin isolation level repeatable read")
    cursor.execute("select count(*) from outbox.event")
    # one that was on its way out already is not held up, and does not count
    pending = tap.wait_until(lambda: [n for n, in outbox.sql(
        "select n from outbox.event_partition where outbox.partition_table(n, 'event') = 'pending'")
        if process.said(f"event=partition_in_use partition={n}\\b")], 60)
    tap.ok(pending, f"{name}: a dump: a detachment is pending")
    waiting = oldest(outbox)
    tap.is_(pending, [waiting], f"{name}: of the oldest partition")
    tap.ok(process.wait_said(f"event=partition_in_use partition={waiting}\\b"), f"{name}: and is given up for now")
    began = newest(outbox)
    before = outbox.published()
    tap.is_(process.kill(), -signal.SIGKILL, f"{name}: kill -9 meanwhile")
    process = outbox.start(**OPTIONS)
    tap.ok(outbox.wait_published(before + 50, 60), f"{name}: another publishes")
    tap.ok(wait_entered(outbox, began + 1), f"{name}: and enters partitions, under the dump")
    tap.ok(process.wait_said("event=partition_in_use"), f"{name}: it tries to finalize")
    tap.ok(oldest(outbox) == waiting and one(outbox, "select outbox.partition_table(%s, 'event')", waiting) != "gone",
           f"{name}: the partition stays while the dump has it")
    cursor.execute("select count(*) from outbox.event")
    dump.close()
    tap.ok(wait_dropped(outbox, waiting), f"{name}: it goes when the dump has ended")
    return process


def dropped(process):
    return len(re.findall("event=partition_dropped", process.log()))


def flow(version, server):
    name = f"PostgreSQL {version}"
    outbox, book = prepare(server)
    process = outbox.start(**OPTIONS)
    with book.writers(3), Repeatable(outbox, book) as repeatable:
        tap.ok(wait_dropped(outbox, 1), f"{name}: partitions go under load")
        open_writer(name, outbox, book)
        first = process
        process = dump_and_kill(name, outbox, book, process)
        tap.ok(wait_dropped(outbox, newest(outbox) + 1), f"{name}: and so on")
        tap.wait_until(lambda: repeatable.crossed >= 3, 60)
    tap.ok(repeatable.error is None and repeatable.crossed >= 3,
           f"{name}: transactions with a snapshot from before their partition: {repeatable.crossed}, {repeatable.error}")
    tap.ok(book.settle(), f"{name}: all is published and delivered")
    tap.ok(first.said("event=events_kept") or process.said("event=events_kept"),
           f"{name}: deliveries that came later than the retention were sent from copies")
    complaints = book.audit(kills=1)
    tap.is_(complaints, [], f"{name}: nothing lost, nothing doubled, of {book.count()} events")
    tap.diag(f"{name}: {dropped(first)} + {dropped(process)} partitions dropped, seed {book.seed}")
    tap.ok(tap.wait_until(lambda: one(outbox, "select count(*) from outbox.kept_event") == 0, 30),
           f"{name}: copies go when nothing needs them")
    tap.is_(one(outbox, "select count(*) from pg_class c where c.relnamespace = 'outbox'::regnamespace and c.relkind = 'r'"
                " and c.relname ~ '^(event|tick)_[0-9]+$' and not exists (select from outbox.event_partition p"
                " where c.relname in ('event_' || p.n, 'tick_' || p.n))"), 0, f"{name}: no table is left behind")
    if complaints:
        process.show()
    last = newest(outbox)
    outbox.emit(type="order.placed", key="idle", topic=book.topic)
    tap.ok(wait_dropped(outbox, last), f"{name}: partitions go when nothing is emitted any more")
    tap.is_(process.stop(), 0, f"{name}: it stops well")


OLD = """
    insert into outbox.emitted (id, slot, at)
        select gen_random_uuid(), (outbox.day_slot(clock_timestamp()) - age) & 15, now() - age * interval '1 day'
          from generate_series(0, 9, 3) as age, generate_series(1, 3);
    insert into outbox.inbox (consumer, message_id, slot) select 'c', id, slot from outbox.emitted;
    insert into outbox.audit (at, action, subject) select now() - age * interval '1 day', 'old', age::text
      from generate_series(0, 9, 3) as age;
    insert into outbox.delivery (event_seq, event_id, event_type, endpoint, state, created_at, finished_at)
    select -age, gen_random_uuid(), 't', gen_random_uuid(), 'delivered', now() - age * interval '1 day',
           now() - age * interval '1 day'
      from generate_series(0, 9, 3) as age order by age desc;
    insert into outbox.delivery_of_event (event_seq, endpoint, replay, event_id, delivery)
    select event_seq, endpoint, replay, event_id, id from outbox.delivery"""
LEFT = """
    select (select count(*) from outbox.emitted), (select count(*) from outbox.inbox),
           (select count(*) from outbox.audit where action = 'old'), (select count(*) from outbox.delivery),
           (select count(*) from outbox.delivery_of_event)"""
DAYS = {"id_retention": "5d", "inbox_retention": "2d", "audit_retention": "5d", "delivery_retention": "8d"}


def busy_slot(name, outbox):
    """A slot that a writer reads is not waited for, and emptied row by row."""
    writer = tap.connect(outbox.dsn, autocommit=False)
    writer.cursor().execute("select count(*) from outbox.emitted")
    emptied = outbox.sql("select emptied, removed from outbox.slot_expire('emitted', 9, 2)")
    tap.is_(emptied, [(False, 2)], f"{name}: a slot in use is not truncated, a portion is deleted, without waiting")
    writer.close()


def rights(version, server):
    """Without outbox_maintenance all goes on but the removal; the message says what to do."""
    name = f"PostgreSQL {version}, rights"
    outbox = relay.Outbox(tap.create_database(server))
    role = tap.unique("relay")
    outbox.sql(f"create role {role} login in role outbox_relay")
    tap.at_exit(tap.sql, server, f"drop role {role}")
    process = outbox.start(dsn=f"{outbox.dsn} user={role}", admin_listen=admin.LISTEN, **OPTIONS, **DAYS)
    pages = admin.Pages(process)
    tap.ok(process.wait_said("event=maintenance_right_missing"), f"{name}: the missing right is named")
    status, _, text = pages.get("/healthz")
    grant = re.search(r"GRANT outbox_maintenance TO \"\w+\"( WITH INHERIT FALSE)?", text)
    tap.ok(status == 503 and grant and f'"{role}"' in text, f"{name}: by /healthz, too")
    outbox.emit(type="order.placed", topic=outbox.create_topic("orders"))
    tap.ok(wait_entered(outbox, 1), f"{name}: partitions are entered all the same")
    outbox.sql(OLD)
    busy_slot(name, outbox)
    tap.is_((oldest(outbox), outbox.sql(LEFT)), (0, [(10, 12, 4, 4, 4)]), f"{name}: none is dropped, nothing removed")
    outbox.sql(grant[0])
    outbox.emit(type="order.placed", topic=f"{outbox.prefix}.orders")
    tap.ok(wait_dropped(outbox, 0), f"{name}: with the GRANT that it named, they go")
    tap.wait_until(lambda: outbox.sql(LEFT) == [(6, 3, 2, 3, 3)])
    tap.is_(outbox.sql(LEFT), [(6, 3, 2, 3, 3)], f"{name}: and what is older than its time: ids, inbox, audit, deliveries")
    tap.ok(tap.wait_until(lambda: pages.get("/healthz")[0] == 200), f"{name}: and all is well")
    tap.is_(process.stop(), 0, f"{name}: it stops well")


def main():
    # tests/all has it on 18; the statements themselves are tested on both by tests/sql/retention.sql
    servers = {"15": tap.DSN, "18": tap.DSN18}
    for version in sys.argv[1:] or ["15"]:
        server = servers[version]
        if not server:
            tap.bail(f"no PostgreSQL {version}")
        for test in (rights, flow):
            started = time.monotonic()
            test(version, server)
            tap.diag(f"{time.monotonic() - started:.1f} s")
    tap.done_testing()


main()
