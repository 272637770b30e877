-- recent_rows(): the same as batch_rows() when nothing is late, by one plan for any log.
BEGIN;
SELECT plan(9);

-- An empty past, and a tick whose snapshot sees some of what came since.
INSERT INTO outbox.tick (snapshot, last_seq, self_xid)
SELECT '90:90:', CASE WHEN is_called THEN last_value ELSE last_value - 1 END, '90' FROM outbox.event_seq
RETURNING id AS from_tick, last_seq AS after \gset
INSERT INTO outbox.event (xid, type, key, payload)
SELECT (90 + g % 10)::text::xid8, 't', 'k' || g % 7, convert_to(repeat('x', g % 5 * 10), 'UTF8') FROM generate_series(1, 200) g;
INSERT INTO outbox.tick (snapshot, last_seq, self_xid)
SELECT '92:99:92,95', last_value, '99' FROM outbox.event_seq
RETURNING id AS to_tick, nonce AS to_nonce \gset

PREPARE recent(bigint, integer, integer, integer, bigint) AS
SELECT seq, id, type, key, payload, occurred_at FROM outbox.recent_rows(:to_tick, :'to_nonce', $1, $2, $3, $4, $5);
PREPARE batch(bigint, integer, integer, integer) AS
SELECT seq, id, type, key, payload, occurred_at
  FROM outbox.batch(:from_tick, :to_tick, $1, low => $2, high => $3, row_limit => $4);

SELECT isnt_empty('EXECUTE batch(0, 0, 255, 1000)', 'there is something to compare');
SELECT results_eq(format('EXECUTE recent(%s, 0, 255, 1000, 1000000)', :after), 'EXECUTE batch(0, 0, 255, 1000)',
                  'all of them');
SELECT results_eq(format('EXECUTE recent(%s, 10, 99, 1000, 1000000)', :after), 'EXECUTE batch(0, 10, 99, 1000)',
                  'some buckets');
SELECT results_eq(format('EXECUTE recent(%s, 0, 255, 7, 1000000)', :after), 'EXECUTE batch(0, 0, 255, 7)', 'a few rows');
SELECT results_eq(format('EXECUTE recent(%s, 0, 255, 1000, 1000000)', :after + 50),
                  format('EXECUTE batch(%s, 0, 255, 1000)', :after + 50), 'those behind a position');
SELECT is((SELECT sum(octet_length(payload)) - max(octet_length(payload)) < 100 AND sum(octet_length(payload)) >= 100
             FROM outbox.recent_rows(:to_tick, :'to_nonce', :after, 0, 255, 1000, 100)), true,
          'rows until their payloads reach the limit');
SELECT throws_ok(format('SELECT * FROM outbox.recent_rows(%s, %L, 0, 0, 255, 1, 1)', :to_tick, gen_random_uuid()),
                 'XX001', NULL, 'a tick with another nonce is none');
SELECT throws_ok('SELECT * FROM outbox.recent_rows(-1, gen_random_uuid(), 0, 0, 255, 1, 1)', 'XX001',
                 'tick -1 is not there any more', 'nor is one that was never taken');

-- The settings of the function, and its statement as it stands there.
CREATE FUNCTION pg_temp.plan_of() RETURNS text LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    line text;
    plan text := '';
BEGIN
    PREPARE page(bigint, bigint, integer) AS
    SELECT e.seq FROM outbox.event e WHERE e.seq > $1 AND e.seq <= $2 ORDER BY e.seq LIMIT $3;
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) EXECUTE page(0, 1000000, 10)' LOOP
        plan := plan || line || E'\n';
    END LOOP;
    RETURN plan;
END $$;
SELECT is(p ~ 'Index (Only )?Scan using event_[0-9]+_seq_idx' AND p !~ 'Sort|Seq Scan|Bitmap', true,
          'it is read in the order of its index, though the planner knows nothing of the log')
  FROM pg_temp.plan_of() AS p;

SELECT * FROM finish();
ROLLBACK;
