-- Who is alive, who ticks, who has which lane, and how one map of lanes follows another.
BEGIN;
SELECT plan(56);

-- A check-in, in one line for each row: kind and what matters of it.
CREATE FUNCTION pg_temp.look(
    name text, lanes integer[] DEFAULT '{}', epochs bigint[] DEFAULT '{}', ticks boolean DEFAULT true,
    leaving boolean DEFAULT false, able boolean DEFAULT true, map integer DEFAULT NULL, ttl interval DEFAULT '1 hour',
    first boolean DEFAULT false)
RETURNS SETOF text LANGUAGE sql AS $$
    SELECT CASE c.kind
           WHEN 'map' THEN format('map %s, %s ticks%s%s', c.number, coalesce(c.name, 'nobody'),
                                  CASE WHEN c.yes THEN ', the caller' END, CASE WHEN c.tick IS NOT NULL THEN ', ending' END)
           WHEN 'relay' THEN format('relay %s%s', c.name, CASE WHEN NOT c.yes THEN ', unable' END)
           WHEN 'lane' THEN format('lane %s: %s%s%s%s', c.number, coalesce(c.name, 'nobody'), CASE WHEN c.yes THEN ', renewed' END,
                                   CASE WHEN c.closed THEN ', closed' END, ', pinned to ' || c.pinned_to)
           END
      FROM outbox.relay_check_in(name, ttl, first, leaving, able, ticks,
                                 coalesce(map, (SELECT m.lane_map FROM outbox.meta m)), lanes, epochs) AS c
     WHERE c.kind <> 'tick'
$$;
CREATE FUNCTION pg_temp.seen(VARIADIC lines text[]) RETURNS text LANGUAGE sql AS $$ SELECT array_to_string(lines, '; ') $$;

-- Checking in -----------------------------------------------------------------------------
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('a', ticks => false) l),
          pg_temp.seen('map 1, nobody ticks', 'relay a', 'lane 0: nobody'), 'one that does not publish does not tick');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('a') l),
          pg_temp.seen('map 1, a ticks, the caller', 'relay a', 'lane 0: nobody'), 'the first that publishes does');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('b', able => false) l),
          pg_temp.seen('map 1, a ticks', 'relay a', 'relay b, unable', 'lane 0: nobody'), 'another is told who ticks');
SELECT is((SELECT epoch FROM outbox.lane_acquire(1, 0, 'a', '1 hour')), 1::bigint, 'a takes the lane');
UPDATE outbox.lease SET expires_at = clock_timestamp() + interval '1 minute' WHERE name = 'lane/1/0';
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('a', '{0}', '{1}') l),
          pg_temp.seen('map 1, a ticks, the caller', 'relay a', 'relay b, unable', 'lane 0: a, renewed'), 'a check-in renews its lease');
SELECT ok((SELECT expires_at > clock_timestamp() + interval '50 minutes' FROM outbox.lease WHERE name = 'lane/1/0'), 'until then');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('b', '{0}', '{0}') l),
          pg_temp.seen('map 1, a ticks', 'relay a', 'relay b', 'lane 0: a'), 'a former epoch renews nothing');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('a', '{0}', '{1}', map => 7) l),
          pg_temp.seen('map 1, a ticks, the caller', 'relay a', 'relay b', 'lane 0: a'), 'nor does that of another map');
UPDATE outbox.lease SET expires_at = clock_timestamp() WHERE name = 'ticker';
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('b') l),
          pg_temp.seen('map 1, b ticks, the caller', 'relay a', 'relay b', 'lane 0: a'), 'a ticker that is gone is succeeded');
SELECT is((SELECT epoch FROM outbox.lease WHERE name = 'ticker'), 2::bigint, 'by a new epoch');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('b', leaving => true) l),
          pg_temp.seen('map 1, nobody ticks', 'relay a', 'lane 0: a'), 'one that leaves is forgotten, and does not tick');
UPDATE outbox.relay SET expires_at = clock_timestamp() - interval '2 hours' WHERE name = 'a';
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('c') l),
          pg_temp.seen('map 1, c ticks, the caller', 'relay c', 'lane 0: a'), 'one that is gone does not count');
