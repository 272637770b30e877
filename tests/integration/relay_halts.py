#!/usr/bin/python3
# deadline: 400
"""When the position cannot be proven, the relay publishes nothing, sends nothing,
and says why: each named halt, by what causes it in life where that can be had."""
import subprocess

import ledger
import relay
import tap

CODES = {"marker_missing": 3, "marker_foreign": 4, "marker_behind": 5, "marker_ahead": 6, "marker_conflict": 7,
         "wrong_server": 8}
OPTIONS = {"webhook_allow": "127.0.0.0/8", "fallback_poll": "200ms"}


class Subject:
    """An outbox that has published some events, one more that it has not, a
    delivery that is still to be sent, and no relay just now."""

    def __init__(self, prefix=None):
        self.outbox = relay.Outbox(prefix=prefix)
        self.topic = self.outbox.create_topic(tap.unique("halts"), 1)
        self.run_a_while(3)
        # nobody has sent this one yet
        self.receiver = ledger.Receiver(refuse=0)
        self.outbox.sql("select outbox.endpoint_add(%s, %s)", (self.receiver.url, self.receiver.secret))
        self.outbox.emit(type="t", key="k", topic=self.topic, payload='"delivery"')
        process = self.outbox.start(webhooks="no")
        self.outbox.wait_published(4)
        assert process.stop() == 0
        assert self.deliveries() == [("pending", 1)]
        self.outbox.emit(type="t", key="k", topic=self.topic, payload='"waiting"')

    def deliveries(self):
        return self.outbox.sql("select state, count(*) from outbox.delivery group by 1 order by 1")

    def run_a_while(self, events):
        """Publishes that many, as a relay does in good times."""
        before = self.outbox.published()
        for n in range(events):
            self.outbox.emit(type="t", key="k", topic=self.topic, payload=str(n))
        process = self.outbox.start(**OPTIONS)
        assert self.outbox.wait_published(before + events), process.log()
        assert process.stop() == 0, process.log()

    def halts(self, state, name, **options):
        """A relay on it must halt so, and leave everything as it was."""
        before = self.outbox.records(self.topic)
        process = self.outbox.start("halting", **{**OPTIONS, **options})
        if not tap.is_(process.wait(), CODES[state], f"{name}: exit code {CODES[state]}"):
            process.show()
        tap.ok(process.said(f"level=error event=halted lane=0 state={state} reason="), f"{name}: the log says {state}")
        self.stays(state, name, before)
        again = self.outbox.start("another", **{**OPTIONS, **options})
        tap.is_(again.wait(), CODES[state], f"{name}: and another relay halts too")
        self.stays(state, f"{name}, another", before)

    def stays(self, state, name, before):
        lane = self.outbox.lane()
        tap.is_(lane["halted"], state, f"{name}: the lane is marked so")
        tap.ok(lane["halted_detail"], f"{name}: with an explanation")
        tap.is_(self.outbox.records(self.topic), before, f"{name}: nothing is published")
        tap.is_((self.receiver.taken(), self.deliveries()), ({}, [("pending", 1)]), f"{name}: no webhook is sent")
        tap.is_(self.outbox.lease()["holder"], None, f"{name}: the lease is given back")

    def recovers(self, name, payloads):
        """The control: without the cause it goes on where it was."""
        process = self.outbox.start(**OPTIONS)
        self.outbox.wait_published(self.outbox.sql("select count(*) from outbox.event")[0][0])
        self.outbox.wait_delivered(2)
        if not tap.is_([r["payload"] for r in self.outbox.records(self.topic)], payloads,
                       f"{name}: without the cause all is published, each once"):
            process.show()
        tap.is_(self.deliveries(), [("delivered", 2)], f"{name}: and delivered")
        tap.is_(self.outbox.lane()["halted"], None, f"{name}: the lane is no longer marked")
        process.stop()


ALL = ["0", "1", "2", '"delivery"', '"waiting"']


def kafka_topics(*arguments):
    subprocess.run([tap.SRC + "/dev/kafka", "tool", "topics", "--bootstrap-server", tap.KAFKA, *arguments], check=True,
                   stdout=subprocess.DEVNULL, timeout=60)


def delete_progress(outbox):
    kafka_topics("--delete", "--topic", f"{outbox.prefix}.progress")
    tap.wait_until(lambda: relay.partitions(f"{outbox.prefix}.progress") == 0)


