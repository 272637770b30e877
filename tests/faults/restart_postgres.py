#!/usr/bin/python3
# deadline: 300
"""PostgreSQL goes and comes back while writers, relay and receivers are at work:
stopped in order (fast), crashed (immediate), and away for longer than the relay's
longest pause between two attempts."""
import functools
import os
import time

import relay
import restarts
import tap


class Server:
    """Of one case alone, so that they can be side by side."""

    def __init__(self, name):
        self.directory = restarts.own_directory(name)
        self.address = tap.start_postgres(self.directory)

    def case(self, name):
        return restarts.Case(name, relay.Outbox(tap.create_database(self.address)))

    def control(self, command, *options):
        restarts.control("postgres", self.directory, command, *options)

    def start(self):
        self.control("start", "--owner", str(os.getpid()))


def restarted(mode, times):
    server = Server(mode)
    case = server.case(f"PostgreSQL {mode}, {times} times")
    with case.writing(persist=True, careless=2) as writers:
        case.process.wait_running()
        for _ in range(times):
            case.progress()
            time.sleep(2)  # attempts are counted in so long: no two restarts may fall into it
            case.moment()
            server.control("restart", "--mode", mode)
        case.progress()
    if writers.disconnected < times:
        case.complaints.append(f"the writers noticed only {writers.disconnected} of {times} restarts")
    case.judge()


def away_for_long():
    server = Server("away")
    case = server.case("PostgreSQL away for long")
    with case.writing(persist=True):
        case.process.wait_running()
        case.progress()
        server.control("stop", "--mode", "immediate")
        time.sleep(restarts.BACKOFF_MAX + 4)  # that it is longer than the longest pause is the point
        server.start()
        case.progress()
    tap.diag(f"back after {case.slowest:.1f} s")
    if case.slowest > restarts.BACKOFF_MAX + 30:
        case.complaints.append("it waits for longer than its longest pause")
    # the connections of lane, ticker and webhooks: some 7 attempts each until the pause is the longest
    for what, times in case.attempts().items():
        if len(times) > 25:
            case.complaints.append(f"{what}: {len(times)} attempts")
    case.judge()


def started_without():
    """A relay that is started while there is no PostgreSQL waits for it."""
    server = Server("without")
    case = server.case("PostgreSQL not yet there")
    case.process.stop()
    server.control("stop")
    case.process = case.outbox.start(**restarts.OPTIONS)
    if not case.process.wait_said("event=lease_renewal_failed"):
        case.complaints.append("does not say that there is no PostgreSQL")
    server.start()
    with case.writing(persist=True):
        case.progress(200)
    case.judge()


tap.side_by_side([functools.partial(restarted, "fast", 4), functools.partial(restarted, "immediate", 4), away_for_long,
                  started_without])
tap.done_testing()
