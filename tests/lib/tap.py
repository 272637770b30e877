"""For the tests that are Python scripts: TAP, and what they all need.

    import tap
    dsn = tap.create_database()
    relay = tap.spawn([tap.BUILD + "/outbox-relay", ...])
    tap.wait_until(lambda: tap.sql(dsn, "select ...") == [...])
    tap.is_(got, wanted, "name")
    tap.done_testing()

runtests sets PYTHONPATH and the variables. A failed check does not end the
script; an exception does, and then the missing plan makes the whole a failure.
Whatever spawn started is ended and what create_database made is dropped at the
end; at_exit adds more of that kind.
"""
import atexit
import concurrent.futures
import glob
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback

import psycopg2

SRC = os.environ["OUTBOX_SRC"]
BUILD = os.environ["OUTBOX_BUILD"]
DSN = os.environ.get("OUTBOX_TEST_DSN", "")
DSN18 = os.environ.get("OUTBOX_TEST_DSN18", "")
DSN_TCP = os.environ.get("OUTBOX_TEST_DSN_TCP", "")
KAFKA = os.environ.get("OUTBOX_TEST_KAFKA", "")
TMP = os.environ.get("OUTBOX_TEST_TMP", "/tmp")
MIGRATIONS = sorted(glob.glob(SRC + "/sql/migrations/*.sql"))

# A Java that starts while all else is at work needs its time, three of them more.
KAFKA_START = int(os.environ.get("OUTBOX_KAFKA_DEADLINE", "150"))
COMPLAINTS = 10

_count = 0
_failed = 0
_names = itertools.count(1)
_telling = threading.Lock()
_thread = threading.local()  # .told: what is said in it, until it ends

# Called at the end, the last one first.
at_exit = atexit.register


# ---- TAP ----

def plan(count):
    print(f"1..{count}", flush=True)


def done_testing():
    """The end of the script; exits with 1 if a check failed."""
    print(f"1..{_count}", flush=True)
    sys.exit(1 if _failed else 0)


def diag(*texts):
    told = getattr(_thread, "told", None)
    for line in " ".join(map(str, texts)).splitlines():
        if told is None:
            print("#", line, flush=True)
        else:
            told.append(line)


def bail(text):
    print("Bail out!", text, flush=True)
    sys.exit(1)


def ok(condition, name):
    global _count, _failed
    told = getattr(_thread, "told", None)
    if told is not None:
        told.append((condition, name))
        return bool(condition)
    _count += 1
    if not condition:
        _failed += 1
    print(f"{'ok' if condition else 'not ok'} {_count} - {name}", flush=True)
    return bool(condition)


def is_(got, wanted, name):
    if not ok(got == wanted, name):
        diag(f"     got: {got!r}")
        diag(f"  wanted: {wanted!r}")
        return False
    return True


def like(got, regex, name):
    if not ok(re.search(regex, got), name):
        diag(f"          got: {got!r}")
        diag(f"  is not like: {regex!r}")
        return False
    return True


def no_complaints(complaints, name, *remarks):
    """The complaints come first of what is said below, whatever is shown after them."""
    if ok(not complaints, name):
        return True
    for complaint in complaints[:COMPLAINTS]:
        diag("complaint:", complaint)
    if len(complaints) > COMPLAINTS:
        diag(f"and {len(complaints) - COMPLAINTS} more complaints")
    diag(*remarks)
    return False


def skip(name, reason):
    global _count
    _count += 1
    print(f"ok {_count} - {name} # skip {reason}", flush=True)


def side_by_side(functions, workers=2):
    """Calls them in threads, so many at once: for tests that wait most of the time. What
    one of them says is told when it ends, all together."""
    def call(function):
        _thread.told = told = []
        try:
            function()
        finally:
            _thread.told = None
            with _telling:
                for item in told:
                    if isinstance(item, str):
                        diag(item)
                    else:
                        ok(*item)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        runs = [pool.submit(call, function) for function in functions]
    for run in runs:
        run.result()


