-- Leases and epochs, and the acknowledgement: who may move a lane, and which deliveries
-- are inserted for exactly which events.
BEGIN;
SELECT plan(66);

-- Leases --------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.acquire(holder text, ttl interval) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s %s %s', coalesce(epoch::text, '-'), coalesce(former_holder, '-'),
                  CASE WHEN retry_after IS NULL THEN '-' WHEN retry_after > 0 AND retry_after <= extract(epoch FROM ttl) THEN 'wait'
                       ELSE retry_after::text END)
      FROM outbox.lane_acquire(1, 0, holder, ttl)
$$;
SELECT is(pg_temp.acquire('a', '1 hour'), '1 - -', 'a free lane is granted, with epoch 1');
SELECT is((SELECT (holder, epoch, expires_at > clock_timestamp() + interval '59 minutes')::text FROM outbox.lease WHERE name = 'lane/1/0'),
          '(a,1,t)', 'the lease says so');
SELECT is((SELECT epoch FROM outbox.lane WHERE (map, lane) = (1, 0)), 1::bigint, 'the lane has the epoch');
SELECT is(pg_temp.acquire('b', '1 hour'), '- a wait', 'another is refused, told by whom and for how long');
SELECT is((SELECT (holder, epoch)::text FROM outbox.lease WHERE name = 'lane/1/0'), '(a,1)', 'nothing changed');
SELECT is(pg_temp.acquire('a', '1 hour'), '2 a -', 'the holder of that name takes its own back at once');
SELECT is(outbox.lane_renew(1, 0, 1, '2 hours'), false, 'the former epoch renews nothing');
SELECT is(outbox.lane_renew(1, 0, 2, '2 hours'), true, 'the present one does');
SELECT ok((SELECT expires_at > clock_timestamp() + interval '119 minutes' FROM outbox.lease WHERE name = 'lane/1/0'), 'until then');
UPDATE outbox.lease SET expires_at = clock_timestamp() WHERE name = 'lane/1/0';
SELECT is(outbox.lane_renew(1, 0, 2, '1 hour'), true, 'an expired lease that nobody took is renewed');
UPDATE outbox.lease SET expires_at = clock_timestamp() WHERE name = 'lane/1/0';
SELECT is(pg_temp.acquire('b', '1 hour'), '3 a -', 'an expired one is granted');
SELECT is(outbox.lane_renew(1, 0, 2, '1 hour'), false, 'then the former holder renews no more');
SELECT is(outbox.lane_release(1, 0, 2), false, 'nor releases');
SELECT is(outbox.lane_release(1, 0, 3), true, 'the holder releases');
SELECT is(outbox.lane_renew(1, 0, 3, '1 hour'), false, 'what was released is not renewed');
SELECT is(pg_temp.acquire('c', '1 hour'), '4 - -', 'and granted to the next at once');
SELECT is(outbox.lane_halt(1, 0, 3, 'marker_foreign', 'x'), false, 'a former epoch cannot halt the lane');
SELECT is((SELECT halted FROM outbox.lane), NULL, 'it is not');
SELECT is(outbox.lane_halt(1, 0, 4, 'marker_foreign', 'x'), true, 'the present one can');
SELECT is((SELECT (halted, halted_detail)::text FROM outbox.lane), '(marker_foreign,x)', 'and says why');
SELECT is(pg_temp.acquire('c', '1 hour'), '5 c -', 'taken over');
SELECT is((SELECT halted FROM outbox.lane), NULL, 'it is not halted any more');
SELECT is((SELECT publish FROM outbox.lane), 'exactly_once', 'a lane is published exactly once at first');
SELECT is(outbox.lane_record_publish(1, 0, 4, 'at_least_once'), false, 'a former epoch does not record how');
SELECT is(outbox.lane_record_publish(1, 0, 5, 'at_least_once'), true, 'the present one does');
SELECT is((SELECT publish FROM outbox.lane), 'at_least_once', 'and so it stands');
SELECT throws_ok($$SELECT outbox.lane_record_publish(1, 0, 5, 'perhaps')$$, '23514', NULL, 'there are two ways');
SELECT throws_ok($$SELECT outbox.lane_acquire(1, 7, 'a', '1 hour')$$, '22023', 'there is no lane 7 in map 1', 'a lane that is not there');
SELECT is((SELECT current_setting('synchronous_commit')), 'on', 'the lease is committed synchronously');

-- A history of ticks: a late transaction in each batch ----------------------------------------
-- tick 10: xid 100 and 101 run.  tick 20: 100 has ended.  tick 30: 101 as well.  tick 40: nothing.
TRUNCATE outbox.event;
INSERT INTO outbox.tick (id, nonce, snapshot, last_seq, self_xid) VALUES
    (10, '00000000-0000-4000-8000-000000000010', '100:102:100,101', 110, '102'),
    (20, '00000000-0000-4000-8000-000000000020', '101:112:101', 120, '112'),
    (30, '00000000-0000-4000-8000-000000000030', '122:122:', 130, '122'),
    (40, '00000000-0000-4000-8000-000000000040', '132:132:', 130, '132');
