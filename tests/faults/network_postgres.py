#!/usr/bin/python3
# deadline: 300
"""The network between relay and PostgreSQL is cut for longer than every timeout of
the relay, by silence and by resets, while writers and receivers are at work. Several
relays at once, each on an outbox and behind a line of its own; one of them has a
successor, which takes over while it is cut off and can still reach Kafka."""
import contextlib
import time

import psycopg2.extensions

import proxy
import relay
import restarts
import tap

# The webhooks' connection has fixed timeouts of 5 s.
SILENCE = 9
OPTIONS = {"connect_timeout": "1s", "statement_timeout": "2s", "transaction_timeout": "2s"}


class Line(proxy.Proxy):
    """Between a relay and the test's server."""

    def __init__(self, name):
        server = psycopg2.extensions.parse_dsn(tap.DSN_TCP)
        super().__init__((server["host"], int(server["port"])))
        outbox = relay.Outbox()
        database = psycopg2.extensions.parse_dsn(outbox.dsn)["dbname"]
        through = psycopg2.extensions.make_dsn(tap.DSN_TCP, port=self.port, dbname=database)
        self.case = restarts.Case(name, outbox, dsn=through, **OPTIONS)

    def attempts_since(self, begin):
        return sum(1 for at in self.accepted if at > begin)


def main():
    silent = Line("PostgreSQL silent, then what was sent arrives")
    forgotten = Line("PostgreSQL silent, then the connections are forgotten")
    refused = Line("PostgreSQL unreachable by resets")
    replaced = Line("PostgreSQL silent for the owner, another takes over")
    lines = (silent, forgotten, refused, replaced)
    with contextlib.ExitStack() as writers:
        for line in lines:
            writers.enter_context(line.case.writing(2))
        for line in lines:
            line.case.process.wait_running()
            line.case.progress()
        successor = replaced.case.outbox.start("successor", lease="20s", **restarts.OPTIONS, **OPTIONS)
        successor.wait_said("event=lease_taken .*holder=relay")
        begin = time.monotonic()
        silent.stall()
        forgotten.stall()
        refused.cut()
        replaced.stall()
        took_over = successor.wait_running()
        time.sleep(max(0, begin + SILENCE - time.monotonic()))
        silent.resume()
        replaced.resume()
        forgotten.forget()
        refused.resume()
        for line in lines:
            line.case.progress()
    tap.ok(took_over, "the successor takes over while the owner is cut off")
    tap.ok(replaced.case.process.wait_said("event=lease_lost"), "the owner notices")
    tap.is_(replaced.case.outbox.lease()["holder"], "successor", "and the successor remains")
    for line in lines:
        tap.diag(f"{line.case.name}: {line.attempts_since(begin)} connections since the cut")
        if not line.case.process.said("event=lease_lost|event=database_failed"):
            line.case.complaints.append("it did not notice")
        # of lane, lease, ticker and webhooks, each with growing pauses
        if line.attempts_since(begin) > 80:
            line.case.complaints.append("it hammers")
        line.case.judge()
    tap.is_(successor.stop(), 0, "the successor stops well")


main()
tap.done_testing()
