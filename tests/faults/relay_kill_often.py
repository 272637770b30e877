#!/usr/bin/python3
# deadline: 300
"""kill -9 of the relay at random moments, again and again under load, with an endpoint
of the policy resend and one of the policy park; and then whether the oracle that finds
nothing wrong would find it.

OUTBOX_TEST_KILLS is how often (25); tests/all/relay_kill_100.sh does it 100 times.
"""
import copy
import os
import signal
import time

import ledger
import relay
import restarts
import tap

KILLS = int(os.environ.get("OUTBOX_TEST_KILLS", "25"))
# of a machine on which none of those came amid a send
MORE_KILLS = 50


def kill_often():
    name = f"kill -9 at random moments, {KILLS} times under load"
    case = restarts.Case(name, relay.Outbox(), policy="park")
    phases = {"at work": 0, "taking over": 0}
    kills, amid_send = 0, False
    with case.writing(pause=0.005):
        case.process.wait_running()
        while kills < KILLS or (not amid_send and KILLS >= 20 and kills < KILLS + MORE_KILLS):
            # from the midst of the takeover to well within the running
            time.sleep(case.dice.uniform(0.1, 1.2))
            if kills >= KILLS:
                case.progress(10)
            phases["at work" if case.process.said("state=running") else "taking over"] += 1
            if case.process.kill() != -signal.SIGKILL:
                case.complaints.append("the relay ended by itself")
                case.process.show()
            kills += 1
            amid_send = amid_send or sending(case.outbox)
            case.process = case.outbox.start(**restarts.OPTIONS)
        case.progress()
    tap.diag(f"killed {phases}")
    case.judge(kills=kills)
    sends(case.book)
    return case.book


def sending(outbox):
    """Something that the dead one had claimed must be parked."""
    return outbox.sql("select exists (select from outbox.delivery d join outbox.endpoint p on p.id = d.endpoint"
                      "                where d.state = 'sending' and p.policy = 'park')")[0][0]


def sends(book):
    """How often receivers were sent to, by policy."""
    found = book.collect()
    for endpoint, policy in found["policies"].items():
        requests = found["requests"][endpoint].values()
        states = [row[2] for row in found["deliveries"] if row[0] == endpoint]
        again = sum(r.count - 1 for r in requests)
        tap.diag(f"policy {policy}: {len(states)} deliveries, {states.count('parked')} parked, {len(requests)} sent, "
                 f"{again} sent again, {sum(r.refused for r in requests)} times refused, "
                 f"{sum(r.unanswered for r in requests)} times not answered")
    if KILLS >= 20:
        tap.ok(any(row[2] == "parked" for row in found["deliveries"]), "some deliveries had to be parked")


def check_oracle(book):
    """An oracle that cannot fail says nothing."""
    def complaints(change):
        found = dict(book.collect())
        found["records"] = copy.deepcopy(found["records"])
        found["requests"] = copy.deepcopy(found["requests"])
        found["deliveries"] = list(found["deliveries"])
        change(found)
        return "\n".join(ledger.audit_kafka(found) + ledger.audit_position(found) +
                         ledger.audit_deliveries(found, kills=KILLS))

    def double(found):
        found["records"].append(dict(found["records"][7], offset=10**9))

    def swap(found):
        keyed = [r for r in found["records"] if r["key"] == "key-1" and r["topic"] == book.topic]
        keyed[0]["offset"], keyed[1]["offset"] = keyed[1]["offset"], keyed[0]["offset"]

    def ghost(found):
        found["rolled_back"] = set(found["rolled_back"]) | {next(iter(found["ledger"]))}

    def endpoint_of(policy):
        return next(e for e, p in book.collect()["policies"].items() if p == policy)

    def forget(found):
        requests = found["requests"][endpoint_of("resend")]
        del requests[next(iter(requests))]

    def send_again(found):
        next(iter(found["requests"][endpoint_of("park")].values())).count += 1

    tap.is_(complaints(lambda found: None), "", "the oracle has nothing to say about what it was given")
    tap.like(complaints(lambda found: found["records"].pop(5)), "lost on the way to Kafka, 1: ",
             "the oracle sees a hidden record")
    tap.like(complaints(double), "doubled in Kafka, 1: ", "the oracle sees a doubled record")
    tap.like(complaints(swap), "order: ", "the oracle sees two records of a key in the wrong order")
    tap.like(complaints(ghost), "rolled back, yet in Kafka, 1: ",
             "the oracle sees a record of a rolled-back transaction")
    tap.like(complaints(lambda found: found.update(published=1)), "the lane counts 1 published",
             "the oracle sees a wrong count")
    tap.like(complaints(lambda found: found["deliveries"].pop()), "deliveries of",
             "the oracle sees a missing delivery")
    tap.like(complaints(forget), "effects lack 1: ", "the oracle sees a missing effect of a webhook")
    tap.like(complaints(send_again), "under the policy park", "the oracle sees a second send under the policy park")


check_oracle(kill_often())
tap.done_testing()
