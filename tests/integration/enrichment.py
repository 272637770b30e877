#!/usr/bin/python3
# deadline: 300
"""The example enrichment: each order is joined once, with what was known of customer and product, whichever event
comes first, however often, and whoever dies; and the cache never takes an old version for a new one."""
import random
import signal

import examples
import tap

TOPICS = ("order_placed", "user_created", "users", "product_changed")
ODD = "O'Hara \"; DROP TABLE enrich.orders; -- \\ %s $1 ☕"
USERS = 12
ORDERS = 400


def user(number, version, name="Ada", kind="user_updated"):
    return {"type": kind, "key": str(number)}, {"user": {"id": number, "version": version, "name": name,
                                                         "email": f"{number}@example.org"}}


def tell_user(site, *arguments, **named):
    more, payload = user(*arguments, **named)
    site.fill("users", payload, **more)


def order(site, number, user_id, item="teapot"):
    site.fill("order_placed", {"order_id": number, "user_id": user_id, "item": item, "amount": 19.90},
              key=str(user_id), at=1_700_000_000_000_000 + number * 1_000_000)


def product_changed(site, sku):
    """What the catalogue's trigger has emitted, as a relay would publish it."""
    payloads = site.sql("select convert_from(payload, 'UTF8') from outbox.event"
                        " where type = 'product_changed' and key = %s order by seq desc limit 1", (sku,))
    site.fill("product_changed", payloads[0][0], key=sku)


def enriched(site, count, deadline=60):
    tap.wait_until(lambda: len(site.emitted("order_enriched")) >= count, deadline)
    return site.emitted("order_enriched")


def make_site(partitions=1):
    site = examples.Example("enrichment", TOPICS, partitions)
    site.run("setup")
    site.run("setup")
    site.run("setup-catalog")
    site.sql("insert into catalog.product (sku, name, category, price) values"
             " ('teapot', 'Teapot, blue', 'kitchen', 18), (%s, %s, 'odd', 1)", (ODD, ODD))
    return site


def story():
    site = make_site()
    process = site.start("run")
    site.fill("user_created", {"user_id": 1, "n": 0, "name": "Ada", "email": "1@example.org"}, key="1")
    site.wait_handled()
    order(site, 1, 1)
    first = enriched(site, 1)
    tap.is_(first, [{"order_id": 1, "user_id": 1, "item": "teapot", "amount": 19.9,
                     "customer": {"name": "Ada", "email": "1@example.org", "version": 0},
                     "product": {"name": "Teapot, blue", "category": "kitchen", "price": 18, "version": 1}}],
            "an order, joined with customer and product")
    tap.is_(site.sql("select key, topic, extract(epoch from occurred_at)::int from outbox.event"
                     " where type = 'order_enriched'"), [("1", site.topic("order_enriched"), 1_700_000_001)],
            "with the customer as key, and the time of the order")
    tell_user(site, 1, 3, "Ada King")
    tell_user(site, 1, 2, "Ada Lovelace")
    site.wait_handled()
    order(site, 2, 1)
    tap.is_([e["customer"]["name"] for e in enriched(site, 2)], ["Ada", "Ada King"],
            "user_updated fills the cache; an older one that comes later does not")
    site.sql("update catalog.product set price = 21 where sku = 'teapot'")
    order(site, 3, 1)
    tap.is_(enriched(site, 3)[2]["product"]["price"], 18, "before product_changed has come, the cache is asked")
    product_changed(site, "teapot")
    site.wait_handled()
    order(site, 4, 1)
    order(site, 5, 1)
    tap.is_([e["product"]["price"] for e in enriched(site, 5)[3:]], [21, 21], "and after it the catalogue")
    report = site.run("report")
    tap.is_(report, "orders=5 enriched=5 waiting=0 customer_hits=5/5 (100.0 %) product_hits=3/5 (60.0 %)\n",
            "the hit ratio: the first look-up missed, and that after the change")
    unusual(site)
    replay(site)
    tap.is_(process.stop(), 0, "it ends in order")
    tap.ok(process.said(r"(?m)^orders=11 enriched=11 waiting=0 "), "and prints the report")


def unusual(site):
    tell_user(site, 2, 1, ODD)
    site.wait_handled()
    order(site, 6, 2, ODD)
    got = enriched(site, 6)[5]
    tap.is_((got["item"], got["customer"]["name"], got["product"]["name"]), (ODD, ODD, ODD),
            "quotes, semicolons and the like are data")
    order(site, 7, 2, "nothing")
    tap.is_(enriched(site, 7)[6]["product"], None, "what the catalogue does not have: null")
    order(site, 8, 3)
    order(site, 9, 3)
    site.wait_handled()
    tap.is_((len(site.emitted("order_enriched")), site.sql("select count(*)::int from enrich.orders where not enriched")),
            (7, [(2,)]), "orders that come before their customer wait")
    tell_user(site, 3, 1, "Eve", kind="user_created")
    tap.is_([(e["order_id"], e["customer"]["name"]) for e in enriched(site, 9)[7:]], [(8, "Eve"), (9, "Eve")],
            "until it comes")
    site.fill("users", {"user": {"id": 3, "version": 2}}, type="user_deleted", key="3")
    site.wait_handled()
    order(site, 10, 3)
    tap.is_(enriched(site, 10)[9]["customer"], None, "nothing is kept of a deleted customer")
    tap.is_(site.sql("select name, email from enrich.customer where id = 3"), [(None, None)], "no name and no address")
    site.fill("order_placed", "no JSON", '{"order_id": 1}', '{"order_id": 11, "user_id": 1, "amount": "x"}')
    order(site, 11, 1)
    tap.is_(len(enriched(site, 11)), 11, "what is no order holds up none")
    tap.is_(site.dead(), 3, "and becomes a dead letter")


