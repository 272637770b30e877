#!/usr/bin/python3
# deadline: 300
"""The example consumer: two topics, each at its own pace. While one of them can do nothing the other goes on; what is in
a payload is data; what comes again changes nothing; what is no event becomes a dead letter, and its key waits."""
import json

import examples
import tap

ODD = "Robert'); DROP TABLE copy.users; -- \" \\ %s $1 ☕"
COPIES = {"users": ("copy-users", "user_created"), "orders": ("copy-orders", "order_placed")}


def user(number, name="Ada"):
    return {"user_id": number, "n": 0, "name": name, "email": f"{number}@example.org"}


def order(number, user_id, item="teapot", amount=19.90):
    return {"order_id": number, "user_id": user_id, "n": 1, "item": item, "amount": amount}


def rows(site, table):
    return site.sql(f"select * from copy.{table} order by id")


def make_site(partitions=1):
    site = examples.Example("consumer", [topic for _, topic in COPIES.values()], partitions)
    site.run("setup")
    site.run("setup")
    return site


def independent():
    """Orders wait for a lock that somebody holds on their table; users do not."""
    site = make_site()
    process = site.start()
    site.fill("order_placed", order(1, 1), key="1")
    site.fill("user_created", user(1), key="1")
    tap.ok(site.wait_handled(), "independent: both copy")
    tap.is_((rows(site, "users"), [tuple(map(str, r)) for r in rows(site, "orders")]),
            ([(1, "Ada", "1@example.org")], [("1", "1", "teapot", "19.90")]), "independent: row by row")
    lock = tap.connect(site.dsn, autocommit=False)
    lock.cursor().execute("lock table copy.orders")
    site.fill("order_placed", order(2, 7), order(3, 7), key="7")
    waiting = "select count(*)::int from pg_stat_activity where datname = current_database()" \
              " and application_name = 'outbox-consumer' and wait_event_type = 'Lock'"
    tap.ok(tap.wait_until(lambda: site.sql(waiting)[0][0] > 0, 60), "independent: the orders are held up")
    site.fill("user_created", *(user(n) for n in range(2, 202)), key="2")
    tap.ok(site.wait_handled("user_created"), "independent: 200 users are copied meanwhile")
    tap.is_(site.handled("order_placed"), 1, "independent: and no order")
    lock.rollback()
    lock.close()
    tap.ok(site.wait_handled("order_placed"), "independent: until the lock is gone")
    tap.is_([r[0] for r in rows(site, "orders")], [1, 2, 3], "independent: an order of a user that is not known yet, too")
    tap.is_(process.stop(), 0, "independent: it ends in order")


def data():
    site = make_site()
    process = site.start()
    site.fill("user_created", user(1, ODD), user(2, "x" * 5000), key="1")
    site.fill("order_placed", order(1, 1, ODD), key="1")
    tap.ok(site.wait_handled(), "data: handled")
    tap.is_(([r[1] for r in rows(site, "users")], [r[2] for r in rows(site, "orders")]), ([ODD, "x" * 5000], [ODD]),
            "data: what looks like SQL is none")
    before = rows(site, "users"), rows(site, "orders")
    site.fill("user_created", user(1, ODD), key="1")
    site.fill("order_placed", order(1, 1, ODD), key="1")
    tap.ok(site.wait_handled(), "data: the same events again")
    tap.is_((rows(site, "users"), rows(site, "orders")), before, "data: change nothing")
    # From the beginning once more; the event after it tells when it is through.
    for name, topic in COPIES.values():
        site.sql("select outbox.consumer_seek(%s, %s, 0, 0, 'a test')", (f"{site.prefix}.{name}", site.topic(topic)))
    site.fill("user_created", user(9), key="9")
    site.fill("order_placed", order(9, 9), key="9")
    tap.ok(tap.wait_until(lambda: [rows(site, t)[-1][0] for t in COPIES] == [9, 9], 60), "data: replayed")
    tap.ok(site.wait_handled(), "data: to the end")
    tap.is_((rows(site, "users")[:-1], rows(site, "orders")[:-1]), before, "data: which changes nothing either")
    tap.is_(site.dead(), 0, "data: and nothing of it is a dead letter")
    process.stop()


def failing():
    """A bad order goes to the dead letters, later ones of its key behind it; others, and users, go on."""
    site = make_site()
    process = site.start()
    site.fill("order_placed", "no JSON", key="1")
    site.fill("order_placed", order(2, 2), key="2")
    site.fill("order_placed", order(3, 1), key="1")
    site.fill("order_placed", '{"order_id": 4, "amount": 1}', key="4")
    site.fill("user_created", user(1), key="1")
    tap.ok(site.wait_handled(), "failing: all are handled")
    tap.is_(([r[0] for r in rows(site, "orders")], [r[0] for r in rows(site, "users")]), ([2], [1]),
            "failing: good orders, and users, are copied")
    tap.is_(site.sql("select convert_from(payload, 'UTF8'), topic from outbox.event where type = 'dead_letter'"
                     " and headers->>'dead-letter-attempts' = '1' order by seq"),
            [("no JSON", f"{site.prefix}.copy-orders.dead-letter"),
             ('{"order_id": 4, "amount": 1}', f"{site.prefix}.copy-orders.dead-letter")],
            "failing: what is no order is a dead letter, at once")
    tap.is_((site.dead(), site.sql("select convert_from(key, 'UTF8') from outbox.consumer_parked_key order by 1")),
            (3, [("1",), ("4",)]), "failing: later orders of that key wait behind it")
    process.stop()


def killed():
    """Two instances, one of them killed in the midst of it."""
    site = make_site(4)
    processes = [site.start(), site.start()]
    wanted = [order(n, n % 17, amount=n) for n in range(600)]
    for part in range(3):
        site.fill_records("order_placed", [
            {"key": str(o["user_id"]), "payload": json.dumps(o), "headers": {"outbox-type": "order_placed"}}
            for o in wanted[part * 200:part * 200 + 200]])
        if part == 1:
            tap.wait_until(lambda: len(rows(site, "orders")) > 50, 60)
            processes[0].kill()
    site.wait_handled("order_placed", deadline=90)
    tap.is_([(r[0], r[1], int(r[3])) for r in rows(site, "orders")],
            [(o["order_id"], o["user_id"], o["amount"]) for o in wanted], "killed: 600 orders, each copied")
    tap.is_(processes[1].stop(), 0, "killed: the other instance ends in order")


tap.side_by_side([independent, data, failing, killed])
tap.done_testing()
