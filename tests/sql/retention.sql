-- What may go, and what holds it: each condition alone.  With other sessions at work, and a
-- relay that drops: tests/integration/retention.py.
BEGIN;
SELECT plan(88);

-- A sequence does not roll back: put them back at the end.
SELECT last_value AS event_seq, is_called AS event_called FROM outbox.event_seq \gset
SELECT last_value AS tick_seq, is_called AS tick_called FROM outbox.tick_seq \gset

CREATE FUNCTION pg_temp.held() RETURNS text LANGUAGE sql AS $$ SELECT coalesce(outbox.partition_held(0, '7 days'), 'nothing') $$;
CREATE FUNCTION pg_temp.ahead(every interval, events bigint) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s %s', a.ahead, a.due) FROM outbox.partition_ahead(every, events) AS a
$$;

-- Is it time to rotate? -----------------------------------------------------------------
UPDATE outbox.event_partition SET created_at = clock_timestamp() - interval '2 hours' WHERE n = 0;
SELECT is(pg_temp.ahead('1 second', 1), '2 f', 'an empty partition is never left');
SELECT outbox.emit(type => 'a', key => 'k', payload => '{"a": 1}') AS a \gset
SELECT outbox.emit(type => 'b') AS b \gset
SELECT outbox.emit(type => 'c') AS c \gset
SELECT is(pg_temp.ahead('1 day', 4), '2 f', 'nor a young and small one');
SELECT is(pg_temp.ahead('1 hour', 4), '2 t', 'one of that age is');
SELECT is(pg_temp.ahead('1 day', 3), '2 t', 'as is one with so many events');
SELECT is(pg_temp.held(), 'in use', 'the one in use is held');
SELECT outbox.rotate() \g /dev/null
SELECT is(pg_temp.ahead('0', 1), '1 f', 'the next one counts anew');
SELECT outbox.emit(type => 'd') \g /dev/null
SELECT is(pg_temp.ahead('1 hour', 2), '1 f', 'since it was entered');
SELECT is(pg_temp.ahead('1 hour', 1), '1 t', 'and by its own events');

-- What holds a partition ----------------------------------------------------------------
SELECT is(pg_temp.held(), 'age', 'it was left just now');
UPDATE outbox.event_partition SET rotated_at = clock_timestamp() - interval '7 days 1 minute' WHERE n = 0;
SELECT is(pg_temp.held(), 'tick', 'no tick since');
-- 100 is of before the rotation.  The first one after it is fence: xid 1000 is open, 1009 may be.
INSERT INTO outbox.tick (id, nonce, snapshot, last_seq, self_xid) VALUES
    (100, gen_random_uuid(), '990:990:', 3, '990'),
    ((1::bigint << 32) + 1, gen_random_uuid(), '1000:1005:1000', (1::bigint << 40) - 1, '1010'),
    ((1::bigint << 32) + 2, gen_random_uuid(), '1009:1012:1009', (1::bigint << 40), '1012'),
    ((1::bigint << 32) + 3, gen_random_uuid(), '1010:1020:', (1::bigint << 40), '1020');
SELECT (1::bigint << 32) + 1 AS fence, (1::bigint << 32) + 2 AS nearly, (1::bigint << 32) + 3 AS beyond \gset
CREATE FUNCTION pg_temp.move(a bigint, b bigint) RETURNS text LANGUAGE sql AS $$
    UPDATE outbox.lane SET from_tick = a, to_tick = b, seq = 0, done = true,
                           from_nonce = (SELECT nonce FROM outbox.tick WHERE id = a),
                           to_nonce = (SELECT nonce FROM outbox.tick WHERE id = b);
    SELECT pg_temp.held()
