#!/usr/bin/python3
# deadline: 500
"""The network between relay and Kafka is cut for longer than every timeout of the
relay, by silence and by resets, while writers and receivers are at work."""
import time

import proxy
import relay
import restarts
import tap

SILENCE = 6
# A second; of each of librdkafka's connections, after pauses of 50 ms to 1 s.
CONNECTIONS_MAX = 10
OPTIONS = {"transaction_timeout": "3s", "kafka.socket.timeout.ms": "1000"}


def cut(name, begin, end):
    case = restarts.Case(name, relay.Outbox(), **{"kafka.bootstrap.servers": through}, **OPTIONS)
    with case.writing():
        case.process.wait_running()
        case.progress()
        case.moment(0.3)
        started = time.monotonic()
        begin()
        time.sleep(SILENCE)
        end()
        case.progress(60)
    count, took = sum(1 for at in line.accepted if at > started), time.monotonic() - started
    tap.diag(f"{name}: {count} connections in {took:.1f} s since the cut")
    if count > CONNECTIONS_MAX * took:
        case.complaints.append("it hammers")
    if not case.process.said("event=kafka_failed"):
        case.complaints.append("it did not notice")
    case.judge()


def cut_and_hang_up():
    line.cut()
    time.sleep(SILENCE / 2)
    line.hang_up()


line = proxy.KafkaProxy()
through = f"127.0.0.1:{line.port}"
tap.KAFKA = tap.start_kafka(restarts.own_directory("kafka"), "--proxy-port", str(line.port))
line.target = proxy.target_of(tap.TMP + "/kafka")
cut("Kafka silent, then what was sent arrives", line.stall, line.resume)
cut("Kafka silent, then the connections are forgotten", line.stall, line.forget)
cut("Kafka unreachable by resets", cut_and_hang_up, line.resume)
tap.done_testing()
