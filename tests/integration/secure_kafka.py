#!/usr/bin/python3
# deadline: 500
"""Kafka by SASL_SSL, SCRAM and ACLs, PostgreSQL and webhooks by TLS: an event goes all the
way by programs that have no right too many. Then each right alone that is missing, and
each thing that can be wrong with the connection to Kafka, says so, in the relay's log and
in --check, and what is missing needs no restart once it is given.
"""
import concurrent.futures
import ctypes
import re
import subprocess

import relay
import secure
import tap

PREFIX = "shop"
PROGRESS = PREFIX + ".progress"
LIBRARY = subprocess.run([tap.SRC + "/dev/librdkafka-fetch"], check=True, stdout=subprocess.PIPE,
                         text=True).stdout.strip()
# What docs/operations.md names, and what is said when it is missing.
RIGHTS = {
    ("write", "transactional_id", PREFIX + ".", "prefixed"):
        'give User:relay the ACL Write on transactional ids with the prefix "shop."',
    ("read", "topic", PROGRESS): f'give User:relay the ACL Read on topic "{PROGRESS}"',
    ("write", "topic", PROGRESS): f'give User:relay the ACL Write on topic "{PROGRESS}"',
    ("describe_configs", "topic", PROGRESS): f'give the ACL DescribeConfigs on topic "{PROGRESS}"',
    ("write", "topic", "orders"): 'give User:relay the ACL Write (or Describe) on topic "orders"',
    ("create", "topic", "new", "prefixed"): 'give User:relay the ACL Create on topic "new.one"',
    ("write", "topic", "new", "prefixed"): 'give User:relay the ACL Write (or Describe) on topic "new.one"',
}


class World:
    def __init__(self):
        self.made = secure.Certificates()
        self.kafka = secure.Kafka(self.made)
        self.postgres = secure.Postgres(self.made)
        self.receiver = secure.Receiver(self.made.server)
        self.emitted = 0

    def program(self, library=LIBRARY, password=secure.KAFKA_PASSWORD, dsn=None, **kafka):
        options = {"dsn": dsn or self.postgres.dsn(), "name": "relay", "topic_prefix": PREFIX, "create_topics": "yes",
                   "transaction_timeout": "6s", "log_level": "debug", "lease": "3s", "lease_renew": "500ms",
                   "webhook_allow": "127.0.0.0/8", "webhook_ca_file": self.made.ca.certificate,
                   "kafka.sasl.password": password, **self.kafka.options(**kafka)}
        return secure.Programs(library, **options)

    def emit(self, event_type):
        status, output, errors = tap.outboxctl(self.postgres.dsn("writer"), "emit", "--type", event_type, "--key", "k",
                                               "--payload", '{"a": 1}')
        if status:
            tap.diag(output, errors)
        self.emitted += 1

    def published(self):
        return tap.sql(self.postgres.owner, "select published from outbox.lane")[0][0]


ADVICE = re.compile(r'event=kafka_failed .*give User:relay the ACL (\w+)(?: \(or \w+\))? on '
                    r'(topic|transactional ids with the prefix) \\?"([^"\\]+)')


def following_the_log(world):
    """The relay starts with no right at all, says each time what it lacks, and goes on when
    it is given that, and nothing else."""
    kafka, given, log = world.kafka, [], ""
    # found, but not written to: what is missing then shows only when records are sent
    kafka.allow("describe", "topic", "orders")
    kafka.allow("create", "topic", "orders")
    running = world.program().start()
    world.emit("orders")
    while len(given) < 10 and world.published() == 0:
        seen = tap.wait_until(lambda: world.published() > 0 or
                              [m for m in ADVICE.findall(log + running.log()) if m not in given], 60)
        if not seen or seen is True:
            break
        operation, kind, name = seen[0]
        given.append(seen[0])
        if kind == "topic":
            kafka.allow(operation.lower(), "topic", name)
        else:
            kafka.allow(operation.lower(), "transactional_id", name, "prefixed")
        if 1 < len(given) < 5:  # it would go on by itself, but not before 5 s have passed
            running.kill()
            log += running.log()
            running = world.program().start()
    tap.diag("given:", given)
    if not tap.ok(world.published() == 1, "rights given as the log asks for them: the event is published, without a restart"):
        running.show()
    prefixed = "transactional ids with the prefix"
    tap.is_(sorted(given), sorted([("Write", "topic", PROGRESS), ("Create", "topic", PROGRESS),
                                   ("Read", "topic", PROGRESS), ("Write", prefixed, PREFIX + "."),
                                   ("Write", "topic", "orders")]), "and it asked for no more than it needs")
    return running


