-- Who may do what.  A writer can only emit; nobody but the owner touches the tables.
REVOKE ALL ON ALL TABLES IN SCHEMA outbox FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA outbox FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA outbox FROM PUBLIC;

DO $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure AS signature, p.proname AS name
          FROM pg_proc p WHERE p.pronamespace = 'outbox'::regnamespace
    LOOP
        IF f.name IN ('emit', 'emit_event', 'emit_events', 'admit', 'admit_json') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO outbox_writer, outbox_relay, outbox_admin', f.signature);
        ELSIF f.name IN ('tick', 'tick_needed', 'tick_newest', 'relay_check_in', 'batch', 'batch_rows',
                         'recent_rows', 'lane_acquire', 'lane_renew', 'lane_release', 'lane_record_publish',
                         'lane_halt', 'lane_acknowledge', 'lane_park', 'lane_park_behind', 'lane_take_release',
                         'parked_topics', 'delivery_claim', 'delivery_finish',
                         'delivery_recover', 'lock_class', 'bucket') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO outbox_relay', f.signature);
        ELSIF f.name IN ('partition_add', 'rotate') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO outbox_maintenance', f.signature);
        ELSIF f.name IN ('endpoint_add', 'endpoint_remove', 'lane_set', 'lane_pause', 'lane_resume', 'lane_move') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO outbox_admin', f.signature);
        END IF;
    END LOOP;
END $$;

-- Drawing a seq is harmless (numbers have gaps anyway); setting it would take UPDATE.
GRANT INSERT ON outbox.new_event, outbox.new_json_event TO outbox_writer, outbox_relay, outbox_admin;
GRANT USAGE ON SEQUENCE outbox.event_seq TO outbox_writer, outbox_relay, outbox_admin;
GRANT SELECT ON ALL TABLES IN SCHEMA outbox TO outbox_reader, outbox_relay, outbox_admin;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA outbox TO outbox_reader, outbox_relay, outbox_admin;
-- A door, not a window: a SELECT would judge, and ring for, each row that it reads.
REVOKE SELECT ON outbox.new_event, outbox.new_json_event FROM outbox_reader, outbox_relay, outbox_admin;
-- Secrets are for the relay alone, which signs with them; an operator may rotate but not read.
REVOKE ALL ON outbox.endpoint_secret FROM outbox_reader, outbox_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox.route TO outbox_admin;
GRANT EXECUTE ON FUNCTION outbox.batch(bigint, bigint, bigint, bigint, integer, integer, integer),
                          outbox.batch_rows(xid8[], xid8, xid8, bigint, pg_snapshot, bigint, bigint, bigint, integer, integer, integer),
                          outbox.bucket(text, bigint)
                       TO outbox_reader;
