-- Ticks: when they are refused, and that a batch is what its simple definition says.
-- How they behave among concurrent writers is for tests/integration/tick_oracle.py.
BEGIN;
SELECT plan(28);

-- Refusals: this transaction has no xid yet, so none of these comes from that.
SELECT throws_ok($$SELECT outbox.tick()$$, '25001',
                 'outbox.tick() must be a transaction of its own: this one already has a transaction id',
                 'a tick in a transaction that has an xid is refused (plan() has written)');
SELECT throws_ok($$SELECT outbox.tick(true)$$, '25001', NULL, 'even if only taken when needed');
SELECT is((SELECT count(*) FROM outbox.tick), 1::bigint, 'and leaves no tick');
SELECT is(prosrc ~ 'pg_is_in_recovery\(\)', true, 'a tick on a standby is refused') FROM pg_proc WHERE oid = 'outbox.tick'::regproc;

-- tick_needed() ----------------------------------------------------------------------------
INSERT INTO outbox.tick (snapshot, last_seq, self_xid)
SELECT '90:90:', CASE WHEN is_called THEN last_value ELSE last_value - 1 END, '90' FROM outbox.event_seq;
SELECT is(outbox.tick_needed(), false, 'nothing emitted: no tick needed');
SELECT nextval('outbox.event_seq') AS drawn \gset
SELECT is(outbox.tick_needed(), true, 'a number was drawn since the last tick');
INSERT INTO outbox.tick (snapshot, last_seq, self_xid) VALUES ('100:110:102,105', :drawn, '115');
SELECT is(outbox.tick_needed(), false, 'covered');
INSERT INTO outbox.event (xid, seq, type) VALUES ('101', :drawn, 't');
SELECT is(outbox.tick_needed(), false, 'an event that the tick covers does not need another');
SAVEPOINT s;
INSERT INTO outbox.event (xid, seq, type) VALUES ('102', :drawn, 't');
SELECT is(outbox.tick_needed(), true, 'one of a transaction that was running then does, once it is there');
ROLLBACK TO s;
INSERT INTO outbox.event (xid, seq, type) VALUES ('112', :drawn, 't');
SELECT is(outbox.tick_needed(), true, 'and one of a transaction between xmax and the tick''s own xid');
ROLLBACK TO s;
INSERT INTO outbox.event (xid, seq, type) VALUES ('115', :drawn, 't');
SELECT is(outbox.tick_needed(), false, 'not from the own xid on');
ROLLBACK TO s;

