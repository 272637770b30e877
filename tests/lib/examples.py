"""For the tests of the examples that consume: a program of examples/, on topics and a database of its own.

    shop = examples.Example("enrichment", ("order_placed", "users"))
    shop.setup("setup")
    process = shop.start("run")
    shop.fill("users", {"user": {...}}, type="user_created", key="1")
    shop.wait_handled()                       until it has committed all that was filled in
"""
import collections
import json
import os
import signal
import subprocess

import consumers
import relay
import tap


# So that the group soon notices who is dead.
SHORT = ("--set", "session.timeout.ms=6000", "--set", "heartbeat.interval.ms=500")


class Process(relay.Relay):
    """A process of an example; its log as that of a relay."""

    def __init__(self, command, environment):  # pylint: disable=super-init-not-called
        self.path = f"{tap.TMP}/{tap.unique('example')}.log"
        with open(self.path, "w", encoding="utf-8") as log:
            self.process = tap.spawn(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        # one that a test has stopped would not take the SIGTERM at the test's end
        tap.at_exit(self.send, signal.SIGCONT)


class Example:
    def __init__(self, name, topics, partitions=1, dsn=None):
        self.dsn = dsn or tap.create_database()
        self.prefix = tap.unique(name)
        self.program = os.path.join(tap.BUILD, "examples", name, name)
        self.filled = collections.Counter()
        for topic in topics:
            tap.create_topic(self.topic(topic), partitions)

    def topic(self, name):
        return f"{self.prefix}.{name}"

    def sql(self, statement, arguments=None):
        return tap.sql(self.dsn, statement, arguments)

    def _environment(self, more):
        return dict(os.environ, OUTBOX_DSN=self.dsn, **more)

    def run(self, *arguments, **environment):
        """A call that ends: its standard output."""
        status, output, errors = tap.run([self.program, "--prefix", self.prefix, *arguments],
                                         env=self._environment(environment))
        if status:
            tap.bail(f"{self.program} {arguments}: exit {status}: {errors}")
        return output

    def start(self, *arguments, **environment):
        return Process([self.program, "--prefix", self.prefix, "--kafka", tap.KAFKA, *SHORT, *arguments],
                       self._environment(environment))

    def fill(self, topic, *payloads, key=None, **more):
        """Events as the relay publishes them: type is the topic's name unless given; payloads are objects, or a
        text as it is; at, in microseconds, is when they happened."""
        records = []
        for payload in payloads:
            record = {"key": key, "payload": payload if isinstance(payload, str) else json.dumps(payload),
                      "headers": {"outbox-type": more.get("type", topic)}, "partition": more.get("partition", -1)}
            if "at" in more:
                record["timestamp"] = more["at"] // 1000
            records.append(record)
        self.fill_records(topic, records)

    def fill_records(self, topic, records):
        consumers.fill(self.topic(topic), records=records)
        self.filled[topic] += len(records)

    def handled(self, topic):
        return self.sql("select coalesce(sum(next_offset), 0)::int from outbox.consumer_position where topic = %s",
                        (self.topic(topic),))[0][0]

    def wait_handled(self, *topics, deadline=60):
        """Until everything that was filled into these, or all, is committed."""
        def all_handled():
            return all(self.handled(topic) >= self.filled[topic] for topic in topics or self.filled)
        return tap.wait_until(all_handled, deadline)

    def dead(self):
        return self.sql("select count(*)::int from outbox.event where type = 'dead_letter'")[0][0]

    def emitted(self, kind):
        """The payloads of the events of this type, in order."""
        return [json.loads(row[0]) for row in self.sql(
            "select convert_from(payload, 'UTF8') from outbox.event where type = %s order by seq", (kind,))]
