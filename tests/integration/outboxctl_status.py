#!/usr/bin/python3
"""outboxctl status: lag, lanes, lease, the oldest open writer.  On 15 and 18."""
import json

import tap


def status(dsn):
    code, output, errors = tap.outboxctl(dsn, "status", "--json")
    if code:
        tap.diag(errors)
    return json.loads(output)


def emit(dsn, count):
    tap.sql(dsn, "SELECT count(outbox.emit(type => 't', key => g::text, payload => '{}'))"
                 " FROM generate_series(1, %s) g", (count,))


def tick(dsn):
    return tap.sql(dsn, "SELECT id, nonce FROM outbox.tick()")[0]


def move(dsn, first, last, seq, done):
    """What the relay records: published up to seq in the batch between two ticks."""
    tap.sql(dsn, "UPDATE outbox.lane SET from_tick = %s, from_nonce = %s, to_tick = %s, to_nonce = %s, seq = %s,"
                 " done = %s", (*first, *last, seq, done))


def lag_in_events(dsn, on):
    tap.is_(status(dsn)["lag"], {"events": 0, "seconds": 0.0, "exact": True}, f"{on}: nothing emitted, no lag")
    first = tap.sql(dsn, "SELECT id, nonce FROM outbox.tick")[0]
    emit(dsn, 10)
    tap.is_(status(dsn)["lag"]["events"], 10, f"{on}: events before any tick count")
    second = tick(dsn)
    tap.is_(status(dsn)["lag"]["events"], 10, f"{on}: a tick publishes nothing")
    move(dsn, first, second, 4, False)
    tap.is_(status(dsn)["lag"]["events"], 6, f"{on}: part of a batch is published")
    emit(dsn, 3)
    tap.is_(status(dsn)["lag"]["events"], 9, f"{on}: the rest of the batch, and what came since")
    move(dsn, first, second, 10, True)
    tap.is_(status(dsn)["lag"]["events"], 3, f"{on}: the whole batch is published")
    third = tick(dsn)
    move(dsn, second, third, 13, True)
    tap.is_(status(dsn)["lag"], {"events": 0, "seconds": 0.0, "exact": True}, f"{on}: all is published")
    return third


def late_commits(dsn, on, position):
    """An event with an old number, of a transaction that was open at the tick."""
    other = tap.connect(dsn, autocommit=False)
    cursor = other.cursor()
    cursor.execute("SELECT outbox.emit(type => 't', payload => '{}')")
    emit(dsn, 1)
    after = tick(dsn)
    move(dsn, position, after, 15, True)
    tap.is_(status(dsn)["lag"]["events"], 0, f"{on}: an open transaction is no lag")
    writer = status(dsn)["oldest_writer"]
    tap.is_((writer["kind"], writer["who"]), ("session", str(other.info.backend_pid)), f"{on}: it is the oldest writer")
    tap.ok(writer["seconds"] >= 0, f"{on}: with its age")
    tap.like(tap.outboxctl(dsn, "status")[1], f"oldest open writer: session {other.info.backend_pid}, idle in trans",
             f"{on}: for people too")
    other.commit()
    other.close()
    shown = status(dsn)
    tap.is_(shown["lag"]["events"], 1, f"{on}: its event is lag once it commits")
    tap.is_(shown["oldest_writer"], None, f"{on}: and there is no writer any more")
    after2 = tick(dsn)
    move(dsn, after, after2, 14, True)
    tap.is_(status(dsn)["lag"]["events"], 0, f"{on}: until it is published")


def lag_in_seconds(dsn, on):
    tap.sql(dsn, "SELECT outbox.emit(type => 't', payload => '{}', occurred_at => now() - interval '1 hour')")
    seconds = status(dsn)["lag"]["seconds"]
    tap.ok(0 <= seconds < 600, f"{on}: an old occurred_at does not make the relay late ({seconds})")
    tap.sql(dsn, "UPDATE outbox.tick SET at = at - interval '1 day'")
    tap.ok(3600 <= status(dsn)["lag"]["seconds"] < 7200, f"{on}: an old tick does not either: the event is younger")
    tap.sql(dsn, "SELECT outbox.emit(type => 't', payload => '{}', occurred_at => now() + interval '1 hour')")
    tap.ok(status(dsn)["lag"]["seconds"] >= 0, f"{on}: nor does one from the future make it early")