INSERT INTO outbox.event (xid, seq, type, key, tenant) VALUES
    ('99', 101, 'old', 'k', NULL),                       -- before tick 10
    ('100', 102, 'order.placed', 'k1', 'acme'), ('100', 103, 'order_placed', 'k2', 'other'), -- (10, 20]
    ('101', 104, 'order.paid', 'k3', 'acme'),            -- (20, 30]
    ('110', 111, 'orderXplaced', 'k4', NULL), ('111', 112, 'order.placed', 'k5', 'acme'),     -- (10, 20]
    ('120', 121, 'order%', 'k6', NULL), ('121', 122, 'invoice', 'k7', 'acme');                -- (20, 30]
UPDATE outbox.lane SET from_tick = 10, from_nonce = '00000000-0000-4000-8000-000000000010', to_tick = 10,
                       to_nonce = '00000000-0000-4000-8000-000000000010', seq = 0, done = true;
CREATE FUNCTION pg_temp.ack(old_from bigint, old_to bigint, old_seq bigint, new_from bigint, new_to bigint, new_seq bigint,
                            done boolean DEFAULT true, epoch bigint DEFAULT 5) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s %s %s', a.accepted, a.deliveries, a.endpoints)
      FROM outbox.lane_acknowledge(1, 0, epoch, old_from, old_to, old_seq,
               new_from, (SELECT nonce FROM outbox.tick WHERE id = new_from),
               new_to, (SELECT nonce FROM outbox.tick WHERE id = new_to), new_seq, done, 3) AS a
$$;
CREATE FUNCTION pg_temp.delivered(name text DEFAULT 'all') RETURNS bigint[] LANGUAGE sql AS $$
    SELECT coalesce(array_agg(d.event_seq ORDER BY d.event_seq), '{}') FROM outbox.delivery d
      JOIN outbox.endpoint e ON e.id = d.endpoint WHERE e.name = $1
$$;

-- Without endpoints
SAVEPOINT history;
SELECT is(pg_temp.ack(10, 10, 0, 10, 20, 112), 't 0 0', 'no endpoint: accepted, no delivery');
SELECT is((SELECT (from_tick, to_tick, seq, done, started, published)::text FROM outbox.lane), '(10,20,112,t,t,3)', 'the lane has moved');
SELECT is((SELECT (from_nonce, to_nonce)::text FROM outbox.lane),
          '(00000000-0000-4000-8000-000000000010,00000000-0000-4000-8000-000000000020)', 'with the nonces');
SELECT is(pg_temp.ack(10, 20, 112, 20, 30, 122), 't 0 0', 'and moves on');
SELECT is((SELECT published FROM outbox.lane), 6::bigint, 'published adds up');
ROLLBACK TO history;

-- Fences
SELECT is(pg_temp.ack(10, 10, 0, 10, 20, 112, epoch => 4), 'f 0 0', 'a former epoch is not accepted');
SELECT is(pg_temp.ack(10, 10, 0, 10, 20, 112, epoch => 6), 'f 0 0', 'nor one that was never granted');
SELECT is(pg_temp.ack(10, 10, 1, 10, 20, 112), 'f 0 0', 'another old seq is not accepted');
SELECT is(pg_temp.ack(9, 10, 0, 10, 20, 112), 'f 0 0', 'nor another old from_tick');
SELECT is(pg_temp.ack(10, 9, 0, 10, 20, 112), 'f 0 0', 'nor another old to_tick');
SELECT is((SELECT (from_tick, to_tick, seq)::text FROM outbox.lane), '(10,10,0)', 'nothing has moved');
SELECT is((SELECT count(*) FROM outbox.delivery), 0::bigint, 'nor was anything inserted');
UPDATE outbox.lane SET from_tick = 10, to_tick = 30, seq = 104, done = false;
SELECT throws_ok($$SELECT pg_temp.ack(10, 30, 104, 20, 30, 122)$$, '22023',
                 'lane 0 of map 1: the position (20, 30, 122) cannot follow (10, 30, 104)', 'a batch that begins within the old one');
SELECT throws_ok($$SELECT pg_temp.ack(10, 30, 104, 10, 20, 112)$$, '22023', NULL, 'the same beginning with another end');
SELECT throws_ok($$SELECT pg_temp.ack(10, 30, 104, 10, 30, 103)$$, '22023', NULL, 'back within the batch');
SELECT throws_ok($$SELECT pg_temp.ack(10, 30, 104, 40, 30, 0)$$, '22023', NULL, 'a batch that ends before it begins');
SELECT throws_ok($$SELECT * FROM outbox.lane_acknowledge(1, 0, 5, 10, 30, 104, 10, '00000000-0000-4000-8000-000000000010',
                       30, '00000000-0000-4000-8000-000000000020', 122, true, 0)$$,
                 '22023', 'lane 0 of map 1: there is no tick 10 or 30 with that nonce', 'a nonce that is not the tick''s');
SELECT is(pg_temp.ack(10, 30, 104, 10, 30, 104, false), 't 0 0', 'the same position again is no harm');
ROLLBACK TO history;

