#!/usr/bin/python3
# deadline: 300
"""A delayed duplicate EndTxn against the whole relay, on the wire of a real broker.

A proxy keeps back the EndTxn of a Kafka transaction; librdkafka times out, sends it
again and reports success. The kept one reaches the broker when half of the records of
the next transaction are there, which then never commits, because the relay is killed.
A read_committed consumer looks on all the time. The relay gives up the producer after
the first of the two, so that nothing becomes of the late request; one that is told not
to is caught.
"""
import collections
import threading

import proxy
import relay
import restarts
import tap

EVENTS, PAGE = 20, 5
FENCED = (47, 90)  # INVALID_PRODUCER_EPOCH, PRODUCER_FENCED


class Consumer:
    """Reads the topic from its beginning again and again; what it has ever seen."""

    def __init__(self, outbox, topic):
        self.outbox, self.topic = outbox, topic
        self.ever = {}  # (partition, offset): the event's id
        self.quit = threading.Event()
        self.thread = threading.Thread(target=self.main, daemon=True)
        self.thread.start()

    def look(self):
        for record in self.outbox.records(self.topic):
            self.ever[(record["partition"], record["offset"])] = relay.header(record, "outbox-id")

    def main(self):
        while not self.quit.wait(0.1):
            self.look()

    def end(self):
        self.quit.set()
        self.thread.join(30)
        self.look()
        return collections.Counter(self.ever.values())


def emit(outbox, topic):
    """In one transaction; their ids in order."""
    rows = outbox.sql("select outbox.emit(type => 'late', topic => %s, key => 'k', payload => to_jsonb(g))::text"
                      " from generate_series(1, %s) g", (topic, EVENTS))
    return [row[0] for row in rows]


def play(name, planted=None):
    """Until the late EndTxn has been answered, and then to the end; how often each event
    was seen, what the broker said, and how many were seen while the relay stood still."""
    outbox = relay.Outbox()
    topic = outbox.create_topic("events", 1)
    options = {"kafka.bootstrap.servers": through, "kafka.socket.timeout.ms": "3000", "batch_events": str(PAGE),
               "transaction_timeout": "60s", "lease": "60s", "lease_renew": "20s"}
    line.hold(3)  # after that of the first marker and that of the first page
    process = outbox.start(fault="kafka_after_half_produce:3:stop", planted=planted, **options)
    process.wait_running()
    ids = emit(outbox, topic)
    if not process.wait_stopped(60) or not line.kept:
        process.show()
        tap.bail(f"{name}: the relay did not come to the third page with an EndTxn kept back")
    recycled = bool(process.said("event=producer_recycled"))
    consumer = Consumer(outbox, topic)
    if not line.release():
        tap.bail(f"{name}: the broker did not answer the late EndTxn")
    error = line.answer()
    if error == 0:  # what the broker has decided reaches the partition a little later
        tap.wait_until(lambda: len(outbox.records(topic)) > 2 * PAGE, 20)
    seen = len(outbox.records(topic))
    process.kill()
    successor = outbox.start(**options)
    published = outbox.wait_published(EVENTS)
    status = successor.stop()
    tap.is_((bool(published), status), (True, 0), f"{name}: a successor publishes the rest")
    counts = consumer.end()
    if set(counts) != set(ids):
        tap.diag(f"{len(set(ids) - set(counts))} are lost")
    return recycled, error, seen, counts, ids


def recycled():
    name = "late EndTxn"
    given_up, error, seen, counts, ids = play(name)
    tap.ok(given_up, f"{name}: the relay gives up the producer whose EndTxn was retried")
    tap.ok(error in FENCED, f"{name}: the broker refuses it, error {error}")
    tap.is_(seen, 2 * PAGE, f"{name}: a read_committed consumer sees nothing of the open transaction")
    tap.is_(counts, collections.Counter(ids), f"{name}: it has seen each event once, and never an aborted one")


def not_recycled():
    name = "late EndTxn without giving up the producer"
    given_up, error, seen, counts, ids = play(name, planted="no_recycling")
    tap.is_((given_up, error), (False, 0), f"{name}: the broker takes it for that of the open transaction")
    tap.ok(seen > 2 * PAGE, f"{name}: half of a transaction is published")
    tap.ok(set(counts) == set(ids) and max(counts.values()) == 2, f"{name}: and its events are doubled")
    tap.diag(f"{sum(counts.values())} records of {len(ids)} events")


line = proxy.KafkaProxy()
through = f"127.0.0.1:{line.port}"
tap.KAFKA = tap.start_kafka(restarts.own_directory("kafka"), "--proxy-port", str(line.port))
line.target = proxy.target_of(tap.TMP + "/kafka")
recycled()
not_recycled()
tap.done_testing()