def marker_missing():
    subject = Subject()
    delete_progress(subject.outbox)
    subject.halts("marker_missing", "progress topic deleted")

    subject = Subject()
    delete_progress(subject.outbox)
    subject.outbox.create_topic("progress", 1, "cleanup.policy=compact")
    subject.halts("marker_missing", "progress topic deleted and made anew", create_topics="no")


def marker_missing_while_running():
    outbox = relay.Outbox()
    topic = outbox.create_topic("running", 1)
    process = outbox.start(**OPTIONS)
    outbox.emit(type="t", key="k", topic=topic, payload="1")
    outbox.wait_published(1)
    delete_progress(outbox)
    process.kill()
    outbox.emit(type="t", key="k", topic=topic, payload="2")
    process = outbox.start(**OPTIONS)
    tap.is_(process.wait(), 3, "progress topic deleted under a running relay: its successor halts")
    tap.is_([r["payload"] for r in outbox.records(topic)], ["1"],
            "progress topic deleted under a running relay: nothing is published after that")


def marker_foreign():
    first = Subject()
    process = first.outbox.start(lease="60s", **OPTIONS)  # which it must not lose on a busy machine
    process.wait_running()
    second = relay.Outbox(prefix=first.outbox.prefix)
    second.emit(type="t", key="k", topic=first.topic, payload='"second"')
    first.outbox.wait_published(5)
    before = first.outbox.records(first.topic)
    intruder = second.start("intruder", **OPTIONS)
    tap.is_(intruder.wait(), 4, "foreign: a second outbox with the prefix of a first: exit code 4")
    tap.is_(second.lane()["halted"], "marker_foreign", "foreign: the lane is marked so")
    tap.ok(intruder.said("event=halted lane=0 state=marker_foreign"), "foreign: the log says so")
    tap.is_(first.outbox.records(first.topic), before, "foreign: nothing is published")
    goes_on(first, process, "foreign")


def goes_on(subject, process, name):
    """The relay of the original was not disturbed."""
    outbox = subject.outbox
    before = outbox.published()
    epoch = outbox.lane()["epoch"]
    outbox.emit(type="t", key="k", topic=subject.topic, payload='"on"')
    tap.ok(outbox.wait_published(before + 1), f"{name}: the first one goes on")
    tap.is_(subject.outbox.records(subject.topic)[-1]["payload"], '"on"', f"{name}: and publishes")
    tap.is_((process.said("result=fenced"), process.said("event=lease_lost"), outbox.lane()["epoch"]),
            (None, None, epoch), f"{name}: it was not fenced")
    tap.is_(process.stop(), 0, f"{name}: and stops well")


def marker_behind():
    """The database has acknowledged what Kafka does not have."""
    subject = Subject()
    outbox = subject.outbox
    before = outbox.sql("select to_jsonb(l) from outbox.lane l")[0][0]
    connection = tap.connect(outbox.dsn)
    with connection.cursor() as cursor:
        cursor.execute("select id, nonce from outbox.tick()")
        cursor.execute("""
            update outbox.lane l
               set from_tick = l.to_tick, from_nonce = l.to_nonce, to_tick = t.id, to_nonce = t.nonce, done = true,
                   seq = (select max(seq) from outbox.event)
              from (select * from outbox.tick order by id desc limit 1) as t""")
    connection.close()
    subject.halts("marker_behind", "behind")
    restore_position(outbox, before)
    subject.recovers("behind", ALL)


def restore_position(outbox, lane):
    outbox.sql("update outbox.lane set from_tick = %(from_tick)s, from_nonce = %(from_nonce)s, to_tick = %(to_tick)s,"
               " to_nonce = %(to_nonce)s, seq = %(seq)s, done = %(done)s", lane)


def marker_conflict():
    """The same tick, but not the same."""
    subject = Subject()
    before = subject.outbox.sql("select to_jsonb(l) from outbox.lane l")[0][0]
    subject.outbox.sql("update outbox.lane set to_nonce = gen_random_uuid()")
    subject.halts("marker_conflict", "conflict")
    restore_position(subject.outbox, before)
    subject.recovers("conflict", ALL)


