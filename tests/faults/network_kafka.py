#!/usr/bin/python3
# deadline: 500
"""The network between relay and Kafka is cut for longer than every timeout of the
relay, by silence and by resets, while writers and receivers are at work; and a great
backlog piles up meanwhile."""
import time

import proxy
import relay
import restarts
import tap

SILENCE = 6
# Of each of librdkafka's connections, after pauses of 50 ms to 1 s.
CONNECTIONS_MAX = 60
OPTIONS = {"transaction_timeout": "3s", "kafka.socket.timeout.ms": "1000"}
BACKLOG = 200000


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
    count = sum(1 for at in line.accepted if at > started)
    tap.diag(f"{name}: {count} connections since the cut")
    if count > CONNECTIONS_MAX:
        case.complaints.append("it hammers")
    if not case.process.said("event=kafka_failed"):
        case.complaints.append("it did not notice")
    case.judge()


def cut_and_hang_up():
    line.cut()
    time.sleep(SILENCE / 2)
    line.hang_up()


def backlog():
    """Without webhooks, which would be most of the work."""
    name = f"a backlog of {BACKLOG} events while Kafka cannot be reached"
    outbox = relay.Outbox()
    topic = outbox.create_topic("events", 4)
    process = outbox.start(**{"kafka.bootstrap.servers": through}, **OPTIONS)
    process.wait_running()
    outbox.emit(type="first", topic=topic, payload="1")
    outbox.wait_published(1)
    line.cut()
    for _ in range(20):
        outbox.sql("select count(outbox.emit(type => 'many', topic => %s, key => 'k' || g %% 1000,"
                   " payload => jsonb_build_object('n', g, 'text', repeat('x', 300)))) from generate_series(1, %s) g",
                   (topic, BACKLOG // 20))
    process.wait_said("event=kafka_failed")
    line.resume()
    published = outbox.wait_published(BACKLOG + 1, 90)
    peak = restarts.peak_memory(process)
    status = process.stop()
    tap.diag(f"{peak} kB of memory at most")
    code, output, errors = tap.run([relay.TOPIC_DUMP, "--bootstrap", tap.KAFKA, topic], timeout=90)
    ids = [l.split("\t")[-1] for l in output.splitlines()]
    wanted = {row[0] for row in outbox.sql("select id::text from outbox.event")}
    if not tap.ok(published and status == 0 and code == 0 and len(ids) == len(wanted) and set(ids) == wanted,
                  f"{name}: nothing lost, nothing doubled"):
        tap.diag(f"published {outbox.published()}, exit status {status}, {len(ids)} records of {len(set(ids))} events, "
                 f"wanted {len(wanted)}", errors)
        process.show()
    if restarts.instrumented():
        tap.diag("memory is not looked at in an instrumented build")
    else:
        tap.ok(peak is not None and peak <= restarts.MEMORY_MAX_KB, f"{name}: memory is bounded")


line = proxy.KafkaProxy()
through = f"127.0.0.1:{line.port}"
tap.KAFKA = tap.start_kafka(restarts.own_directory("kafka"), "--proxy-port", str(line.port))
line.target = proxy.target_of(tap.TMP + "/kafka")
cut("Kafka silent, then what was sent arrives", line.stall, line.resume)
cut("Kafka silent, then the connections are forgotten", line.stall, line.forget)
cut("Kafka unreachable by resets", cut_and_hang_up, line.resume)
backlog()
tap.done_testing()
