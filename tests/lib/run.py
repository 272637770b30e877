#!/usr/bin/python3
"""Runs one test program, or reads what one has printed. See ../../runtests.

  run.py test    --tier T --file F [--name N] --log L --results R --skips S
                 [--deadline SECONDS] -- COMMAND...
      runs it, keeps its output in L, appends its results to R and prints a
      line, and the end of the output if anything failed
  run.py read    --tier T --file F --log L --results R --skips S --status N
      the same for an output that exists already
  run.py command --log L [--deadline SECONDS] -- COMMAND...
      only runs it, and exits as it does

Results are lines of status, tier, file and name, separated by tabs; the status
is passed, failed or skipped. A program that is stopped at its deadline, that
ends with an error, or that did not run all the tests it planned, has one more
result, a failed one. What failed, with the first lines of what was said of it, is
told at once and appended to failures.txt beside R, for the end of the run; how long
each file took, and how much of the processors, to seconds.txt.
Nothing that the program started outlives it: this process
inherits whatever it leaves behind, and ends it.
"""
import argparse
import ctypes
import fcntl
import os
import re
import resource
import signal
import subprocess
import sys
import time

DEADLINE = 300
TAIL = 60
# Of a failure's own lines, and of a file's failures those that are told with them.
DETAILS = 15
DETAILED = 5
COLUMNS = 400

POINT = re.compile(r"^(?P<no>not )?ok\b[ \t]*(?P<number>\d+)?[ \t]*(?:-[ \t]*)?"
                   r"(?P<name>.*?)[ \t]*(?:(?<!\\)#[ \t]*(?P<what>skip|todo)\S*[ \t]*(?P<why>.*))?$",
                   re.IGNORECASE)
PLAN = re.compile(r"^1\.\.(?P<count>\d+)[ \t]*(?:#[ \t]*skip\S*[ \t]*(?P<why>.*))?$", re.IGNORECASE)
BAIL = re.compile(r"^Bail out!\s*(.*)$")
HEADER = re.compile(r"^\s*(?:#|--|//)\s*deadline:\s*(\d+)\s*$")


# ---- processes ----

def adopt_orphans():
    """Makes the kernel give us, not init, whatever our children leave behind;
    and tell us when runtests, which started us, is gone."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    set_pdeathsig, set_child_subreaper = 1, 36
    prctl(set_child_subreaper, 1, 0, 0, 0)
    prctl(set_pdeathsig, signal.SIGTERM, 0, 0, 0)


def descendants():
    """The pids of all our descendants that still run."""
    parent = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                state, ppid = f.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state not in "ZX":
            parent[int(entry)] = int(ppid)
    found, more = set(), {os.getpid()}
    while more:
        more = {pid for pid, ppid in parent.items() if ppid in more} - found
        found |= more
    return found


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"


def end_descendants(grace):
    """Waits a moment for those about to go by themselves, then ends the rest.
    Returns what those were."""
    left = []
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        pids = descendants()
        if number == signal.SIGTERM:
            left = [command_line(pid) for pid in pids]
        for pid in pids if number else ():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        stop = time.monotonic() + (grace if number != signal.SIGKILL else 10)
        if Interruption.wanted():
            stop = min(stop, time.monotonic() + 1)
        while descendants() and time.monotonic() < stop:
            reap()
            time.sleep(0.02)
        reap()
        if not descendants():
            break
    return left


class Interruption:
    """Which signal wants us to end, if one does; it is as one when our parent
    has ended. Looked at, not raised: an exception could come in the middle of
    ending the processes."""
    number = 0
    parent = os.getppid()

    @classmethod
    def wanted(cls):
        if os.getppid() != cls.parent:
            cls.number = cls.number or signal.SIGTERM
        return cls.number

    @classmethod
    def note(cls, number, _):
        cls.number = number


def stop_group(process):
    for number, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
            return
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def run(command, log, deadline):
    """Returns the exit status, or None if it was stopped at the deadline, and
    a list of what it left running. Exits when it is interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, Interruption.note)
    adopt_orphans()
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    end = time.monotonic() + deadline
    status = process.poll()
    while status is None and time.monotonic() < end and not Interruption.wanted():
        time.sleep(0.02)
        status = process.poll()
    if status is None:
        stop_group(process)
    left = end_descendants(3)
    if Interruption.wanted():
        sys.exit(128 + Interruption.number)
    return status, left


def deadline_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            for line in list(f)[:20]:
                match = HEADER.match(line)
                if match:
                    return int(match.group(1))
    except OSError:
        pass
    return DEADLINE


# ---- results ----

class Results:
    """What a program reported: (status, name, remark, lines said of it) each."""

    def __init__(self, allowed):
        self.allowed, self.points = allowed, []

    def add(self, status, name, remark="", details=()):
        self.points.append((status, name, remark, details))

    def skip(self, name, why):
        if any(name == a or name.startswith(a + " ") for a in self.allowed):
            self.add("skipped", name, why)
        else:
            self.add("failed", name, f"skipped ({why}), which tests/skips.allowed does not list")

    def count(self, status):
        return sum(1 for point in self.points if point[0] == status)


def allowed_skips(path):
    names = []
    try:
        with open(path, encoding="utf-8") as f:
            for line in f:
                name, colon, reason = line.strip().rpartition(": ")
                if line.strip() and not line.startswith("#"):
                    if not colon or not reason:
                        sys.exit(f"{path}: not `name: reason`: {line.strip()}")
                    names.append(line.split(": ", 1)[0])
    except FileNotFoundError:
        pass
    return names


