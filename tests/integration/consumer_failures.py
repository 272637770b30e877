#!/usr/bin/python3
# deadline: 300
"""The consumer library: a record that cannot be handled holds nothing up, is told of exactly once, and takes no
other record's place; the policies; and handlers that misbehave."""
import consumers
import relay
import tap

RETRIES = ("--retries", "3,50,200")
POISON = [{"key": "a", "payload": "1"}, {"key": "b", "payload": "2"}, {"key": "a", "payload": "poison 3"},
          {"key": "a", "payload": "4"}, {"key": "b", "payload": "5"}, {"payload": "poison 6"}, {"payload": "7"},
          {"key": "a", "payload": "8"}]


def payloads(site):
    return [row[0] for row in site.sql("select convert_from(payload, 'UTF8') from effect order by off")]


def poison():
    """The key of a dead letter is parked: what comes after it follows, until it is released."""
    site = consumers.Site()
    topic = site.topic(1)
    records = [dict(r, headers={"mine": "kept", "outbox-id": "6a9c2c5e-58a5-4b1c-9d5e-0f1f2b3c4d5e", "bad": "a\nb"})
               if r["payload"] == "poison 3" else r for r in POISON]
    consumers.fill(topic, records=records)
    driver = site.start(topic, *RETRIES)
    tap.ok(tap.wait_until(lambda: site.settled(4, 4), 60), "poison: all records end somewhere")
    tap.is_(payloads(site), ["1", "2", "5", "7"], "poison: others are handled, those of its key are not")
    letters = site.letters()
    tap.is_([letter["payload"] for letter in letters], ["poison 3", "4", "poison 6", "8"],
            "poison: the followers are with it, in order; without a key it has none")
    first = dict(letters[0])
    tap.ok(int(first.pop("dead-letter-timestamp")) > 0, "poison: the letter has the time")
    tap.is_(first, {"key": "a", "payload": "poison 3", "mine": "kept", "dead-letter-consumer": site.name,
                    "dead-letter-topic": topic, "dead-letter-partition": "0", "dead-letter-offset": "2",
                    "dead-letter-attempts": "3", "dead-letter-reason": "this is poison",
                    "dead-letter-id": "6a9c2c5e-58a5-4b1c-9d5e-0f1f2b3c4d5e", "dead-letter-headers-omitted": "1"},
            "poison: it tells reason, attempts and origin, and keeps headers")
    tap.is_(letters[1]["dead-letter-attempts"], "0", "poison: a follower has not been tried")
    tap.is_(site.sql("select convert_from(key, 'UTF8'), first_offset, followers from outbox.consumer_parked_key"),
            [("a", 2, 2)], "poison: the parked key is there to see")
    consumers.stop(driver)
    driver = site.start(topic, *RETRIES)
    consumers.fill(topic, records=[{"key": "a", "payload": "9"}])
    tap.ok(tap.wait_until(lambda: site.dead() == 5), "poison: another instance knows, too")
    site.sql("select outbox.consumer_release_key(%s, %s, 'a', 'mended')", (site.name, topic))
    consumers.fill(topic, records=[{"key": "a", "payload": "10"}])
    tap.ok(tap.wait_until(lambda: site.settled(5, 5)), "released: it is handled again")
    consumers.stop(driver)


REFUSED = """
create function refuse() returns trigger language plpgsql as
$$ begin raise exception 'not with that' using errcode = '22000'; end $$;
create trigger refuse before insert on outbox.event for each row when (octet_length(new.payload) > 100)
    execute function refuse()
"""


