#!/usr/bin/python3
# deadline: 300
"""A call of a library does not come back, beyond every deadline that was given to it: the relay says which
thread waits for what, in its log, in the metrics and on /healthz, and gives systemd no sign of life. When
the call does come back, it goes on, exactly once. Told to end meanwhile, it does, in time."""
import os
import re
import signal
import socket
import time

import admin
import preload
import relay
import restarts
import tap

# What hangs, and who is said to wait for what then.
CASES = (("rd_kafka_commit_transaction", "lane-kafka 0", "Kafka, a commit"),
         ("PQconsumeInput", r"[-a-z]+( \d+)?", "PostgreSQL, a (statement|connection)"),
         ("curl_multi_perform", "[-a-z]+", "webhooks, a turn"))
SHUTDOWN = 5


class Supervisor:
    """As systemd would be told."""

    def __init__(self, name):
        self.path = f"{tap.TMP}/{name}.notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)

    def alive(self, seconds):
        """Is there a sign of life in that time? What came before does not count."""
        self.socket.settimeout(0)
        try:
            while True:
                self.socket.recv(4096)
        except BlockingIOError:
            pass
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if b"WATCHDOG=1" in self.socket.recv(4096):
                    return True
            except TimeoutError:
                break
        return False


def ends(case, name, switch):
    with open(switch, "wb"):
        pass
    case.process.send(signal.SIGTERM)
    if not tap.ok(case.process.wait(SHUTDOWN + 35) is not None, f"{name}: told to end meanwhile, it does"):
        case.process.show()
        case.process.kill()
    os.unlink(switch)
    case.process = case.outbox.start(**restarts.OPTIONS)
    case.progress()


def hung(function, thread, what):
    name = f"{function} hangs"
    switch = f"{tap.TMP}/{function}.hangs"
    supervisor = Supervisor(function)
    case = restarts.Case(name, relay.Outbox(), policy="park", admin_listen="127.0.0.1:0",
                         shutdown_timeout=f"{SHUTDOWN}s",
                         environment=preload.environment("hanging_calls", HANGING_CALL=function, HANGING_FILE=switch,
                                                         NOTIFY_SOCKET=supervisor.path, WATCHDOG_USEC="1000000"))
    with case.writing(persist=True):
        case.process.wait_running()
        case.progress()
        pages = admin.Pages(case.process)
        with open(switch, "wb"):
            pass
        told = rf"level=error event=wait_overdue thread=\"?{thread}\"? for=\"{what}\" overdue_ms=([5-9]\d{{3}}|\d{{5}})"
        if not tap.ok(case.process.wait_said(told), f"{name}: the log says who waits for what"):
            case.process.show()
        status, text = pages.health()
        if not tap.ok(status == 503 and re.search(rf"^overdue: {thread} waits for {what}, \d+ s beyond", text, re.M),
                      f"{name}: so does /healthz"):
            tap.diag(status, text)
        tap.ok(tap.wait_until(lambda: re.search(r"^outbox_waits_overdue [1-9]", pages.get("/metrics")[2], re.M)),
               f"{name}: and a metric counts it")
        tap.ok(not supervisor.alive(2), f"{name}: systemd gets no sign of life")
        os.unlink(switch)
        tap.ok(case.process.wait_said(f"event=wait_ended .*for=\"{what}\""), f"{name}: it is told when it has ended")
        case.progress()
        tap.ok(tap.wait_until(lambda: re.search(r"^outbox_waits_overdue 0", pages.get("/metrics")[2], re.M)),
               f"{name}: and counted no more")
        tap.ok(supervisor.alive(30), f"{name}: systemd gets signs of life")
        ends(case, name, switch)
    case.judge(kills=2)


preload.build("hanging_calls")
tap.side_by_side([lambda case=case: hung(*case) for case in CASES], workers=len(CASES))
tap.done_testing()
