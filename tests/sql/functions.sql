-- Functions: which there are, how they run, and that none can be led astray.
BEGIN;
SELECT plan(20);

CREATE TEMP VIEW f AS
SELECT p.oid, p.proname::text AS name, p.oid::regprocedure::text AS signature, l.lanname::text AS language,
       p.provolatile AS volatility, p.prosecdef AS definer, coalesce(p.proconfig, '{}') AS config, p.proacl
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'outbox'::regnamespace;

SELECT functions_are('outbox', ARRAY['lock_class', 'pattern_to_like', 'patterns_to_like', 'bucket', 'partition_add',
    'partition_look', 'rotate', 'day_slot', 'tick_needed', 'tick', 'tick_newest', 'batch_rows', 'batch', 'recent_rows', 'check_headers',
    'max_payload_bytes', 'check_event', 'claim_ids', 'ring', 'admit', 'admit_json', 'emit_event', 'emit_events', 'emit',
    'lane_acquire', 'lane_renew', 'lane_record_publish', 'lane_release', 'lane_halt', 'lane_interval', 'lane_acknowledge',
    'lane_own', 'lane_park', 'lane_park_behind', 'lane_take_release', 'parked_content', 'parked_topics', 'parked_lock', 'parked_retry',
    'parked_retry_topic', 'parked_reroute', 'parked_discard',
    'delivery_claim', 'delivery_finish', 'delivery_recover', 'endpoint_gone', 'endpoint_add', 'endpoint_remove',
    'audit_migration', 'endpoint_disable', 'endpoint_enable', 'endpoint_test', 'hmac_sha256', 'delivery_revive',
    'delivery_retry', 'delivery_retry_of', 'delivery_resolve', 'route_add', 'route_remove', 'place', 'xids_ahead',
    'standing', 'same_files', 'settle_here', 'enable', 'adopt', 'beyond_positions', 'rebase', 'event_present',
    'partition_ahead', 'open_events', 'partition_held', 'partition_droppable', 'partition_keep',
    'partition_retire', 'partition_table', 'partition_forget', 'kept_expire', 'delivery_expire', 'slot_expire',
    'audit_expire', 'lane_map_commit', 'release_pending', 'relay_check_in', 'lane_set', 'lane_lock', 'lane_pause', 'lane_resume',
    'lane_move',
    'consumer_acquire', 'consumer_advance', 'consumer_fence', 'consumer_park_key', 'consumer_park_behind',
    'consumer_parked_keys', 'consumer_release_key', 'consumer_seek', 'consumer_forget', 'inbox_claim']);

SELECT is((SELECT array_agg(signature ORDER BY signature COLLATE "C") FROM f WHERE name = 'emit'),
          ARRAY['outbox.emit(text,text,bytea,text,text,jsonb,uuid,text,integer,text,text,timestamp with time zone,text)',
                'outbox.emit(text,text,jsonb,text,jsonb,uuid,text,integer,text,text,timestamp with time zone,text)'],
          'emit() takes JSON, or bytes');

-- Security --------------------------------------------------------------------------------
SELECT is_empty($$
    SELECT signature FROM f WHERE definer AND NOT 'search_path=pg_catalog, pg_temp' = ANY (config)
$$, 'every SECURITY DEFINER function pins its search_path, pg_temp last');
SELECT is((SELECT array_agg(DISTINCT name ORDER BY name) FROM f WHERE definer),
          ARRAY['admit', 'admit_json', 'adopt', 'audit_expire', 'audit_migration', 'beyond_positions', 'claim_ids',
                'consumer_acquire', 'consumer_advance', 'consumer_fence', 'consumer_forget', 'consumer_park_behind',
                'consumer_park_key', 'consumer_parked_keys', 'consumer_release_key', 'consumer_seek',
                'delivery_claim', 'delivery_expire', 'delivery_finish', 'delivery_recover', 'delivery_resolve',
                'delivery_retry', 'delivery_retry_of', 'delivery_revive', 'emit_event', 'emit_events', 'enable',
                'endpoint_add', 'endpoint_disable', 'endpoint_enable', 'endpoint_remove', 'endpoint_test',
                'inbox_claim', 'kept_expire', 'lane_acknowledge', 'lane_acquire', 'lane_halt', 'lane_map_commit', 'lane_move', 'lane_own',
                'lane_park', 'lane_park_behind', 'lane_pause', 'lane_record_publish', 'lane_release', 'lane_renew',
                'lane_resume', 'lane_set', 'lane_take_release',
                'parked_discard', 'parked_lock', 'parked_reroute', 'parked_retry', 'parked_retry_topic',
                'partition_add', 'partition_ahead', 'partition_forget', 'partition_held', 'partition_keep',
                'partition_look', 'partition_retire', 'rebase', 'relay_check_in', 'release_pending', 'ring', 'rotate', 'route_add',
                'route_remove', 'same_files', 'settle_here', 'slot_expire', 'standing', 'tick', 'tick_needed',
                'tick_newest', 'xids_ahead'],
          'and these are they');
SELECT is_empty($$
    SELECT signature FROM f
     WHERE proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) AS a WHERE a.grantee = 0)
$$, 'PUBLIC may execute none');
SELECT is_empty($$ SELECT signature FROM f WHERE definer AND language <> 'plpgsql' $$,
                'SECURITY DEFINER functions are plpgsql');
