#!/usr/bin/python3
# deadline: 300
# waits
"""What Kafka refuses is parked with its reason, later events of its key wait behind it, all
others flow; released, each is published once and in its place. On a real Kafka."""
import json
import sys

import relay
import tap

LONG = 45


def text(size, word="x"):
    return json.dumps((word * size)[:size - 2])


def parked(outbox, columns="state, reason"):
    return outbox.sql(f"select {columns} from outbox.parked_event where released_at is null order by tick, seq")


def wait_parked(outbox, count):
    return tap.wait_until(lambda: len(parked(outbox)) >= count, LONG)


def wait_none_parked(outbox):
    return tap.wait_until(lambda: not parked(outbox), LONG)


def ctl(outbox, *words):
    status, output, errors = tap.outboxctl(outbox.dsn, *words)
    if status:
        tap.diag(f"outboxctl {' '.join(words)}: exit {status}: {output}{errors}")
    return status


def seqs(outbox, condition="true"):
    return [str(row[0]) for row in outbox.sql(f"select seq from outbox.parked_event where {condition} order by seq")]


def names(outbox, topic, key=None):
    """The types of the topic's records, in the order of their offsets."""
    records = [r for r in outbox.records(topic) if key is None or r["key"] == key]
    return [relay.header(r, "outbox-type") for r in sorted(records, key=lambda r: (r["partition"], r["offset"]))]


def emit_some(outbox, topic, prefix, count=20):
    """One event of each of so many keys; returns their types."""
    for n in range(count):
        outbox.emit(type=f"{prefix}.{n}", topic=topic, key=f"{prefix}{n}", payload="1")
    return [f"{prefix}.{n}" for n in range(count)]


def settled(outbox, process, name):
    """Nothing more to do, each event in one place, and no complaint."""
    tap.ok(tap.wait_until(lambda: outbox.unpublished() == 0, LONG), f"{name}: the lane comes to the end")
    tap.is_(process.stop(), 0, f"{name}: it stops well")


# ---- one event ----

def too_large():
    """Known before anything is begun, by the limit of the topic."""
    outbox = relay.Outbox()
    topic, large = outbox.create_topic("orders", 3, "max.message.bytes=10000"), outbox.create_topic("large")
    for number, size in ((1, 10), (2, 20000), (3, 10), (4, 15000), (5, 10)):
        outbox.emit(type=f"k.{number}", topic=topic, key="k", payload=text(size))
    others = emit_some(outbox, topic, "other")
    outbox.emit(type="keyless.large", topic=topic, payload=text(20000))
    outbox.emit(type="keyless.small", topic=topic, payload="1")
    # all in one batch: what is behind is not looked at; and no lease is lost, which would be another takeover
    process = outbox.start(lease="60s")
    tap.ok(outbox.wait_published(len(others) + 2, LONG), "too large: what is not at fault is published")
    tap.ok(wait_parked(outbox, 5), "too large: the event and those behind it are parked")
    tap.is_(parked(outbox, "state, reason, key"),
            [("parked", "too_large", "k"), ("behind", "behind", "k"), ("parked", "too_large", "k"),
             ("behind", "behind", "k"), ("parked", "too_large", None)], "too large: each with its state and reason")
    tap.is_(sorted(names(outbox, topic)), sorted([*others, "k.1", "keyless.small"]), "too large: all others are published")
    tap.is_(process.said("state=closing"), None, "too large: without a takeover")
    tap.ok(process.said("event=event_parked .*reason=too_large .*over the topic's max.message.bytes = 10000"),
           "too large: the log says why")
    outbox.emit(type="k.6", topic=topic, key="k", payload="1")
    tap.ok(wait_parked(outbox, 6), "too large: a later event of the key waits too")
    status, output, _ = tap.outboxctl(outbox.dsn, "parked", "list", "--json")
    tap.is_((status, [e["state"] for e in json.loads(output)]), (0, ["parked"] * 3 + ["behind"] * 3),
            "parked list: what needs a decision comes first")

    first, second, keyless = seqs(outbox, "reason = 'too_large' and released_at is null")
    tap.is_(ctl(outbox, "parked", "retry", first), 0, "parked retry")
    tap.ok(tap.wait_until(lambda: outbox.sql("select state from outbox.parked_event where seq = %s", (first,)) ==
                          [("parked",)], LONG), "parked retry: what is at fault still is parked again")
    tap.is_(ctl(outbox, "parked", "reroute", first, "--to", large), 0, "parked reroute")
    tap.ok(tap.wait_until(lambda: len(parked(outbox)) == 4, LONG), "parked reroute: it and those up to the next are released")
    tap.is_((names(outbox, large), names(outbox, topic, "k")), (["k.2"], ["k.1", "k.3"]),
            "parked reroute: to the other topic, and what waited to its own")
    tap.is_(ctl(outbox, "parked", "discard", second, keyless, "--reason", "too big to matter"), 0, "parked discard")
    tap.ok(wait_none_parked(outbox), "parked discard: what waited is released")
    outbox.emit(type="k.7", topic=topic, key="k", payload="1")
    tap.ok(tap.wait_until(lambda: "k.7" in names(outbox, topic, "k"), LONG), "released: the key flows again")
    tap.is_(names(outbox, topic, "k"), ["k.1", "k.3", "k.5", "k.6", "k.7"], "released: in order, each once")
    tap.is_(outbox.sql("select action, count(*), max(reason) from outbox.audit where action like 'parked%' "
                       "group by 1 order by 1"),
            [("parked discard", 2, "too big to matter"), ("parked reroute", 1, None), ("parked retry", 1, None)],
            "each change has its row in the audit")
    settled(outbox, process, "too large")
    tap.is_(len(outbox.records(topic)), len(others) + 6, "too large: nothing twice")


