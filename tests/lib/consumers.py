"""For the tests of the consumer library: consumers on a database of their own, and what they did.

    site = consumers.Site()
    topic = site.topic()
    consumers.fill(topic, 1000)                  1000 records {"n": 1}...
    driver = site.start(topic, "--batch", "10")
    site.wait_effects(1000)
    complaints = site.audit(topic)               [] if nothing is lost, doubled, out of order

The oracle: `effect` allows duplicates, so each record that is committed to the topic must be there once,
in a partition in rising order of offsets; and `total`, which counts in the same transactions, agrees.
"""
import collections
import json
import signal
import subprocess

import relay
import tap

TABLES = """
create table effect (n bigint generated always as identity, topic text, partition int, off bigint, key bytea,
                     payload bytea, id uuid, at timestamptz default clock_timestamp());
create table total (topic text, partition int, n bigint, primary key (topic, partition));
"""


def fill(topic, count=0, keys=100, records=(), transaction=None):
    """Writes count records, or these (objects as topic-fill takes them)."""
    command = [tap.BUILD + "/tests/tools/topic-fill", "--bootstrap", tap.KAFKA]
    if transaction:
        command += ["--transaction", transaction]
    if count:
        command += ["--count", str(count), "--keys", str(keys)]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    subprocess.run(command + [topic], input=lines, text=True, check=True, timeout=60)


# Time for a death to come between the work and its position, and in the midst of a commit.
SLOW = """
create function linger() returns trigger language plpgsql as
$$ begin perform pg_sleep(random() * 0.04); return new; end $$;
create trigger linger before update of next_offset on outbox.consumer_position for each row execute function linger();
create constraint trigger linger_more after update of next_offset on outbox.consumer_position
    deferrable initially deferred for each row execute function linger();
"""


class Driver(relay.Relay):
    """A consumer-driver; its log as that of a relay."""

    def __init__(self, site, topics, arguments):  # pylint: disable=super-init-not-called
        self.path = f"{tap.TMP}/{tap.unique('driver')}.log"
        command = [tap.BUILD + "/tests/tools/consumer-driver", "--name", site.name, "--dsn", site.dsn,
                   "--set", f"bootstrap.servers={tap.KAFKA}", "--set", "session.timeout.ms=6000",
                   "--set", "heartbeat.interval.ms=500", *arguments, *topics]
        with open(self.path, "w", encoding="utf-8") as f:
            self.process = tap.spawn(command, stderr=f)
        # one that a test has stopped would not take the SIGTERM at the test's end
        tap.at_exit(self.send, signal.SIGCONT)

    def log(self):
        with open(self.path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self, patience=40):
        """Not before it understands the signal."""
        self.wait_said("(?m)^ready$")
        return super().stop(patience)

    def count(self, name):
        found = self.said(name + r"=(\d+)")
        return int(found.group(1)) if found else None


class Site:
    """A database with the schema and a consumer's tables."""

    def __init__(self, dsn=None, name=None):
        self.dsn = dsn or tap.create_database()
        self.name = name or tap.unique("consumer")
        tap.sql(self.dsn, TABLES)

    def topic(self, partitions=4):
        return tap.create_topic(partitions=partitions)

    def sql(self, statement, arguments=None):
        return tap.sql(self.dsn, statement, arguments)

    def start(self, topics, *arguments):
        return Driver(self, [topics] if isinstance(topics, str) else topics, arguments)

    def slow_down(self):
        self.sql(SLOW)

    def cut_sessions(self, share):
        """Ends some of the consumers' sessions in PostgreSQL."""
        self.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
                 " and application_name = 'outbox-consumer' and random() < %s", (share,))

    def effects(self):
        return self.sql("select count(*) from effect")[0][0]

    def wait_effects(self, count, deadline=60):
        return tap.wait_until(lambda: self.effects() >= count, deadline)

    def settled(self, count, dead=0):
        """So many effects and dead letters are there."""
        return (self.effects(), self.dead()) == (count, dead)

    def dead(self):
        return self.sql("select count(*) from outbox.event where type = 'dead_letter'")[0][0]

    def letters(self):
        return [{"key": key, "payload": bytes(payload).decode() if payload is not None else None, **headers}
                for key, payload, headers in self.sql(
                    "select key, payload, headers from outbox.event where type = 'dead_letter' order by seq")]

    def audit(self, *topics, without=()):
        """What is wrong with the effects of these topics; without: places (partition, offset) of records that
        are not to have one."""
        complaints = []
        for topic in topics:
            records = [(r["partition"], r["offset"]) for r in relay.dump(topic)]
            done = self.sql("select partition, off from effect where topic = %s order by n", (topic,))
            wanted = set(records) - set(without)
            complaints += [f"{topic} {place}: lost" for place in sorted(wanted - set(done))]
            complaints += [f"{topic} {place}: {n} times" for place, n in collections.Counter(done).items() if n > 1]
            complaints += [f"{topic} {place}: not wanted" for place in sorted(set(done) - wanted)]
            last = {}
            for partition, offset in done:
                if offset <= last.get(partition, -1):
                    complaints.append(f"{topic} {partition}: {offset} after {last[partition]}")
                last[partition] = offset
        totals = self.sql("select (select sum(n) from total), (select count(*) from effect)")[0]
        if (totals[0] or 0) != totals[1]:
            complaints.append(f"the totals count {totals[0]}, effects {totals[1]}")
        return complaints


def stop(driver, name="it stops well"):
    if not tap.is_(driver.stop(30), 0, name):
        driver.show()


def kill(driver):
    driver.send(signal.SIGKILL)
    driver.process.wait()