SELECT is((SELECT count(*) FROM outbox.relay WHERE name = 'a'), 0::bigint, 'and is removed some time');

-- Halted lanes ------------------------------------------------------------------------------
SELECT is(outbox.lane_halt(1, 0, 1, 'marker_behind', 'x'), true, 'the lane halts');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('c') l),
          pg_temp.seen('map 1, c ticks, the caller', 'relay c', 'lane 0: a, closed'), 'then no other relay goes the same way');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('c', first => true) l),
          pg_temp.seen('map 1, c ticks, the caller', 'relay c', 'lane 0: a, pinned to c'), 'but one that an operator starts tries');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('e') l WHERE l LIKE 'lane%'), 'lane 0: a, pinned to e',
          'and of several the one that was started last');
SELECT pg_temp.look('e', leaving => true);
SELECT throws_ok($$SELECT outbox.lane_set(2)$$, '55000', NULL, 'a halted lane does not come to an end');
SELECT is(outbox.lane_release(1, 0, 1), true, 'it is given back');
SELECT is((SELECT epoch FROM outbox.lane_acquire(1, 0, 'c', '1 hour')), 2::bigint, 'and taken again');

-- Pausing and moving ------------------------------------------------------------------------
SELECT is(outbox.lane_pause(0, 'why'), true, 'a lane is paused');
SELECT is(outbox.lane_pause(0), false, 'once');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('c', '{0}', '{2}') l),
          pg_temp.seen('map 1, c ticks, the caller', 'relay c', 'lane 0: c, renewed, closed'), 'its relay is told');
SELECT throws_ok($$SELECT outbox.lane_set(2)$$, '55000',
                 'lane 0 is paused: it would not come to the tick at which all lanes end', 'it stands in the way of another map');
SELECT is(outbox.lane_resume(0), true, 'it is resumed');
SELECT is(outbox.lane_resume(0), false, 'once');
SELECT throws_ok($$SELECT outbox.lane_pause(1)$$, '22023', 'there is no lane 1', 'a lane that is not there');
SELECT throws_ok($$SELECT outbox.lane_move(0, 'a')$$, '22023', 'no relay "a" is alive', 'nor is it moved to one that is not');
SELECT is(outbox.lane_move(0, 'c'), 'c', 'it is pinned');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('c', '{0}', '{2}') l),
          pg_temp.seen('map 1, c ticks, the caller', 'relay c', 'lane 0: c, renewed, pinned to c'), 'and they are told');
SELECT is(outbox.lane_move(0, NULL), 'c', 'and not any more');

-- Another map -------------------------------------------------------------------------------
SELECT throws_ok($$SELECT outbox.lane_set(0)$$, '22023', 'lanes: must be 1 to 16', 'there is one lane at least');
SELECT throws_ok($$SELECT outbox.lane_set(17)$$, '22023', 'lanes: must be 1 to 16', 'and 16 at most');
-- A tick which the lane has not come to.
INSERT INTO outbox.tick (id, snapshot, last_seq, self_xid) SELECT 50, pg_current_snapshot(), 9, pg_current_xact_id();
UPDATE outbox.lane SET published = 7;
SELECT is(outbox.lane_set(3, '1 minute', 'why'), 2, 'the next map has the next number');
SELECT throws_ok($$SELECT outbox.lane_set(3)$$, '55000', NULL, 'one change at a time');
SELECT throws_ok($$SELECT outbox.lane_pause(0)$$, '55000', NULL, 'nor is a lane paused meanwhile');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('c', '{0}', '{2}') l),
          pg_temp.seen('map 1, c ticks, the caller, ending', 'relay c', 'lane 0: c, renewed'), 'relays are told where the map ends');
UPDATE outbox.lane SET from_tick = 50, to_tick = 50, from_nonce = t.nonce, to_nonce = t.nonce FROM outbox.tick t WHERE t.id = 50;
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('c', '{0}', '{2}') l),
          pg_temp.seen('map 1, c ticks, the caller, ending', 'relay c', 'lane 0: c, renewed'),
          'the map stays while a relay has a lane');
UPDATE outbox.lease SET expires_at = clock_timestamp() WHERE name = 'lane/1/0';
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('c') l),
          pg_temp.seen('map 1, c ticks, the caller, ending', 'relay c', 'lane 0: nobody'),
          'nor is it enough that its lease has expired: it is to be had');