$$;
SELECT is(pg_temp.held(), 'lane', 'a lane that has not begun');
SELECT is(pg_temp.move(100, 100), 'lane', 'a lane before the rotation');
SELECT is(pg_temp.move(100, :beyond), 'lane', 'a lane whose batch ends beyond, but begins before: to_tick does not count');
SELECT is(pg_temp.move(:fence, :beyond), 'transaction', 'the lane is beyond, but when its batch began a writer was still open');
SELECT is(pg_temp.move(:nearly, :beyond), 'transaction', 'so was one of whom the fence did not know');
SELECT is(pg_temp.move(:beyond, :beyond), 'nothing', 'then all of them had ended');
SELECT ok(outbox.partition_droppable(0, '7 days'), 'droppable says the same');
SELECT ok(NOT outbox.partition_droppable(0, '8 days'), 'and no when the retention is longer');
SELECT is(outbox.partition_held(0, NULL), 'age', 'for ever: nothing goes');
SAVEPOINT free;

INSERT INTO outbox.lane (map, lane, bucket_low, bucket_high, from_tick, from_nonce, to_tick, to_nonce)
SELECT 1, 1, 0, 255, t.id, t.nonce, t.id, t.nonce FROM outbox.tick t WHERE t.id = 100;
SELECT is(pg_temp.held(), 'lane', 'one lane of two is behind');
ROLLBACK TO free;
UPDATE outbox.lane SET from_nonce = gen_random_uuid();
SELECT is(pg_temp.held(), 'lane', 'a lane whose tick is not there');
ROLLBACK TO free;
-- The numbers had jumped, the ticks not yet: the lane needs a tick that would go along.
INSERT INTO outbox.tick (id, snapshot, last_seq, self_xid) VALUES (101, '1010:1020:', (1::bigint << 40), '1020');
SELECT is(pg_temp.move(101, 101), 'lane', 'a lane that needs a tick of the partition');
ROLLBACK TO free;
SELECT setval('outbox.event_seq', (1::bigint << 40) - 10) \g /dev/null
SELECT is(pg_temp.held(), 'in use', 'numbers of it are to come');
SELECT setval('outbox.event_seq', (1::bigint << 40) + 1) \g /dev/null
UPDATE outbox.event_partition SET rotated_at = clock_timestamp() - interval '7 days 1 minute' WHERE n = 1;
SELECT setval('outbox.event_seq', (2::bigint << 40) + 1) \g /dev/null
SELECT is(outbox.partition_held(1, '7 days'), 'order', 'an older one is there');
SELECT setval('outbox.event_seq', (1::bigint << 40) + 1) \g /dev/null
ROLLBACK TO free;
SELECT throws_ok($$SELECT outbox.partition_held(77, '1 day')$$, 'P0002', 'there is no partition 77', 'one that is not there');

-- What is open in it
SELECT outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'a') AS endpoint \gset
INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, state)
SELECT e.seq, e.id, e.type, :'endpoint', 'pending' FROM outbox.event e WHERE e.id = :'a';
SAVEPOINT delivery;
CREATE FUNCTION pg_temp.with_delivery(state_ text) RETURNS text LANGUAGE sql AS $$
    UPDATE outbox.delivery SET state = state_, finished_at = clock_timestamp();
    SELECT pg_temp.held()
$$;
SELECT is(pg_temp.with_delivery(s), 'delivery', 'a delivery that is ' || s)
  FROM unnest(ARRAY['pending', 'sending', 'failed', 'unknown', 'parked']) AS s;
SELECT is(pg_temp.with_delivery(s), 'nothing', 'but not one that is ' || s) FROM unnest(ARRAY['delivered', 'dead']) AS s;
UPDATE outbox.delivery SET event_seq = 1::bigint << 40, state = 'pending';
SELECT is(pg_temp.held(), 'nothing', 'nor one of another partition''s event');
ROLLBACK TO free;
INSERT INTO outbox.parked_event (seq, map, lane, tick, topic, reason) VALUES (3, 1, 0, 1, 't', 'r');
SELECT is(pg_temp.held(), 'parked event', 'a parked event');
UPDATE outbox.parked_event SET state = 'released', released_at = clock_timestamp();
SELECT is(pg_temp.held(), 'nothing', 'but not a released one');
ROLLBACK TO free;
INSERT INTO outbox.replay (selection, target, position, state) VALUES ('{}', 't', (1::bigint << 40) - 1, 'running');
SELECT is(pg_temp.held(), 'replay', 'a running replay');
UPDATE outbox.replay SET state = 'pending', position = 0;
SELECT is(pg_temp.held(), 'replay', 'one that has not begun');
UPDATE outbox.replay SET position = 1::bigint << 40;
SELECT is(pg_temp.held(), 'nothing', 'but not one that has passed it');
UPDATE outbox.replay SET state = 'done', position = 0;
SELECT is(pg_temp.held(), 'nothing', 'nor one that is done');
ROLLBACK TO free;

