"""For the tests of what copies, moves and restores do: servers of their own, and the verbs
that settle it.

    main = places.Server("main")
    clone = places.Server("clone", "--clone", main)
    places.copied(outbox, clone)              the same outbox, there
    places.verb(outbox, "enable", "--yes")
"""
import os
import subprocess

import relay
import restarts
import tap

OPTIONS = {"fallback_poll": "200ms", "webhooks": "no"}


class Server:
    def __init__(self, name, *options):
        self.directory = restarts.own_directory(name)
        self.dsn = tap.start_postgres(self.directory, *(o.directory if isinstance(o, Server) else o for o in options))

    def run(self, command, *options):
        subprocess.run([tap.SRC + "/dev/postgres", command, self.directory, *options], check=True, timeout=90)

    def stop(self, mode="fast"):
        self.run("stop", "--mode", mode)

    def start(self):
        self.run("start")

    def promote(self):
        tap.is_(tap.sql(self.dsn, "select pg_promote()"), [(True,)], "the standby is promoted")

    def programs(self):
        with open(self.directory + "/programs", encoding="utf-8") as f:
            return f.read().strip()


def made(server, name="outbox"):
    """An outbox there, in a database that ends with the server."""
    tap.sql(server.dsn, f"create database {name}")
    outbox = relay.Outbox(dsn=f"{server.dsn} dbname={name}")
    status, output, errors = tap.outboxctl(outbox.dsn, "migrate")
    if status:
        tap.bail(f"outboxctl migrate: {output}{errors}")
    return outbox


def copied(outbox, server, name="outbox"):
    """The outbox as it stands in the other server, with the same Kafka and prefix."""
    return relay.Outbox(dsn=f"{server.dsn} dbname={name}", prefix=outbox.prefix)


def verb(outbox, name, *arguments):
    """outboxctl NAME; its exit code and all that it said."""
    # without variables for the tests, which it would take for the relay's options
    clean = {n: v for n, v in os.environ.items() if not n.startswith("OUTBOX_")}
    status, output, errors = tap.outboxctl(outbox.dsn, name, "--kafka", tap.KAFKA, "--topic-prefix", outbox.prefix,
                                           "--reason", "test", *arguments, env=clean)
    return status, output + errors


def succeeds(outbox, words, name, verb_name, *arguments):
    status, said = verb(outbox, verb_name, *arguments)
    if not tap.is_((status, words in said), (0, True), name):
        tap.diag(said)


def refused(outbox, words, name, verb_name, *arguments):
    status, said = verb(outbox, verb_name, *arguments)
    if not tap.is_((status, words in said), (5, True), name):
        tap.diag(said)


def halts(outbox, topics, state, code, name, detail=""):
    """A relay on it says so and touches nothing."""
    before = outbox.records(*topics)
    process = outbox.start("halting", **OPTIONS)
    if not tap.is_((process.wait(), outbox.lane()["halted"]), (code, state), f"{name}: {state}, exit code {code}"):
        process.show()
    tap.ok(detail in outbox.lane()["halted_detail"], f"{name}: with its detail")
    tap.is_(process.said("state=fencing"), None, f"{name}: nobody is fenced")
    tap.is_(outbox.records(*topics), before, f"{name}: nothing is published")


def burn(outbox, count):
    """Transaction ids."""
    outbox.sql(f"do $$ begin for i in 1..{count} loop perform pg_current_xact_id(); commit; end loop; end $$")


def restored(outbox, source, server):
    """What pg_dump takes of it, brought into a server that knows the roles."""
    name = tap.unique("restored")
    tap.sql(server.dsn, f"create database {name}")
    dump = tap.TMP + "/" + name
    program = source.programs()
    subprocess.run([program + "/pg_dump", "-Fc", "-f", dump, outbox.dsn], check=True, timeout=60)
    subprocess.run([program + "/pg_restore", "--single-transaction", "-d", f"{server.dsn} dbname={name}", dump],
                   check=True, timeout=60)
    return copied(outbox, server, name)


def payloads(outbox, topic):
    return [record["payload"] for record in outbox.records(topic)]


def publish(outbox, topic, *texts):
    """Emits them, and lets a relay publish them."""
    before = outbox.published()
    for text in texts:
        outbox.emit(type="t", key="k", topic=topic, payload=f'"{text}"')
    process = outbox.start(**OPTIONS)
    tap.ok(outbox.wait_published(before + len(texts)), f"published: {' '.join(texts)}")
    tap.is_(process.stop(), 0, "and the relay stops well")


def doctor_says(outbox, *words):
    status, output, errors = tap.outboxctl(outbox.dsn, "doctor", "--kafka", tap.KAFKA, "--topic-prefix", outbox.prefix)
    if not tap.is_((status, [w for w in words if w not in output]), (1, []), f"doctor names {' and '.join(words)}"):
        tap.diag(output + errors)
