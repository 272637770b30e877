#!/usr/bin/python3
# deadline: 300
"""PostgreSQL goes and comes back while writers, relay and receivers are at work:
stopped in order (fast), crashed (immediate), and away for longer than the relay's
longest pause between two attempts."""
import functools
import time

import relay
import restarts
import tap

DIRECTORY = restarts.own_directory("postgres")


control = functools.partial(restarts.control, "postgres", DIRECTORY)


def restarted(mode, times):
    case = restarts.Case(f"PostgreSQL {mode}, {times} times", relay.Outbox(tap.create_database(server)))
    with case.writing(persist=True, careless=2) as writers:
        case.process.wait_running()
        for _ in range(times):
            case.progress()
            time.sleep(2)  # attempts are counted in so long: no two restarts may fall into it
            case.moment()
            control("restart", "--mode", mode)
        case.progress()
    if writers.disconnected < times:
        case.complaints.append(f"the writers noticed only {writers.disconnected} of {times} restarts")
    case.judge()


def away_for_long():
    case = restarts.Case("PostgreSQL away for long", relay.Outbox(tap.create_database(server)))
    with case.writing(persist=True):
        case.process.wait_running()
        case.progress()
        control("stop", "--mode", "immediate")
        time.sleep(restarts.BACKOFF_MAX + 4)  # that it is longer than the longest pause is the point
        control("start", "--owner", str(tap.os.getpid()))
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
    case = restarts.Case("PostgreSQL not yet there", relay.Outbox(tap.create_database(server)))
    case.process.stop()
    control("stop")
    case.process = case.outbox.start(**restarts.OPTIONS)
    case.process.wait_said("event=database_failed")
    control("start", "--owner", str(tap.os.getpid()))
    with case.writing(persist=True):
        case.progress(200)
    case.judge()


server = tap.start_postgres(DIRECTORY)
restarted("fast", 4)
restarted("immediate", 4)
away_for_long()
started_without()
tap.done_testing()
