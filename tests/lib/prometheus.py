"""Prometheus' text format 0.0.4, read strictly: what a scraper would only guess at is an
error here.

    page = prometheus.parse(text)      raises ValueError
    page.value("outbox_lag_events", lane="0")
    page.families["outbox_lag_events"].type
"""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"^(?P<name>{NAME})(?:\{{(?P<labels>{LABEL}(?:,{LABEL})*)\}})? (?P<value>\S+)$")
NUMBER = re.compile(r"^(?:[+-]Inf|NaN|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$")
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


class Family:
    def __init__(self, name, text):
        self.name, self.help, self.type = name, text, None
        self.samples = {}  # (name, sorted labels) -> value


class Page:
    def __init__(self):
        self.families = {}

    def value(self, name, **labels):
        """None if there is no such series."""
        for family in self.families.values():
            value = family.samples.get((name, tuple(sorted(labels.items()))))
            if value is not None:
                return value
        return None

    def series(self, name):
        """{(labels): value} of one family."""
        return {labels: value for (_, labels), value in self.families[name].samples.items()}


def fail(line, why):
    raise ValueError(f"{why}: {line!r}")


def number(line, text):
    if not NUMBER.match(text):
        fail(line, "not a number")
    return float(text.replace("Inf", "inf"))


def labels_of(line, text):
    found = {}
    for label in re.findall(LABEL, text or ""):
        name, _, quoted = label.partition("=")
        if name in found:
            fail(line, "a label twice")
        found[name] = quoted[1:-1].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
    return tuple(sorted(found.items()))


def belongs(family, name):
    suffixes = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}.get(family.type, ("",))
    return any(name == family.name + suffix for suffix in suffixes)


def add_sample(page, family, line):
    match = SAMPLE.match(line) or fail(line, "not a sample")
    if family is None or family.type is None or not belongs(family, match["name"]):
        fail(line, "not below its own # HELP and # TYPE")
    key = (match["name"], labels_of(line, match["labels"]))
    if key in family.samples:
        fail(line, "a series twice")
    family.samples[key] = number(line, match["value"])


def add_comment(page, family, line):
    match = re.match(rf"^# (HELP|TYPE) ({NAME}) (\S.*)$", line) or fail(line, "neither # HELP nor # TYPE")
    kind, name, rest = match.groups()
    if kind == "HELP":
        if name in page.families:
            fail(line, "a metric twice")
        page.families[name] = Family(name, rest)
        return page.families[name]
    if family is None or family.name != name or family.type or family.samples:
        fail(line, "# TYPE does not follow its # HELP")
    if rest not in TYPES:
        fail(line, "no such type")
    family.type = rest
    return family


def check_histogram(family):
    groups = {}
    for (name, labels), value in family.samples.items():
        if name.endswith("_bucket"):
            rest = tuple(pair for pair in labels if pair[0] != "le")
            groups.setdefault(rest, []).append((float(dict(labels)["le"].replace("Inf", "inf")), value))
    for rest, buckets in groups.items():
        if [bound for bound, _ in buckets] != sorted({bound for bound, _ in buckets}):
            fail(family.name, "the buckets are not in order")
        if [count for _, count in buckets] != sorted(count for _, count in buckets):
            fail(family.name, "the buckets are not cumulative")
        if buckets[-1] != (math.inf, family.samples.get((family.name + "_count", rest))):
            fail(family.name, "the last bucket is not +Inf with the count")
        if (family.name + "_sum", rest) not in family.samples:
            fail(family.name, "there is no sum")


def check_family(family):
    if family.type is None:
        fail(family.name, "no type")
    if family.type == "histogram":
        check_histogram(family)
    if family.type == "counter":
        if not family.name.endswith("_total"):
            fail(family.name, "a counter's name ends in _total")
        if any(value < 0 or math.isnan(value) for value in family.samples.values()):
            fail(family.name, "a counter below 0")
    elif family.name.endswith("_total"):
        fail(family.name, "only a counter's name ends in _total")


def parse(text):
    page, family = Page(), None
    if not text.endswith("\n"):
        fail(text[-40:], "the last line does not end")
    for line in text[:-1].split("\n"):
        if line.startswith("#"):
            family = add_comment(page, family, line)
        else:
            add_sample(page, family, line)
    for family in page.families.values():
        check_family(family)
    return page
