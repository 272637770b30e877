#!/usr/bin/python3
# deadline: 600
"""The broker goes and comes back while writers, relay and receivers are at work:
stopped in order, killed, and stopped by SIGSTOP for longer than a transaction lives;
and killed in the moment in which it has answered a commit, before that is visible."""
import functools
import os
import signal
import threading
import time

import proxy
import relay
import restarts
import tap

DIRECTORY = restarts.own_directory("kafka")
TRANSACTION = 3  # seconds
OPTIONS = {"transaction_timeout": f"{TRANSACTION}s"}


control = functools.partial(restarts.control, "kafka", DIRECTORY)


def broker():
    with open(DIRECTORY + "/pid", encoding="ascii") as f:
        return int(f.read())


def in_order():
    control("restart")


def killed():
    control("kill")
    control("start")


def paused():
    os.kill(broker(), signal.SIGSTOP)
    try:
        time.sleep(TRANSACTION + 3)  # that it is longer is the point
    finally:
        os.kill(broker(), signal.SIGCONT)


def killed_after_a_commit():
    done = threading.Event()

    def kill():
        os.kill(broker(), signal.SIGKILL)
        done.set()

    line.after_end = kill
    if not done.wait(60):
        raise RuntimeError("no commit came by")
    control("kill")
    control("start")


def gone(name, act, times, **options):
    case = restarts.Case(name, relay.Outbox(), **OPTIONS, **options)
    with case.writing():
        case.process.wait_running()
        for _ in range(times):
            case.progress()
            case.moment()
            act()
            case.progress(60)
    case.judge()


line = proxy.KafkaProxy()
tap.KAFKA = tap.start_kafka(DIRECTORY, "--proxy-port", str(line.port))
line.target = proxy.target_of(DIRECTORY)
gone("broker restarted", in_order, 1)
gone("broker killed", killed, 1)
gone("broker killed when it has answered a commit, 2 times", killed_after_a_commit, 2,
     **{"kafka.bootstrap.servers": f"127.0.0.1:{line.port}"})
gone("broker paused for longer than a transaction lives", paused, 1)
tap.done_testing()
