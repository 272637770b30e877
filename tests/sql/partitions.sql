-- Partitions: adding ahead, and rotating into them by a jump of the sequences.  With
-- other sessions at work: tests/integration/rotate_open_copy.py.
BEGIN;
SELECT plan(33);

CREATE FUNCTION pg_temp.bounds(name text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = ('outbox.' || name)::regclass
$$;

-- A sequence does not roll back: put them back at the end.
SELECT last_value AS event_seq, is_called AS event_called FROM outbox.event_seq \gset
SELECT last_value AS tick_seq, is_called AS tick_called FROM outbox.tick_seq \gset

-- Adding ---------------------------------------------------------------------------------
SELECT is(outbox.partition_add(), 3, 'partition_add() returns the number');
SELECT is(outbox.partition_add(), 4, 'and the next');
SELECT is(pg_temp.bounds('event_3'), format('FOR VALUES FROM (%L) TO (%L)', 3 * (1::bigint << 40), 4 * (1::bigint << 40)),
          'events: 2^40 numbers');
SELECT is(pg_temp.bounds('tick_3'), format('FOR VALUES FROM (%L) TO (%L)', 3 * (1::bigint << 32), 4 * (1::bigint << 32)),
          'ticks: 2^32 ids');
SELECT is_empty($$SELECT conname FROM pg_constraint WHERE conrelid = 'outbox.event_3'::regclass AND conname = 'range_proof'$$,
                'the proof that spared the scan is gone');
SELECT is((SELECT array_agg(pg_get_constraintdef(oid)) FROM pg_constraint WHERE conrelid = 'outbox.event_3'::regclass AND contype = 'c'),
          (SELECT array_agg(pg_get_constraintdef(oid)) FROM pg_constraint WHERE conrelid = 'outbox.event'::regclass AND contype = 'c'),
          'the log''s own checks are there');
SELECT is((SELECT count(*) FROM pg_index x JOIN pg_inherits h ON h.inhrelid = x.indexrelid
            WHERE x.indrelid = 'outbox.event_3'::regclass AND x.indisvalid), 2::bigint, 'its indexes are the log''s');
SELECT is((SELECT relowner::regrole::text FROM pg_class WHERE oid = 'outbox.event_3'::regclass), 'outbox_owner', 'its owner too');
SELECT is((SELECT (n, low, high, tick_low, tick_high, attached_xid, rotated_at IS NULL, state)::text FROM outbox.event_partition WHERE n = 3),
          format('(3,%s,%s,%s,%s,%s,t,attached)', 3 * (1::bigint << 40), 4 * (1::bigint << 40), 3 * (1::bigint << 32),
                 4 * (1::bigint << 32), pg_current_xact_id()), 'event_partition has a row of it');
SELECT is((SELECT array_agg((attname, atttypid::regtype, attnotnull)::text ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = 'outbox.event_3'::regclass AND attnum > 0),
          (SELECT array_agg((attname, atttypid::regtype, attnotnull)::text ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = 'outbox.event'::regclass AND attnum > 0), 'it has the log''s columns, in their order');

-- Rotating ----------------------------------------------------------------------------------
SELECT outbox.emit(type => 'before') AS before \gset
SELECT is(outbox.rotate(), 1, 'rotate() enters the next partition');
SELECT is((SELECT (last_value, is_called)::text FROM outbox.event_seq), format('(%s,f)', 1::bigint << 40), 'the numbers jump to its beginning');
SELECT is((SELECT (last_value, is_called)::text FROM outbox.tick_seq), format('(%s,f)', 1::bigint << 32), 'the ticks as well');
SELECT outbox.emit(type => 'after') AS after \gset
SELECT is((SELECT tableoid::regclass::text FROM outbox.event WHERE id = :'before'), 'outbox.event_0', 'what was before stays');
SELECT is((SELECT (tableoid::regclass, seq)::text FROM outbox.event WHERE id = :'after'), format('(outbox.event_1,%s)', 1::bigint << 40),
          'what comes is in the new one');
SELECT is((SELECT array_agg(n) FROM outbox.event_partition WHERE rotated_at IS NOT NULL), ARRAY[0], 'the one left is marked');
INSERT INTO outbox.tick (snapshot, last_seq, self_xid) VALUES ('1:1:', 0, '1');
SELECT is((SELECT tableoid::regclass::text FROM outbox.tick ORDER BY id DESC LIMIT 1), 'outbox.tick_1', 'a tick too');
SELECT is(outbox.tick_needed(), true, 'a jump alone needs a tick');
SELECT is(outbox.rotate(), 2, 'and again, into the next');
SELECT is((SELECT array_agg(n ORDER BY n) FROM outbox.event_partition WHERE rotated_at IS NOT NULL), ARRAY[0, 1], 'marked');
SELECT is(outbox.rotate(), NULL, 'a partition that this transaction attached itself is not entered: others do not see it');
SELECT is((SELECT last_value FROM outbox.event_seq), 2 * (1::bigint << 40), 'and the numbers stay');
-- as if it had been attached by another
UPDATE outbox.event_partition SET attached_xid = '3' WHERE n IN (3, 4);
UPDATE outbox.event_partition SET open_by = ARRAY[(SELECT virtualtransaction FROM pg_locks WHERE pid = pg_backend_pid() LIMIT 1)]
 WHERE n = 3;
SELECT is(outbox.rotate(), NULL, 'nor one while somebody has the log open since before its attachment');
UPDATE outbox.event_partition SET open_by = ARRAY['12345/678'] WHERE n = 3;
SELECT is(outbox.rotate(), 3, 'but when they have ended');
SELECT is((SELECT open_by FROM outbox.event_partition WHERE n = 4), '{}'::text[], 'the next one was looked at meanwhile');
-- The guard against going backwards: less than 2^38 numbers left.
SELECT setval('outbox.event_seq', 4 * (1::bigint << 40) - (1::bigint << 38)) \g /dev/null
SELECT is(outbox.rotate(), NULL, 'no jump when the partition is all but used up');
SELECT setval('outbox.event_seq', 4 * (1::bigint << 40) - (1::bigint << 38) - 1) \g /dev/null
SELECT is(outbox.rotate(), 4, 'one number earlier there is');
SELECT is(outbox.rotate(), NULL, 'no partition is left');
SELECT is(outbox.partition_add(), 5, 'one more');
SELECT is((SELECT nextval('outbox.event_seq')), 4 * (1::bigint << 40), 'the numbers went on');
SELECT throws_ok($$INSERT INTO outbox.event (seq, type) VALUES (6 * (1::bigint << 40), 't')$$, '23514', NULL,
                 'a number beyond all partitions is an error, as there is no default partition');

-- The ring of slots -----------------------------------------------------------------------------
SELECT is((SELECT count(DISTINCT outbox.day_slot(now() + n * interval '1 day')) FROM generate_series(0, 15) AS n), 16::bigint,
          '16 days in a row have 16 slots');
SELECT is(outbox.day_slot(now() + interval '16 days'), outbox.day_slot(now()), 'then they come again');

SELECT setval('outbox.event_seq', :event_seq, :'event_called'), setval('outbox.tick_seq', :tick_seq, :'tick_called') \g /dev/null
SELECT * FROM finish();
ROLLBACK;
