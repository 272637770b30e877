"""What a benchmark runs on: an optimised build, a PostgreSQL and a Kafka of its own."""
import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def call(*command, **options):
    """Runs it; its output is returned, and shown if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build():
    """Builds, as a packager would, and returns the folder."""
    folder = os.path.join(SOURCE, "build", "bench")
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(os.path.join(SOURCE, "configure")):
        call("autoreconf", "-fi", cwd=SOURCE)
    if not os.path.exists(os.path.join(folder, "Makefile")):
        call(os.path.join(SOURCE, "configure"), "CFLAGS=-O2 -g", cwd=folder)
    # one after the other: all is a make of its own, and both would make the same archives
    for target in ("all", "bench-programs"):
        call("make", "-j2", target, cwd=folder)
    return folder


class Stack:
    """with Stack(("postgres", "kafka"), build) as stack: stack.dsn, stack.kafka, stack.folder.
    Whatever it started ends with it, whichever way that is."""

    def __init__(self, servers, build_folder):
        self.servers, self.build = servers, build_folder
        self.dsn = self.kafka = None
        self.processes = []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="outbox-bench.", dir="/tmp")
        os.chmod(self.folder, 0o711)  # the server's user must come through
        atexit.register(self.stop)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(1))
        if "postgres" in self.servers:
            # fsync on: what a commit costs is part of what is measured
            self.dsn = self.start("postgres", "dsn", "--fsync", "on")
            call(self.program("outboxctl"), "migrate", env=self.environment())
        if "kafka" in self.servers:
            self.kafka = self.start("kafka", "bootstrap")
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, name, address, *options):
        folder = os.path.join(self.folder, name)
        call(os.path.join(SOURCE, "dev", name), "start", folder, "--owner", str(os.getpid()), *options)
        with open(os.path.join(folder, address), encoding="ascii") as f:
            return f.read().strip()

    def stop(self):
        if not os.path.isdir(self.folder):
            return
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for name in ("kafka", "postgres"):
            folder = os.path.join(self.folder, name)
            if os.path.isdir(folder):
                subprocess.run([os.path.join(SOURCE, "dev", name), "stop", folder], check=False,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def program(self, name):
        return os.path.join(self.build, name)

    def call(self, name, *arguments):
        """Runs a program of the build; its output is returned."""
        return call(self.program(name), *arguments, env=self.environment())

    def environment(self):
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("OUTBOX_", "PG"))}
        return {**clean, "OUTBOX_DSN": self.dsn}

    def spawn(self, command, **options):
        """A process that ends with the stack."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
        self.processes.append(process)
        return process

    def sql(self, text):
        """Its rows, as text, by psql as the superuser."""
        return call("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text, self.dsn).strip()
