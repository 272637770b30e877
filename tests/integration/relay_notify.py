#!/usr/bin/python3
# deadline: 300
"""What a supervisor is told by sd_notify's protocol, and the unit file that is shipped."""
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time

import relay
import tap

UNIT = tap.SRC + "/dist/outbox-relay.service"


class Supervisor:
    """A notification socket; all that came, with when."""

    def __init__(self, abstract=False):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.name = f"{'@' if abstract else tap.TMP + '/'}{tap.unique('notify')}"
        self.socket.bind("\0" + self.name[1:] if abstract else self.name)
        if not abstract:
            os.chmod(self.name, 0o777)
        self.messages = []

    def take(self):
        while select.select([self.socket], [], [], 0)[0]:
            self.messages.append((time.monotonic(), self.socket.recv(4096).decode()))
        return [text for _, text in self.messages]

    def wait(self, regex, deadline=30, after=0):
        """The index of the first message that matches, beginning at `after`; None if none comes."""
        def find():
            return next((i for i, text in enumerate(self.take()) if i >= after and re.search(regex, text, re.M)), None)

        tap.wait_until(lambda: find() is not None, deadline, 0.05)
        return find()


class Supervised(relay.Relay):
    def __init__(self, options, supervisor, **environment):
        os.environ.update({"NOTIFY_SOCKET": supervisor.name, **environment})
        try:
            super().__init__(options)
        finally:
            for name in ("NOTIFY_SOCKET", *environment):
                del os.environ[name]


def life(outbox):
    supervisor = Supervisor()
    process = Supervised(outbox.options("first", fallback_poll="1s"), supervisor, WATCHDOG_USEC="1000000")
    ready = supervisor.wait("^READY=1$")
    tap.ok(ready is not None, "ready")
    running = supervisor.wait("^STATUS=lane 0 is running, epoch 1$")
    tap.ok(running is not None and process.wait_running(), "its status says that it has the lane")
    second = Supervisor(abstract=True)
    other = Supervised(outbox.options("second"), second)
    tap.ok(second.wait("^READY=1$") is not None, "one that stands by is ready, told through an abstract socket")
    tap.ok(second.wait("^STATUS=standing by for lane 0$") is not None, "and says so")
    tap.is_(other.stop(), 0, "it stops")
    tap.ok(second.wait("^STOPPING=1$") is not None, "and says so")
    reload(supervisor, process)
    watchdog(supervisor, process)
    process.send(signal.SIGTERM)
    stopping = supervisor.wait("^STOPPING=1$")
    tap.ok(stopping is not None, "stopping")
    tap.is_(process.wait(), 0, "it ends")


def reload(supervisor, process):
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    at = len(supervisor.take())
    process.send(signal.SIGHUP)
    reloading = supervisor.wait("^RELOADING=1$", after=at)
    tap.ok(reloading is not None, "reloading")
    usec = re.search(r"^MONOTONIC_USEC=(\d+)$", supervisor.take()[reloading], re.M)
    tap.ok(usec and before <= int(usec[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000,
           "with the time that the protocol asks for")
    tap.ok(supervisor.wait("^READY=1$", after=reloading) is not None, "and ready again")


def watchdog(supervisor, process):
    at = len(supervisor.take())
    tap.wait_until(lambda: sum("WATCHDOG=1" in text for text in supervisor.take()[at:]) >= 4)
    signs = [when for when, text in supervisor.messages[at:] if "WATCHDOG=1" in text]
    tap.ok(len(signs) >= 4, "signs of life go on while nothing else happens")
    process.send(signal.SIGSTOP)
    process.wait_stopped()
    at = len(supervisor.take())
    time.sleep(1.5)  # a span in which signs would have come
    tap.is_(supervisor.take()[at:], [], "a process that does not run gives none")
    process.send(signal.SIGCONT)
    tap.ok(supervisor.wait("WATCHDOG=1", after=at) is not None, "and again afterwards")
    if process.said("event=lease_lost"):
        process.wait_said("event=lane lane=0 state=running epoch=[2-9]")


def not_ready(outbox):
    """Without Kafka it is not ready, and says what it does."""
    supervisor = Supervisor()
    process = Supervised(outbox.options("third", **{"kafka.bootstrap.servers": "127.0.0.1:1"}), supervisor,
                         WATCHDOG_USEC="1000000", WATCHDOG_PID="1")
    tap.ok(supervisor.wait("^STATUS=lane 0 is comparing$") is not None, "without Kafka the status says how far it came")
    tap.ok(not any(re.search("READY=1|WATCHDOG=1", text) for text in supervisor.take()),
           "not ready, and no sign of life to a watchdog that waits for another")
    process.stop()


def no_socket(outbox):
    broken = Supervisor()
    broken.name = tap.TMP + "/" + "x" * 200
    process = Supervised(outbox.options("fourth"), broken)
    tap.ok(process.wait_running() and process.said("level=warning event=supervisor_unusable"),
           "a socket that cannot be one is said, and does not matter")
    process.stop()


def unit():
    with open(UNIT, encoding="utf-8") as f:
        text = f.read()
    for line in ("Type=notify", "Restart=on-failure", "RestartPreventExitStatus=2 3 4 5 6 7 8 9 10", "LimitCORE=0",
                 "NoNewPrivileges=yes", "ProtectSystem=strict", "WatchdogSec=30s"):
        tap.ok(line in text.splitlines(), f"unit: {line}")
    if not shutil.which("systemd-analyze"):
        tap.skip("unit: systemd-analyze verify", "there is no systemd-analyze")
        return
    # with what is built in place of what would be installed
    copy = f"{tap.TMP}/outbox-relay.service"
    with open(copy, "w", encoding="utf-8") as f:
        f.write(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={relay.RELAY}", text))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=60)
    about = [line for line in done.stdout.splitlines() if "outbox-relay" in line]
    if not tap.is_(about, [], "unit: systemd-analyze verify finds nothing wrong"):
        tap.diag(done.stdout)


def main():
    outbox = relay.Outbox()
    life(outbox)
    not_ready(outbox)
    no_socket(outbox)
    unit()
    tap.done_testing()


main()