def wait_until(condition, deadline=30, interval=0.05):
    """Polls until it is true; returns what it returned last, true or not."""
    began = time.monotonic()
    while True:
        value = condition()
        waited = time.monotonic() - began
        if value or waited > deadline:
            tell_waited(value, waited, deadline)
            return value
        time.sleep(interval)


def tell_waited(value, waited, deadline):
    """What came late will not always be in time; and whoever waits in vain for long should know."""
    if value and deadline >= 1 and waited > deadline / 2:
        diag(f"near its deadline: {waited:.1f} of {deadline:.0f} s at {callers()}")
    elif not value and deadline >= 20:
        diag(f"waited in vain: {deadline:.0f} s at {callers()}")


def callers():
    return " < ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}"
                      for frame in reversed(traceback.extract_stack(limit=6)[:-3]))


# ---- processes ----

def spawn(command, **options):
    """Popen, of a process that is ended at the end of the script at the latest."""
    process = subprocess.Popen(command, **options)
    at_exit(end, process)
    return process


def end(process, number=signal.SIGTERM, patience=40):
    """Sends it the signal, then SIGKILL if that did not help; returns its status."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            diag(f"process {process.pid} does not end, killing it: {process.args}")
            process.kill()
    return process.wait()


def run(command, **options):
    """Runs it to its end; returns status, standard output and standard error."""
    options.setdefault("timeout", 60)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False, **options)
    return done.returncode, done.stdout, done.stderr


# ---- servers ----

def connect(dsn, autocommit=True):
    connection = psycopg2.connect(dsn)
    connection.autocommit = autocommit
    return connection


def sql(dsn, statement, arguments=None):
    """Runs one statement on a connection of its own; returns its rows, if any."""
    connection = connect(dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def unique(prefix):
    """A name that no other test uses, for a topic, a group, a role."""
    return f"{prefix}_{os.getpid()}_{next(_names)}"


def create_database(server=None, migrate=True):
    """Makes a database on the test's server, or on that of the DSN given, with
    the schema in it, and returns its DSN."""
    server = server or DSN
    name = unique("test")
    sql(server, f"create database {name}")
    at_exit(sql, server, f"drop database if exists {name} with (force)")
    dsn = f"{server} dbname={name}"
    if migrate:
        status, output, errors = outboxctl(dsn, "migrate")
        if status:
            bail(f"outboxctl migrate: exit {status}: {output}{errors}")
    return dsn


def outboxctl(dsn, *arguments, **options):
    environment = dict(options.pop("env", os.environ), OUTBOX_DSN=dsn)
    return run([BUILD + "/outboxctl", *arguments], env=environment, **options)


def create_topic(name=None, partitions=4, *settings, bootstrap=None):
    """Returns its name."""
    name = name or unique("topic")
    subprocess.run([SRC + "/dev/kafka", "create-topic", bootstrap or KAFKA, name,
                    str(partitions), *settings], check=True, timeout=60)
    return name


def start_kafka(directory, *options):
    """A broker for this script alone; returns its bootstrap address."""
    subprocess.run([SRC + "/dev/kafka", "start", directory, "--owner", str(os.getpid()), *options],
                   check=True, timeout=KAFKA_START + 20, env=dict(os.environ, OUTBOX_KAFKA_DEADLINE=str(KAFKA_START)))
    at_exit(subprocess.run, [SRC + "/dev/kafka", "stop", directory], check=False)
    with open(directory + "/bootstrap", encoding="utf-8") as f:
        return f.read().strip()


def start_postgres(directory, *options):
    """A cluster for this script alone; returns its superuser's DSN."""
    subprocess.run([SRC + "/dev/postgres", "start", directory, "--owner", str(os.getpid()), *options],
                   check=True, timeout=120)
    at_exit(subprocess.run, [SRC + "/dev/postgres", "stop", directory, "--mode", "immediate"], check=False)
    with open(directory + "/dsn", encoding="utf-8") as f:
        return f.read().strip()


# runtests ends a test by SIGTERM: through an exception, so that atexit runs
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
