#!/usr/bin/python3
"""Webhooks over TLS with a private CA: one is delivered, and each thing that is wrong has
its own message, in the delivery and in outboxctl endpoint test.
"""
import concurrent.futures

import ledger
import relay
import secure
import tap


def add(outbox, url, secret):
    return outbox.sql("select outbox.endpoint_add(%s, %s, p_types => '{paid}')::text", (url, secret))[0][0]


def main():
    made = secure.Certificates()
    good, expired, plain = secure.Receiver(made.server), secure.Receiver(made.expired), ledger.Receiver(refuse=0)
    foreign = secure.Receiver(made.other.issue("foreign"))
    outbox = relay.Outbox()
    outbox.sql("insert into outbox.route (pattern, topic) values ('paid', null)")
    hook = add(outbox, good.url, good.secret)
    cases = {
        "wrong CA": (foreign.url, "its certificate is of no CA that is trusted here: see webhook_ca_file"),
        "wrong host name": (good.url.replace("localhost", "127.0.0.1"), "its certificate is for another host name"),
        "expired certificate": (expired.url, "the receiver must renew its certificate"),
        "TLS to a plaintext port": (plain.url.replace("http:", "https:"), "there is no TLS at that port"),
        "plaintext to a TLS port": (good.url.replace("https:", "http:"), "must begin with https://"),
    }
    endpoints = {name: add(outbox, url, good.secret) for name, (url, _) in cases.items()}
    running = outbox.start(webhook_allow="127.0.0.0/8", webhook_ca_file=made.ca.certificate)
    event = outbox.emit(type="paid", key="k", payload="{}")
    tap.ok(outbox.wait_delivered(1), "delivered to a receiver with a certificate of webhook_ca_file")
    tap.is_(list(good.taken()), [event], "to that one, once")

    def test(endpoint, *more):
        status, output, errors = tap.outboxctl(outbox.dsn, "endpoint", "test", endpoint, "--allow", "127.0.0.0/8", *more)
        return status, output + errors

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        probes = {name: pool.submit(test, endpoint, "--ca-file", made.ca.certificate)
                  for name, endpoint in endpoints.items()}
        right = pool.submit(test, hook, "--ca-file", made.ca.certificate)
        system = pool.submit(test, hook)
    for name, (_, message) in cases.items():
        error = "select last_error from outbox.delivery where endpoint = %s and last_error is not null"
        tap.wait_until(lambda: outbox.sql(error, (endpoints[name],)))
        tap.like(str(outbox.sql(error, (endpoints[name],))), message, f"{name}: the delivery says so")
        status, text = probes[name].result()
        tap.ok(status == 1 and message in text, f"{name}: outboxctl endpoint test says so") or tap.diag(text)
    tap.is_(right.result()[0], 0, "outboxctl endpoint test --ca-file: delivered")
    tap.like(system.result()[1], "is of no CA that is trusted here", "without --ca-file: not trusted")
    tap.is_(len(expired.taken()) + len(foreign.taken()), 0, "nothing was sent to a receiver that is not believed")
    running.stop()
    status, output, errors = tap.run([relay.RELAY, "--check", *(f"--{n}={v}" for n, v in outbox.options(
        webhook_ca_file="/nowhere/ca.crt").items())])
    tap.like(output + errors, "webhook_ca_file.*/nowhere/ca.crt", "--check: a webhook_ca_file that is not there")
    tap.is_(status, 1, "--check: exits with 1")
    tap.done_testing()


main()