def replay(site):
    """The whole topic once more: the next order tells when it is through."""
    before = site.sql("select * from enrich.orders order by 1")
    end = site.filled["order_placed"]
    site.sql("select outbox.consumer_seek(%s, %s, 0, 0, 'a test')",
             (site.prefix + ".enrichment", site.topic("order_placed")))
    tap.ok(tap.wait_until(lambda: site.handled("order_placed") >= end and site.dead() == 6, 60),
           "and all is consumed again")
    tap.is_((len(site.emitted("order_enriched")), site.sql("select * from enrich.orders order by 1")), (11, before),
            "nothing is enriched twice")


def waiting(site):
    """How many transactions of the service wait for a lock."""
    return site.sql("select count(*)::int from pg_stat_activity where datname = current_database()"
                    " and application_name = 'outbox-consumer' and wait_event_type = 'Lock'")[0][0]


def begin():
    """A service that knows a user."""
    site = make_site()
    process = site.start("run")
    tell_user(site, 1, 1)
    site.wait_handled()
    return site, process


def stale_fill():
    """A look-up that read version 1, and comes to fill it when the news of version 2 has been there."""
    site, process = begin()
    news = tap.connect(site.dsn, autocommit=False)
    news.cursor().execute("insert into enrich.product (sku, version, fresh) values ('teapot', 2, false)")
    order(site, 1, 1)
    tap.ok(tap.wait_until(lambda: waiting(site) == 1, 30), "a look-up has read the catalogue, and waits to fill")
    site.sql("update catalog.product set price = 99 where sku = 'teapot'")
    news.commit()
    news.close()
    tap.is_([e["product"]["price"] for e in enriched(site, 1)], [99], "it does not fill, but asks again")
    tap.is_(site.sql("select version, fresh, price::int from enrich.product where sku = 'teapot'"), [(2, True, 99)],
            "and the cache has the new version")
    process.stop()


def news_meanwhile():
    """The news of a product comes when the cache has been looked at, and the join has not been made."""
    site, process = begin()
    order(site, 1, 1)
    order(site, 2, 2)
    tap.is_(len(enriched(site, 1)), 1, "the cache has the product")
    site.wait_handled()
    holder = tap.connect(site.dsn, autocommit=False)
    holder.cursor().execute("lock table enrich.orders in share mode")
    tell_user(site, 2, 1)
    tap.ok(tap.wait_until(lambda: waiting(site) == 1, 30), "an order is about to be joined")
    site.sql("update catalog.product set price = 99 where sku = 'teapot'")
    product_changed(site, "teapot")
    stale = "select not fresh from enrich.product where sku = 'teapot'"
    tap.ok(tap.wait_until(lambda: waiting(site) == 2 or site.sql(stale)[0][0], 30), "the news is there")
    holder.close()
    tap.is_([e["product"] and e["product"]["price"] for e in enriched(site, 2)], [18, 18],
            "it is joined with what the cache had")
    site.wait_handled()
    order(site, 3, 2)
    tap.is_(enriched(site, 3)[-1]["product"]["price"], 99, "the next one is not")
    process.stop()


def catalog_away():
    site = make_site()
    away = tap.create_database()
    process = site.start("run", CATALOG_DSN=away + " options='-c search_path=none'")
    tell_user(site, 1, 1)
    order(site, 1, 1)
    tap.ok(process.wait_said("retry: .*the catalogue does not answer"), "a catalogue that does not answer: tried again")
    tap.is_(site.emitted("order_enriched"), [], "and nothing is emitted")
    tap.sql(away, "create schema catalog")
    tap.sql(away, "create table catalog.product (sku text, version bigint, name text, category text, price numeric)")
    tap.is_([e["product"] for e in enriched(site, 1)], [None], "until it does")
    process.stop()


def storm():
    """Three instances, one of which is killed midway and another one stopped; the oracle is what was put in."""
    site = make_site(4)
    rng = random.Random(7)
    processes = [site.start("run") for _ in range(3)]
    for part in range(4):
        site.fill_records("order_placed", [
            {"key": str(n % USERS), "payload": '{"order_id": %d, "user_id": %d, "item": "%s", "amount": 1}'
             % (n, n % USERS, rng.choice(["teapot", "cup"])), "headers": {"outbox-type": "order_placed"}}
            for n in range(part * ORDERS // 4, (part + 1) * ORDERS // 4)])
        for number in range(part * USERS // 4, (part + 1) * USERS // 4):
            tell_user(site, number, 1, kind="user_created")
        if part == 1:
            tap.wait_until(lambda: len(site.emitted("order_enriched")) > 20, 30)
            processes[0].kill()
        if part == 2:
            processes[1].send(signal.SIGTERM)
    done = enriched(site, ORDERS, 90)
    complaints = [f"order {n}: {count} times" for n in range(ORDERS)
                  if (count := sum(e["order_id"] == n for e in done)) != 1]
    complaints += [f"without customer: {e}" for e in done if not e["customer"]]
    tap.no_complaints(complaints, f"{ORDERS} orders, of three instances one killed: each is enriched once",
                      site.run("report"))
    tap.is_(processes[2].stop(), 0, "the last instance ends in order")


tap.side_by_side([story, stale_fill, news_meanwhile, catalog_away, storm])
tap.done_testing()
