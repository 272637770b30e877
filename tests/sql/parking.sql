-- What is parked: by whom, in which order it goes on, and what an operator may decide.
BEGIN;
SELECT plan(32);

INSERT INTO outbox.tick (id, nonce, snapshot, last_seq, self_xid) VALUES
    (10, '00000000-0000-4000-8000-000000000010', '100:100:', 100, '100'),
    (20, '00000000-0000-4000-8000-000000000020', '110:110:', 120, '110');
INSERT INTO outbox.event (xid, seq, type, key, topic, payload)
SELECT '105', n, 'order.placed', 'k' || n % 2, 't', 'x' FROM generate_series(101, 108) n;
INSERT INTO outbox.event (xid, seq, type, key, topic) VALUES ('105', 109, 'order.placed', NULL, 't');
UPDATE outbox.lane SET from_tick = 10, from_nonce = '00000000-0000-4000-8000-000000000010', to_tick = 10,
                       to_nonce = '00000000-0000-4000-8000-000000000010', seq = 0, done = true, epoch = 5;
CREATE FUNCTION pg_temp.park(seq bigint, epoch bigint DEFAULT 5, whole boolean DEFAULT false) RETURNS void LANGUAGE sql AS $$
    SELECT outbox.lane_park(1, 0, epoch, 10, jsonb_build_array(jsonb_build_object('seq', seq, 'topic', 't',
               'reason', 'too_large', 'error', 'why', 'whole', whole)))
$$;
CREATE FUNCTION pg_temp.behind(seqs bigint[], epoch bigint DEFAULT 5) RETURNS bigint[] LANGUAGE sql AS $$
    SELECT array_agg(s ORDER BY s) FROM outbox.lane_park_behind(1, 0, epoch, 10,
               jsonb_build_object('again', '[]'::jsonb, 'behind', jsonb_build_object('t', to_jsonb(seqs)))) s
$$;
CREATE FUNCTION pg_temp.take(row_limit integer DEFAULT 100, bytes bigint DEFAULT 100) RETURNS bigint[] LANGUAGE sql AS $$
    SELECT array_agg(r.seq) FROM outbox.lane_take_release(1, 0, 5, row_limit, bytes) r
$$;
CREATE FUNCTION pg_temp.ack(release bigint) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s %s', a.accepted, a.deliveries)
      FROM outbox.lane n, outbox.lane_acknowledge(1, 0, 5, n.from_tick, n.to_tick, n.seq, n.from_tick, n.from_nonce,
                                                  n.to_tick, n.to_nonce, n.seq, n.done, 1, release) a
$$;

-- Parking
SELECT throws_ok($$SELECT pg_temp.park(102, 4)$$, '55000', 'lane 0 of map 1: another relay has taken it', 'a former owner parks nothing');
SELECT throws_ok($$SELECT pg_temp.behind('{104}', 4)$$, '55000', NULL, 'nor behind');
SELECT throws_ok($$SELECT * FROM outbox.lane_take_release(1, 0, 4, 1, 1)$$, '55000', NULL, 'nor does it release');
SELECT pg_temp.park(103) \g /dev/null
SELECT results_eq($$SELECT seq, state, topic, key, reason, error FROM outbox.parked_event$$,
                  $$VALUES (103::bigint, 'parked', 't', 'k1', 'too_large', 'why')$$, 'a fault is parked');
SELECT is(pg_temp.behind('{101,102,104,105,107,109}'), '{105,107}', 'later events of its key wait behind it, and no others');
SELECT is(pg_temp.behind('{105,107}'), NULL, 'once');
SELECT is((SELECT array_agg(t) FROM outbox.parked_topics() t), '{t}', 'parked_topics() finds it');

-- Release
SELECT is(pg_temp.take(), NULL, 'nothing goes on before an operator has decided');
SELECT is(outbox.parked_retry('{103}', 'raised'), 1::bigint, 'retry');
SELECT is(pg_temp.take(), NULL, 'nor what the lane has not come to yet');
UPDATE outbox.lane SET to_tick = 20, to_nonce = '00000000-0000-4000-8000-000000000020', seq = 104, done = false;
SELECT is(pg_temp.take(), '{103}', 'then what it has passed');
UPDATE outbox.lane SET seq = 109, done = true;
SELECT is(pg_temp.take(2), '{103,105}', 'in order, and no more than wanted');
SELECT is(pg_temp.take(bytes => 1), '{103}', 'nor more bytes');
SELECT is(pg_temp.take(), '{103,105,107}', 'all that wait behind it with it');
SELECT throws_ok($$SELECT outbox.parked_discard('{105}', false)$$, '55000', NULL, 'what is being released cannot be decided about');
SELECT outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'all') \g /dev/null
SELECT is(pg_temp.ack(0), 't 0', 'an acknowledgement without a release ends none');
SELECT is(pg_temp.ack(currval('outbox.release_seq')), 't 3', 'one with it inserts the deliveries');
SELECT is(pg_temp.ack(currval('outbox.release_seq')), 't 0', 'once');
SELECT is((SELECT count(*) FROM outbox.parked_event WHERE state = 'released' AND released_at IS NOT NULL), 3::bigint, 'they are released');
SELECT throws_ok($$SELECT outbox.parked_retry('{103}')$$, '55000', 'event 103 is not parked any more: it was released', 'and that stands');

