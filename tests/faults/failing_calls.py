#!/usr/bin/python3
# deadline: 300
"""Calls of the relay fail, one at a time: allocations, and what libpq, librdkafka, libcurl and the
kernel do for it. It survives that, or exits with a code that the manual has and a log line that
says why; then the next one goes on. The ledger oracle judges all of it.

tests/tools/failing_calls.c makes them fail. A sample of calls is tried, always the same; FAILING_SAMPLE=N
draws the Nth; FAILING_CALLS=all tries every function at several passages, FAILING_CALLS="a:3 b:7" these.
"""
import os
import random
import re
import subprocess

import relay
import restarts
import tap

WANTED = os.environ.get("FAILING_CALLS", "")
# Where most is at stake; the rest of a sample is drawn.
ALWAYS = ("malloc@outbox-relay", "calloc@outbox-relay", "PQsendQueryParams", "rd_kafka_producev",
          "+rd_kafka_commit_transaction", "curl_multi_add_handle", "pthread_create")
SAMPLE = 5
DRAWN = int(os.environ.get("FAILING_SAMPLE", "1"))
PASSAGES = (1, 2, 3, 10, 40)
OF_MEMORY = (5, 30, 100, 300, 1000)
# What it may exit with by itself, and what it has to say then.
EXITS = {1: r"level=error event=cannot_start ", 70: r"level=error event=(out_of_memory|page_lost) |^outbox-relay: out of memory$"}


def build_library():
    path = f"{tap.TMP}/failing_calls.so"
    flags = subprocess.run(["pkg-config", "--cflags", "libpq", "rdkafka", "libcurl"], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.split()
    subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1", "-o", path,
                    f"{tap.SRC}/tests/tools/failing_calls.c", *flags, "-ldl"], check=True)
    return path


def passages(name):
    return OF_MEMORY if "@outbox-relay" in name or name.startswith("malloc@") else PASSAGES


def choose(library):
    """[(function, passage)]"""
    listed = subprocess.run(["true"], check=True, text=True, stdout=subprocess.PIPE,
                            env={"LD_PRELOAD": library, "OUTBOX_FAIL": "list"}).stdout.split()
    if WANTED == "all":
        return [(name, passage) for name in listed for passage in passages(name)]
    if WANTED:
        return [(name, int(passage)) for name, _, passage in (w.rpartition(":") for w in WANTED.split())]
    dice = random.Random(DRAWN)
    names = [*ALWAYS, *dice.sample([n for n in listed if n not in ALWAYS], SAMPLE)]
    return [(name, dice.choice(passages(name)[:3])) for name in names]


class Calls:
    def __init__(self):
        self.library = build_library()
        self.outbox = relay.Outbox()
        self.case = restarts.Case("failing calls", self.outbox, policy="park")
        self.counts = {"survived": 0, "not called so often": 0}

    def start(self, name, passage):
        self.case.process = self.outbox.start(
            environment={"LD_PRELOAD": self.library, "OUTBOX_FAIL": f"{name}:{passage}"}, **restarts.OPTIONS)

    def ended(self, what):
        """By itself: with a code and a reason that are documented?"""
        process, status = self.case.process, self.case.process.wait(5)
        key = f"exit {status}"
        self.counts[key] = self.counts.get(key, 0) + 1
        if status not in EXITS or not re.search(EXITS[status], process.log(), re.MULTILINE):
            self.case.complaints.append(f"{what}: exit {status} without a reason")
            process.show()

    def one(self, name, passage):
        what = f"{name}:{passage}"
        self.start(name, passage)
        process, before = self.case.process, self.case.published()
        # it may fail at once, in the midst of the work, or never come to be called so often
        tap.wait_until(lambda: not process.running() or
                       (self.case.published() >= before + 20 and process.said("call failed")) or
                       self.case.published() >= before + 80, restarts.BACKOFF_MAX + 55, 0.1)
        if not process.running():
            self.ended(what)
            return
        if self.case.published() < before + 20:
            self.case.complaints.append(f"{what}: neither publishes nor exits")
            process.show()
        self.counts["survived" if process.said("call failed") else "not called so often"] += 1
        # at its end, too, calls may fail
        status = process.stop()
        if status != 0:
            self.ended(what)

    def run(self):
        case = self.case
        case.process.wait_running()
        chosen = choose(self.library)
        tap.diag(f"seed {case.book.seed}: {' '.join(f'{n}:{p}' for n, p in chosen)}")
        case.process.stop()
        with case.writing(pause=0.02):
            for name, passage in chosen:
                self.one(name, passage)
            case.process = self.outbox.start(**restarts.OPTIONS)
            case.progress()
        tap.diag(f"{len(chosen)} calls: {self.counts}")
        case.judge(kills=len(chosen))
        tap.ok(self.counts["survived"] + sum(n for key, n in self.counts.items() if key.startswith("exit")) >=
               len(chosen) / 3, "enough of them did fail")


Calls().run()
tap.done_testing()