SELECT is((SELECT epoch FROM outbox.lane_acquire(1, 0, 'd', '1 hour')), 3::bigint, 'another takes it');
SELECT is(outbox.lane_release(1, 0, 3, false), true, 'and gives it back without having fenced the one before');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('c') l),
          pg_temp.seen('map 1, c ticks, the caller, ending', 'relay c', 'lane 0: nobody'), 'that is not enough either');
SELECT is((SELECT epoch FROM outbox.lane_acquire(1, 0, 'd', '1 hour')), 4::bigint, 'it takes it again');
SELECT is(outbox.lane_release(1, 0, 4), true, 'and gives it back');
SELECT is((SELECT string_agg(l, '; ') FROM pg_temp.look('c') l),
          pg_temp.seen('map 2, c ticks, the caller', 'relay c', 'lane 0: nobody', 'lane 1: nobody', 'lane 2: nobody'), 'the next map begins');
SELECT results_eq($$SELECT lane, bucket_low::integer, bucket_high::integer, from_tick, to_tick, done, started, published FROM outbox.lane ORDER BY lane$$,
                  $$VALUES (0, 0, 84, 50::bigint, 50::bigint, true, false, 7::bigint), (1, 85, 169, 50, 50, true, false, 0),
                           (2, 170, 255, 50, 50, true, false, 0)$$, 'at that tick, with all buckets, once each');
SELECT results_eq($$SELECT name FROM outbox.lease ORDER BY name$$, ARRAY['lane/2/0', 'lane/2/1', 'lane/2/2', 'ticker'], 'with leases');
SELECT is((SELECT (subject, reason, detail->>'lanes')::text FROM outbox.audit WHERE action = 'lane_map'), '(2,why,3)', 'and a row of audit');
-- One that takes too long.
INSERT INTO outbox.tick (id, snapshot, last_seq, self_xid) SELECT 60, pg_current_snapshot(), 9, pg_current_xact_id();
SELECT is(outbox.lane_set(1, '1 minute'), 3, 'another change');
UPDATE outbox.lane_change SET expires_at = clock_timestamp();
SELECT is((SELECT l FROM pg_temp.look('c') l LIMIT 1), 'map 2, c ticks, the caller', 'is given up in the end');
SELECT is((SELECT count(*) FROM outbox.audit WHERE action = 'lane_map_given_up'), 1::bigint, 'which the audit has, too');

-- What is parked goes along; but not a release of which only the marker tells whether it is published.
UPDATE outbox.lane SET from_tick = 60, to_tick = 60, from_nonce = t.nonce, to_nonce = t.nonce FROM outbox.tick t WHERE t.id = 60;
INSERT INTO outbox.parked_event (seq, map, lane, tick, topic, key, state, reason, release_id)
SELECT n, 2, l.lane, 1, 't', format('key-%s', n), 'behind', 'behind', CASE WHEN n = 1 THEN 7 END
  FROM generate_series(1, 40) AS n
  JOIN outbox.lane l ON outbox.bucket(format('key-%s', n), n) BETWEEN l.bucket_low AND l.bucket_high;
SELECT is(outbox.lane_set(4, '1 minute'), 3, 'a change while something is parked');
SELECT is((SELECT count(*) FROM pg_temp.look('c') l WHERE l LIKE 'lane %: nobody'), 1::bigint,
          'the lane with a release under way is still to be had, the others are closed');
UPDATE outbox.parked_event SET release_id = NULL WHERE seq = 1;
SELECT is((SELECT l FROM pg_temp.look('c') l LIMIT 1), 'map 3, c ticks, the caller', 'when that is settled, the next map begins');
SELECT is((SELECT count(*) FROM outbox.parked_event k JOIN outbox.lane l USING (map, lane)
            WHERE k.map = 3 AND outbox.bucket(k.key, k.seq) BETWEEN l.bucket_low AND l.bucket_high), 40::bigint,
          'each parked event is with the lane of its key');
SELECT is((SELECT sum(published) FROM outbox.lane), 7::numeric, 'and the count of what is published goes on');

SELECT * FROM finish();
ROLLBACK;