def not_taken():
    """What the outbox does not take as it is: the letter tells of it all the same."""
    site = consumers.Site()
    site.sql(REFUSED)
    topic = site.topic(1)
    consumers.fill(topic, records=[{"key": "a", "payload": "poison" + 200 * "x"}, {"key": "a", "payload": 200 * "y"},
                                   {"key": "b", "payload": 200 * "z"}, {"key": "a", "payload": "small"}])
    driver = site.start(topic, *RETRIES)
    tap.ok(tap.wait_until(lambda: site.settled(1, 3), 60), "not taken: all records end somewhere")
    tap.is_([(letter["payload"], letter["dead-letter-offset"], letter.get("dead-letter-omitted"))
             for letter in site.letters()],
            [(None, "0", "payload and headers"), (None, "1", "payload and headers"), ("small", "3", None)],
            "not taken: the letter says what it lacks")
    tap.is_(site.sql("select followers from outbox.consumer_parked_key"), [(2,)],
            "not taken: those that follow are counted")
    consumers.stop(driver)


def go_on():
    site = consumers.Site()
    topic = site.topic(1)
    consumers.fill(topic, records=POISON)
    driver = site.start(topic, *RETRIES, "--continue")
    tap.ok(tap.wait_until(lambda: site.settled(6, 2), 60), "continue: others of the key are handled")
    consumers.stop(driver)


def published():
    """The dead letter reaches its topic by a relay, once."""
    outbox = relay.Outbox()
    site = consumers.Site(outbox.dsn)
    topic = site.topic(1)
    dead = outbox.create_topic("dead", 2)
    consumers.fill(topic, records=POISON[2:3])
    process = outbox.start()
    driver = site.start(topic, *RETRIES, "--dead-letter", dead)
    tap.ok(outbox.wait_published(1), "published: the relay has it")
    records = relay.dump(dead)
    tap.is_([(r["key"], r["payload"], relay.header(r, "dead-letter-offset"), relay.header(r, "outbox-type"))
             for r in records], [("a", "poison 3", "0", "dead_letter")], "published: it is in its topic")
    consumers.stop(driver)
    process.stop()


def reject_and_retry():
    site = consumers.Site()
    topic = site.topic(1)
    consumers.fill(topic, records=[{"key": "r", "payload": "reject 1"}, {"payload": "once 2"}, {"payload": "badsql 3"},
                                   {"payload": "crash 4"}, {"payload": "5"}])
    driver = site.start(topic, *RETRIES)
    if not tap.ok(tap.wait_until(lambda: site.settled(2, 3), 60), "each ends somewhere"):
        driver.show()
    tap.is_(payloads(site), ["once 2", "5"], "what fails twice is handled the third time")
    tap.is_([(x["payload"], x["dead-letter-attempts"], x["dead-letter-reason"]) for x in site.letters()],
            [("reject 1", "1", "not acceptable"),
             ("badsql 3", "3", "a statement has failed, but the handler did not tell"),
             ("crash 4", "3", "the connection to PostgreSQL was lost while the record was handled")],
            "what is rejected is not tried again; a statement that fails and a lost connection count, too")
    consumers.stop(driver)
    other = site.topic(1)
    consumers.fill(other, records=[{"key_hex": "00ff", "payload": "reject " + "x" * 900000}])
    site.sql(f"alter database {site.sql('select current_database()')[0][0]} set outbox.max_payload_bytes = 1000")
    driver = site.start(other, *RETRIES)
    tap.ok(tap.wait_until(lambda: site.dead() == 4), "a record that nobody could emit becomes a dead letter, too")
    letter = site.letters()[-1]
    tap.is_((letter["key"], letter["dead-letter-key"], len(letter["payload"])), ("00ff", "hex", 900007),
            "with its key in digits, and its whole payload")
    consumers.stop(driver)


def long_reasons():
    """What a COMMIT is refused with is longer than a reason may be, and cut in the midst of a character."""
    site = consumers.Site()
    topic = site.topic(1)
    site.sql("""create function refuse() returns trigger language plpgsql as $$ begin
                    if new.payload <> 'good' then
                        raise exception '%', convert_from(new.payload, 'UTF8') using hint = repeat('ä', 300);
                    end if;
                    return null;
                end $$;
                create constraint trigger refuse after insert on effect deferrable initially deferred
                    for each row execute function refuse()""")
    words = ["é" * 300, "a" + "é" * 300]
    consumers.fill(topic, records=[{"payload": payload} for payload in (*words, "good")])
    driver = site.start(topic, *RETRIES)
    if not tap.ok(tap.wait_until(lambda: site.settled(1, 2), 30), "long reasons: each ends somewhere"):
        driver.show()
    tap.is_([letter["dead-letter-reason"][:190] for letter in site.letters()], [word[:190] for word in words],
            "long reasons: the letters begin as they do")
    consumers.stop(driver)