-- batch() against its definition ------------------------------------------------------------
-- What a tick t has delivered, in whatever steps, is D(t) = {e: e.seq <= t.last_seq and
-- e.xid visible in t}; the batch (a, b) is D(b) without D(a).  A simulated history: numbers
-- are drawn after the xid, transactions end in any order, one in four aborts (its events
-- vanish), and a tick reads the sequence, takes its xid and its snapshot in this order,
-- with other steps between.
TRUNCATE outbox.event;
DELETE FROM outbox.tick;
SELECT setseed(0.42) \g /dev/null
CREATE TEMP TABLE running (xid bigint);
CREATE FUNCTION pg_temp.simulate(steps integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    next_xid bigint := 1000;
    last_ended bigint := 999;
    drawn bigint := 0;
    tick_drawn bigint;
    tick_xid bigint;
    x bigint;
    dice double precision;
BEGIN
    FOR step IN 1..steps LOOP
        dice := random();
        IF dice < 0.2 THEN
            INSERT INTO running VALUES (next_xid);
            next_xid := next_xid + 1;
        ELSIF dice < 0.6 THEN
            SELECT r.xid INTO x FROM running r ORDER BY random() LIMIT 1;
            IF FOUND THEN
                drawn := drawn + 1 + floor(random() * 2)::bigint;
                INSERT INTO outbox.event (xid, seq, type, key)
                VALUES (x::text::xid8, drawn, 't', CASE WHEN random() < 0.7 THEN floor(random() * 50)::text END);
            END IF;
        ELSIF dice < 0.8 THEN
            SELECT r.xid INTO x FROM running r ORDER BY random() LIMIT 1;
            IF FOUND THEN
                DELETE FROM running r WHERE r.xid = x;
                last_ended := greatest(last_ended, x);
                IF random() < 0.25 THEN
                    DELETE FROM outbox.event e WHERE e.xid = x::text::xid8;
                END IF;
            END IF;
        ELSIF tick_drawn IS NULL THEN
            tick_drawn := drawn;
        ELSIF tick_xid IS NULL THEN
            tick_xid := next_xid;
            next_xid := next_xid + 1;
        ELSE
            INSERT INTO outbox.tick (snapshot, last_seq, self_xid)
            SELECT format('%s:%s:%s', least(min(r.xid), last_ended + 1), last_ended + 1,
                          string_agg(r.xid::text, ',' ORDER BY r.xid) FILTER (WHERE r.xid <= last_ended))::pg_snapshot,
                   tick_drawn, tick_xid::text::xid8
              FROM (SELECT xid FROM running UNION ALL SELECT tick_xid WHERE tick_xid <= last_ended) AS r;
            last_ended := greatest(last_ended, tick_xid);
            tick_drawn := NULL;
            tick_xid := NULL;
        END IF;
    END LOOP;
    -- the end: all commit, and one more tick sees everything
    INSERT INTO outbox.tick (snapshot, last_seq, self_xid)
    VALUES (format('%s:%s:', next_xid + 1, next_xid + 1)::pg_snapshot, drawn, (next_xid + 1)::text::xid8);
END $$;
INSERT INTO outbox.tick (snapshot, last_seq, self_xid) VALUES ('1000:1000:', 0, '1000');
SELECT pg_temp.simulate(2000) \g /dev/null
CREATE TEMP TABLE t AS SELECT *, row_number() OVER (ORDER BY id) AS n FROM outbox.tick;
CREATE FUNCTION pg_temp.definition(a outbox.tick, b outbox.tick) RETURNS bigint[] LANGUAGE sql AS $$
    SELECT coalesce(array_agg(e.seq ORDER BY e.seq), '{}') FROM outbox.event e
     WHERE e.seq <= b.last_seq AND pg_visible_in_snapshot(e.xid, b.snapshot)
       AND NOT (e.seq <= a.last_seq AND pg_visible_in_snapshot(e.xid, a.snapshot))
$$;
CREATE TEMP TABLE pair AS
SELECT a.id AS a, b.id AS b, b.n - a.n AS skipped,
       (SELECT pg_temp.definition(x, y) FROM outbox.tick x, outbox.tick y WHERE x.id = a.id AND y.id = b.id) AS wanted,
       ARRAY(SELECT e.seq FROM outbox.batch(a.id, b.id) AS e) AS got
  FROM t AS a JOIN t AS b ON b.n BETWEEN a.n AND a.n + 6;
SELECT cmp_ok((SELECT count(*) FROM t), '>', 60::bigint, 'the simulation took ticks');
SELECT cmp_ok((SELECT count(*) FROM outbox.event), '>', 400::bigint, 'and events');
SELECT cmp_ok((SELECT count(*) FROM t JOIN outbox.event e ON e.seq <= t.last_seq AND e.xid < t.self_xid
                AND e.xid >= pg_snapshot_xmax(t.snapshot)), '>', 5::bigint,
              'some between xmax and the tick''s own xid, which xip does not name');
SELECT is_empty($$SELECT a, b, wanted, got FROM pair WHERE got IS DISTINCT FROM wanted$$,
                'batch() is the definition, in order of seq, for each pair of ticks up to 6 apart');
SELECT is_empty($$SELECT a FROM pair WHERE a = b AND got <> '{}'$$, 'a batch from a tick to itself is empty');
SELECT is((SELECT array_agg(s ORDER BY s) FROM pair, unnest(got) AS s WHERE skipped = 1),
          (SELECT array_agg(seq ORDER BY seq) FROM outbox.event),
          'the batches one after another deliver each event exactly once');
CREATE TEMP TABLE coarse AS
SELECT c.a, c.b FROM (SELECT id AS a, lead(id) OVER (ORDER BY id) AS b FROM t
                       WHERE n % 5 = 1 OR n = (SELECT max(n) FROM t)) AS c WHERE c.b IS NOT NULL;
SELECT is((SELECT array_agg(e.seq ORDER BY e.seq) FROM coarse AS c, outbox.batch(c.a, c.b) AS e),
          (SELECT array_agg(seq ORDER BY seq) FROM outbox.event), 'so do coalesced ones');
-- pages
CREATE FUNCTION pg_temp.paged(a bigint, b bigint, size integer) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    page bigint[];
    everything bigint[] := '{}';
BEGIN
    LOOP
        page := ARRAY(SELECT e.seq FROM outbox.batch(a, b, coalesce(everything[cardinality(everything)], 0), row_limit => size) AS e);
        everything := everything || page;
        EXIT WHEN cardinality(page) < size;
    END LOOP;
    RETURN everything;
END $$;
SELECT is_empty($$SELECT a, b FROM pair WHERE skipped IN (1, 4) AND pg_temp.paged(a, b, 3) <> got$$,
                'pages of 3 make up the batch');
SELECT is_empty($$SELECT a, b FROM pair WHERE skipped IN (1, 4) AND cardinality(got) > 1 AND
                  ARRAY(SELECT e.seq FROM outbox.batch(a, b, 0, got[2]) AS e) <> got[1:2]$$, 'a part up to a seq, inclusive');
-- buckets
SELECT is_empty($$SELECT a, b FROM pair WHERE skipped = 2 AND
                  ARRAY(SELECT s FROM (SELECT e.seq FROM outbox.batch(a, b, low => 0, high => 99) AS e
                                       UNION ALL SELECT e.seq FROM outbox.batch(a, b, low => 100, high => 255) AS e) AS x(s)
                         ORDER BY s) <> got$$, 'two lanes share a batch');
SELECT is_empty($$SELECT e.seq FROM pair, outbox.batch(a, b, low => 17, high => 90) AS e
                   WHERE skipped = 1 AND outbox.bucket(e.key, e.seq) NOT BETWEEN 17 AND 90$$, 'each its own buckets');
SELECT throws_ok($$SELECT * FROM outbox.batch(1, 9999999)$$, 'P0002', NULL, 'a tick that is not there is an error, not an empty batch');

-- the planner folds batch_rows() into the query, and reads by index from the latest partition only
CREATE FUNCTION pg_temp.plan_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    plan text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || statement LOOP
        plan := plan || line || E'\n';
    END LOOP;
    RETURN plan;
END $$;
SELECT pg_temp.plan_of($$SELECT * FROM outbox.batch_rows('{1000}', '1010', '1015', 5, '1000:1010:1002', 50, 0,
                           9223372036854775807, 0, 255, 1000)$$) AS plan \gset
SELECT unalike(:'plan'::text, '%batch_rows%', 'batch_rows() is folded into the query');
SELECT alike(:'plan'::text, '%Index Cond: ((xid = x.xid) AND (seq > %', 'transactions running at a are found by xid');
SELECT alike(:'plan'::text, '%Index Cond: ((xid >= ''1010''::xid8) AND (xid < ''1015''::xid8) AND (seq > %',
             'so are those between xmax and the tick''s own');
SELECT alike(:'plan'::text, '%Index Cond: ((seq > ''5''::bigint) AND (seq <= ''50''::bigint))%', 'what is newer by seq');
SELECT unalike(:'plan'::text, '%hashtext%', 'a lane of all buckets hashes no key');

SELECT * FROM finish();
ROLLBACK;
