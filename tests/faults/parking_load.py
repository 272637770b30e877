#!/usr/bin/python3
# deadline: 400
"""A topic that does not exist, writers that go on, and kill -9 of the relay while what is
parked is released, with the ledger oracle: each event once, each key in order."""
import signal

import ledger
import relay
import tap

OPTIONS = {"create_topics": "no", "batch_events": "12", "webhook_allow": "127.0.0.0/8", "fallback_poll": "200ms"}
LONG = 90


def count(outbox, state):
    return outbox.sql("select count(*) from outbox.parked_event where state = %s", (state,))[0][0]


def prepare():
    outbox = relay.Outbox()
    outbox.create_topic("progress", 1, "cleanup.policy=compact")
    book = ledger.Ledger(outbox, outbox.create_topic("orders", 2), f"{outbox.prefix}.rest")
    book.add_endpoint(ledger.Receiver(seed=book.seed))
    return outbox, book


def await_parked(outbox, process):
    tap.ok(tap.wait_until(lambda: count(outbox, "behind") >= 150, LONG), "events of a topic that is not there are parked")
    tap.ok(outbox.wait_published(150, LONG), "while those of another one flow")
    tap.ok(outbox.published() <= len(outbox.records(f"{outbox.prefix}.orders")), "and they alone")
    tap.is_(process.stop(), 0, "the relay stops")


def die_at(outbox, fault):
    process = outbox.start(fault=fault, **OPTIONS)
    status = process.wait(LONG)
    if not tap.ok(status == -signal.SIGKILL and process.said(f"event=fault point={fault.split(':')[0]}"),
                  f"kill -9 at {fault}, under load"):
        process.show()


def kill_while_releasing(outbox):
    """In small batches, or all may be released before anybody looks."""
    before = count(outbox, "released")
    process = outbox.start(**dict(OPTIONS, batch_events="2"))
    released = tap.wait_until(lambda: count(outbox, "released") > before, LONG, 0.01)
    process.send(signal.SIGKILL)
    process.wait(LONG)
    if not tap.ok(released, "kill -9 while it releases"):
        process.show()


def main():
    outbox, book = prepare()
    tap.diag(f"seed {book.seed}")
    with book.writers(pause=0.25):
        await_parked(outbox, outbox.start(**OPTIONS))
        outbox.create_topic("rest", 3)
        for fault in ("relay_after_release_taken:2", "kafka_after_commit:3", "relay_before_release_acknowledged:1",
                      "relay_after_release_acknowledged:1"):
            die_at(outbox, fault)
        kill_while_releasing(outbox)
        if count(outbox, "behind") > 0:
            kill_while_releasing(outbox)
        process = outbox.start(**OPTIONS)
        process.wait_running()
    tap.ok(book.settle(LONG), "all is published and delivered in the end")
    tap.ok(tap.wait_until(lambda: count(outbox, "behind") == 0, LONG), "nothing is parked")
    tap.is_(process.stop(), 0, "the relay stops well")
    tap.diag(f"{book.count()} events committed, {len(book.rolled_back)} rolled back, {count(outbox, 'released')} released")
    tap.is_(book.audit(kills=6), [], "nothing lost, nothing doubled, each key in order")
    tap.done_testing()


main()