def all_the_way(world):
    """With exactly the rights of docs/operations.md."""
    kafka = world.kafka
    for right in RIGHTS:
        kafka.allow(*right)
    for right in (("create", "topic", PROGRESS), ("create", "topic", "orders"), ("describe", "topic", "orders")):
        kafka.disallow(*right)
    tap.sql(world.postgres.owner, "select outbox.endpoint_add(%s, %s, p_types => '{orders}')",
            (world.receiver.url, world.receiver.secret))
    tap.sql(world.postgres.owner,
            "insert into outbox.route (pattern, topic) values ('new.*', 'new.one'), ('orders', 'orders')")
    # else --check warns that nothing will be removed
    tap.sql(world.postgres.owner, "grant outbox_maintenance to relay")
    program = world.program()
    status, found, everything = program.check()
    tap.is_(status, 0, "--check is content")
    tap.is_(found.count("FAILED") + found.count("warning"), 0, "and warns of nothing")
    if status:
        tap.diag(everything)
    tap.ok(secure.without_secrets(everything), "and shows no secret")
    tap.ok("new.one" not in topics(world), "and makes no topic")
    running = program.start()
    before = world.published()
    world.emit("orders")
    world.emit("new.thing")
    tap.ok(tap.wait_until(lambda: world.published() == before + 2), "writer, relay, Kafka: published")
    tap.ok(tap.wait_until(world.receiver.taken), "and delivered over https")
    status, output, errors = tap.run([relay.TOPIC_DUMP, "--bootstrap", kafka.plain, "--isolation", "read_committed",
                                      "--json", "--timeout", "60", "orders", "new.one"])
    tap.is_(len(output.splitlines()), 3, "each event is in Kafka once")
    right_taken_away(world, before + 2)
    running.stop()
    tap.ok(secure.without_secrets(running.log()), "no secret in the relay's log")
    tap.diag(errors)
    reader = world.program(dsn=world.postgres.dsn("reader"))
    _, text = reader.doctor()
    tap.ok("kafka_unreachable" not in text and f"replication_low: {PROGRESS}" in text, "doctor, with outbox_reader, reaches Kafka")
    tap.diag(text)


def right_taken_away(world, before):
    """... from one topic: it is parked, the other flows."""
    world.kafka.disallow("write", "topic", "orders")
    world.emit("orders")
    world.emit("new.thing")
    tap.ok(tap.wait_until(lambda: world.published() == before + 1, 45), "a right is taken away: another topic flows")
    tap.is_(tap.sql(world.postgres.owner, "select topic, reason from outbox.parked_topic"), [("orders", "topic_denied")],
            "a right is taken away: the topic is parked")
    world.kafka.allow("write", "topic", "orders")
    tap.ok(tap.wait_until(lambda: world.published() == before + 2, 60), "a right is given back: what waited is published")


def topics(world):
    client = relay.load_program(tap.SRC + "/dev/kafka-client")
    with client.Connection(world.kafka.plain) as connection:
        return {name for name in ("new.one", "orders") if connection.metadata([name])[2].get(name)}