SELECT is_empty($$
    SELECT signature FROM f
     WHERE language = 'plpgsql' AND NOT 'search_path=pg_catalog, pg_temp' = ANY (config) AND name <> 'check_event'
$$, 'so do the other plpgsql functions, but check_event');
SELECT is_empty($$
    SELECT f.signature FROM f, aclexplode(f.proacl) AS a
     WHERE f.name IN ('check_event', 'check_headers', 'claim_ids', 'ring', 'partition_look', 'lane_interval',
                      'audit_migration', 'hmac_sha256', 'delivery_revive', 'endpoint_gone', 'place', 'xids_ahead',
                      'same_files', 'settle_here', 'event_present', 'open_events', 'lane_own', 'parked_lock',
                      'parked_content', 'lane_map_commit', 'release_pending', 'lane_lock')
       AND a.grantee <> 'outbox_owner'::regrole
$$, 'what only other functions call, only the owner may execute');
SELECT is((SELECT count(*) FROM f WHERE name = 'emit' AND NOT definer AND language = 'sql'
             AND (SELECT prosqlbody FROM pg_proc WHERE pg_proc.oid = f.oid) IS NOT NULL), 2::bigint,
          'emit() is SQL whose names were resolved when it was made');

-- An attacker's search_path, operators and functions lead nowhere.
CREATE SCHEMA attack;
CREATE FUNCTION attack.gotcha() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'attacked'; END $$;
CREATE FUNCTION attack.octet_length(bytea) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM attack.gotcha(); END $$;
CREATE FUNCTION attack.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM attack.gotcha(); END $$;
CREATE FUNCTION attack.gen_random_uuid() RETURNS uuid LANGUAGE plpgsql AS $$ BEGIN PERFORM attack.gotcha(); END $$;
CREATE FUNCTION attack.convert_to(text, name) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN PERFORM attack.gotcha(); END $$;
CREATE FUNCTION attack.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM attack.gotcha(); END $$;
CREATE OPERATOR attack.= (LEFTARG = text, RIGHTARG = text, FUNCTION = attack.eq);
CREATE OPERATOR attack.~ (LEFTARG = text, RIGHTARG = text, FUNCTION = attack.eq);
GRANT USAGE ON SCHEMA attack TO outbox_writer, outbox_relay;
CREATE FUNCTION pg_temp.attacked(role_name text, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role_name);
    SET LOCAL search_path = attack, pg_catalog;
    EXECUTE statement;
    RESET ROLE;
    SET LOCAL search_path = public, pg_catalog;
    RETURN 'fine';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;
SELECT is(pg_temp.attacked('outbox_writer', $$SELECT pg_catalog.length('a') OPERATOR(pg_catalog.=) 1 AND 'a'::text = 'a'::text$$),
          'attacked', 'the trap works');
SELECT is(pg_temp.attacked('outbox_writer', $$SELECT outbox.emit(type => 't', key => 'k', payload => '{}')$$), 'fine',
          'emit(JSON) does not look into the caller''s search_path');
SELECT is(pg_temp.attacked('outbox_writer', $$SELECT outbox.emit('t', 'k', '\x00'::pg_catalog.bytea, 'text/plain', topic => 'a',
              headers => '{"a": "b"}', id => pg_catalog.gen_random_uuid(), tenant => 'a',
              traceparent => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')$$),
          'fine', 'nor emit(bytes)');
SELECT is(pg_temp.attacked('outbox_writer', $$SELECT outbox.emit_events(ARRAY['t'], p_headers => ARRAY['{"a": "b"}'::pg_catalog.jsonb],
                                                                       p_id => ARRAY[pg_catalog.gen_random_uuid()])$$),
          'fine', 'nor emit_events()');
SELECT is(pg_temp.attacked('outbox_relay', $$SELECT outbox.lane_acquire(1, 0, 'a', '1 s')$$), 'fine', 'nor lane_acquire()');

-- How they run ----------------------------------------------------------------------------
SELECT is((SELECT array_agg(DISTINCT name ORDER BY name) FROM f WHERE volatility = 'i'),
          ARRAY['bucket', 'check_headers', 'day_slot', 'hmac_sha256', 'lock_class', 'pattern_to_like', 'patterns_to_like'],
          'the immutable ones');
SELECT is((SELECT array_agg(DISTINCT name ORDER BY name) FROM f WHERE volatility = 's'),
          ARRAY['batch', 'batch_rows', 'beyond_positions', 'check_event', 'consumer_fence', 'consumer_parked_keys',
                'event_present', 'lane_interval',
                'max_payload_bytes', 'open_events', 'parked_content', 'parked_topics', 'partition_ahead',
                'partition_table', 'place', 'recent_rows', 'release_pending',
                'same_files', 'standing', 'xids_ahead'], 'the stable ones');
SELECT is((SELECT config FROM f WHERE name = 'batch_rows'), '{}',
          'batch_rows() has no SET, so that the planner folds it into the query');
SELECT is((SELECT outbox.lock_class()), 1868721016, 'the class of advisory locks, as the relay has it');
SELECT is((SELECT array_agg(outbox.pattern_to_like(p) ORDER BY n)
             FROM unnest(ARRAY['*', 'order.*', 'a_b%c\d', '']) WITH ORDINALITY AS u(p, n)),
          ARRAY['%', 'order.%', 'a\_b\%c\\d', ''], 'pattern_to_like() takes _ % and \ literally');
SELECT is((SELECT array_agg(outbox.day_slot(t::timestamptz) ORDER BY n)
             FROM unnest(ARRAY['1970-01-01 00:00+00', '1970-01-01 23:59:59.999999+00', '1970-01-02 00:00+00',
                               '1970-01-16 12:00+00', '1970-01-17 00:00+00', '1969-12-31 23:59+00'])
                  WITH ORDINALITY AS u(t, n)),
          ARRAY[0, 0, 1, 15, 0, 15]::smallint[], 'day_slot() is the day in UTC, in a ring of 16');

SELECT * FROM finish();
ROLLBACK;
