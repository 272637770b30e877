#!/usr/bin/python3
# deadline: 300
"""The consumer library on a real Kafka and PostgreSQL: each record's effect once, in order; topics of any
producer; where to begin; pausing; patterns; what an operator may move."""
import time

import consumers
import tap


def flow():
    site = consumers.Site()
    topic = site.topic()
    consumers.fill(topic, 2000)
    driver = site.start(topic, "--batch", "50")
    if not tap.ok(site.wait_effects(2000), "flow: all records are handled"):
        driver.show()
    consumers.stop(driver, "flow: it stops well")
    tap.no_complaints(site.audit(topic), "flow: each once, in order")
    transactions = driver.count("transactions")
    tap.ok(40 <= transactions < 2000, f"flow: batches share transactions ({transactions})")
    tap.is_(site.sql("select sum(next_offset) from outbox.consumer_position")[0][0], 2000, "flow: the position tells")
    consumers.fill(topic, 500)
    driver = site.start(topic)
    site.wait_effects(2500)
    tap.is_(site.effects(), 2500, "flow: another run goes on from there")
    group = tap.run([tap.SRC + "/dev/kafka", "tool", "groups", "--bootstrap-server", tap.KAFKA, "--describe", "--group",
                     site.name, "--timeout", "60000"], timeout=120)[1]
    tap.like(group, topic, "flow: Kafka's tools see the group")
    consumers.stop(driver)
    tap.no_complaints(site.audit(topic), "flow: and nothing comes again")


def strangers():
    """Records as other producers write them, and a transaction that was aborted."""
    site = consumers.Site()
    topic = site.topic(1)
    consumers.fill(topic, records=[{"payload": "no key"}, {"key": "a", "payload": None}, {"key": "", "payload": ""},
                                   {"key_hex": "00ff80", "payload": "x", "headers": {"odd name": "v", "empty": None}}])
    consumers.fill(topic, 100, transaction="abort")
    consumers.fill(topic, records=[{"key": "b", "payload": "after"}])
    driver = site.start(topic)
    site.wait_effects(5)
    consumers.stop(driver)
    tap.is_([(bytes(k).hex() if k is not None else None, bytes(p).decode() if p is not None else None, i)
             for k, p, i in site.sql("select key, payload, id from effect order by n")],
            [(None, "no key", None), ("61", None, None), ("", "", None), ("00ff80", "x", None), ("62", "after", None)],
            "strangers: without key, tombstone, empty, binary; nothing of an aborted transaction")


def starts():
    site = consumers.Site()
    topic = site.topic(1)
    consumers.fill(topic, records=[{"payload": str(n), "timestamp": 1700000000000 + n * 1000} for n in range(100)])
    for name, start, first in (("offset", "offset:40", 40), ("time", "time:1700000060000000", 60)):
        site.name = tap.unique("consumer")
        driver = site.start(topic, "--start", start)
        site.wait_effects(100 - first)
        consumers.stop(driver)
        tap.is_(site.sql("select min(off), count(*) from effect")[0], (first, 100 - first), f"start at {name}")
        site.sql("truncate effect, total")
    site.name = tap.unique("consumer")
    driver = site.start(topic, "--start", "end")
    tap.wait_until(lambda: site.sql("select 1 from outbox.consumer_position where consumer = %s and next_offset = 100",
                                    (site.name,)))
    consumers.kill(driver)
    consumers.fill(topic, records=[{"payload": "new"}])
    driver = site.start(topic, "--start", "end")
    site.wait_effects(1)
    tap.is_(site.sql("select off from effect"), [(100,)], "start at the end: written down, so a crash does not move it")
    consumers.stop(driver)


def pauses():
    site = consumers.Site()
    topic = site.topic()
    consumers.fill(topic, 200)
    driver = site.start(topic, "--pause")
    tap.ok(driver.wait_said("event=takeover(.|\n)*event=takeover(.|\n)*event=takeover(.|\n)*event=takeover"),
           "paused: it takes its partitions")
    time.sleep(0.5)  # that nothing happens cannot be awaited
    tap.is_(site.effects(), 0, "paused: and does nothing")
    driver.send(consumers.signal.SIGUSR2)
    tap.ok(site.wait_effects(200), "resumed: it does")
    consumers.stop(driver)
    tap.no_complaints(site.audit(topic), "resumed: all of it")


def patterns():
    site = consumers.Site()
    name = tap.unique("many")
    one = tap.create_topic(name + ".one", 2)
    driver = site.start(f"^{name}[.].*", "--set", "topic.metadata.refresh.interval.ms=1000")
    consumers.fill(one, 50)
    site.wait_effects(50)
    two = tap.create_topic(name + ".two", 2)
    consumers.fill(two, 50)
    tap.ok(site.wait_effects(100), "pattern: also a topic that was made later")
    consumers.stop(driver)
    tap.no_complaints(site.audit(one, two), "pattern: each record once")


def seeks():
    site = consumers.Site()
    topic = site.topic(1)
    consumers.fill(topic, 100)
    driver = site.start(topic)
    site.wait_effects(100)
    site.sql("select outbox.consumer_seek(%s, %s, 0, 30, 'test')", (site.name, topic))
    tap.ok(site.wait_effects(170), "seek: a running consumer goes back")
    tap.is_(site.sql("select count(*) from (select off from effect group by off having count(*) = 2) as x")[0][0], 70,
            "seek: and does what lies behind again, once")
    site.sql("select outbox.consumer_forget(%s)", (site.name,))
    tap.ok(site.wait_effects(270), "forget: a running consumer begins anew")
    consumers.stop(driver)
    site.sql("select outbox.consumer_seek(%s, %s, 0, 100000, 'test')", (site.name, topic))
    driver = site.start(topic)
    tap.is_(driver.wait(), 1, "an offset that Kafka has not: it ends")
    tap.like(driver.log(), "Kafka has no offset 100000.*consumer_seek", "and says what to do")


def main():
    tap.side_by_side((flow, strangers, starts, pauses, patterns, seeks), 3)
    tap.done_testing()


main()