def each_right_missing(world):
    """One after the other; create needs a topic that is missing."""
    tap.sql(world.postgres.owner, "insert into outbox.route (pattern, topic) values ('two.*', 'new.two')")
    for right, message in RIGHTS.items():
        message = message.replace("new.one", "new.two") if right[0] == "create" else message
        world.kafka.disallow(*right)
        status, found, everything = world.program().check()
        warning = right[0] == "describe_configs"
        tap.ok(message in found, f"--check: without {' '.join(right)}: {message}") or tap.diag(found)
        tap.is_(status, 0 if warning else 1, f"--check: without {' '.join(right)}: exit status")
        world.kafka.allow(*right)


def connections(world):
    """What is wrong, and how it is said."""
    kafka, made = world.kafka, world.made
    cases = {
        "wrong CA": ({"ssl_ca_location": made.other.certificate}, "not signed by a CA of kafka.ssl.ca.location"),
        "wrong host name": ({"bootstrap_servers": kafka.good.replace("localhost", "127.0.0.1")},
                            "the broker's certificate is for another host name"),
        "expired certificate": ({"bootstrap_servers": kafka.expired}, "the broker's certificate has expired"),
        "wrong password": ({"password": "wrong"}, 'SASL authentication failed for user "relay": check kafka.sasl.username'),
        "unknown user": ({"sasl_username": "nobody"}, 'SASL authentication failed for user "nobody"'),
        "unknown mechanism": ({"sasl_mechanism": "PLAIN"}, "set kafka.sasl.mechanism to one that the broker offers"),
        "TLS to a plaintext port": ({"bootstrap_servers": kafka.plain}, "the broker does not speak TLS there"),
        "plaintext to a TLS port": ({"security_protocol": "SASL_PLAINTEXT"}, "set kafka.security.protocol=SASL_SSL"),
    }
    if int("".join(f"{int(n):02d}" for n in system_version().split(".")[:3])) < 20601:
        cases["SCRAM with an old librdkafka"] = ({"library": None}, "cannot do SCRAM with Kafka 4: that takes 2.6.1")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        checks = {name: pool.submit(world.program(**options).check) for name, (options, _) in cases.items()}
        doctor = pool.submit(world.program(dsn=world.postgres.dsn("reader"), password="wrong").doctor)
    for name, (options, message) in cases.items():
        status, found, everything = checks[name].result()
        tap.ok(status == 1 and re.search("FAILED: .*" + re.escape(message), found), f"--check: {name}: {message}") or tap.diag(everything)
        tap.ok(secure.without_secrets(everything), f"--check: {name}: without a secret")
        running = world.program(**options).start()
        tap.ok(running.wait_said("event=kafka_failed .*" + re.escape(message).replace('"', '."')), f"log: {name}") or running.show()
        running.kill()
        tap.ok(secure.without_secrets(running.log()), f"log: {name}: without a secret")
    tap.like(doctor.result()[1], "kafka_unreachable.*SASL authentication failed for user", "doctor: wrong password")


def system_version():
    """Of the librdkafka that the relay has without LD_LIBRARY_PATH."""
    library = ctypes.CDLL("librdkafka.so.1")
    library.rd_kafka_version_str.restype = ctypes.c_char_p
    return library.rd_kafka_version_str().decode().partition("-")[0]


def plaintext_elsewhere(world):
    for protocol in (None, "PLAINTEXT", "SASL_PLAINTEXT"):
        for servers in ("kafka.example.org:9092", "localhost:9092,192.0.2.1:9092", "[2001:db8::1]:9092"):
            options = {"bootstrap_servers": servers, "security_protocol": protocol}
            status, found, _ = world.program(**options).check()
            tap.ok(status == 1 and "is not this machine, and would be spoken to without encryption" in found,
                   f"refused: {protocol or 'no protocol'} to {servers}")
    running = world.program(bootstrap_servers="kafka.example.org:9092", security_protocol=None).start()
    tap.is_(running.wait(), 1, "the relay does not start with that")
    tap.like(running.log(), "event=cannot_start .*is not this machine", "and says why")


def main():
    world = World()
    following_the_log(world).stop()
    all_the_way(world)
    each_right_missing(world)
    connections(world)
    plaintext_elsewhere(world)
    tap.done_testing()


main()
