#!/usr/bin/python3
# deadline: 200
"""A call of a library does not come back, beyond every deadline that was given to it: the relay says which
thread waits for what, in its log, in the metrics and on /healthz, and gives systemd no sign of life. When
the call does come back, it goes on, exactly once."""
import os
import re
import subprocess

import admin
import relay
import restarts
import tap

# What hangs, and who is said to wait for what then.
CASES = (("rd_kafka_commit_transaction", "lane-kafka 0", "Kafka, a commit"),
         ("PQconsumeInput", r"[-a-z]+( \d+)?", "PostgreSQL, a (statement|connection)"),
         ("curl_multi_perform", "[-a-z]+", "webhooks, a turn"))


def build_library():
    path = f"{tap.TMP}/hanging_calls.so"
    flags = subprocess.run(["pkg-config", "--cflags", "libpq", "rdkafka", "libcurl"], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.split()
    subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1", "-o", path,
                    f"{tap.SRC}/tests/tools/hanging_calls.c", *flags, "-ldl"], check=True)
    return path


def hung(function, thread, what):
    name = f"{function} hangs"
    switch = f"{tap.TMP}/{function}.hangs"
    case = restarts.Case(name, relay.Outbox(), policy="park", admin_listen="127.0.0.1:0", shutdown_timeout="20s",
                         environment={"LD_PRELOAD": library, "HANGING_CALL": function, "HANGING_FILE": switch})
    with case.writing(persist=True):
        case.process.wait_running()
        case.progress()
        pages = admin.Pages(case.process)
        with open(switch, "wb"):
            pass
        told = rf"level=error event=wait_overdue thread=\"?{thread}\"? for=\"{what}\" overdue_ms=[5-9]"
        if not tap.ok(case.process.wait_said(told), f"{name}: the log says who waits for what"):
            case.process.show()
        status, text = pages.health()
        if not tap.ok(status == 503 and re.search(rf"^overdue: {thread} waits for {what}, \d+ s beyond", text, re.M),
                      f"{name}: so does /healthz"):
            tap.diag(status, text)
        tap.ok(tap.wait_until(lambda: re.search(r"^outbox_waits_overdue [1-9]", pages.get("/metrics")[2], re.M)),
               f"{name}: and a metric counts it")
        os.unlink(switch)
        tap.ok(case.process.wait_said(f"event=wait_ended .*for=\"{what}\""), f"{name}: it is told when it has ended")
        case.progress()
        tap.ok(tap.wait_until(lambda: re.search(r"^outbox_waits_overdue 0", pages.get("/metrics")[2], re.M)),
               f"{name}: and counted no more")
    case.judge(kills=1)


library = build_library()
tap.side_by_side([lambda case=case: hung(*case) for case in CASES], workers=len(CASES))
tap.done_testing()
