"""dispatch: webhooks through the whole path (claim, send, record) to one endpoint that answers
200 with an empty body, by the dispatcher of the relay; beside libcurl alone, which sends the
same requests, as many at once. The relay's rate is that between a tenth and nine tenths, by
the times of its own results, since a start costs connections."""
import resource
import subprocess
import time

from drain import used
from rounds import Ratio, Variant

TITLE = "webhooks to one endpoint"
SERVERS = ("postgres",)
PAYLOAD = 300

EVENTS = f"""
INSERT INTO outbox.event (type, key, content_type, payload)
SELECT 'bench', (g %% 1000)::text, 'application/json',
       convert_to('{{"n":"' || rpad(g::text, {PAYLOAD - 8}, 'x') || '"}}', 'UTF8')
  FROM generate_series(1, %d) AS g"""

# As the acknowledgement of a lane inserts them: in the order of their numbers. What it notes for
# look-ups by the event plays no part in sending.
DELIVERIES = """
INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, tenant, key)
SELECT e.seq, e.id, e.type, p.id, e.tenant, e.key
  FROM outbox.event e CROSS JOIN outbox.endpoint p ORDER BY e.seq"""

ENDPOINT = """
TRUNCATE outbox.event, outbox.delivery, outbox.delivery_attempt, outbox.endpoint, outbox.endpoint_secret;
SELECT outbox.endpoint_add('http://127.0.0.1:%d/hook', decode(repeat('00', 32), 'hex'), 'bench',
                           p_concurrency => %d, p_timeout_ms => 60000)"""

# By the indexes of what is open: counting them all each second would be a part of the load.
OPEN = """
SET enable_seqscan = off;
SELECT EXISTS (SELECT FROM outbox.delivery WHERE state IN ('pending', 'failed'))
    OR EXISTS (SELECT FROM outbox.delivery WHERE state = 'sending')"""

DELIVERED = "SELECT count(*) FROM outbox.delivery WHERE state = 'delivered'"

# Theirs is what a delivery costs the server, but for the writing in the background.
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'outbox-webhooks%'"

RATE = """
SELECT (max(n) - min(n)) / extract(epoch FROM max(finished_at) - min(finished_at))
  FROM (SELECT d.finished_at, row_number() OVER (ORDER BY d.finished_at) AS n, count(*) OVER () AS of
          FROM outbox.delivery d) AS d
 WHERE d.n BETWEEN d.of / 10 AND d.of * 9 / 10"""


def add_arguments(parser):
    parser.add_argument("--deliveries", type=int, default=100_000, help="of each round (100000)")
    parser.add_argument("--in-flight", type=int, default=256, help="requests at once (256)")


class Benchmark:
    variants = [
        Variant("raw", "libcurl multi alone"),
        Variant("relay", "the relay's dispatcher"),
    ]
    ratios = [Ratio("the relay's dispatcher / libcurl alone", "deliveries/s", "relay", "raw", 0.4)]

    def __init__(self, stack, options):
        self.stack, self.options = stack, options

    def measure(self, variant):
        with Receiver(self.stack) as receiver:
            taken = self.raw(receiver.port) if variant.name == "raw" else self.relay(receiver.port)
        if receiver.answered != self.options.deliveries:
            raise SystemExit(f"bench: {receiver.answered} requests were answered, not {self.options.deliveries}")
        taken["receiver CPU us"] = receiver.cpu / receiver.answered * 1e6
        return taken

    def raw(self, port):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        rate = self.stack.call("bench/dispatch-raw", f"http://127.0.0.1:{port}/hook", str(self.options.deliveries),
                               str(self.options.in_flight))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"deliveries/s": float(rate), "sender CPU us": cpu / self.options.deliveries * 1e6}

    def relay(self, port):
        self.stack.sql(ENDPOINT % (port, self.options.in_flight))
        self.stack.sql(EVENTS % self.options.deliveries)
        self.stack.sql(DELIVERIES)
        self.stack.sql("VACUUM ANALYZE outbox.event, outbox.delivery, outbox.delivery_attempt")
        self.stack.sql("CHECKPOINT")
        # an endpoint gets at most half of all
        command = [self.stack.program("tests/tools/dispatch-driver"), "--dsn", self.stack.dsn, "--worker", "bench",
                   "--allow", "127.0.0.0/8", "--max-in-flight", str(2 * self.options.in_flight)]
        driver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.stack.processes.append(driver)
        self.wait(driver)
        usage = used(driver.pid)
        server = sum(used(int(pid))["cpu"] for pid in self.stack.sql(BACKENDS).split())
        driver.stdin.close()
        driver.wait(30)
        return {"deliveries/s": float(self.stack.sql(RATE)), "sender CPU us": usage["cpu"] / self.options.deliveries * 1e6,
                "PostgreSQL CPU us": server / self.options.deliveries * 1e6, "RSS MiB": usage["rss"]}

    def wait(self, driver):
        deadline = time.monotonic() + 60 + self.options.deliveries / 500
        while self.stack.sql(OPEN) == "t":
            if driver.poll() is not None or time.monotonic() > deadline:
                break
            time.sleep(1)
        delivered = int(self.stack.sql(DELIVERED))
        if delivered != self.options.deliveries:
            raise SystemExit(f"bench: {delivered} of {self.options.deliveries} deliveries came to their end")


class Receiver:
    """bench/receiver; its count and its use of the CPU are known afterwards."""

    def __init__(self, stack):
        self.process = subprocess.Popen([stack.program("bench/receiver")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        stack.processes.append(self.process)

    def __enter__(self):
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *_):
        self.cpu = used(self.process.pid)["cpu"]
        self.process.stdin.close()
        self.answered = int(self.process.stdout.readline())
        self.process.wait(30)
