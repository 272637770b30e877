#!/usr/bin/python3
"""Every option of outbox-relay has its description, its place in the manual, in the sample
configuration and in docs/operations.md; the sample says what the program does by
default; every command and flag of outboxctl is in its manual; and groff takes both pages.
"""
import concurrent.futures
import json
import os
import re
import subprocess

import tap

PAGES = tap.BUILD + "/docs/man"
if not os.path.exists(PAGES + "/outbox-relay.1"):  # built from the tarball
    PAGES = tap.SRC + "/docs/man"


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def run(*command, **environment):
    clean = {n: v for n, v in os.environ.items() if not n.startswith("OUTBOX_")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**clean, **environment})


def help_options():
    """The options' names as --help shows them: what the program knows."""
    return re.findall(r"^  ([a-z_]+)(?: = .*)?$", run(tap.BUILD + "/outbox-relay", "--help").stdout, re.MULTILINE)


def plain(page):
    return page.replace("\\-", "-").replace("\\(aq", "'")


def missing(options, found):
    return [name for name in options if not found(name)]


def effective(*arguments):
    """The values in force, by name, as --check prints them before it tries to connect."""
    done = run(tap.BUILD + "/outbox-relay", "--check", "--dsn=host=/nowhere", "--connect_timeout=100ms",
               "--kafka.bootstrap.servers=127.0.0.1:1", *arguments)
    tap.diag(done.stderr.strip()[:300])
    return done.returncode, {line[:24].strip(): line[24:].strip().rpartition(" ")[0].strip()
                             for line in done.stdout.splitlines() if re.match(r"[a-z_]+ ", line)}


def test_options():
    options = help_options()
    manual = plain(read(PAGES + "/outbox-relay.1"))
    sample = read(PAGES + "/outbox-relay.conf")
    operations = read(tap.SRC + "/docs/operations.md")
    tap.ok(len(options) > 20 and "dsn" in options, f"--help names {len(options)} options")
    tap.is_(missing(options, lambda n: re.search(rf"^\.TP\n\\fB{n}\\fR\n\S.{{10,}}", manual, re.MULTILINE)), [],
            "each is described in outbox-relay(1)")
    tap.is_(missing(options, lambda n: re.search(rf"^# \S.{{10,}}(\n# .*)*\n#{n} =", sample, re.MULTILINE)), [],
            "each stands, with a comment, in the sample configuration")
    tap.is_(missing(options, lambda n: f"`{n}`" in operations), [], "each is mentioned in docs/operations.md")
    tap.is_(re.findall(r"^#([a-z_]+) =", sample, re.MULTILINE), options + [], "the sample has no other")


def test_sample():
    wanted = []
    for line in read(PAGES + "/outbox-relay.conf").splitlines():
        match = re.match(r"#(?P<name>[a-z_]+) = (?P<value>.+)$", line)
        if match and match["name"] not in ("connect_timeout",):
            wanted.append(f"{match['name']} = {match['value']}")
    path = tap.TMP + "/sample.conf"
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(wanted) + "\n")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [pool.submit(effective, "--name=a", *more) for more in ([], ["--config=" + path])]
        (status, without), (status_with, with_sample) = (one.result() for one in runs)
    tap.ok(status == 1 and len(without) > 20, "the defaults are accepted")
    tap.is_(status_with, 1, "the sample, without its comment signs, is accepted")
    tap.is_(with_sample, without, "and changes nothing")


def test_outboxctl():
    manual = plain(read(PAGES + "/outboxctl.1"))
    table = json.loads(run(tap.BUILD + "/outboxctl", "help", "--json").stdout)
    tap.ok(len(table["commands"]) > 10, f"outboxctl has {len(table['commands'])} commands")
    lost = []
    for command in table["commands"]:
        start = manual.find(f".SS \\fBoutboxctl {command['name']}\\fR")
        section = manual[start:].split("\n.SS ")[0] if start >= 0 else ""
        lost += [] if section else [command["name"]]
        lost += [f"{command['name']} --{flag['name']}" for flag in command["flags"]
                 if f"\\fB--{flag['name']}\\fR" not in section or not flag["help"]]
    tap.is_(lost, [], "each of them, and each flag, is in outboxctl(1)")


def test_pages():
    for name in ("outbox-relay.1", "outboxctl.1"):
        done = run("groff", "-man", "-Tutf8", "-ww", "-z", f"{PAGES}/{name}")
        tap.is_((done.returncode, done.stderr), (0, ""), f"groff has nothing to say about {name}")


test_options()
test_sample()
test_outboxctl()
test_pages()
tap.done_testing()
