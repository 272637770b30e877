-- Who may do what: the exact lists.  A writer can only emit.
BEGIN;
SELECT plan(78);

-- Runs a statement as a role; returns 'done', or the SQLSTATE.  What it did is undone.
CREATE FUNCTION pg_temp.try(role_name text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text := 'done';
BEGIN
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', role_name);
        EXECUTE statement;
        RAISE EXCEPTION 'undo' USING ERRCODE = 'UNDO0';
    EXCEPTION
        WHEN SQLSTATE 'UNDO0' THEN NULL;
        WHEN OTHERS THEN state := SQLSTATE;
    END;
    RETURN state;
END $$;

CREATE TEMP VIEW relation AS
SELECT c.oid, c.relname::text AS name, c.relkind AS kind FROM pg_class c
 WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind IN ('r', 'p', 'S', 'v', 'm');
-- what a role may do with tables and sequences, but SELECT; by itself, not by membership of others
CREATE TEMP VIEW may_change AS
SELECT r.role_name, relation.name, privilege
  FROM (VALUES ('outbox_writer'), ('outbox_relay'), ('outbox_reader'), ('outbox_admin'), ('outbox_consumer'))
       AS r(role_name), relation,
       unnest(CASE WHEN relation.kind = 'S' THEN ARRAY['USAGE', 'UPDATE']
              ELSE ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'] END) AS privilege
 WHERE CASE WHEN relation.kind = 'S' THEN has_sequence_privilege(r.role_name, relation.oid, privilege)
            ELSE has_table_privilege(r.role_name, relation.oid, privilege)
                 OR privilege IN ('INSERT', 'UPDATE', 'REFERENCES')
                    AND has_any_column_privilege(r.role_name, relation.oid, privilege) END;
CREATE TEMP VIEW may_read AS
SELECT r.role_name, relation.name
  FROM (VALUES ('outbox_writer'), ('outbox_relay'), ('outbox_reader'), ('outbox_admin'), ('outbox_consumer'))
       AS r(role_name), relation
 WHERE CASE WHEN relation.kind = 'S' THEN has_sequence_privilege(r.role_name, relation.oid, 'SELECT')
            ELSE has_any_column_privilege(r.role_name, relation.oid, 'SELECT') END;
CREATE TEMP VIEW may_execute AS
SELECT r.role_name, array_agg(DISTINCT p.proname::text ORDER BY p.proname::text) AS names
  FROM (VALUES ('outbox_writer'), ('outbox_relay'), ('outbox_reader'), ('outbox_admin'),
               ('outbox_maintenance'), ('outbox_consumer')) AS r(role_name)
  JOIN pg_proc p ON p.pronamespace = 'outbox'::regnamespace AND has_function_privilege(r.role_name, p.oid, 'EXECUTE')
 GROUP BY r.role_name;

-- The roles -------------------------------------------------------------------------------
SELECT is_empty($$
    SELECT rolname FROM pg_roles WHERE rolname LIKE 'outbox\_%' AND rolname IN ('outbox_owner', 'outbox_maintenance',
           'outbox_writer', 'outbox_relay', 'outbox_reader', 'outbox_admin', 'outbox_consumer')
       AND (rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
$$, 'no role logs in, or has a right beyond the schema');
SELECT is_empty($$
    SELECT a.rolname, b.rolname FROM pg_auth_members m JOIN pg_roles a ON a.oid = m.member JOIN pg_roles b ON b.oid = m.roleid
     WHERE a.rolname IN ('outbox_owner', 'outbox_writer', 'outbox_relay', 'outbox_reader', 'outbox_admin',
                         'outbox_consumer')
$$, 'no role is a member of another, but maintenance');
SELECT ok(pg_has_role('outbox_maintenance', 'outbox_owner', 'USAGE'), 'maintenance acts as the owner, to detach and drop');
SELECT is((SELECT array_agg(format('%s %s', a.grantee::regrole, a.privilege_type)
                            ORDER BY format('%s %s', a.grantee::regrole, a.privilege_type))
             FROM pg_namespace n, aclexplode(n.nspacl) AS a
            WHERE n.nspname = 'outbox' AND a.grantee <> 'outbox_owner'::regrole),
          ARRAY['outbox_admin USAGE', 'outbox_consumer USAGE', 'outbox_maintenance USAGE', 'outbox_reader USAGE',
                'outbox_relay USAGE', 'outbox_writer USAGE'], 'the six may use the schema, PUBLIC may not, and nobody may create in it');

-- Functions -------------------------------------------------------------------------------
SELECT is((SELECT names FROM may_execute WHERE role_name = 'outbox_writer'),
          ARRAY['admit', 'admit_json', 'emit', 'emit_event', 'emit_events'], 'a writer can only emit');
SELECT is((SELECT names FROM may_execute WHERE role_name = 'outbox_reader'),
          ARRAY['batch', 'batch_rows', 'bucket', 'standing'], 'a reader can look into batches');
SELECT is((SELECT names FROM may_execute WHERE role_name = 'outbox_admin'),
          ARRAY['admit', 'admit_json', 'adopt', 'batch', 'batch_rows', 'beyond_positions', 'bucket',
                'consumer_forget', 'consumer_release_key', 'consumer_seek', 'delivery_resolve',
                'delivery_retry', 'delivery_retry_of', 'emit', 'emit_event', 'emit_events', 'enable',
                'endpoint_add', 'endpoint_disable', 'endpoint_enable', 'endpoint_remove', 'endpoint_test',
                'lane_move', 'lane_pause', 'lane_resume', 'lane_set',
                'parked_discard', 'parked_reroute', 'parked_retry', 'parked_retry_topic', 'rebase', 'route_add',
                'route_remove', 'standing'],
          'an admin can emit, look into batches, and manage endpoints, deliveries, routes, lanes, consumers and what is parked');
SELECT is((SELECT names FROM may_execute WHERE role_name = 'outbox_consumer'),
          ARRAY['admit', 'admit_json', 'consumer_acquire', 'consumer_advance', 'consumer_fence', 'consumer_park_behind', 'consumer_park_key',
                'consumer_parked_keys', 'emit', 'emit_event', 'emit_events', 'inbox_claim'], 'a consumer can advance, claim and emit');
SELECT is((SELECT names FROM may_execute WHERE role_name = 'outbox_relay'),
          ARRAY['admit', 'admit_json', 'batch', 'batch_rows', 'bucket', 'delivery_claim', 'delivery_finish', 'delivery_recover',
                'emit', 'emit_event', 'emit_events', 'lane_acknowledge', 'lane_acquire', 'lane_halt', 'lane_park',
                'lane_park_behind', 'lane_record_publish', 'lane_release', 'lane_renew', 'lane_take_release',
                'lock_class', 'parked_topics', 'partition_add', 'partition_ahead', 'recent_rows', 'relay_check_in',
                'rotate', 'standing', 'tick', 'tick_needed', 'tick_newest'], 'a relay can do the relay''s work');
SELECT is_empty($$
    SELECT p.proname FROM pg_proc p, aclexplode(p.proacl) AS a
     WHERE p.pronamespace = 'outbox'::regnamespace AND a.grantee = 'outbox_maintenance'::regrole
       AND p.proname NOT IN ('partition_add', 'partition_ahead', 'rotate', 'partition_held', 'partition_droppable', 'partition_keep',
                             'partition_retire', 'partition_table', 'partition_forget', 'kept_expire', 'delivery_expire',
                             'slot_expire', 'audit_expire')
$$, 'maintenance is granted what adds, enters and removes');

-- Tables and sequences -----------------------------------------------------------------------
SELECT is_empty($$SELECT * FROM may_read WHERE role_name = 'outbox_writer'$$, 'a writer reads no table and no sequence');
SELECT is((SELECT array_agg(format('%s %s', name, privilege) ORDER BY name COLLATE "C") FROM may_change
            WHERE role_name = 'outbox_writer'),
          ARRAY['event_seq USAGE', 'new_event INSERT', 'new_json_event INSERT'], 'and only inserts new events, drawing their numbers');
SELECT is_empty($$SELECT * FROM may_read WHERE role_name = 'outbox_consumer'$$, 'a consumer reads no table either');
SELECT is((SELECT array_agg(format('%s %s', name, privilege) ORDER BY name COLLATE "C") FROM may_change
            WHERE role_name = 'outbox_consumer'),
          ARRAY['event_seq USAGE', 'new_event INSERT', 'new_json_event INSERT'], 'and changes what a writer does');
SELECT is_empty($$SELECT * FROM may_change WHERE role_name = 'outbox_reader'$$, 'a reader changes nothing');
SELECT is_empty($$SELECT * FROM may_change WHERE role_name = 'outbox_relay' AND name NOT IN ('event_seq', 'new_event', 'new_json_event')$$,
                'a relay changes nothing but by functions');
SELECT is_empty($$SELECT * FROM may_change WHERE role_name = 'outbox_admin' AND name NOT IN ('event_seq', 'new_event', 'new_json_event')$$,
          'an admin changes nothing but by functions, which leave a trace');
SELECT is((SELECT array_agg(name ORDER BY name) FROM relation r WHERE NOT EXISTS (
               SELECT FROM may_read m WHERE m.role_name = 'outbox_reader' AND m.name = r.name)),
          ARRAY['endpoint_secret', 'new_event', 'new_json_event'], 'a reader reads all but secrets, and a door is no window');
SELECT is((SELECT array_agg(name ORDER BY name) FROM relation r WHERE NOT EXISTS (
               SELECT FROM may_read m WHERE m.role_name = 'outbox_admin' AND m.name = r.name)),
          ARRAY['endpoint_secret', 'new_event', 'new_json_event'], 'so does an admin');
SELECT is_empty($$SELECT name FROM relation r WHERE r.name NOT IN ('new_event', 'new_json_event') AND NOT EXISTS (
               SELECT FROM may_read m WHERE m.role_name = 'outbox_relay' AND m.name = r.name)$$,
          'a relay reads secrets too: it signs with them');
SELECT is_empty($$
    SELECT r.name, a.privilege_type FROM relation r JOIN pg_class c ON c.oid = r.oid, aclexplode(c.relacl) AS a
     WHERE a.grantee = 0 OR a.is_grantable
$$, 'PUBLIC has nothing, and nobody may grant on');

-- By doing it ---------------------------------------------------------------------------------
SELECT is(pg_temp.try('outbox_writer', statement), 'done', 'a writer: ' || statement)
  FROM unnest(ARRAY[
    $$SELECT outbox.emit(type => 't', key => 'k', payload => '{}')$$,
    $$SELECT outbox.emit('t', 'k', '\x00'::bytea, 'text/plain')$$,
    $$SELECT * FROM outbox.emit_event('t')$$,
    $$SELECT * FROM outbox.emit_events(ARRAY['t'])$$,
    $$INSERT INTO outbox.new_event (type) VALUES ('t')$$,
    $$INSERT INTO outbox.new_json_event (type, payload) VALUES ('t', '{}')$$,
    $$INSERT INTO outbox.new_event (type, key) SELECT 't', n::text FROM generate_series(1, 3) AS n RETURNING 1$$]) AS statement;
SELECT is(pg_temp.try('outbox_writer', statement), '42501', 'not a writer: ' || statement)
  FROM unnest(ARRAY[
    $$INSERT INTO outbox.event (type) VALUES ('t')$$,
    $$INSERT INTO outbox.new_event (type) VALUES ('t') RETURNING id$$,
    $$SELECT FROM outbox.new_event$$,
    $$SELECT FROM outbox.new_json_event$$,
    $$UPDATE outbox.new_event SET type = 't'$$,
    $$DELETE FROM outbox.new_event$$,
    $$INSERT INTO outbox.event (xid, type) VALUES ('1', 't')$$,
    $$INSERT INTO outbox.event (seq, type) VALUES (1, 't')$$,
    $$INSERT INTO outbox.event_0 (type) VALUES ('t')$$,
    $$COPY outbox.event (type) FROM PROGRAM 'echo t'$$,
    $$COPY outbox.event TO '/dev/null'$$,
    $$SELECT FROM outbox.event$$,
    $$SELECT seq FROM outbox.event_0$$,
    $$UPDATE outbox.event SET type = 't'$$,
    $$DELETE FROM outbox.event$$,
    $$TRUNCATE outbox.event$$,
    $$LOCK TABLE outbox.event IN ACCESS SHARE MODE$$,
    $$SELECT setval('outbox.event_seq', 1)$$,
    $$SELECT last_value FROM outbox.event_seq$$,
    $$INSERT INTO outbox.emitted (id, slot) VALUES (gen_random_uuid(), 1)$$,
    $$SELECT FROM outbox.endpoint_secret$$,
    $$SELECT FROM outbox.delivery$$,
    $$SELECT outbox.tick()$$,
    $$SELECT outbox.rotate()$$,
    $$SELECT outbox.partition_add()$$,
    $$SELECT outbox.claim_ids(ARRAY[gen_random_uuid()])$$,
    $$SELECT outbox.inbox_claim('c', 'm')$$,
    $$SELECT outbox.ring()$$,
    $$SELECT outbox.lane_acquire(1, 0, 'me', '1 s')$$,
    $$SELECT * FROM outbox.batch(1, 1)$$,
    $$SELECT outbox.endpoint_add('http://a/', '\x00')$$,
    $$CREATE TABLE outbox.mine ()$$,
    $$CREATE FUNCTION outbox.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'$$,
    $$DROP TABLE outbox.event$$,
    $$ALTER TABLE outbox.event ADD COLUMN mine integer$$]) AS statement;
SELECT ok(NOT pg_has_role('outbox_writer', other, 'MEMBER'), 'a writer cannot become ' || other)
  FROM unnest(ARRAY['outbox_owner', 'outbox_maintenance', 'outbox_relay', 'outbox_reader', 'outbox_admin']) AS other;

-- A writer cannot choose xid, seq or bucket: none is a parameter, and the event has the transaction's.
SELECT is_empty($$
    SELECT p.proname, a.name FROM pg_proc p, unnest(p.proargnames, p.proargmodes) AS a(name, mode)
     WHERE p.pronamespace = 'outbox'::regnamespace AND p.proname LIKE 'emit%'
       AND coalesce(a.mode, 'i') = 'i' AND a.name IN ('xid', 'seq', 'bucket', 'p_xid', 'p_seq', 'p_bucket')
$$, 'no function to emit has xid, seq or bucket among its arguments');
SET LOCAL ROLE outbox_writer;
SELECT outbox.emit(type => 'mine', key => 'k') AS id \gset
RESET ROLE;
SELECT ok((SELECT xid = pg_current_xact_id() AND seq = (SELECT last_value FROM outbox.event_seq)
             FROM outbox.event WHERE id = :'id'), 'xid is the transaction''s, seq the one drawn');

SELECT is(pg_temp.try('outbox_reader', $$SELECT FROM outbox.event, outbox.tick, outbox.lane, outbox.delivery$$), 'done',
          'a reader reads events');
SELECT is(pg_temp.try('outbox_reader', $$SELECT count(*) FROM outbox.batch(1, 1, low => 1, high => 2)$$), 'done',
          'a reader looks into a batch');
SELECT is(pg_temp.try(role_name, $$SELECT secret FROM outbox.endpoint_secret$$), '42501', role_name || ' reads no secret')
  FROM unnest(ARRAY['outbox_reader', 'outbox_admin']) AS role_name;
SELECT is(pg_temp.try('outbox_relay', $$SELECT secret FROM outbox.endpoint_secret$$), 'done', 'a relay reads secrets');
SELECT is(pg_temp.try('outbox_relay', $$UPDATE outbox.lane SET seq = 5$$), '42501', 'a relay does not move a lane by hand');
SELECT is(pg_temp.try('outbox_relay', $$DELETE FROM outbox.event$$), '42501', 'nor delete events');
SELECT is(pg_temp.try('outbox_relay', $$SELECT outbox.lane_acquire(1, 0, 'me', '1 s')$$), 'done', 'but acquires a lane');

SELECT * FROM finish();
ROLLBACK;