-- Copies ------------------------------------------------------------------------------------
SELECT outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'a') AS endpoint,
       outbox.endpoint_add('http://b/', decode(repeat('00', 32), 'hex'), 'b') AS other \gset
INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, state)
SELECT e.seq, e.id, e.type, p, 'failed' FROM outbox.event e, unnest(ARRAY[:'endpoint', :'other']::uuid[]) AS p WHERE e.id = :'a';
INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, state, finished_at)
SELECT e.seq, e.id, e.type, :'endpoint', 'dead', clock_timestamp() FROM outbox.event e WHERE e.id = :'b';
INSERT INTO outbox.delivery_of_event (event_seq, endpoint, replay, event_id, delivery)
SELECT event_seq, endpoint, replay, event_id, id FROM outbox.delivery;
INSERT INTO outbox.parked_event (seq, map, lane, tick, topic, reason) SELECT e.seq, 1, 0, 1, 't', 'r' FROM outbox.event e WHERE e.id = :'c';
SELECT is(outbox.partition_keep(0, 1), 1::bigint, 'a portion of what is open is copied');
SELECT isnt(pg_temp.held(), 'nothing', 'the rest holds');
SELECT is(outbox.partition_keep(0, 10), 1::bigint, 'the rest');
SELECT is(outbox.partition_keep(0, 10), 0::bigint, 'all are');
SELECT is(pg_temp.held(), 'nothing', 'then they hold nothing any more');
SELECT results_eq($$SELECT to_jsonb(k) - 'kept_at' FROM outbox.kept_event k ORDER BY seq$$,
                  format($$SELECT to_jsonb(e) - 'xid' FROM outbox.event e WHERE id IN (%L, %L) ORDER BY seq$$, :'a', :'c'),
                  'the copies have all that the events have');
SELECT is(outbox.kept_expire(10), 0::bigint, 'copies stay while something open points to them');
SAVEPOINT kept;
UPDATE outbox.delivery SET state = 'delivered', finished_at = clock_timestamp() WHERE endpoint = :'endpoint';
SELECT is(outbox.kept_expire(10), 0::bigint, 'one of two deliveries has come to its end: still');
UPDATE outbox.delivery SET state = 'dead', finished_at = clock_timestamp() WHERE endpoint = :'other';
SELECT is(outbox.kept_expire(10), 1::bigint, 'both: the copy goes');
UPDATE outbox.parked_event SET state = 'released', released_at = clock_timestamp();
SELECT is(outbox.kept_expire(10), 1::bigint, 'and that of a released event');
SELECT is((SELECT count(*) FROM outbox.parked_event), 1::bigint, 'which is known while its partition is there');
ROLLBACK TO kept;

-- The decision ------------------------------------------------------------------------------
SELECT is((SELECT (r.n, r.held)::text FROM outbox.partition_retire('8 days') AS r), '(0,age)', 'retire() says what holds the oldest');
SELECT is((SELECT count(*) FROM outbox.event_partition WHERE state <> 'attached'), 0::bigint, 'and decides nothing');
SELECT is((SELECT (r.n, r.held IS NULL)::text FROM outbox.partition_retire('7 days') AS r), '(0,t)', 'it goes');
SELECT is((SELECT state FROM outbox.event_partition WHERE n = 0), 'detaching', 'which is recorded');
SELECT is((SELECT (action, subject, detail ->> 'low')::text FROM outbox.audit ORDER BY id DESC LIMIT 1), '("partition drop",0,0)',
          'in the audit, too');
SELECT is((SELECT (r.n, r.held IS NULL)::text FROM outbox.partition_retire(NULL) AS r), '(0,t)', 'what was begun is ended first');
SELECT throws_like(format($$SELECT outbox.delivery_retry(ARRAY[%s])$$, (SELECT id FROM outbox.delivery WHERE state = 'dead')),
                   '%: its event is older than the retention, and gone', 'a delivery of an event that goes is not opened again');
