#!/usr/bin/python3
"""docs/monitoring.md and docs/logs.md have every metric and every log line, and no other."""
import glob
import re

import tap


def read(path):
    with open(f"{tap.SRC}/{path}", encoding="utf-8") as f:
        return f.read()


def first_cells(text):
    """What stands in the first column of its tables."""
    return [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]


def metrics_of_sources():
    text = read("src/runtime/metrics.h") + read("src/admin/exposition.c")
    return set(re.findall(r'"((?:outbox|process)_[a-z_]+)"', text)) | {"outbox_build_info"}


def types_of_table():
    return {name: {"COUNTER": "counter", "HISTOGRAM": "histogram"}.get(kind, "gauge") for name, kind in
            re.findall(r'X\([A-Z_]+, "([a-z_]+)", ([A-Z]+),', read("src/runtime/metrics.h"))}


def events_of_sources():
    found = set()
    for path in glob.glob(tap.SRC + "/src/**/*.c", recursive=True):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        found.update(re.findall(r'\blog_(?:error|warning|info|debug)\(\s*"([a-z_]+)"', text))
        found.update(re.findall(r'\blog_write\([^"]*?,\s*"([a-z_]+)"', text))
        found.update(re.findall(r'\bruntime_die\("([a-z_]+)"', text))
    return found


def test_metrics():
    text = read("docs/monitoring.md")
    described = {name for cell in first_cells(text) for name in re.findall(r"`((?:outbox|process)_[a-z_]+)", cell)}
    wanted = metrics_of_sources()
    tap.ok(len(wanted) > 30, f"the table has {len(wanted)} metrics")
    tap.is_(sorted(wanted - described), [], "each is described in docs/monitoring.md")
    tap.is_(sorted(described - wanted), [], "which describes no other")
    said = {name: kind for name, kind in re.findall(r"^\| `(outbox_[a-z_]+)[^|]*\| (\w+):", text, re.M)}
    tap.is_({n: k for n, k in said.items() if n in types_of_table()}, types_of_table(), "and each with its type")
    used = set(re.findall(r"\b(outbox_[a-z_]+)", text)) - wanted
    derived = {name + end for name in wanted for end in ("_bucket", "_sum", "_count")}
    tap.is_(sorted(used - derived), [], "the alerts use none that is not there")


def test_log_lines():
    described = [name for cell in first_cells(read("docs/logs.md")) for name in re.findall(r"`([a-z_]+)`", cell)]
    wanted = events_of_sources()
    tap.ok(len(wanted) > 40, f"the sources log {len(wanted)} events")
    tap.is_(sorted(wanted - set(described)), [], "each is described in docs/logs.md")
    tap.is_(sorted(set(described) - wanted), [], "which describes no other")
    tap.is_(len(described), len(set(described)), "and none twice")


def test_halts():
    states = re.findall(r'X\(LANE_HALT_[A-Z_]+, "([a-z_]+)"', read("src/core/lane.h"))
    described = [name for cell in first_cells(read("docs/troubleshooting.md")) for name in re.findall(r"`(\w+)`", cell)]
    tap.is_([s for s in states if s != "none" and s not in described], [], "each halt has its line in troubleshooting.md")


test_metrics()
test_log_lines()
test_halts()
tap.done_testing()
