#!/usr/bin/python3
# deadline: 300
"""Single requests of the relay to Kafka are lost with their connection, done but not answered, late by more than the
relay waits for an answer, or arrive twice: each of these to each kind of request, under load, with the ledger oracle."""
import random

import meddler
import proxy
import relay
import restarts
import tap

OPTIONS = {"transaction_timeout": "5s", "kafka.socket.timeout.ms": "1000"}
RELAYS_MAX = 30  # one after another

line = meddler.Meddler()
tap.KAFKA = tap.start_kafka(restarts.own_directory("kafka"), "--proxy-port", str(line.port))
line.target = proxy.target_of(tap.TMP + "/kafka")
OPTIONS["kafka.bootstrap.servers"] = f"127.0.0.1:{line.port}"
case = restarts.Case("requests", relay.Outbox(), **OPTIONS)


def nothing_more_to_come():
    """What a relay asks for while it publishes has met all that is meant for it."""
    return not case.process.running() or not any(kind in meddler.OFTEN for kind, _ in line.wanted)


with case.writing():
    case.process.wait_running()
    case.progress()
    line.wanted = random.Random(case.book.seed).sample(meddler.mishaps(), len(meddler.mishaps()))
    tap.wait_until(nothing_more_to_come, 120)
    # The others are sent by one that begins.
    for _ in range(RELAYS_MAX):
        if not line.wanted or not tap.is_(case.process.stop(30), 0, "a relay stops well"):
            break
        case.process = case.outbox.start(**dict(restarts.OPTIONS, **OPTIONS))
        case.progress()
    case.progress(60)
tap.is_(line.wanted, [], "each mishap has happened to each kind of request")
case.judge()
tap.done_testing()
