#!/usr/bin/python3
# deadline: 300
"""The example analytics: an unusual count raises one alert, and a usual one none, by the events' own time and not
their arrival; the alert reaches a webhook; counts are exact whoever dies; and what is learned from the features is
what was put there.  All events are from a seed: the oracle computes the same in Python."""
import base64
import json
import math
import os
import random
import re
import statistics
import subprocess

import examples
import relay
import tap

START = 1_700_000_000  # of the events, in seconds; a bucket is a second
BUCKETS = 100
MEAN = 40
WINDOW = 60
THRESHOLD = 6
SPIKE = 70
TRAIN = os.path.join(tap.SRC, "examples", "analytics", "train.py")
RECEIVER = os.path.join(tap.BUILD, "examples", "webhook-receiver", "receiver")
# Nothing is ever taken for idle: how fast all is makes no difference.
PATIENT = ("--idle-ms", "86400000", "--topic", "clicks")


def usual_counts(rng):
    """Sums of many small chances vary as real counts do."""
    return [sum(rng.random() < 0.5 for _ in range(2 * MEAN)) for _ in range(BUCKETS)]


def oracle(counts):
    """The alerts that these counts should give: (bucket, count, median, z)."""
    alerts, last = [], None
    for i, count in enumerate(counts):
        before = counts[max(0, i - WINDOW):i]
        if len(before) < 10:
            continue
        median = statistics.median(before)
        mad = statistics.median(abs(x - median) for x in before)
        z = (count - median) / max(1.4826 * mad, math.sqrt(median), 1)
        if abs(z) >= THRESHOLD:
            if last != i - 1:
                alerts.append((i, count, median, round(z, 4)))
            last = i
    return alerts


