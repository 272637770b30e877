#!/usr/bin/python3
# deadline: 300
"""The broker goes and comes back while writers, relay and receivers are at work:
stopped in order, killed, and stopped by SIGSTOP for longer than a transaction lives."""
import signal
import subprocess
import time

import relay
import restarts
import tap

DIRECTORY = restarts.own_directory("kafka")
TRANSACTION = 3  # seconds
OPTIONS = {"transaction_timeout": f"{TRANSACTION}s"}


def control(command):
    subprocess.run([tap.SRC + "/dev/kafka", command, DIRECTORY], check=True, timeout=120)


def broker():
    with open(DIRECTORY + "/pid", encoding="ascii") as f:
        return int(f.read())


def in_order():
    control("restart")


def killed():
    control("kill")
    control("start")


def paused():
    tap.os.kill(broker(), signal.SIGSTOP)
    try:
        time.sleep(TRANSACTION + 3)  # that it is longer is the point
    finally:
        tap.os.kill(broker(), signal.SIGCONT)


def gone(name, act, times):
    case = restarts.Case(name, relay.Outbox(), **OPTIONS)
    with case.writing():
        case.process.wait_running()
        for _ in range(times):
            case.progress()
            case.moment()
            act()
            case.progress(60, deadline=60)
    case.judge()


tap.KAFKA = tap.start_kafka(DIRECTORY)
gone("broker restarted, 2 times", in_order, 2)
gone("broker killed, 3 times", killed, 3)
gone("broker paused for longer than a transaction lives, 2 times", paused, 2)
tap.done_testing()