SELECT is((SELECT (x.retried, x.last)::text FROM outbox.delivery_retry_of(:'endpoint', 'dead', 0, 10) AS x), '(0,)', 'nor with others');
SELECT is(outbox.delivery_retry((SELECT array_agg(id) FROM outbox.delivery WHERE endpoint = :'other')), 1::bigint,
          'but one whose event was copied');

-- The way out ----------------------------------------------------------------------------------
SELECT is(outbox.partition_table(0, 'event'), 'attached', 'the table is attached');
SELECT is(outbox.partition_forget(0), false, 'so it is not forgotten');
ALTER TABLE outbox.event DETACH PARTITION outbox.event_0;
SELECT is(outbox.partition_table(0, 'event'), 'detached', 'detached');
DROP TABLE outbox.event_0;
SELECT is(outbox.partition_table(0, 'event'), 'gone', 'dropped');
SELECT is(outbox.partition_forget(0), false, 'its ticks are still there');
ALTER TABLE outbox.tick DETACH PARTITION outbox.tick_0;
DROP TABLE outbox.tick_0;
SELECT is(outbox.partition_forget(1), false, 'one that was not retired is not forgotten');
SELECT is(outbox.partition_forget(0), true, 'now it is');
SELECT is((SELECT min(n) FROM outbox.event_partition), 1, 'the oldest is the next one');
SELECT is((SELECT array_agg(c.event_id ORDER BY c.endpoint = :'endpoint' DESC) FROM outbox.delivery_claim('w', ARRAY[:'endpoint', :'other']::uuid[],
           ARRAY[9, 9], 9, '1 s') AS c WHERE c.present AND c.payload = '{"a": 1}'), ARRAY[:'a', :'a']::uuid[],
          'deliveries of its events are claimed, with the copied payload');
UPDATE outbox.parked_event SET state = 'released', released_at = clock_timestamp();
SELECT is(outbox.kept_expire(10), 1::bigint, 'a released event''s copy goes');
SELECT is((SELECT count(*) FROM outbox.parked_event), 0::bigint, 'and what is known of it');
SELECT lives_ok($$SELECT outbox.emit(type => 't'), outbox.partition_add()$$, 'emitting and adding go on');
ROLLBACK TO free;

-- Deliveries -----------------------------------------------------------------------------------
SELECT outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'a') AS endpoint \gset
INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, state, created_at, finished_at)
SELECT n, gen_random_uuid(), 't', :'endpoint', s, clock_timestamp() - age, CASE WHEN s IN ('delivered', 'dead') THEN clock_timestamp() - age END
  FROM (VALUES (1, 'delivered', interval '9 days'), (2, 'pending', '9 days'), (3, 'dead', '8 days'), (4, 'parked', '8 days'),
               (5, 'delivered', '1 day'), (6, 'delivered', '9 days')) AS v(n, s, age);
UPDATE outbox.delivery SET finished_at = clock_timestamp() WHERE event_seq = 6;
-- what else there is of an event whose delivery goes
INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, replay, state)
SELECT d.event_seq, d.event_id, 't', v.e, v.again, 'pending' FROM outbox.delivery d, (VALUES (gen_random_uuid(), 0), (:'endpoint', 1)) AS v(e, again)
 WHERE d.event_seq = 1;
INSERT INTO outbox.delivery_of_event (event_seq, endpoint, replay, event_id, delivery)
SELECT event_seq, endpoint, replay, event_id, id FROM outbox.delivery;
INSERT INTO outbox.delivery_attempt (delivery, attempt, token, started_at, outcome)
SELECT id, 1, 1, clock_timestamp(), 'delivered' FROM outbox.delivery;
SELECT min(id) - 1 AS base FROM outbox.delivery \gset
SELECT is((SELECT (x.last - :base, x.removed)::text FROM outbox.delivery_expire(:base, '7 days', 3) AS x), '(3,2)', 'deliveries: a portion');
SELECT is((SELECT (x.last, x.removed)::text FROM outbox.delivery_expire(:base + 3, '7 days', 3) AS x), '(,0)', 'until there is nothing older');
SELECT is((SELECT array_agg(event_seq ORDER BY event_seq) FROM outbox.delivery), '{1,1,2,4,5,6}',
          'gone are those that ended before; what is open stays, however old');
