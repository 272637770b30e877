#!/usr/bin/python3
# deadline: 300
"""The owner of the lane is on another machine: in a network namespace of its own, at the end of a line to
PostgreSQL, Kafka and receivers. What is sent to it gets lost, or what it sends, or both, or the line is
down. Nothing ends a connection here, as a proxy would at times: everybody has to find out alone.
Each time a relay that is beside the servers takes over, and what comes back late must do no harm."""
import os
import subprocess
import time

import psycopg2.extensions

import disks
import ledger
import relay
import restarts
import tap

HERE, THERE, NETWORK = "192.0.2.1", "192.0.2.2", "192.0.2.0/24"
NOBODY = "02:00:00:00:00:99"  # whose frames nobody takes
OPTIONS = {"connect_timeout": "2s", "statement_timeout": "3s", "transaction_timeout": "3s", "insecure": "yes",
           "kafka.socket.timeout.ms": "2000"}

# "owner_unheard owner_deaf silent down" are all; SPLITS has others than these
WAYS = os.environ.get("SPLITS", "owner_deaf down").split()

disks.unshare("--mount", "--net")


def ip(*words, prefix=()):
    subprocess.run([*prefix, "ip", *words], check=True, timeout=20)


class Machine:
    """prefix: before a command that is to run there."""

    def __init__(self):
        holder = tap.spawn(["unshare", "--net", "sleep", "infinity"])
        self.prefix = ("nsenter", "--net", "--target", str(holder.pid), "--")
        own = subprocess.run(["readlink", "/proc/self/ns/net"], check=True, stdout=subprocess.PIPE).stdout
        tap.wait_until(lambda: tap.run(["readlink", f"/proc/{holder.pid}/ns/net"])[1].encode() not in (own, b""))
        ip("link", "set", "lo", "up")
        ip("link", "add", "name", "here", "type", "veth", "peer", "name", "there")
        ip("link", "set", "there", "netns", str(holder.pid))
        self.ends = {"here": (), "there": self.prefix}
        for name, address, prefix in (("here", HERE, ()), ("there", THERE, self.prefix)):
            ip("address", "add", f"{address}/24", "dev", name, prefix=prefix)
            ip("link", "set", name, "up", prefix=prefix)
        ip("link", "set", "lo", "up", prefix=self.prefix)

    def lose(self, end):
        """What is sent there."""
        peer = HERE if end == "there" else THERE
        ip("neighbour", "replace", peer, "lladdr", NOBODY, "nud", "permanent", "dev", end, prefix=self.ends[end])

    def heal(self):
        for end, peer in (("here", THERE), ("there", HERE)):
            ip("link", "set", end, "up", prefix=self.ends[end])
            tap.run([*self.ends[end], "ip", "neighbour", "delete", peer, "dev", end])

    def owner_unheard(self):
        self.lose("there")

    def owner_deaf(self):
        self.lose("here")

    def silent(self):
        self.lose("here")
        self.lose("there")

    def down(self):
        ip("link", "set", "there", "down", prefix=self.prefix)


def start_postgres():
    directory = restarts.own_directory("postgres")
    server = tap.start_postgres(directory, "--set", f"listen_addresses=127.0.0.1,{HERE}")
    with open(directory + "/data/pg_hba.conf", "a", encoding="ascii") as f:
        f.write(f"host all all {NETWORK} scram-sha-256\n")
    tap.sql(server, "select pg_reload_conf()")
    with open(directory + "/dsn-tcp", encoding="ascii") as f:
        return server, psycopg2.extensions.make_dsn(f.read().strip(), host=HERE)


def alive(outbox, name):
    return outbox.sql("select expires_at > clock_timestamp() from outbox.relay where name = %s", (name,)) == [(True,)]


def split(case, options, how):
    """With the owner there and a successor here."""
    what, name = how.__name__.replace("_", " "), f"there-{how.__name__}"
    owner = case.outbox.start(name, prefix=machine.prefix, **options)
    tap.ok(owner.wait_said("event=lease_taken"), f"{what}: a relay comes on the other machine")
    tap.is_(case.process.stop(), 0, f"{what}: the one that is here leaves")
    tap.ok(owner.wait_running(), f"{what}: the lane is there")
    # however busy the machine is, the other one shall not get it back
    case.process = case.outbox.start(**dict(options, lease="20s"))
    case.process.wait_said(f"event=lease_taken .*holder={name}")
    before = case.published()
    tap.wait_until(lambda: case.published() >= before + 60)
    case.moment()
    how()
    began = time.monotonic()
    tap.ok(case.process.wait_running(60), f"{what}: the successor takes over")
    tap.diag(f"after {time.monotonic() - began:.1f} s")
    case.progress()
    tap.ok(owner.running() and tap.wait_until(lambda: not alive(case.outbox, name)), f"{what}: the other one is alone, and lives")
    machine.heal()
    tap.ok(tap.wait_until(lambda: alive(case.outbox, name), 60), f"{what}: healed, it comes back")
    tap.ok(owner.wait_said("event=lease_lost|event=database_failed|event=lease_renewal_failed"), f"{what}: it did notice")
    case.progress()
    tap.is_(case.outbox.lease()["holder"], "relay", f"{what}: the successor remains")
    tap.is_(owner.stop(), 0, f"{what}: it ends well")


machine = Machine()
server, tcp = start_postgres()
tap.KAFKA = tap.start_kafka(restarts.own_directory("kafka"), "--host", HERE)
ledger.Receiver.host = HERE


def main():
    outbox = relay.Outbox(tap.create_database(server))
    database = psycopg2.extensions.parse_dsn(outbox.dsn)["dbname"]
    options = dict(restarts.OPTIONS, **OPTIONS, webhook_allow=NETWORK,
                   dsn=psycopg2.extensions.make_dsn(tcp, dbname=database))
    case = restarts.Case("split networks", outbox, policy="park", **options)
    with case.writing():
        case.process.wait_running()
        for how in WAYS:
            split(case, options, getattr(machine, how))
    case.judge(kills=len(WAYS))


main()
tap.done_testing()
