"""A backlog of events, Kafka away for a while in the midst of it, and webhooks whose receiver is slow: what
the relay takes of memory, and how soon it has caught up.

    catch_up.play(100000)                    the broker hangs, and goes on
    catch_up.play(10000000, dies=True)       it is killed, and started again
"""
import asyncio
import os
import signal
import threading
import time

import relay
import restarts
import tap

MEMORY_MAX_KB = 128 * 1024  # however many; of a backlog that would fit into it, what other tests allow
PORTION = 100000  # of a transaction
SLOWNESS = 0.1  # seconds until the receiver answers
AWAY = 4
RATE_MIN = 500  # events a second, for a deadline that no machine misses


class SlowReceiver:
    """Answers each request, after a while; many at once."""

    def __init__(self):
        self.ids, ready = set(), threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.main(ready)), daemon=True).start()
        ready.wait()

    async def main(self, ready):
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0, backlog=512)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        ready.set()
        await server.serve_forever()

    async def talk(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
                fields = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
                await reader.readexactly(int(fields["content-length"]))
                await asyncio.sleep(SLOWNESS)
                self.ids.add(fields["webhook-id"])
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class Backlog:
    def __init__(self, count, dies):
        self.count, self.dies = count, dies
        self.every = max(100, count // 20000)  # of so many events one has a webhook
        self.kafka = restarts.own_directory("kafka")
        tap.KAFKA = tap.start_kafka(self.kafka)
        tap.at_exit(self.send, signal.SIGCONT)
        server = dies and tap.start_postgres(restarts.own_directory("postgres"), "--set", "max_wal_size=4GB")
        self.outbox = relay.Outbox(tap.create_database(server or tap.DSN))
        self.topic = self.outbox.create_topic("events", 4)
        self.receiver = SlowReceiver()
        self.outbox.sql("select outbox.endpoint_add(%s, %s, p_types => '{hooked}')",
                        (self.receiver.url, os.urandom(32)))

    def send(self, number):
        """To the broker."""
        with open(self.kafka + "/pid", encoding="ascii") as f:
            os.kill(int(f.read()), number)

    def leave(self):
        if self.dies:
            restarts.control("kafka", self.kafka, "kill")
        else:
            self.send(signal.SIGSTOP)

    def come_back(self):
        if self.dies:
            restarts.control("kafka", self.kafka, "start")
        else:
            self.send(signal.SIGCONT)

    def emit(self):
        for first in range(0, self.count, PORTION):
            self.outbox.sql(
                "insert into outbox.new_event (type, topic, key, content_type, payload)"
                " select case when g %% %s = 0 then 'hooked' else 'plain' end, %s, 'k' || g %% 1000,"
                "        'application/json',"
                "        convert_to(json_build_object('n', g, 'text', repeat('x', 270))::text, 'UTF8')"
                "   from generate_series(%s, %s) g",
                (self.every, self.topic, first + 1, min(first + PORTION, self.count)))

    def wait(self, published):
        return self.outbox.wait_published(published, 60 + self.count / RATE_MIN)

    def compare(self):
        """All of them, and each once: compared as sorted files, they may be many."""
        name = tap.TMP + "/backlog"
        script = (f"set -o pipefail; {relay.TOPIC_DUMP} --bootstrap {tap.KAFKA} --timeout 3000 {self.topic} |"
                  f" cut -f 5 | sort -S 200M -T {tap.TMP} >{name}.kafka && psql -X -q '{self.outbox.dsn}' -c 'copy (select id from"
                  f" outbox.event) to stdout' | sort -S 200M -T {tap.TMP} >{name}.postgres && wc -l <{name}.postgres &&"
                  f" cmp {name}.kafka {name}.postgres")
        return tap.run(["bash", "-c", script], timeout=3600)


def audit(case, process, name):
    hooked = case.count // case.every
    delivered = case.outbox.wait_delivered(hooked, 120 + hooked * SLOWNESS)
    status, output, errors = case.compare()
    if not tap.ok(status == 0 and output.strip() == str(case.count), f"{name}: nothing lost, nothing doubled"):
        tap.diag(f"published {case.outbox.published()}, {output} in PostgreSQL", errors)
        process.show()
    tap.is_((bool(delivered), len(case.receiver.ids)), (True, hooked), f"{name}: all webhooks are delivered")


def play(count, dies=False):
    name = f"a backlog of {count} events"
    case = Backlog(count, dies)
    process = case.outbox.start(log_level="info", **restarts.OPTIONS | {"batch_events": None})
    process.wait_running()
    case.leave()
    began = time.monotonic()
    case.emit()
    tap.diag(f"emitted in {time.monotonic() - began:.1f} s, without Kafka")
    tap.ok(process.wait_said("event=kafka_failed", 60), f"{name}: Kafka is away")
    case.come_back()
    began = time.monotonic()
    case.wait(count // 10)
    case.leave()
    left = time.monotonic()
    tap.ok(process.running() and case.outbox.published() < count, f"{name}: and again in the midst of it")
    time.sleep(AWAY)
    case.come_back()
    away = time.monotonic() - left
    tap.ok(case.wait(count), f"{name}: all is published in the end")
    took = time.monotonic() - began
    tap.diag(f"caught up after {took:.1f} s, of which Kafka was away again for {away:.1f}: {count / (took - away):.0f} "
             f"events a second, beside {count // case.every} webhooks, each answered after {SLOWNESS} s")
    audit(case, process, name)
    peak = restarts.peak_memory(process)
    tap.is_(process.stop(), 0, f"{name}: the relay stops well")
    tap.diag(f"{peak} kB of memory at most")
    if restarts.instrumented():
        tap.diag("memory is not looked at in an instrumented build")
    else:
        most = MEMORY_MAX_KB if dies else restarts.MEMORY_MAX_KB
        tap.ok(peak is not None and peak < most, f"{name}: less than {most // 1024} MiB of memory")
