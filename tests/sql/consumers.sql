-- A consumer's position: who may move it, and from where.
BEGIN;
SELECT plan(33);

CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    field text;
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS field = COLUMN_NAME;
    RETURN SQLSTATE || ' ' || field;
END $$;
CREATE FUNCTION pg_temp.advance(fence bigint, from_offset bigint, to_offset bigint) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.refusal(format('SELECT outbox.consumer_advance(%L, %L, 0, %L, %L, %L)', 'billing', 'orders', fence,
                                  from_offset, to_offset))
$$;

-- Taking over --------------------------------------------------------------------------------
SELECT fence AS first, coalesce(next_offset, -1) AS next_offset FROM outbox.consumer_acquire('billing', 'orders', 0, 'cluster', 'me') \gset
SELECT is(:next_offset, -1, 'a new position is not decided yet');
SELECT is(pg_temp.advance(:first, NULL, 100), 'done', 'it is decided by whoever took it');
SELECT is(pg_temp.advance(:first, NULL, 100), '55000 fence', 'once');
SELECT fence AS second, next_offset FROM outbox.consumer_acquire('billing', 'orders', 0, 'cluster', 'you') \gset
SELECT is(:next_offset, 100, 'who comes next finds it');
SELECT cmp_ok(:second::bigint, '>', :first::bigint, 'with a higher fence');
SELECT is((SELECT owner FROM outbox.consumer_position), 'you', 'and is its owner');
SELECT is(outbox.consumer_fence('billing', 'orders', 0), :second::bigint, 'the fence that stands');
SELECT is(outbox.consumer_fence('billing', 'orders', 1), NULL, 'none');
SELECT is(pg_temp.refusal($$SELECT outbox.consumer_acquire('billing', 'orders', 0, 'other cluster', 'me')$$),
          '55000 cluster', 'a position of another cluster is not taken over');
SELECT is(outbox.consumer_fence('billing', 'orders', 0), :second::bigint, 'nor is its owner fenced by that');

-- Advancing ----------------------------------------------------------------------------------
SELECT is(pg_temp.advance(:first, 100, 110), '55000 fence', 'the former owner cannot advance');
SELECT is(pg_temp.advance(:second, 100, 110), 'done', 'the present one can');
SELECT is(pg_temp.advance(:second, 100, 110), '55000 fence', 'not from where the position does not stand');
SELECT is(pg_temp.advance(:second, 110, 109), '55000 fence', 'nor back');
SELECT is((SELECT next_offset FROM outbox.consumer_position), 110::bigint, 'the position');
SELECT is(pg_temp.refusal($$SELECT outbox.consumer_acquire('', 'orders', 0, 'c', 'me')$$), '23514 ', 'a consumer has a name');

-- Parked keys ----------------------------------------------------------------------------------
SELECT lives_ok($$SELECT outbox.consumer_park_key('billing', 'orders', 0, '\x00ff', 110, 'no good')$$, 'a key is parked');
SELECT lives_ok($$SELECT outbox.consumer_park_key('billing', 'orders', 0, '\x00ff', 115, 'again')$$, 'twice is once');
SELECT is(outbox.consumer_park_behind('billing', 'orders', 0, '\x00ff'), true, 'one follows it');
SELECT is(outbox.consumer_park_behind('billing', 'orders', 0, '\x01'), false, 'not of another key');
SELECT is(outbox.consumer_park_behind('billing', 'orders', 1, '\x00ff'), false, 'nor of another partition');
SELECT results_eq($$SELECT key, first_offset, followers, reason FROM outbox.consumer_parked_key$$,
                  $$VALUES ('\x00ff'::bytea, 110::bigint, 1::bigint, 'no good')$$, 'so it is told');
SELECT results_eq($$SELECT * FROM outbox.consumer_parked_keys('billing', 'orders', 0, 10)$$, $$VALUES ('\x00ff'::bytea)$$,
                  'a consumer reads them');
DO $$ BEGIN
    PERFORM outbox.consumer_acquire('billing', 'orders', 2, 'c', 'me');
    PERFORM outbox.consumer_park_key('billing', 'orders', 2, key::bytea, 1, 'no good') FROM unnest('{b,a,ab}'::text[]) AS key;
END $$;
-- whichever way they are found
SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off;
SELECT results_eq($$SELECT * FROM outbox.consumer_parked_keys('billing', 'orders', 2, 2)$$,
                  $$VALUES ('a'::bytea), ('ab'::bytea)$$, 'in the order of their bytes');
RESET enable_indexscan; RESET enable_indexonlyscan; RESET enable_bitmapscan;
DELETE FROM outbox.consumer_parked_key WHERE partition = 2;
DELETE FROM outbox.consumer_position WHERE partition = 2;
SELECT is(outbox.consumer_release_key('billing', 'orders', '\x00ff', 'mended'), 1::bigint, 'released, with one behind it');
SELECT is(pg_temp.refusal($$SELECT outbox.consumer_release_key('billing', 'orders', '\x00ff')$$), 'P0002 ', 'once');

-- Operators ------------------------------------------------------------------------------------
SELECT lives_ok($$SELECT outbox.consumer_seek('billing', 'orders', 0, 50, 'again')$$, 'an operator moves the position');
SELECT is(pg_temp.advance(:second, 110, 120), '55000 fence', 'which the owner must notice');
SELECT is(pg_temp.refusal($$SELECT outbox.consumer_seek('billing', 'orders', 0, -1)$$), '22023 next_offset', 'not below 0');
SELECT is(pg_temp.refusal($$SELECT outbox.consumer_seek('billing', 'orders', 7, 1)$$), 'P0002 ', 'nor where there is none');
SELECT is(outbox.consumer_forget('billing'), 1::bigint, 'forgotten');
SELECT fence AS third FROM outbox.consumer_acquire('billing', 'orders', 0, 'other cluster', 'me') \gset
SELECT cmp_ok(:third::bigint, '>', :second::bigint, 'made anew, it has a fence that never was');
SELECT is((SELECT array_agg(action ORDER BY id) FROM outbox.audit WHERE action LIKE 'consumer%'),
          ARRAY['consumer release key', 'consumer seek', 'consumer forget'], 'and the audit tells');

SELECT * FROM finish();
ROLLBACK;
