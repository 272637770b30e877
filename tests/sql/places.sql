-- Where the outbox is enabled: each way to be elsewhere has its state, and each way out its
-- conditions.  psql comes by a Unix socket, so its address is local:HOST:PORT.
BEGIN;
SELECT plan(34);

CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$ SELECT state FROM outbox.standing('here') $$;
CREATE FUNCTION pg_temp.detail() RETURNS text LANGUAGE sql AS $$ SELECT detail FROM outbox.standing('here') $$;
CREATE FUNCTION pg_temp.last() RETURNS text LANGUAGE sql AS
$$ SELECT format('%s %s', action, coalesce(reason, '-')) FROM outbox.audit ORDER BY id DESC LIMIT 1 $$;

-- Binding ------------------------------------------------------------------------------------
SELECT is(pg_temp.state(), NULL, 'before the first relay every place is good');
SELECT is((SELECT timeline FROM outbox.meta), NULL, 'and none is bound');
SELECT ok((SELECT epoch IS NOT NULL FROM outbox.lane_acquire(1, 0, 'r', '1 hour')), 'who does not name its host');
SELECT is((SELECT timeline FROM outbox.meta), NULL, 'binds nothing');
SELECT ok((SELECT epoch IS NOT NULL FROM outbox.lane_acquire(1, 0, 'r', '1 hour', 'here')), 'a relay');
SELECT is((SELECT (timeline, database, enabled_addresses)::text FROM outbox.meta),
          (SELECT (1, d.oid, ARRAY['local:here:' || current_setting('port')])::text FROM pg_database d WHERE datname = current_database()),
          'binds timeline, database and address');
SELECT is(pg_temp.state(), NULL, 'where it is enabled all is well');
SELECT is((SELECT state FROM outbox.standing('there')), 'not_enabled', 'from another machine it is not');
SELECT ok((SELECT epoch IS NOT NULL FROM outbox.lane_acquire(1, 0, 'r', '1 hour', 'there')), 'and another relay');
SELECT is((SELECT enabled_addresses[1] FROM outbox.meta), 'local:here:' || current_setting('port'), 'changes nothing');

-- Elsewhere ----------------------------------------------------------------------------------
UPDATE outbox.meta SET timeline = 7;
SELECT is(pg_temp.state(), 'not_enabled', 'another timeline');
SELECT matches(pg_temp.detail(), '^enabled on timeline 7, this is 1', 'says so');
UPDATE outbox.meta SET timeline = 1, database = 1;
SELECT is(pg_temp.state(), 'not_enabled', 'another database');
SELECT is((SELECT enabled_addresses FROM outbox.enable('new', false, 'moved')), ARRAY['local:new:' || current_setting('port')],
          'enable: elsewhere the address is the only one');
SELECT is(pg_temp.last(), 'enable moved', 'enable: is in the audit');
SELECT is((SELECT cardinality(enabled_addresses) FROM outbox.enable('here')), 2, 'enable: here it is one more');
SELECT is((SELECT cardinality(enabled_addresses) FROM outbox.enable('here')), 2, 'enable: but once');
SELECT is((SELECT state FROM outbox.standing('third')), 'not_enabled', 'a third address is not enabled');
SELECT is((SELECT '*' = ANY (enabled_addresses) FROM outbox.enable('here', true)), true, 'enable: any address');
SELECT is((SELECT state FROM outbox.standing('third')), NULL, 'then it is');
SELECT throws_ok($$SELECT outbox.adopt('here')$$, '55000', NULL, 'adopt: not the same system');
UPDATE outbox.meta SET system_identifier = system_identifier + 1;
SELECT is(pg_temp.state(), 'wrong_server', 'another system');
SELECT throws_ok($$SELECT outbox.enable('here')$$, '55000', NULL, 'enable: not another system');
SELECT is((SELECT born_on = system_identifier FROM outbox.adopt('here', 'upgraded')), true, 'adopt: another system, the same files');
SELECT is(pg_temp.last(), 'adopt upgraded', 'adopt: is in the audit');

-- Restored -----------------------------------------------------------------------------------
INSERT INTO outbox.tick (snapshot, last_seq, self_xid) SELECT t.snapshot, t.last_seq, '3' FROM outbox.tick t LIMIT 1;
UPDATE outbox.meta SET system_identifier = system_identifier + 1;
SELECT throws_ok($$SELECT outbox.adopt('here')$$, '55000', 'this database was restored from a dump, not upgraded: rebase', 'adopt: no dump');
DELETE FROM outbox.tick WHERE self_xid = '3';
INSERT INTO outbox.event (xid, type, topic) VALUES ('9000000000', 't', 'a'), ('3', 't', 'b'), ('9000000001', 't', 'c');
SELECT throws_ok($$SELECT outbox.adopt('here')$$, '55000', NULL, 'adopt: no ids from elsewhere');
UPDATE outbox.meta SET system_identifier = born_on;
SELECT is(pg_temp.state(), 'xids_ahead', 'an event from another cluster');
SELECT throws_ok($$SELECT outbox.enable('here')$$, '55000', NULL, 'enable: not with such events');
SELECT throws_ok($$SELECT outbox.rebase('here', true)$$, '55000', NULL, 'rebase: not while a relay holds the lane');
SELECT ok(outbox.lane_release(1, 0, 3), 'the relay stops');
SELECT is((SELECT events FROM outbox.rebase('here', true, 'restored')), 3::bigint, 'rebase: all that is not published');
SELECT results_eq($$SELECT topic FROM outbox.event e WHERE e.xid = pg_current_xact_id() ORDER BY seq$$, ARRAY['a', 'b', 'c'],
                  'rebase: gets its own id and keeps its order');
SELECT is((SELECT (l.from_tick = l.to_tick AND l.done AND l.started AND l.from_nonce = t.nonce
                   AND pg_snapshot_xmax(t.snapshot) = pg_current_xact_id() AND t.last_seq = 3
                   AND m.incarnation <> f.incarnation AND a.reason = 'restored')
             FROM outbox.lane l JOIN outbox.tick t ON t.id = l.to_tick, outbox.meta m, outbox.former_incarnation f,
                  outbox.audit a WHERE a.action = 'rebase'), true,
          'rebase: a new incarnation begins at a tick that calls it late');
SELECT * FROM finish();
ROLLBACK;
