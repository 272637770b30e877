#!/usr/bin/python3
"""PostgreSQL by TLS alone, with the roles of least privilege: what works, and what each
thing that is wrong says of itself: in the relay's log, in --check and in outboxctl.
"""
import collections
import concurrent.futures
import os
import re
import subprocess

import secure
import tap

CONNECT, REFUSED = 3, 4
# Nothing listens there: what is checked is PostgreSQL alone.
NO_KAFKA = {"kafka.bootstrap.servers": "127.0.0.1:1", "transaction_timeout": "1s", "name": "relay"}


def ctl(dsn, *arguments):
    status, output, errors = tap.outboxctl(dsn, *arguments)
    return status, output + errors


def works(postgres):
    writer = postgres.dsn("writer")
    tap.is_(ctl(writer, "emit", "--type", "orders.placed", "--key", "1", "--payload", "{}")[0], 0,
            "writer: emits by TLS with outbox_writer alone")
    tap.is_(ctl(postgres.dsn("reader"), "status")[0], 0, "reader: outboxctl status with outbox_reader alone")
    status, text = ctl(postgres.dsn("operator"), "route", "add", "orders.*", "orders")
    tap.is_(status, 0, "operator: outboxctl route add with outbox_admin alone")
    tap.diag(text)
    bycert = postgres.dsn("bycert", password=None, sslcert=postgres.made.bycert.certificate,
                          sslkey=postgres.made.bycert.key)
    tap.is_(ctl(bycert, "status")[0], 0, "bycert: a client certificate instead of a password")
    for user in ("relay", "bycert"):
        dsn = postgres.dsn("relay") if user == "relay" else bycert
        _, found, _ = secure.Programs(dsn=dsn, **NO_KAFKA).check()
        said = [line for line in found.splitlines() if not line.startswith(("Kafka", "maintenance"))]
        tap.is_(said, [f"{what}: ok" for what in ("PostgreSQL", "outbox schema", "outbox enabled here", "direct connection")],
                f"{user}: outbox-relay --check is content, and warns of nothing")
    _, found, _ = secure.Programs(dsn=postgres.dsn(sslmode="require", sslrootcert=None), **NO_KAFKA).check()
    tap.like(found, "PostgreSQL: ok\nPostgreSQL: warning: the server's certificate is not fully verified.*verify-full",
             "sslmode=require: accepted, with a warning")


def cases(postgres):
    made = postgres.made
    return {
        "wrong CA": (postgres.dsn(sslrootcert=made.other.certificate), "not signed by a CA of sslrootcert"),
        "no CA file": (postgres.dsn(sslrootcert="/nowhere/ca.crt"), 'root certificate file "/nowhere/ca.crt" does not exist'),
        "wrong host name": (postgres.dsn(host="127.0.0.1"), "give host in the dsn a name that stands in the server's"),
        "wrong password": (postgres.dsn(password="wrong"), 'password authentication failed for user "relay"; check user and password'),
        "unknown user": (postgres.dsn("nobody"), 'password authentication failed for user "nobody".* when the role does not exist'),
        "unknown database": (postgres.dsn(dbname="nowhere"), 'database "nowhere" does not exist; check dbname'),
        "plaintext to a TLS port": (postgres.dsn(sslmode="disable", host="127.0.0.1"),
                                    "no encryption; the server takes this user with TLS only: set sslmode=verify-full"),
        "no client certificate": (postgres.dsn("bycert"), "set sslcert and sslkey in the dsn"),
        "a role without outbox_relay": (postgres.dsn("stranger"), 'role "stranger" lacks a right: GRANT outbox_relay TO "stranger"'),
        "not TLS, and not this machine": (postgres.dsn(sslmode="prefer", host="db.example.org"),
                                          'dsn: "db.example.org" is not this machine'),
    }


def one(name, dsn, message, log=True):
    """The same cause in --check, in the log and from outboxctl."""
    program = secure.Programs(dsn=dsn, **NO_KAFKA)
    status, found, everything = program.check()
    text = ctl(dsn, "status")[1]
    said, rest = True, ""
    if log:
        running = program.start()
        said = running.wait_said(message.replace('"', r'\\?"'))
        running.kill()
        rest = running.log()
    return name, message, status, found, everything, text, said, rest


def judge(name, message, status, found, everything, text, said, rest):
    tap.ok(status == 1, f"{name}: --check exits with 1")
    tap.like(found, message, f"{name}: --check says so")
    tap.like(text, message.replace("outbox_relay", "outbox_reader"), f"{name}: outboxctl says so")
    if not tap.ok(said, f"{name}: the relay's log says so"):
        tap.diag(rest)
    tap.ok(secure.without_secrets(everything + text + rest), f"{name}: without a password")


