#!/usr/bin/python3
# deadline: 300
"""The example in Python: whatever is killed and however often an order comes, each committed order has one parcel, and
each parcel one event, written by one transaction; and what is no order holds up none."""
import itertools
import json
import os
import re
import signal
import subprocess
import uuid

import consumers
import relay
import tap

SERVICE = tap.SRC + "/examples/python-service/shipping.py"
PUBLISHER = tap.BUILD + "/examples/publisher/publisher"
ORDERS = 400
DEADLINE = 90
NUMBERS = itertools.count(1)


class Service(relay.Relay):
    """A process of the service; its log as that of a relay."""

    def __init__(self, dsn, topic, group, session=3000):  # pylint: disable=super-init-not-called
        self.path = f"{tap.TMP}/service-{next(NUMBERS)}.log"
        # one that was killed is believed to live for as long as its session
        command = [SERVICE, "--kafka", tap.KAFKA, "--topic", topic, "--group", group,
                   "--set", f"session.timeout.ms={session}", "--set", "heartbeat.interval.ms=500"]
        with open(self.path, "w", encoding="utf-8") as log:
            self.process = tap.spawn(command, stderr=log, env=dict(os.environ, OUTBOX_DSN=dsn))

    def count(self, event):
        return len(re.findall(f"^event={event} ", self.log(), re.M))


def shop_with_load():
    """The shop, its relay, which dies once amid a transaction, and its customers, who place and give up orders."""
    shop = relay.Outbox()
    topic = shop.create_topic("orders")
    shop.create_topic("users")
    for kind, name in (("order_placed", topic), ("user_created", f"{shop.prefix}.users")):
        shop.sql("insert into outbox.route (pattern, topic) values (%s, %s)", (kind, name))
    environment = dict(os.environ, OUTBOX_DSN=shop.dsn)
    subprocess.run([PUBLISHER, "setup"], env=environment, check=True, timeout=60)
    load = tap.spawn([PUBLISHER, "load", "--transactions", str(ORDERS), "--rollback-percent", "20"], env=environment,
                     stdout=subprocess.DEVNULL)
    return shop, topic, load


def least_rights():
    """A database of the service, and the role that it needs."""
    role = tap.unique("shipping")
    tap.at_exit(tap.sql, tap.DSN, f"drop role if exists {role}")  # after the database, where it has rights
    database = tap.create_database()
    statuses = [tap.run([SERVICE, "--setup"], env=dict(os.environ, OUTBOX_DSN=database))[0] for _ in range(2)]
    tap.is_(statuses, [0, 0], "the tables are created, once")
    for statement in (f"create role {role} login", f"grant outbox_writer to {role}",
                      f"grant usage on schema shipping to {role}",
                      f"grant select, insert on all tables in schema shipping to {role}"):
        tap.sql(database, statement)
    return database, f"{database} user={role}"


def parcels(database):
    return tap.sql(database, "select count(*) from shipping.parcel")[0][0]


def published_orders(shop):
    return {event for event, in shop.sql("select id::text from outbox.event where type = 'order_placed'")}


def junk(topic):
    """What others might write into the topic; and orders of a transaction that is aborted."""
    def record(payload, kind="order_placed", event=None):
        return {"key": "1", "payload": payload, "headers": {"outbox-id": event or str(uuid.uuid4()),
                                                            "outbox-type": kind}}

    order = {"order_id": 1, "user_id": 1, "item": "tea"}
    bad = [record(payload) for payload in (
        "{", "[]", "7", None, "[" * 50000, '{"order_id": Infinity, "user_id": 1, "item": "tea"}',
        *(json.dumps({**order, **change}) for change in (
            {"item": "\0"}, {"item": "\ud800"}, {"item": None}, {"order_id": 1 << 70}, {"user_id": "1"})))]
    bad += [record(json.dumps(order), event="7"), {"key": None, "payload": json.dumps(order)}]
    consumers.fill(topic, records=bad + [record(json.dumps(order), kind="order_cancelled")])
    consumers.fill(topic, records=[record(json.dumps(order)) for _ in range(10)], transaction="abort")
    return len(bad)