def marker_ahead():
    """A database that is an earlier state of another, while that one goes on."""
    subject = Subject()
    name = tap.unique("copy")
    tap.sql(tap.DSN, f"create database {name} template {database_of(subject.outbox)}")
    tap.at_exit(tap.sql, tap.DSN, f"drop database if exists {name} with (force)")
    process = subject.outbox.start(webhooks="no", lease="60s", **{n: v for n, v in OPTIONS.items() if n != "webhooks"})
    subject.outbox.wait_published(5)
    # the copy knows nothing of those
    for n in range(3):
        subject.outbox.emit(type="t", key="k", topic=subject.topic, payload=str(10 + n))
    subject.outbox.wait_published(8)

    copy = Subject.__new__(Subject)
    copy.outbox = relay.Outbox(dsn=f"{tap.DSN} dbname={name}", prefix=subject.outbox.prefix)
    copy.topic, copy.receiver = subject.topic, subject.receiver
    # else it would halt before it looks: another database
    copy.outbox.sql("update outbox.meta set database = (select oid from pg_database where datname = current_database())")
    copy.halts("marker_ahead", "restored copy")
    goes_on(subject, process, "restored copy")


def copied(outbox):
    """A database that is this one as of now, and believes to be in its place."""
    name = tap.unique("copy")
    tap.sql(tap.DSN, f"create database {name} template {database_of(outbox)}")
    tap.at_exit(tap.sql, tap.DSN, f"drop database if exists {name} with (force)")
    copy = relay.Outbox(dsn=f"{tap.DSN} dbname={name}", prefix=outbox.prefix)
    copy.sql("update outbox.meta set database = (select oid from pg_database where datname = current_database())")
    return copy


def producer_epoch(transactional_id):
    told = subprocess.run([tap.SRC + "/dev/kafka", "tool", "transactions", "--bootstrap-server", tap.KAFKA, "describe",
                           "--transactional-id", transactional_id], check=True, stdout=subprocess.PIPE, text=True,
                          timeout=60).stdout.splitlines()
    row = dict(zip(told[0].split(), told[1].split()))
    return int(row["ProducerId"]), int(row["ProducerEpoch"])


def before_a_change_of_the_map():
    """The lanes of this database's map have published nothing that it does not know; those of the next have."""
    outbox = relay.Outbox()
    topic = outbox.create_topic("maps", 1)
    process = outbox.start(**OPTIONS)
    outbox.emit(type="t", key="k", topic=topic, payload="1")
    outbox.wait_published(1)
    assert process.stop() == 0
    outbox.sql("delete from outbox.tick where id > (select to_tick from outbox.lane)")
    copy = copied(outbox)
    assert outbox.sql("select outbox.lane_set(2)") == [(2,)]
    process = outbox.start(**OPTIONS)
    outbox.emit(type="t", key="k", topic=topic, payload="2")
    outbox.wait_published(2)
    assert process.stop() == 0
    before = outbox.records(topic)
    copy.emit(type="t", key="k", topic=topic, payload="3")
    halting = copy.start("halting", **OPTIONS)
    if not tap.is_(halting.wait(), 6, "before a change of the map: exit code 6"):
        halting.show()
    tap.is_((copy.lane()["halted"], outbox.records(topic)), ("marker_ahead", before),
            "before a change of the map: the lane is marked so, and nothing is published")
    kafka = ("--kafka", tap.KAFKA, "--topic-prefix", outbox.prefix)
    status, output, _ = tap.outboxctl(copy.dsn, "enable", *kafka, "--yes", "--reason", "test")
    tap.is_((status != 0, "marker_ahead" in output), (True, True), "before a change of the map: enable refuses")
    incarnation = outbox.sql("select incarnation::text from outbox.meta")[0][0]
    transactional = f"{outbox.prefix}.{incarnation}.2.1"
    epoch = producer_epoch(transactional)
    status, output, errors = tap.outboxctl(copy.dsn, "rebase", *kafka, "--republish", "--yes", "--reason", "test")
    if not tap.is_(status, 0, "before a change of the map: rebase"):
        tap.diag(output, errors)
    tap.ok(producer_epoch(transactional) > epoch, "before a change of the map: rebase fences the lanes of the next one")
    process = copy.start(**OPTIONS)
    tap.ok(tap.wait_until(lambda: len(copy.records(topic)) == 3), "before a change of the map: then it publishes")
    process.stop()


def database_of(outbox):
    return outbox.sql("select current_database()")[0][0]


def wrong_server():
    subject = Subject()
    subject.outbox.sql("update outbox.meta set system_identifier = system_identifier + 1")
    subject.halts("wrong_server", "wrong server")
    subject.outbox.sql("update outbox.meta set system_identifier = system_identifier - 1")
    subject.recovers("wrong server", ALL)


def main():
    wrong_server()
    marker_behind()
    marker_conflict()
    marker_ahead()
    before_a_change_of_the_map()
    marker_foreign()
    marker_missing()
    marker_missing_while_running()
    tap.done_testing()


main()