def records(counts, partitions=1, kind="click"):
    """In the order of their times, in a partition; the seconds of each have many."""
    made = []
    for i, count in enumerate(counts):
        for n in range(count):
            made.append({"key": str(n), "payload": "{}", "headers": {"outbox-type": kind}, "partition": n % partitions,
                         "timestamp": (START + i) * 1000 + n * 1000 // count})
    # The end of it, in each partition: an event that is later by just as much as may be missing.
    made += [{"payload": "{}", "headers": {"outbox-type": "end"}, "partition": p,
              "timestamp": (START + len(counts) + 2) * 1000} for p in range(partitions)]
    return made


def make_site(partitions=1):
    site = examples.Example("analytics", ("clicks", "order_placed", "alert_raised"), partitions)
    site.run("setup")
    site.run("setup")
    return site


def alerts(site):
    return [(at - START, n, median, round(z, 4)) for at, n, median, z in site.sql(
        "select extract(epoch from at)::int, n, median, z from analytics.alert order by id")]


def judged(site, count=BUCKETS):
    """Until all of these buckets are closed."""
    return tap.wait_until(lambda: site.sql("select closed_to >= to_timestamp(%s) from analytics.settings",
                                           (START + count,))[0][0], 60)


def bucket_counts(site, kind="click"):
    return dict(site.sql("select extract(epoch from at)::int, sum(n)::int from analytics.count where type = %s"
                         " group by 1", (kind,)))


def planted():
    """A spike that goes on for three seconds, and later a second without events."""
    rng = random.Random(11)
    counts = usual_counts(rng)
    counts[SPIKE:SPIKE + 3] = [200, 150, 180]
    counts[85] = 0
    wanted = oracle(counts)
    tap.is_([(i, n) for i, n, _, _ in wanted], [(SPIKE, 200), (85, 0)], "planted: the oracle sees a spike and a gap")
    site = make_site()
    process = site.start(*PATIENT, "run")
    site.fill_records("clicks", records(counts))
    tap.ok(judged(site), "planted: all buckets are judged")
    tap.is_(alerts(site), wanted, "planted: and two alerts raised, with the oracle's median and z")
    told = site.emitted("alert_raised")
    tap.is_([(e["type"], e["count"]) for e in told], [("click", 200), ("click", 0)], "planted: each emitted once")
    tap.is_(site.sql("select extract(epoch from until - at)::int from analytics.alert order by id"), [(2,), (0,)],
            "planted: the spike is one alert, of three seconds")
    tap.is_(process.stop(), 0, "planted: it ends in order")
    again = site.start(*PATIENT, "run")
    site.fill_records("clicks", [{"payload": "{}", "timestamp": (START + BUCKETS + 30) * 1000}])
    site.wait_handled()
    tap.ok(judged(site, BUCKETS + 28), "planted: another instance goes on")
    tap.is_(alerts(site), oracle(counts + [0] * 28), "planted: it raises nothing again, but one for the silence now")
    again.stop()
    return site, told[0]


def none():
    counts = usual_counts(random.Random(12))
    tap.is_(oracle(counts), [], "none: the oracle sees nothing unusual")
    site = make_site()
    process = site.start(*PATIENT, "run")
    site.fill_records("clicks", records(counts))
    tap.ok(judged(site), "none: all buckets are judged")
    tap.is_((alerts(site), site.emitted("alert_raised")), ([], []), "none: no alert")
    tap.like(site.run("report"), rf"(?m)^click: {sum(counts[43:])} events in 60 buckets of 1.000 s$",
             "none: the counts of the window")
    process.stop()


def shuffled():
    """The same from four partitions, to two instances, one of which is killed: partitions are ahead of one another
    by as much as it comes, and arrival says nothing."""
    counts = usual_counts(random.Random(13))
    counts[SPIKE] = 220
    site = make_site(4)
    first = site.start(*PATIENT, "run")
    tap.ok(tap.wait_until(lambda: len(site.sql("select partition from outbox.consumer_position")) == 4, 60),
           "shuffled: an instance has all partitions")
    second = site.start(*PATIENT, "run")
    everything = records(counts, 4)
    for part in (3, 1, 0, 2):
        site.fill_records("clicks", [r for r in everything if r["partition"] == part])
        if part == 1:
            tap.wait_until(lambda: len(bucket_counts(site)) > 10, 60)
            first.kill()
    tap.ok(site.wait_handled("clicks"), "shuffled: all is handled, with one instance of two killed")
    tap.is_(bucket_counts(site), {START + i: n for i, n in enumerate(counts)}, "shuffled: each event counted once")
    tap.ok(judged(site), "shuffled: all buckets are judged")
    tap.is_(alerts(site), oracle(counts), "shuffled: the alert of the complete counts, and no other")
    tap.is_(len(site.emitted("alert_raised")), 1, "shuffled: emitted once")
    second.stop()


def webhook(site, told):
    """From the alert to the receiver: relay, dispatch, signature, inbox."""
    inbox = tap.create_database(migrate=False)
    secret = "whsec_" + base64.b64encode(b"s" * 32).decode()
    environment = dict(os.environ, WEBHOOK_SECRET=secret)
    tap.run([RECEIVER, "--dsn", inbox, "--setup"], env=environment)
    receiver = tap.spawn([RECEIVER, "--dsn", inbox, "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment)
    port = re.search(r":(\d+)$", receiver.stdout.readline()).group(1)
    status, _, errors = tap.outboxctl(site.dsn, "endpoint", "add", f"http://127.0.0.1:{port}/webhook/alert_raised",
                                      "--name", "alerts", "--types", "alert_raised", "--secret-file", "/dev/stdin",
                                      input=secret + "\n")
    if status:
        tap.bail(errors)
    outbox = relay.Outbox(site.dsn, site.prefix)
    running = outbox.start(webhook_allow="127.0.0.0/8")
    received = "select content->>'type', (content->>'count')::int, (content->>'z')::float from webhook_effect" \
               " order by 2 desc, 3"
    got = tap.wait_until(lambda: len(rows := tap.sql(inbox, received)) >= 3 and rows, 60)
    tap.is_(got and (len(got), got[0]), (3, ("click", 200, told["z"])), "webhook: the receiver has the alerts")
    tap.is_([json.loads(r["payload"])["count"] for r in outbox.records(site.topic("alert_raised"))], [200, 0, 0],
            "webhook: and so has the topic")
    if not got:
        running.show()
    running.stop()


def orders(rng, count):
    """Big orders are followed by another within hours, small ones after days: that is to be found."""
    now = [START + rng.random() * 86400 for _ in range(40)]
    made = []
    for number in range(count):
        user = min(range(40), key=lambda u: now[u])
        amount = round(rng.random() * 100, 2)
        made.append((now[user], number, user, amount))
        comes_back_soon = rng.random() < (0.9 if amount > 50 else 0.1)
        now[user] += 3600 * (rng.uniform(1, 20) if comes_back_soon else rng.uniform(30, 200))
    return made


def features():
    made = orders(random.Random(14), 900)
    site = make_site()
    process = site.start("--topic", "order_placed", "run")
    site.fill_records("order_placed", [
        {"key": str(u), "payload": json.dumps({"order_id": n, "user_id": u, "item": "x'; --", "amount": a}),
         "headers": {"outbox-type": "order_placed"}, "timestamp": int(at * 1000)} for at, n, u, a in made])
    site.fill("order_placed", {"order_id": "none"}, {"order_id": 9001, "user_id": 1, "amount": "NaN"},
              {"order_id": 9002, "user_id": 1, "amount": "Infinity"}, {"order_id": 9003, "user_id": 1, "amount": -99},
              at=START * 1_000_000)
    tap.ok(site.wait_handled(), "features: all orders are handled")
    tap.is_(site.dead(), 4, "features: what is none is a dead letter")
    wanted, last = {}, {}
    for at, number, user, amount in made:
        count, spent, before = last.get(user, (0, 0, None))
        wanted[number] = (user, count, round(spent, 2), before is None)
        last[user] = (count + 1, spent + amount, at)
    got = {row[0]: (row[1], row[2], float(row[3]), row[4]) for row in site.sql(
        "select order_id, user_id, orders_before, spent_before, seconds_since_last is null from analytics.feature")}
    tap.no_complaints([f"order {n}: {got.get(n)}, not {w}" for n, w in wanted.items() if got.get(n) != w],
                      "features: of each order what was known when it was placed")
    process.stop()
    train(site)


def train(site):
    def call(*arguments):
        status, output, errors = tap.run([TRAIN, *arguments], env=dict(os.environ, OUTBOX_DSN=site.dsn))
        return json.loads(output) if status == 0 else errors
    model = call()
    tap.diag(json.dumps(model))
    tap.ok(model["auc"] > 0.8 and model["log_loss"] < 0.8 * model["log_loss_without_model"],
           "train: on orders that it has not seen, the model is better than none")
    weights = model["weights"]
    tap.is_(max(weights, key=lambda name: abs(weights[name])), "amount", "train: it has found what was put there")
    shuffled_model = call("--shuffle-labels")
    tap.ok(0.4 < shuffled_model["auc"] < 0.6 and
           shuffled_model["log_loss"] > 0.98 * shuffled_model["log_loss_without_model"],
           "train: and where there is nothing to be found, nothing")
    tap.is_(site.sql("select count(*)::int, min(model->>'auc')::float from analytics.model"), [(1, model["auc"])],
            "train: the model is kept")
    tap.like(call("--horizon-s", "1e9"), "too few to learn from", "train: without a label for any, it says so")


tap.side_by_side([lambda: webhook(*planted()), none, shuffled, features])
tap.done_testing()