def skipped():
    """Who waits for an hour to be tried again can be skipped meanwhile."""
    site = consumers.Site()
    topic = site.topic(1)
    consumers.fill(topic, records=[{"payload": "poison"}, {"payload": "1"}])
    driver = site.start(topic, "--retries", "3,3600000,3600000")
    tap.ok(driver.wait_said("event=retry"), "skipped: a record waits")
    site.sql("select outbox.consumer_seek(%s, %s, 0, 1, 'test')", (site.name, topic))
    tap.ok(site.wait_effects(1), "skipped: the position is moved past it")
    tap.is_((payloads(site), site.dead()), (["1"], 0), "skipped: and it goes on there")
    consumers.stop(driver)


def stops():
    site = consumers.Site()
    topic = site.topic(1)
    consumers.fill(topic, records=POISON)
    driver = site.start(topic, *RETRIES, "--stop-on-failure")
    tap.is_(driver.wait(), 1, "stop: it ends")
    tap.like(driver.log(), "offset 2 cannot be handled: this is poison.*consumer_seek", "stop: and says why, and what to do")
    tap.is_(payloads(site), ["1", "2"], "stop: what came before is done, and nothing after")
    tap.is_(site.sql("select next_offset from outbox.consumer_position"), [(2,)], "stop: the record stays to be done")


def misbehaviour():
    for word, said in (("halt", "the handler asked to stop"), ("commit", "has ended the transaction")):
        site = consumers.Site()
        topic = site.topic(1)
        consumers.fill(topic, records=[{"payload": word}])
        driver = site.start(topic)
        tap.is_(driver.wait(), 1, f"a handler with {word}: it ends")
        tap.like(driver.log(), said, f"a handler with {word}: and says so")
        tap.is_(site.sql("select next_offset from outbox.consumer_position"), [(0,)], f"{word}: the position stands")


def refused():
    """What another try would not mend ends the consumer, with a remedy."""
    site = consumers.Site()
    topic = site.topic(1)
    consumers.fill(topic, 1)
    role = tap.unique("nobody")
    site.sql(f"create role {role} login")
    tap.at_exit(tap.sql, tap.DSN, f"drop role {role}")
    tap.at_exit(tap.sql, site.dsn, f"drop owned by {role}")
    dsn, site.dsn = site.dsn, site.dsn + f" user={role}"
    driver = site.start(topic)
    tap.is_(driver.wait(), 1, "without a right: it ends")
    tap.like(driver.log(), "GRANT outbox_consumer", "without a right: and says which")
    site.dsn = dsn
    site.sql(f"grant outbox_consumer to {role}; grant insert on effect to {role};"
             f" grant insert, select, update on total to {role}")
    site.dsn += f" user={role}"
    driver = site.start(topic, "--emit", "followed")
    site.dsn = dsn
    tap.ok(site.wait_effects(1), "with outbox_consumer: it works")
    tap.is_(site.sql("select count(*) from outbox.event where type = 'followed'")[0][0], 1, "and may emit")
    site.sql("update outbox.consumer_position set cluster = 'another'")
    consumers.stop(driver)
    driver = site.start(topic)
    tap.is_(driver.wait(), 1, "a position of another cluster: it ends")
    tap.like(driver.log(), "another Kafka cluster", "a position of another cluster: and says so")


def main():
    tap.side_by_side((poison, not_taken, go_on, published, reject_and_retry, long_reasons, skipped, stops, misbehaviour, refused), 3)
    tap.done_testing()


main()