-- Reroute and discard
SELECT pg_temp.park(102) \g /dev/null
SELECT pg_temp.behind('{104,106}') \g /dev/null
SELECT outbox.parked_reroute('{102}', 'other') \g /dev/null
SELECT is((SELECT array_agg(r.seq || r.topic) FROM outbox.lane_take_release(1, 0, 5, 9, 9) r), '{102other}',
          'a rerouted event goes alone, what follows waits for it');
SELECT pg_temp.ack(currval('outbox.release_seq')) \g /dev/null
SELECT throws_ok($$SELECT outbox.parked_discard('{104,4711}', true)$$, 'P0002', 'event 4711 is not parked', 'all or none');
SELECT is(outbox.parked_discard('{104}', true, 'why not'), 1::bigint, 'discard');
SELECT is((SELECT count(*) FROM outbox.delivery d JOIN outbox.delivery_of_event o ON o.delivery = d.id
            WHERE o.event_seq = 104 AND d.event_seq = 104 AND o.event_id = d.event_id), 1::bigint, 'with its deliveries, when told so');
SELECT is(pg_temp.take(), '{106}', 'what waited goes on');

-- A whole topic
SELECT pg_temp.ack(currval('outbox.release_seq')) \g /dev/null
SELECT pg_temp.park(108, whole => true) \g /dev/null
SELECT is(pg_temp.behind('{109}'), '{109}', 'behind a topic wait events without a key too');
UPDATE outbox.parked_topic SET next_at = clock_timestamp();
SELECT is(pg_temp.take(), '{108}', 'the first is tried when its time has come');

-- A batch that is read again from an earlier tick, as after an empty one whose marker was not written
UPDATE outbox.parked_event SET state = 'discarded', released_at = clock_timestamp() WHERE released_at IS NULL;
DELETE FROM outbox.parked_topic;
INSERT INTO outbox.event (xid, seq, type, key, topic) SELECT '115', n, 'order.placed', 'k', 'again' FROM generate_series(121, 123) n;
INSERT INTO outbox.tick (id, nonce, snapshot, last_seq, self_xid) VALUES
    (30, '00000000-0000-4000-8000-000000000030', '111:111:', 120, '111'),
    (40, '00000000-0000-4000-8000-000000000040', '120:120:', 130, '120');
UPDATE outbox.lane SET from_tick = 10, to_tick = 20, seq = 109, done = true;
SELECT outbox.lane_park(1, 0, 5, 30, '[{"seq": 121, "topic": "again", "reason": "too_large", "whole": false}]') \g /dev/null
SELECT is((SELECT array_agg(s) FROM outbox.lane_park_behind(1, 0, 5, 20, '{"again": [121], "behind": {"again": [122]}}') s),
          '{122}', 'what is parked comes before what was read with it again');
SELECT is(outbox.parked_retry('{121}'), 1::bigint, 'retry');
SELECT is(pg_temp.take(), NULL, 'the lane has not come to it');
UPDATE outbox.lane SET from_tick = 20, from_nonce = '00000000-0000-4000-8000-000000000020', to_tick = 40,
                       to_nonce = '00000000-0000-4000-8000-000000000040', seq = 130, done = true;
SELECT is(pg_temp.take(), '{121,122}', 'they go on when it has, in their order');

-- Its partition has gone
INSERT INTO outbox.kept_event (seq, id, type, topic, key, payload, occurred_at)
SELECT seq, id, type, topic, key, 'kept', occurred_at FROM outbox.event WHERE seq = 121;
DELETE FROM outbox.event WHERE seq = 121;
SELECT is((SELECT array_agg(r.seq || coalesce(encode(r.payload, 'escape'), '')) FROM outbox.lane_take_release(1, 0, 5, 9, 9) r),
          '{121kept,122}', 'what is parked is released from its copy, in its place');

SELECT * FROM finish();
ROLLBACK;
