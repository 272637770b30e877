#!/usr/bin/python3
# deadline: 300
# waits
"""/metrics, /healthz and /readyz of a relay: what they say in good times and in bad."""
import base64
import re
import socket
import time

import admin
import ledger
import relay
import tap

OPTIONS = {"admin_listen": admin.LISTEN, "webhook_allow": "127.0.0.0/8"}


def names_in(*paths):
    """The metrics that the sources name."""
    found = set()
    for path in paths:
        with open(f"{tap.SRC}/{path}", encoding="utf-8") as f:
            found.update(re.findall(r'"((?:outbox|process)_[a-z_]+)"', f.read()))
    return found


# ---- the server ----

def protocol(pages):
    """It speaks HTTP, and does nothing that it was not asked for."""
    status, headers, text = pages.get("/metrics")
    tap.is_((status, headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"),
            "http: /metrics has the type that scrapers ask for")
    head = pages.get("/healthz", "HEAD")
    tap.is_((head[0], head[2]), (200, ""), "http: HEAD has no body")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = pages.get("/metrics", method, "x" * 100000 if method == "POST" else None)
        tap.is_((answer[0], answer[1]["allow"]), (405, "GET, HEAD"), f"http: {method} is refused")
    status, _, text = pages.get("/")
    tap.ok(status == 404 and "/metrics" in text and "/healthz" in text, "http: another path names those there are")
    tap.is_(pages.get("/metrics/../../etc/passwd")[0], 404, "http: a path is not a file")
    tap.is_(pages.get("/healthz?verbose=1")[0], 200, "http: a query is no matter")


def hostile(pages):
    """Clients that never finish cost nothing but their own connections."""
    idle = [socket.create_connection(("127.0.0.1", pages.port)) for _ in range(12)]
    for client in idle:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ")
    tap.is_(pages.get("/readyz")[0], 200, "http: others are served beside clients that hang")
    flood = b"GET /metrics HTTP/1.1\r\n" + b"X-A: " + b"a" * 100000 + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", pages.port)) as client:
        client.settimeout(20)
        try:
            client.sendall(flood)
            answer = client.recv(100)
        except OSError:
            answer = b""
    tap.ok(answer == b"" or re.match(rb"HTTP/1.1 4\d\d", answer), "http: headers without end are refused")
    for client in idle:
        client.close()
    tap.is_(pages.get("/readyz")[0], 200, "http: and it goes on")


# ---- metrics ----

def metrics(outbox, pages, receiver):
    topic = outbox.create_topic("metrics")
    failing = ledger.Receiver(refuse=10**6)
    outbox.sql("select outbox.endpoint_add(%s, %s, p_types => '{good}')", (receiver.url, receiver.secret))
    outbox.sql("select outbox.endpoint_add(%s, %s, p_types => '{bad}')", (failing.url, failing.secret))
    before = pages.metrics()
    tap.is_(set(before.families) - names_in("src/runtime/metrics.h", "src/admin/exposition.c"), set(),
            "metrics: none that the table does not have")
    tap.is_(names_in("src/runtime/metrics.h", "src/admin/exposition.c") - set(before.families), set(),
            "metrics: all that it has")
    for n in range(20):
        outbox.emit(type="good" if n % 4 == 0 else "quiet", topic=topic, key="k", payload=str(n))
    outbox.emit(type="bad", topic=topic, key="k", payload="{}")
    outbox.wait_delivered(5)
    page = pages.wait_metric(lambda p: p.value("outbox_deliveries", state="later") == 1
                             and p.value("outbox_lag_events", lane="0") == 0
                             and p.value("outbox_delivery_results_total", state="failed") >= 1
                             and p.value("outbox_webhook_requests_in_flight") == 0)

    def grown(name, **labels):
        return page.value(name, **labels) - before.value(name, **labels)

    tap.is_(grown("outbox_events_published_total"), 21, "metrics: events published")
    transactions = grown("outbox_transactions_total")
    tap.ok(1 <= transactions <= 30, f"metrics: in {transactions:.0f} transactions")
    tap.is_((grown("outbox_transaction_events_sum"), grown("outbox_transaction_events_count")), (21, transactions),
            "metrics: of so many events")
    tap.is_((grown("outbox_transaction_seconds_count"), grown("outbox_commit_seconds_count")),
            (transactions, transactions), "metrics: each was timed, and its commit")
    tap.ok(0 < grown("outbox_commit_seconds_sum") <= grown("outbox_transaction_seconds_sum"),
           "metrics: a commit is a part of its transaction")
    tap.is_(grown("outbox_event_latency_seconds_count"), 21, "metrics: the latency of each event")
    tap.ok(0 < grown("outbox_event_latency_seconds_sum") < 21 * 30, "metrics: which is plausible")
    tap.ok(grown("outbox_ticks_total") >= 1, "metrics: ticks")
    tap.is_(grown("outbox_delivery_results_total", state="delivered"), 5, "metrics: deliveries that arrived")
    tap.is_(grown("outbox_webhook_requests_total", status="2xx"), 5, "metrics: with 2xx")
    tap.ok(grown("outbox_webhook_requests_total", status="5xx") >= 1, "metrics: one that was refused")
    tap.ok(grown("outbox_webhook_request_seconds_count") >= 6, "metrics: requests are timed")
    tap.is_({state: page.value("outbox_deliveries", state=state) for state in ("due", "later", "dead", "parked")},
            {"due": 0, "later": 1, "dead": 0, "parked": 0}, "metrics: deliveries that wait")
    tap.is_(page.value("outbox_webhook_requests_in_flight"), 0, "metrics: nothing in flight")
    state = {dict(labels)["state"]: value for labels, value in page.series("outbox_lane_state").items()}
    tap.is_((state["running"], sum(state.values()), len(state)), (1, 1, 16), "metrics: the lane's state is one of all")
    tap.is_(page.value("outbox_lane_epoch", lane="0"), outbox.lease()["epoch"], "metrics: the lease's epoch")
    # none is lost, unless the machine is too busy for a while
    tap.is_(page.value("outbox_takeovers_total") - page.value("outbox_leases_lost_total"), 1,
            "metrics: one takeover, and one for each lease that was lost")
    tap.is_((page.value("outbox_lag_seconds", lane="0"), page.value("outbox_lane_halted", lane="0")), (0, 0),
            "metrics: no lag, no halt")
    tap.is_(page.value("outbox_partitions_ahead"), 2, "metrics: partitions")
    tap.ok(page.value("outbox_sample_age_seconds") < 30, "metrics: the database was looked at lately")
    tap.ok(all(page.value("outbox_database_connections_total", part=part) >= 1
               for part in ("lane", "lease", "ticker", "webhooks", "watch", "maintenance")), "metrics: each part's connection")
    tap.ok(page.value("outbox_log_lines_total", level="info") >= 3, "metrics: log lines")
    tap.ok(page.value("process_resident_memory_bytes") > 1 << 20 and page.value("process_open_fds") > 10
           and abs(page.value("process_start_time_seconds") - time.time()) < 600
           and page.value("process_cpu_seconds_total") > 0, "metrics: the process")


def lag(outbox, pages):
    """Events that cannot be published are counted, whatever holds them up."""
    outbox.sql("insert into outbox.route (pattern, topic) values ('lag', %s)", (outbox.create_topic("lag"),))
    blocker = tap.connect(outbox.dsn, autocommit=False)
    with blocker.cursor() as cursor:
        cursor.execute("lock table outbox.tick in exclusive mode")
    outbox.sql("select outbox.emit(type => 'lag', payload => to_jsonb(g)) from generate_series(1, 3000) g")
    page = pages.wait_metric(lambda p: (p.value("outbox_lag_events", lane="0") or 0) >= 3000
                             and p.value("outbox_lag_seconds", lane="0") > 0)
    tap.ok(3000 <= page.value("outbox_lag_events", lane="0") < 3100,
           f"lag: {page.value('outbox_lag_events', lane='0'):.0f} events are not published")
    tap.ok(0 < page.value("outbox_lag_seconds", lane="0") < 60, "lag: for so long")
    found = pages.wait_health(503, "stalled:")
    tap.ok(found[0] == 503 and "stalled: " in found[1], "health: a backlog without progress is not well")
    blocker.rollback()
    blocker.close()
    tap.is_(pages.wait_health(200, "running"), (200, "ok: running\n"), "health: progress is")


# ---- health ----

def partitions(outbox, pages):
    tap.is_(pages.wait_health(200, "running"), (200, "ok: running\n"), "health: well")
    outbox.sql("update outbox.event_partition set state = 'detached' where n = 2")
    found = pages.wait_health(503, "partitions: 1 ahead")
    tap.ok(found[0] == 503, "health: one partition ahead is too few")
    outbox.sql("update outbox.event_partition set state = 'attached' where n = 2")
    tap.is_(pages.wait_health(200, "running"), (200, "ok: running\n"), "health: two are enough")


def standby(outbox):
    second = outbox.start("second", **OPTIONS)
    pages = admin.Pages(second)
    tap.is_(pages.wait_health(200, "standing by"), (200, "ok: standing by\n"), "health: one that stands by is well")
    tap.is_(pages.get("/readyz")[::2], (200, "ready: standing by\n"), "ready: and ready")
    tap.is_(second.stop(), 0, "and stops")


def kafka_down(outbox):
    """A relay whose Kafka does not answer."""
    process = outbox.start("down", **OPTIONS, lease="1s", transaction_timeout="1s",
                           **{"kafka.bootstrap.servers": "127.0.0.1:1"})
    pages = admin.Pages(process)
    status, _, text = pages.get("/readyz")
    tap.ok(status == 503 and text.startswith("not ready: "), "ready: not before the first takeover")
    pages.wait_health(503, "neither running")
    found = pages.wait_health(503, "kafka: ")
    tap.ok(found[0] == 503 and re.search("^kafka: nothing has succeeded for", found[1], re.M)
           and re.search("^lane: .*neither running", found[1], re.M), "health: no Kafka")
    page = pages.metrics()
    tap.ok(sum(page.series("outbox_kafka_failures_total").values()) >= 1, "metrics: failures in Kafka")
    tap.ok(page.value("outbox_kafka_errors_total") >= 1, "metrics: librdkafka's errors")
    tap.ok(page.value("outbox_log_lines_total", level="warning") >= 1, "metrics: warnings")
    process.stop()


def postgres_down():
    process = relay.Relay({**relay.SHORT, **OPTIONS, "lease": "1s", "transaction_timeout": "1s", "name": "nobody",
                           "dsn": "host=127.0.0.1 port=1", "kafka.bootstrap.servers": tap.KAFKA})
    pages = admin.Pages(process)
    found = pages.wait_health(503, "postgresql: not reachable")
    tap.ok(found[0] == 503, "health: no PostgreSQL")
    page = pages.metrics()
    tap.ok(page.value("outbox_lag_events", lane="0") is None and page.value("outbox_sample_age_seconds") is None,
           "metrics: what is not known is not shown")
    tap.ok(page.value("outbox_database_failures_total", part="watch") >= 1, "metrics: failures of PostgreSQL")
    process.stop()


def taken_address(outbox):
    """An address in use costs the pages, not the publishing, until it is free."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        process = outbox.start("main", admin_listen=address)
        tap.ok(process.wait_running(), "address: one that is taken does not keep the relay from its work")
        tap.ok(process.wait_said(rf"level=warning event=admin_unavailable address={address}"), "address: it says so")
    pages = admin.Pages(process)
    tap.is_(pages.get("/readyz")[0], 200, "address: and is there when it is free")
    tap.ok(len(re.findall("event=admin_unavailable", process.log())) == 1, "address: having said so once")
    process.stop()


def addresses(outbox):
    status, output, errors = tap.run([relay.RELAY, *(f"--{n}={v}" for n, v in outbox.options().items()),
                                      "--admin_listen=localhost:80", "--check"])
    tap.ok(status == 2 and "admin_listen" in errors and "numeric" in errors, "address: a name is refused, with why")
    process = outbox.start("main", admin_listen="0.0.0.0:0")
    tap.ok(process.wait_said("level=warning event=admin_exposed"), "address: one that others reach is warned of")
    process.stop()


def main():
    outbox = relay.Outbox()
    receiver = ledger.Receiver(refuse=0)
    process = outbox.start("main", **OPTIONS, lease="5s", transaction_timeout="2s")
    pages = admin.Pages(process)
    tap.is_(pages.wait_health(200, "running"), (200, "ok: running\n"), "health: an owner is well")
    tap.is_(pages.get("/readyz")[::2], (200, "ready: running\n"), "ready: and ready")
    protocol(pages)
    hostile(pages)
    metrics(outbox, pages, receiver)
    partitions(outbox, pages)
    standby(outbox)
    lag(outbox, pages)
    log = process.log()
    tap.is_(process.stop(), 0, "it stops")
    tap.ok(receiver.secret.hex() not in log and base64.b64encode(receiver.secret).decode() not in log, "nothing secret was logged")
    taken_address(outbox)
    addresses(outbox)
    kafka_down(outbox)
    postgres_down()
    tap.done_testing()


main()