-- Deliveries
SELECT outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'all') AS e_all,
       outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'dotted', '{order.*}') AS e_dotted,
       outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'underscore', '{order_placed,nothing}') AS e_underscore,
       outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'percent', '{order%}') AS e_percent,
       outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'acme', '{*}', 'acme') AS e_acme,
       outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'twofold', '{order.*,*.placed}') AS e_twofold,
       outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'removed') AS e_removed,
       outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'off') AS e_off \gset
SELECT outbox.endpoint_remove(:'e_removed') \g /dev/null
UPDATE outbox.endpoint SET enabled = false WHERE id = :'e_off';
SAVEPOINT endpoints;
SELECT is(pg_temp.ack(10, 10, 0, 10, 20, 112), 't 11 6', 'the batch (10, 20]: deliveries to the endpoints that are enabled');
SELECT is(pg_temp.delivered(), '{102,103,111,112}', 'all: what was late and what is new, not what was before');
SELECT is(pg_temp.delivered('dotted'), '{102,112}', 'order.* takes the dot literally');
SELECT is(pg_temp.delivered('underscore'), '{103}', 'order_placed takes the underscore literally');
SELECT is(pg_temp.delivered('acme'), '{102,112}', 'an endpoint with a tenant gets only its events, none without a tenant');
SELECT is(pg_temp.delivered('twofold'), '{102,112}', 'a type that two patterns match is delivered once');
SELECT is((SELECT count(*) FROM outbox.delivery WHERE endpoint IN (:'e_removed', :'e_off')), 0::bigint,
          'none to an endpoint that is removed or disabled');
SELECT is((SELECT (event_id = e.id, event_type, d.tenant, d.key, state, attempts, replay)::text FROM outbox.delivery d
             JOIN outbox.event e ON e.seq = d.event_seq WHERE event_seq = 102 AND endpoint = :'e_all'),
          '(t,order.placed,acme,k1,pending,0,0)', 'a delivery has what it needs of the event');
SELECT set_eq('SELECT event_seq, endpoint, replay, event_id, delivery FROM outbox.delivery_of_event',
              'SELECT event_seq, endpoint, replay, event_id, id FROM outbox.delivery', 'and is found by the event');
SELECT is(pg_temp.ack(10, 20, 112, 20, 30, 122), 't 8 6', 'the next batch');
SELECT is(pg_temp.delivered(), '{102,103,104,111,112,121,122}', 'all: none left out, none twice');
SELECT is(pg_temp.delivered('percent'), '{121}', 'order% takes the percent sign literally');
ROLLBACK TO endpoints;
SELECT pg_temp.ack(10, 10, 0, 10, 20, 103, false) \g /dev/null
SELECT is(pg_temp.delivered(), '{102,103}', 'a part of a batch, up to its seq');
SELECT pg_temp.ack(10, 20, 103, 10, 20, 111, false) \g /dev/null
SELECT is(pg_temp.delivered(), '{102,103,111}', 'more of the same batch');
SELECT pg_temp.ack(10, 20, 111, 30, 40, 0) \g /dev/null
SELECT is(pg_temp.delivered(), '{102,103,104,111,112,121,122}', 'the rest of it, a whole batch between, and an empty one');
ROLLBACK TO endpoints;
SELECT pg_temp.ack(10, 10, 0, 10, 30, 104, false) \g /dev/null
SELECT pg_temp.ack(10, 30, 104, 10, 30, 122) \g /dev/null
SELECT is(pg_temp.delivered(), '{102,103,104,111,112,121,122}', 'a batch of several ticks, in two parts');
ROLLBACK TO endpoints;
INSERT INTO outbox.parked_event (seq, map, lane, tick, topic, key, state, reason, released_at)
VALUES (103, 1, 0, 10, 't', 'k2', 'parked', 'test', NULL), (112, 1, 0, 10, 't', 'k5', 'released', 'test', now());
SELECT pg_temp.ack(10, 10, 0, 10, 20, 112) \g /dev/null
SELECT is(pg_temp.delivered(), '{102,111}', 'none for a parked event, released or not: its release inserts them');
ROLLBACK TO endpoints;
UPDATE outbox.lane SET bucket_low = outbox.bucket('k1', 0), bucket_high = outbox.bucket('k1', 0);
SELECT pg_temp.ack(10, 10, 0, 10, 30, 122) \g /dev/null
SELECT is(pg_temp.delivered(), (SELECT array_agg(seq ORDER BY seq) FROM outbox.event WHERE seq > 101
                                   AND outbox.bucket(key, seq) = outbox.bucket('k1', 0)), 'a lane delivers for its buckets only');
ROLLBACK TO endpoints;
SELECT pg_temp.ack(10, 10, 0, 10, 20, 112) \g /dev/null
UPDATE outbox.lane SET to_tick = 10, seq = 0;
SELECT throws_ok($$SELECT pg_temp.ack(10, 10, 0, 10, 20, 112)$$, '23505', NULL,
                 'deliveries for an event twice cannot be: the key refuses them');

SELECT * FROM finish();
ROLLBACK;
