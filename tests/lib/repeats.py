"""For the tests of publish = at_least_once: the ledger's oracle, with repetitions allowed.

What counts is the first occurrence of each event: none is missing, and those of a key are
in order. Whether an event may be there more than once is the caller's to say.
"""
import collections

import ledger
import relay
import tap

OPTIONS = {"batch_events": "5", "webhook_allow": "127.0.0.0/8", "fallback_poll": "200ms"}
LOOSE = dict(OPTIONS, publish="at_least_once")


def prepare(webhooks=True):
    outbox = relay.Outbox()
    book = ledger.Ledger(outbox, outbox.create_topic("orders", 2), outbox.create_topic("rest", 3))
    if webhooks:
        book.add_endpoint(ledger.Receiver(seed=book.seed))
    return outbox, book


def in_order(records):
    return sorted(records, key=lambda r: (r["topic"], r["partition"], r["offset"]))


def first_occurrences(records):
    seen = set()
    return [r for r in in_order(records)
            if not (relay.header(r, "outbox-id") in seen or seen.add(relay.header(r, "outbox-id")))]


def repeated(records):
    counts = collections.Counter(relay.ids(records))
    return {i for i, n in counts.items() if n > 1}


def audit(found, kills=0, may_repeat=lambda event: True):
    """As the ledger's own, but for repetitions where they are allowed."""
    wrong = [i for i in repeated(found["records"]) if not may_repeat(i)]
    complaints = [f"doubled, {ledger.some(wrong)}"] if wrong else []
    found = dict(found, records=first_occurrences(found["records"]))
    return complaints + ledger.audit_kafka(found) + ledger.audit_position(found) + \
        ledger.audit_deliveries(found, kills)


def judge(name, book, *relays, kills=0, may_repeat=lambda event: True):
    """After the writers have stopped."""
    complaints = [] if book.settle() else [f"not settled: {book.outbox.lane()}"]
    found = book.collect()
    complaints += audit(found, kills, may_repeat)
    tap.diag(f"{book.count()} events committed, {len(repeated(found['records']))} of them published more than once")
    if not tap.no_complaints(complaints, name, f"seed {book.seed}"):
        for process in relays:
            process.show()
    return found


def check_oracle(book, found):
    """An oracle that cannot fail says nothing."""
    def complaints(change, **options):
        changed = dict(found, records=[dict(r) for r in first_occurrences(found["records"])])
        change(changed["records"])
        return "\n".join(audit(changed, kills=99, **options))

    def swap(records):
        keyed = [r for r in records if r["key"] == "key-1" and r["topic"] == book.topic]
        keyed[0]["offset"], keyed[1]["offset"] = keyed[1]["offset"], keyed[0]["offset"]

    def again(records):
        records.append(dict(records[3], offset=10**9))

    tap.is_(complaints(lambda records: None), "", "the oracle has nothing to say about what is well")
    tap.is_(complaints(again), "", "nor about an event that comes again later")
    tap.like(complaints(again, may_repeat=lambda event: False), "doubled, 1: ", "unless none may")
    tap.like(complaints(swap), "order: ", "the oracle sees two first occurrences in the wrong order")
    tap.like(complaints(lambda records: records.pop(5)), "lost on the way to Kafka, 1: ",
             "the oracle sees a hidden record")


def published_as(outbox):
    return outbox.lane()["publish"]
