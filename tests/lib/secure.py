"""For the tests of secure connections: servers that are only reached by TLS, and programs
that log in there with no more rights than docs/operations.md gives them."""
import itertools
import os
import re
import ssl
import subprocess

import certificates
import ledger
import relay
import tap

PASSWORDS = {name: f"pg-secret-{name}" for name in ("relay", "writer", "reader", "operator", "stranger", "bycert")}
GRANTS = {"relay": "outbox_relay", "writer": "outbox_writer", "reader": "outbox_reader", "operator": "outbox_admin",
          "bycert": "outbox_relay"}
KAFKA_PASSWORD = "kafka-secret-relay"
SECRETS = (*PASSWORDS.values(), KAFKA_PASSWORD)


class Certificates:
    """ca signed everything, other nothing that anybody trusts."""

    def __init__(self):
        directory = tap.TMP + "/certificates"
        self.directory = directory
        self.ca = certificates.Authority(directory)
        self.other = certificates.Authority(directory, "other")
        self.server = self.ca.issue("server")
        self.expired = self.ca.issue("expired", days=-1)
        self.bycert = self.ca.issue("bycert", "DNS:bycert")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read().strip()


class Postgres:
    """A PostgreSQL with the outbox in the database shop, and its login roles."""

    def __init__(self, made):
        self.made = made
        directory = tap.TMP + "/secure-pg"
        self.owner = tap.start_postgres(directory, "--tls", made.directory)
        tap.sql(self.owner, "create database shop")
        self.owner += " dbname=shop"
        self.port = read(directory + "/port")
        status, output, errors = tap.outboxctl(self.owner, "migrate")
        if status:
            tap.bail(f"outboxctl migrate: exit {status}: {output}{errors}")
        for name, password in PASSWORDS.items():
            granted = f" in role {GRANTS[name]}" if name in GRANTS else ""
            tap.sql(self.owner, f"create role {name} login password '{password}'{granted}")

    def dsn(self, user="relay", **changes):
        options = {"host": "localhost", "port": self.port, "dbname": "shop", "user": user,
                   "password": PASSWORDS.get(user, "unknown"), "sslmode": "verify-full",
                   "sslrootcert": self.made.ca.certificate}
        options.update(changes)
        return " ".join(f"{n}='{v}'" for n, v in options.items() if v is not None)

    def set(self, name, value):
        """Of the server, in force when this returns."""
        tap.sql(self.owner, f"alter system set {name} = %s", (value,))
        tap.sql(self.owner, "select pg_reload_conf()")
        tap.wait_until(lambda: tap.sql(self.owner, f"show {name}") == [(value,)])


class Kafka:
    """A broker with SASL_SSL, SCRAM and ACLs; by its plain listener everything is allowed."""

    def __init__(self, made):
        self.made = made
        directory = tap.TMP + "/secure-kafka"
        self.plain = tap.start_kafka(directory, "--secure", f"GOOD={made.server.both}",
                                     "--secure", f"EXPIRED={made.expired.both}", "--scram", f"relay={KAFKA_PASSWORD}")
        self.good, self.expired = read(directory + "/secure-GOOD"), read(directory + "/secure-EXPIRED")

    def options(self, **changes):
        options = {"bootstrap.servers": self.good, "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
                   "sasl.username": "relay", "ssl.ca.location": self.made.ca.certificate}
        options.update({name.replace("_", "."): value for name, value in changes.items()})
        return {"kafka." + name: value for name, value in options.items() if value is not None}

    def allow(self, operation, kind, name, *more):
        self.change("allow", operation, kind, name, *more)

    def disallow(self, operation, kind, name, *more):
        self.change("disallow", operation, kind, name, *more)

    def change(self, what, operation, kind, name, *more):
        subprocess.run([tap.SRC + "/dev/kafka-client", what, self.plain, "relay", operation, kind, name, *more],
                       check=True, timeout=60)


class Receiver(ledger.Receiver):
    """... that speaks TLS, with a certificate for localhost."""

    def __init__(self, issued):
        super().__init__(refuse=0)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.certificate, issued.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"https://localhost:{self.port}/hook"


class Programs:
    """outbox-relay with a configuration file of its own, as its manual has it."""

    numbers = itertools.count(1)

    def __init__(self, library=None, **options):
        self.path = f"{tap.TMP}/secure-{os.getpid()}-{next(Programs.numbers)}.conf"
        with open(self.path, "w", encoding="utf-8") as f:
            os.chmod(self.path, 0o600)
            f.write("".join(f"{name} = {value}\n" for name, value in options.items() if value is not None))
        self.environment = {n: v for n, v in os.environ.items() if not n.startswith("OUTBOX_")}
        if library:
            self.environment["LD_LIBRARY_PATH"] = library

    def check(self):
        """Exit status and what --check says beside the values of the options."""
        status, output, errors = tap.run([relay.RELAY, "--check", "--config", self.path], env=self.environment)
        findings = [line for line in output.splitlines() if re.match(r"[\w ,]+: (ok|FAILED|warning)\b", line)]
        return status, "\n".join(findings), output + errors

    def start(self, **flags):
        environment, os.environ["LD_LIBRARY_PATH"] = dict(os.environ), self.environment.get("LD_LIBRARY_PATH", "")
        try:
            return relay.Relay({"config": self.path, **flags})
        finally:
            os.environ.clear()
            os.environ.update(environment)

    def doctor(self, *more):
        status, output, errors = tap.run([tap.BUILD + "/outboxctl", "doctor", "--config", self.path, *more],
                                         env=self.environment)
        return status, output + errors


def without_secrets(text):
    return [secret for secret in SECRETS if secret in text] == []