def prepared_writer(dsn, on):
    other = tap.connect(dsn, autocommit=False)
    cursor = other.cursor()
    cursor.execute("SET LOCAL outbox.two_phase = on")
    cursor.execute("SELECT outbox.emit(type => 't', payload => '{}')")
    cursor.execute(f"PREPARE TRANSACTION 'waiting_{on}'")
    other.commit()
    other.close()
    writer = status(dsn)["oldest_writer"] or {"kind": None, "who": None}
    tap.is_((writer["kind"], writer["who"]), ("prepared", f"waiting_{on}"), f"{on}: a prepared transaction is a writer")
    tap.sql(dsn, f"ROLLBACK PREPARED 'waiting_{on}'")
    tap.is_(status(dsn)["oldest_writer"], None, f"{on}: until it ends")


def lanes(dsn, on):
    code, output, _ = tap.outboxctl(dsn, "status")
    tap.is_(code, 0, f"{on}: status succeeds")
    tap.like(output, "lane 0 has no relay", f"{on}: tells that no relay holds the lane")
    tap.sql(dsn, "SELECT outbox.lane_acquire(1, 0, 'r1', '1 hour')")
    lane = status(dsn)["lanes"][0]
    tap.is_((lane["lane"], lane["holder"], lane["epoch"], lane["lease_live"], lane["halted"]), (0, "r1", 1, True, None),
            f"{on}: the holder and its epoch")
    tap.ok("has no relay" not in tap.outboxctl(dsn, "status")[1], f"{on}: it has one now")
    tap.sql(dsn, "SELECT outbox.lane_halt(1, 0, 1, 'marker_missing', 'no marker in ' || chr(27) || 'x')")
    tap.like(tap.outboxctl(dsn, "status")[1], r"lane 0 is halted: marker_missing: no marker in \\x1bx", f"{on}: halted")
    tap.sql(dsn, "UPDATE outbox.lease SET expires_at = now() - interval '1 second'")
    tap.is_(status(dsn)["lanes"][0]["lease_live"], False, f"{on}: an expired lease is none")


def summary(dsn, on):
    shown = status(dsn)
    tap.is_([shown[key] for key in ("schema_version", "lane_map", "partitions_ahead", "parked_events",
                                    "endpoints_enabled")], [len(tap.MIGRATIONS), 1, 2, 0, 0], f"{on}: the summary")
    tap.sql(dsn, "SELECT outbox.rotate()")
    tap.is_(status(dsn)["partitions_ahead"], 1, f"{on}: a rotation uses one of the partitions ahead")
    tap.outboxctl(dsn, "endpoint", "add", "https://x/", "--name", "e")
    tap.sql(dsn, "INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, state) SELECT g,"
                 " gen_random_uuid(), 't', e.id, CASE WHEN g > 1 THEN 'failed' ELSE 'dead' END"
                 " FROM outbox.endpoint e, generate_series(1, 3) g")
    tap.is_(status(dsn)["deliveries"], {"dead": 1, "failed": 2}, f"{on}: deliveries by state")


def large_lag(dsn, on):
    tap.sql(dsn, "INSERT INTO outbox.event (type) SELECT 'bulk' FROM generate_series(1, 100100)")
    lag = status(dsn)["lag"]
    tap.is_(lag["exact"], False, f"{on}: beyond 100000 it is an estimate")
    tap.ok(100000 <= lag["events"] <= 101000, f"{on}: near the truth ({lag['events']})")
    tap.like(tap.outboxctl(dsn, "status")[1], "lag: about 10[0-9]{4} events", f"{on}: and said so")


for name, server in (("15", tap.DSN), ("18", tap.DSN18)):
    database = tap.create_database(server)
    late_commits(database, name, lag_in_events(database, name))
    lag_in_seconds(database, name)
    prepared_writer(database, name)
    lanes(database, name)
    fresh = tap.create_database(server)
    large_lag(fresh, name)
    summary(fresh, name)
tap.done_testing()