def storm(shop, topic, load, database, dsn):
    """Services that are killed and cut off at work; returns one that lives."""
    group = tap.unique("shipping")
    services = [Service(dsn, topic, group) for _ in range(2)]
    for share in (ORDERS // 10, ORDERS // 4, ORDERS // 2):
        if not tap.ok(tap.wait_until(lambda s=share: parcels(database) >= s, DEADLINE, 0.02),
                      f"{share} parcels are sent"):
            services[0].show()
        tap.sql(database, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
                          " and application_name = 'shipping'")
        services[0].kill()
        services.append(Service(dsn, topic, group))
        services.pop(0)
    tap.is_(load.wait(DEADLINE), 0, "the shop's load ends well")
    wanted = published_orders(shop)
    if not tap.ok(tap.wait_until(lambda: parcels(database) >= len(wanted), DEADLINE, 0.2), "all are sent at the end"):
        services[1].show()
    tap.is_([tap.end(service.process, signal.SIGTERM, 30) for service in services], [0, 0], "SIGTERM: it ends well")


def compare(shop, database, outbox, topic):
    """What is wrong with the parcels, and with what is told of them."""
    wanted = {event: (json.loads(payload)["order_id"], int(key)) for event, key, payload in shop.sql(
        "select id::text, key, convert_from(payload, 'UTF8') from outbox.event where type = 'order_placed'")}
    found = {event: (order, user) for event, order, user in tap.sql(
        database, "select event_id::text, order_id, user_id from shipping.parcel")}
    complaints = [f"order {order}: {found.get(event)}" for event, order in wanted.items() if found.get(event) != order]
    complaints += [f"no such order: {event}" for event in found.keys() - wanted.keys()]
    told = [json.loads(record["payload"])["parcel_id"] for record in relay.dump(topic)]
    sent = [number for number, in tap.sql(database, "select id from shipping.parcel")]
    if sorted(told) != sorted(sent):
        complaints.append(f"{len(sent)} parcels, told of {len(told)}, {len(set(told))} different ones")
    together = outbox.sql("select count(*) from shipping.parcel p join outbox.event e"
                          "    on (convert_from(e.payload, 'UTF8')::jsonb->>'parcel_id')::bigint = p.id"
                          "   and (e.xid::text::bigint & 4294967295) = p.xmin::text::bigint")[0][0]
    if together != len(sent):
        complaints.append(f"{together} of {len(sent)} parcels were written by the transaction of their event")
    return complaints


def again(shop, topic, database, dsn, refused):
    """Another group begins at the beginning: all orders come again."""
    before = parcels(database)
    # nobody is killed here, and nothing shall come twice because the machine was too busy for a heartbeat
    other = Service(dsn, topic, tap.unique("other"), 60000)
    known = len(published_orders(shop))
    if not tap.ok(tap.wait_until(lambda: other.count("known") >= known and other.count("refused") >= refused, DEADLINE),
                  "read again from the beginning, each order is known"):
        other.show()
    tap.is_((other.count("known"), other.count("sent"), parcels(database)), (known, 0, before), "none is sent again")
    tap.is_((other.count("refused"), other.count("ignored")), (refused, 1), "what is no order holds up none")
    tap.is_(tap.sql(database, "select count(*) from shipping.refused"), [(refused,)], "and is kept, once")
    tap.sql(database, "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                      " where datname = current_database() and application_name = 'shipping'")
    shop.emit(type="order_placed", key="1", payload='{"order_id": 0, "user_id": 1, "item": "late"}')
    tap.ok(tap.wait_until(lambda: other.count("sent") == 1, DEADLINE), "a connection that was cut is made anew")
    tap.is_(other.count("database"), 1, "and told of")
    tap.is_(other.stop(30), 0, "it ends well")
    tap.ok("teapot" not in other.log() and "late" not in other.log(), "no payload is in its log")


def main():
    status, _, errors = tap.run([SERVICE], env=dict(os.environ, OUTBOX_DSN="host=/nowhere password=hush"))
    tap.ok(status == 1 and "event=failed" in errors and "hush" not in errors, "without a database it does not start")
    database, dsn = least_rights()
    outbox = relay.Outbox(database)
    sent = outbox.create_topic("sent")
    outbox.sql("insert into outbox.route (pattern, topic) values ('parcel_sent', %s)", (sent,))
    shop, topic, load = shop_with_load()
    refused = junk(topic)
    victim = shop.start("victim", fault="kafka_after_half_produce:3", batch_events="20")
    own = outbox.start("own")
    tap.is_(victim.wait(60), -9, "the shop's relay dies amid a transaction")
    survivor = shop.start("survivor")
    storm(shop, topic, load, database, dsn)
    again(shop, topic, database, dsn, refused)
    tap.ok(outbox.wait_published(parcels(database), DEADLINE), "each parcel is told of")
    tap.is_([process.stop() for process in (own, survivor)], [0, 0], "the relays stop well")
    tap.no_complaints(compare(shop, database, outbox, sent),
                      "one parcel for each committed order, one event for each parcel, in one transaction")
    tap.done_testing()


main()