SELECT is((SELECT array_agg(d.event_seq ORDER BY d.event_seq) FROM outbox.delivery_attempt a LEFT JOIN outbox.delivery d ON d.id = a.delivery), '{1,1,2,4,5,6}',
          'their attempts are gone as well');
SELECT set_eq('SELECT event_seq, endpoint, replay, event_id, delivery FROM outbox.delivery_of_event',
              'SELECT event_seq, endpoint, replay, event_id, id FROM outbox.delivery', 'and their events name the others, and only them');
SELECT is((SELECT (x.last, x.removed)::text FROM outbox.delivery_expire(0, NULL, 3) AS x), '(,0)', 'for ever: none');
ROLLBACK TO free;

-- Ids and inbox ----------------------------------------------------------------------------------
INSERT INTO outbox.emitted (id, slot)
SELECT gen_random_uuid(), (outbox.day_slot(clock_timestamp()) - age) & 15 FROM generate_series(0, 15) AS age, generate_series(1, 3);
INSERT INTO outbox.inbox (consumer, message_id, slot)
SELECT 'c', gen_random_uuid(), (outbox.day_slot(clock_timestamp()) - age) & 15 FROM generate_series(0, 15) AS age;
CREATE FUNCTION pg_temp.ages(ring text) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE ages integer[];
BEGIN
    EXECUTE format('SELECT array_agg(DISTINCT (outbox.day_slot(clock_timestamp()) - slot) & 15) FROM outbox.%I', ring) INTO ages;
    RETURN ages;
END $$;
SELECT is((SELECT (x.emptied, x.removed)::text FROM outbox.slot_expire('emitted', 9, 0) AS x), '(t,0)', 'ids: the slot of that day is emptied');
SELECT is(pg_temp.ages('emitted'), '{0,1,2,3,4,5,6,7,8,10,11,12,13,14,15}', 'no other');
SELECT is((SELECT (x.emptied, x.removed)::text FROM outbox.slot_expire('emitted', 9, 0) AS x), '(t,0)', 'an empty one is');
SELECT outbox.slot_expire('inbox', 14, 0) \g /dev/null
SELECT is(pg_temp.ages('inbox'), '{0,1,2,3,4,5,6,7,8,9,10,11,12,13,15}', 'the inbox likewise');
SELECT throws_ok($$SELECT outbox.slot_expire('emitted', 1, 0)$$, '22023', 'age: is 1, must be 2 to 14 days', 'not yesterday''s');
SELECT throws_ok($$SELECT outbox.slot_expire('emitted', 15, 0)$$, '22023', NULL, 'nor tomorrow''s');
SELECT throws_ok($$SELECT outbox.slot_expire('event', 9, 0)$$, '22023', 'ring: is event, must be emitted or inbox', 'nor of something else');
ROLLBACK TO free;

-- Audit ------------------------------------------------------------------------------------------
DELETE FROM outbox.audit;
INSERT INTO outbox.audit (at, action, subject) SELECT clock_timestamp() - n * interval '1 day', 'a', n::text FROM generate_series(9, 1, -1) AS n;
SELECT is(outbox.audit_expire('5 days 1 hour', 3), 3::bigint, 'audit: a portion');
SELECT is(outbox.audit_expire('5 days 1 hour', 3), 1::bigint, 'the rest');
SELECT is((SELECT array_agg(subject::integer ORDER BY id) FROM outbox.audit), '{5,4,3,2,1}', 'what is younger stays');
SELECT is(outbox.audit_expire(NULL, 3), 0::bigint, 'for ever: none');

SELECT setval('outbox.event_seq', :event_seq, :'event_called'), setval('outbox.tick_seq', :tick_seq, :'tick_called') \g /dev/null
SELECT * FROM finish();
ROLLBACK;
