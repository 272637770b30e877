#!/usr/bin/python3
"""Sends a parcel for each order of the shop, and tells so.

Reads the events `order_placed` of ../publisher from Kafka. For each it writes a row of shipping.parcel and emits an
event `parcel_sent`, in one transaction: both or neither. An order that comes again is known by the event's id.
"""
import argparse
import json
import os
import signal
import sys
import time
import uuid

import confluent_kafka
import psycopg2
import psycopg2.extensions

SETUP = """
    CREATE SCHEMA IF NOT EXISTS shipping;
    CREATE TABLE IF NOT EXISTS shipping.parcel (
        id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id uuid NOT NULL UNIQUE,  -- that of the order's event
        order_id bigint NOT NULL,
        user_id  bigint NOT NULL,
        item     text NOT NULL);
    CREATE TABLE IF NOT EXISTS shipping.refused (
        topic text, partition integer, record_offset bigint, reason text NOT NULL,
        PRIMARY KEY (topic, partition, record_offset));
"""
PATIENCE = 60  # seconds without a database, well below Kafka's max.poll.interval.ms


class Unusable(Exception):
    """An order that will never be one, however often it is tried."""


def log(event, **fields):
    print(f"event={event}", *(f"{name}={value}" for name, value in fields.items()), file=sys.stderr, flush=True)


def place(message):
    return {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}


# ---- the work ----

def parse(message, headers):
    try:
        event_id = str(uuid.UUID(headers["outbox-id"]))
    except (KeyError, ValueError):
        raise Unusable("no outbox-id: not an event of an outbox") from None
    if message.value() is None:
        raise Unusable("a tombstone")
    try:
        order = json.loads(message.value())
        order_id, user_id, item = (order[name] for name in ("order_id", "user_id", "item"))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Unusable("not the JSON of an order") from None
    if [type(value) for value in (order_id, user_id, item)] != [int, int, str]:
        raise Unusable("order_id and user_id must be whole numbers, item a text")
    return {"event_id": event_id, "order_id": order_id, "user_id": user_id, "item": item}


def send_parcel(cursor, order, traceparent):
    """The row and its event. Whoever else has the same order waits here for the end of this transaction."""
    cursor.execute(
        "INSERT INTO shipping.parcel (event_id, order_id, user_id, item)"
        " VALUES (%(event_id)s, %(order_id)s, %(user_id)s, %(item)s) ON CONFLICT (event_id) DO NOTHING RETURNING id",
        order)
    row = cursor.fetchone()
    if row is None:
        return None
    parcel = {"parcel_id": row[0], "order_id": order["order_id"], "user_id": order["user_id"]}
    cursor.execute(
        "SELECT outbox.emit(type => 'parcel_sent', key => %s, payload => %s::jsonb, traceparent => %s)",
        (str(order["user_id"]), json.dumps(parcel), traceparent))
    return row[0]


def handle(connection, message):
    """One message in one transaction, which ends here."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in message.headers() or []}
    if headers.get("outbox-type", "order_placed") != "order_placed":
        log("ignored", **place(message))
        return
    try:
        order = parse(message, headers)
        with connection, connection.cursor() as cursor:
            parcel = send_parcel(cursor, order, headers.get("traceparent"))
        log("sent" if parcel else "known", order=order["order_id"], event_id=order["event_id"])
    except (Unusable, psycopg2.DataError, psycopg2.IntegrityError, ValueError) as error:
        refuse(connection, message, error)


def refuse(connection, message, error):
    """Kept where somebody can look; the orders behind it go on."""
    reason = str(error).splitlines()[0] if isinstance(error, Unusable) else type(error).__name__
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO shipping.refused VALUES (%(topic)s, %(partition)s, %(offset)s, %(reason)s)"
                       " ON CONFLICT DO NOTHING", {**place(message), "reason": reason})
    log("refused", **place(message), reason=json.dumps(reason))


# ---- the database ----

class Database:
    """A connection that is made anew when it breaks."""

    def __init__(self, dsn):
        self.dsn, self.connection = dsn, None

    def connect(self):
        # A server that is gone without a word is noticed, too, well within PATIENCE.
        defaults = {"connect_timeout": "5", "tcp_user_timeout": "10000", "keepalives_idle": "5",
                    "keepalives_interval": "2", "keepalives_count": "3", "application_name": "shipping",
                    "options": "-c statement_timeout=20s"}
        self.connection = psycopg2.connect(**{**defaults, **psycopg2.extensions.parse_dsn(self.dsn)})

    def handle(self, message, stopping):
        """Tries until the transaction has committed. If COMMIT had no answer it may have: then the order is known
        the next time."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                if self.connection is None:
                    self.connect()
                return handle(self.connection, message)
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                if stopping() or time.monotonic() > end:
                    raise
                log("database", error=json.dumps(str(error).split("\n", maxsplit=1)[0]))
                self.close()
                time.sleep(0.5)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


# ---- Kafka ----

def settings(options):
    given = {"bootstrap.servers": options.kafka, "group.id": options.group, "auto.offset.reset": "earliest",
             **dict(setting.split("=", 1) for setting in options.set)}
    # The offset of a message is kept when its transaction has committed, not when it was read.
    return {**given, "isolation.level": "read_committed", "enable.auto.offset.store": False}


def store_offset(consumer, message):
    try:
        consumer.store_offsets(message)
    except confluent_kafka.KafkaException as error:
        # The partition is another's now, who will find the order done.
        if error.args[0].code() != confluent_kafka.KafkaError._STATE:
            raise


def consume(options, database, stopping):
    consumer = confluent_kafka.Consumer(settings(options))
    try:
        consumer.subscribe([options.topic])
        while not stopping():
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error():
                log("kafka", error=json.dumps(message.error().str()))
                if message.error().fatal():
                    return 1
                continue
            database.handle(message, stopping)
            store_offset(consumer, message)
        return 0
    finally:
        consumer.close()  # which commits what was stored, and leaves the group
        database.close()


def arguments():
    parser = argparse.ArgumentParser(description="Sends a parcel for each order of the shop. Of the database it is "
                                                 "told by OUTBOX_DSN.")
    parser.add_argument("--setup", action="store_true", help="make the tables, and nothing else")
    parser.add_argument("--kafka", default="127.0.0.1:9092", metavar="HOST:PORT")
    parser.add_argument("--topic", default="order_placed")
    parser.add_argument("--group", default="shipping")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a property of librdkafka, as for TLS; several times")
    options = parser.parse_args()
    if not all("=" in setting for setting in options.set):
        parser.error("--set: NAME=VALUE")
    return options


def main():
    options = arguments()
    database = Database(os.environ.get("OUTBOX_DSN", ""))
    stopped = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.append(1))
    try:
        database.connect()
        if options.setup:
            with database.connection, database.connection.cursor() as cursor:
                cursor.execute(SETUP)
            return 0
        return consume(options, database, lambda: bool(stopped))
    except (psycopg2.Error, confluent_kafka.KafkaException) as error:
        # the first line: a statement, with what was in the message, may stand below
        log("failed", error=json.dumps(str(error).split("\n", maxsplit=1)[0]))
        return 1


if __name__ == "__main__":
    sys.exit(main())