def details_of(lines):
    """What stands below a `not ok`: up to the next test."""
    found = []
    for line in lines[:DETAILS]:
        if POINT.match(line) or PLAN.match(line) or BAIL.match(line):
            break
        found.append(line)
    return found


def read_point(match, results, seen, below):
    name = match.group("name").strip()
    if match.group("what") and match.group("what").lower() == "skip":
        why = match.group("why").strip()
        results.skip(name or why, why)
    elif match.group("no"):
        results.add("failed", name or f"#{seen}", details=details_of(below))
    else:
        results.add("passed", name or f"#{seen}")


def read_tap(lines, results, file, status):
    """Whether it was TAP. Several plans count together: a cmocka program
    prints one for each of its groups."""
    planned, seen, bailed = None, 0, None
    for number, line in enumerate(lines, 1):
        plan, point, bail = PLAN.match(line), POINT.match(line), BAIL.match(line)
        if plan:
            planned = (planned or 0) + int(plan.group("count"))
            if plan.group("count") == "0":
                results.skip(file, plan.group("why") or "no reason")
        elif point:
            seen += 1
            read_point(point, results, seen, lines[number:number + DETAILS])
        elif bail:
            bailed = bail.group(1) or "no reason"
    end = lines[-DETAILS:]
    if status is None:
        results.add("failed", file, "stopped at its deadline", end)
    elif bailed is not None:
        results.add("failed", file, f"bailed out: {bailed}", end)
    elif seen and planned is None:
        results.add("failed", file, "no plan: it ended early, or done_testing is missing", end)
    elif planned is not None and planned != seen:
        results.add("failed", file, f"{planned} tests planned, {seen} run", end)
    return planned is not None or seen > 0 or bailed is not None


def read_results(args, status):
    results = Results(allowed_skips(args.skips))
    with open(args.log, encoding="utf-8", errors="replace") as f:
        lines = f.read().splitlines()
    was_tap = read_tap(lines, results, args.file, status)
    if not was_tap and status == 77:
        results.skip(args.file, (lines or ["exit 77"])[-1])
    elif not was_tap and status is not None:
        results.add("failed" if status else "passed", args.file, f"exit {status}" if status else "",
                    lines[-DETAILS:])
    elif status and not results.count("failed"):
        results.add("failed", args.file, f"all passed, but exit {status}", lines[-DETAILS:])
    return results, lines


def failures(args, results):
    """As lines."""
    told = []
    failed = [point for point in results.points if point[0] == "failed"]
    for number, (_, name, remark, details) in enumerate(failed):
        what = ": ".join(text for text in (f"{args.tier} {args.file}", name if name != args.file else "", remark) if text)
        told.append(f"failed: {what}")
        told += [f"    | {line[:COLUMNS]}" for line in (details if number < DETAILED else ())]
    return told


def append(args, name, lines):
    """To the file of that name beside the results."""
    with open(os.path.join(os.path.dirname(args.results), name), "a", encoding="utf-8") as f:
        f.writelines(line + "\n" for line in lines)


def keep(args, results, lines, seconds, left):
    """And tells it. Another test may end in the same moment."""
    with open(args.results, "a", encoding="utf-8") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        for status, name, *_ in results.points:
            f.write("\t".join((status, args.tier, args.file, name.replace("\t", " "))) + "\n")
        f.flush()
        append(args, "failures.txt", failures(args, results))
        return report(args, results, lines, seconds, left)


def report(args, results, lines, seconds, left):
    failed, skipped = results.count("failed"), results.count("skipped")
    text = f"{'FAIL' if failed else 'ok':4} {args.label or args.file}: {results.count('passed')} passed"
    text += f", {failed} FAILED" if failed else ""
    text += f", {skipped} skipped" if skipped else ""
    if seconds is not None:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = used.ru_utime + used.ru_stime
        append(args, "seconds.txt", ["\t".join((args.tier, args.file, f"{seconds:.1f}", f"{used:.1f}"))])
        text += f", {seconds:.1f} s ({used:.1f} s of CPU)"
    print(text)
    for command in left:
        print(f"     left running, ended now: {command[:150]}")
    if failed:
        print(f"     the end of its output ({args.log}):")
        for line in lines[-TAIL:]:
            print(f"     | {line}")
        for line in failures(args, results):
            print(f"     {line}")
    sys.stdout.flush()
    return 1 if failed else 0


# ---- commands ----

def test(args):
    started = time.monotonic()
    deadline = args.deadline or deadline_of(args.source or args.file)
    status, left = run(args.command, args.log, deadline)
    results, lines = read_results(args, status)
    return keep(args, results, lines, time.monotonic() - started, left)


def read(args):
    results, lines = read_results(args, args.status)
    return keep(args, results, lines, None, [])


def command(args):
    status, _ = run(args.command, args.log, args.deadline or DEADLINE)
    if status is None:
        print(f"stopped after {args.deadline or DEADLINE} s: {' '.join(args.command)}", file=sys.stderr)
        return 124
    return status if status >= 0 else 128 - status


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("test", "read", "command"))
    for option in ("tier", "file", "label", "source", "log", "results", "skips"):
        parser.add_argument("--" + option, default="")
    parser.add_argument("--deadline", type=int, default=0)
    parser.add_argument("--status", type=int, default=0)
    # by hand: argparse takes the command's options for its own
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    args = parser.parse_args(arguments[:split])
    args.command = arguments[split + 1:]
    sys.exit({"test": test, "read": read, "command": command}[args.what](args))


if __name__ == "__main__":
    main()