def answered_at_once(postgres):
    """The certificate is refused in the same call of libpq that begins with TLS."""
    library = tap.TMP + "/eager_tls.so"
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library,
                    tap.SRC + "/tests/tools/eager_tls.c", "-ldl"], check=True)
    program = secure.Programs(dsn=postgres.dsn(), **NO_KAFKA)
    program.environment.update(LD_PRELOAD=library, EAGER_TLS="1000")
    tap.like(program.check()[1], "certificate has expired or is not valid yet: renew it",
             "expired certificate: --check says so when the server is quick, too")


def failures(postgres):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(one, name, *case) for name, case in cases(postgres).items()]
    for run in runs:
        judge(*run.result())
    postgres.set("ssl_cert_file", "expired.crt")
    postgres.set("ssl_key_file", "expired.key")
    judge(*one("expired certificate", postgres.dsn(), "certificate has expired or is not valid yet: renew it"))
    answered_at_once(postgres)
    postgres.set("ssl", "off")
    judge(*one("TLS to a plaintext port", postgres.dsn(), "the server speaks no TLS there: set ssl=on"))
    postgres.set("ssl", "on")
    postgres.set("ssl_cert_file", "server.crt")
    postgres.set("ssl_key_file", "server.key")


def comes_back(postgres):
    """A password that is corrected on the server needs no restart of the relay, and its log
    is not filled meanwhile."""
    tap.sql(postgres.owner, "alter role relay password 'another'")
    running = secure.Programs(dsn=postgres.dsn(), log_level="info", **NO_KAFKA).start()
    running.wait_said("check user and password")
    # its tries go on: PostgreSQL's log has them
    with open(tap.TMP + "/secure-pg/log", encoding="utf-8") as log:
        log.seek(0, os.SEEK_END)
        tries = []
        tap.wait_until(lambda: tries.extend(log.readlines()) or
                       sum('authentication failed for user "relay"' in line for line in tries) >= 3)
    # once by each part that has a connection
    said = collections.Counter(re.findall(r"event=(\w+) .*check user and password", running.log()))
    if not tap.ok(said and max(said.values()) == 1, "a wrong password: logged once, however often it is tried"):
        tap.diag(said)
    tap.sql(postgres.owner, f"alter role relay password '{secure.PASSWORDS['relay']}'")
    tap.ok(running.wait_said("event=kafka"), "a corrected password: the relay goes on by itself")
    running.kill()


def refused_and_allowed():
    """What is spoken to without TLS."""
    local = "dsn: .* is not this machine"
    for dsn in ("host=db.example.org", "host=localhost,db.example.org", "hostaddr=192.0.2.1 host=localhost",
                "host=192.0.2.1 sslmode=allow", "postgresql://db.example.org/x?sslmode=disable", "host=127.0.0.1.example.org"):
        tap.like(ctl(dsn + ("" if "://" in dsn else " connect_timeout=2"), "status", "--connect-timeout", "2s")[1], local,
                 f"refused: {dsn}")
    for dsn in ("host=127.0.0.1 port=1", "host=localhost port=1", "host=::1 port=1", "host=/nowhere",
                "host=db.example.org hostaddr=127.0.0.1 port=1", "host=db.example.invalid sslmode=require"):
        status, text = ctl(dsn, "status", "--connect-timeout", "2s")
        tap.ok(status == CONNECT and "is not this machine" not in text, f"not refused: {dsn}")
    status, text = ctl("host=db.example.invalid sslmode=disable", "status", "--insecure", "--connect-timeout", "2s")
    tap.ok(status == CONNECT and "is not this machine" not in text, "--insecure: not refused")
    with open(tap.TMP + "/service.conf", "w", encoding="utf-8") as f:
        f.write("[shop]\nhost=db.example.org\n")
    environment = {**os.environ, "PGSERVICEFILE": tap.TMP + "/service.conf"}
    tap.like(tap.outboxctl("service=shop", "status", env=environment)[2], local, "refused: a host from a service file")
    environment = {**os.environ, "PGHOST": "db.example.org"}
    tap.like(tap.outboxctl("", "status", env=environment)[2], local, "refused: a host from PGHOST")


def main():
    postgres = secure.Postgres(secure.Certificates())
    works(postgres)
    failures(postgres)
    comes_back(postgres)
    refused_and_allowed()
    tap.done_testing()


main()