def bad_batch(publish):
    """Refused by the broker, with all of its batch: found by isolation."""
    outbox = relay.Outbox()
    topic = outbox.create_topic("small", 1, "max.message.bytes=2000")
    before, after = [], []
    for n in range(15):
        before.append(f"before.{n}")
        outbox.emit(type=before[-1], topic=topic, key=f"b{n}", payload="1")
    outbox.emit(type="bad", topic=topic, key="k", payload=text(3000))
    outbox.emit(type="behind", topic=topic, key="k", payload="1")
    for n in range(15):
        after.append(f"after.{n}")
        outbox.emit(type=after[-1], topic=topic, key=f"a{n}", payload="1")
    process = outbox.start(publish=publish, batch_events="8")
    tap.ok(outbox.wait_published(30, 90), f"{publish}: bad batch: what is not at fault is published")
    tap.ok(wait_parked(outbox, 2), f"{publish}: bad batch: the bad one is found")
    tap.is_(parked(outbox), [("parked", "too_large"), ("behind", "behind")], f"{publish}: bad batch: it alone, and its key")
    found = names(outbox, topic)
    tap.is_(list(dict.fromkeys(found)), before + after, f"{publish}: bad batch: all others, in order")
    if publish == "exactly_once":
        tap.is_(len(found), 30, "exactly_once: bad batch: each once")
    tap.is_(ctl(outbox, "parked", "discard", *seqs(outbox, "state = 'parked'")), 0, f"{publish}: discard")
    tap.ok(tap.wait_until(lambda: "behind" in names(outbox, topic), LONG), f"{publish}: what waited is released")
    settled(outbox, process, f"{publish}: bad batch")


def after_empty_batches():
    """A batch that is refused is read again from before empty ones, which have no marker."""
    outbox = relay.Outbox()
    topic = outbox.create_topic("orders", 1, "max.message.bytes=10000")
    process = outbox.start()
    process.wait_running()
    for _ in range(3):
        connection = tap.connect(outbox.dsn, autocommit=False)
        before = outbox.sql("select max(id) from outbox.tick")[0][0]
        with connection.cursor() as cursor:
            cursor.execute("select outbox.emit(type => 'none', topic => %s)", (topic,))
        connection.rollback()
        connection.close()
        tap.wait_until(lambda: outbox.sql("select max(id) > %s from outbox.tick", (before,))[0][0], LONG)
    outbox.sql("select outbox.emit(type => n::text, topic => %s, key => 'k', payload => to_jsonb(repeat('x', case n "
               "when 1 then 20000 else 1 end))) from generate_series(1, 3) n", (topic,))
    tap.ok(wait_parked(outbox, 3), "after empty batches: those of the key wait behind it")
    tap.is_(names(outbox, topic), [], "after empty batches: none overtakes it")
    tap.is_(ctl(outbox, "parked", "discard", *seqs(outbox, "state = 'parked'")), 0, "after empty batches: discard")
    tap.ok(wait_none_parked(outbox), "after empty batches: what waits is released, although nothing else comes")
    tap.is_(names(outbox, topic), ["2", "3"], "after empty batches: in order")
    settled(outbox, process, "after empty batches")


# ---- a whole topic ----

def topic_missing():
    outbox = relay.Outbox()
    topic, missing = outbox.create_topic("there"), f"{outbox.prefix}.missing"
    outbox.create_topic("progress", 1, "cleanup.policy=compact")
    process = outbox.start(create_topics="no")
    process.wait_running()
    for n in range(10):
        outbox.emit(type=f"m.{n}", topic=missing, key="k", payload="1")
    others = emit_some(outbox, topic, "other")
    tap.ok(outbox.wait_published(len(others), LONG), "topic missing: other topics flow")
    tap.ok(wait_parked(outbox, 10), "topic missing: its events are parked")
    tap.is_(outbox.sql("select topic, reason from outbox.parked_topic"), [(missing, "topic_missing")],
            "topic missing: in one row for the topic")
    outbox.create_topic("missing", 2)
    tap.ok(wait_none_parked(outbox), "topic missing: created, it is noticed, and they are released")
    outbox.emit(type="m.10", topic=missing, key="k", payload="1")
    tap.ok(tap.wait_until(lambda: "m.10" in names(outbox, missing), LONG), "topic missing: and flow again")
    tap.is_(names(outbox, missing), [f"m.{n}" for n in range(11)], "topic missing: in order, each once")
    tap.is_(outbox.sql("select count(*) from outbox.parked_topic"), [(0,)], "topic missing: the topic is free")
    settled(outbox, process, "topic missing")


CASES = {"too_large": too_large, "bad_batch": lambda: bad_batch("exactly_once"),
         "bad_batch_at_least_once": lambda: bad_batch("at_least_once"), "topic_missing": topic_missing,
         "after_empty_batches": after_empty_batches}


def main():
    for name, case in CASES.items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            case()
    tap.done_testing()


main()
