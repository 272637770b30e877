-- What operators do.  Each change is a function that leaves its row in outbox.audit, in
-- the same transaction: who, when, what, why.

-- Why, for what has no argument for it: SET LOCAL outbox.reason = '...'.
ALTER TABLE outbox.audit ALTER COLUMN reason SET DEFAULT nullif(current_setting('outbox.reason', true), '');
CREATE INDEX audit_subject_idx ON outbox.audit (subject);
-- What waits for an operator is counted every few seconds.
CREATE INDEX delivery_held_idx ON outbox.delivery (state) WHERE state IN ('unknown', 'parked', 'dead');

-- Whoever migrates is in the audit too, by outboxctl or by psql.
INSERT INTO outbox.audit (at, who, action, subject, reason, detail)
SELECT m.applied_at, m.applied_by, 'migrate', format('%s_%s', lpad(m.version::text, 4, '0'), m.name), NULL,
       jsonb_build_object('checksum', m.checksum)
  FROM outbox.migration m ORDER BY m.version;
CREATE FUNCTION outbox.audit_migration() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO outbox.audit (action, subject, detail)
    VALUES ('migrate', format('%s_%s', lpad(NEW.version::text, 4, '0'), NEW.name),
            jsonb_build_object('checksum', NEW.checksum));
    RETURN NULL;
END $$;
CREATE TRIGGER audit_migration AFTER INSERT ON outbox.migration
FOR EACH ROW EXECUTE FUNCTION outbox.audit_migration();

-- Function:  outbox.endpoint_disable(id, reason)
-- Nothing more is sent to the endpoint, except what is being sent.  Its open deliveries
-- wait; events that are published meanwhile do not get any for it.
-- Returns:   changed: false if it was disabled already; open: deliveries that wait
-- No row if there is no such endpoint.
CREATE FUNCTION outbox.endpoint_disable(p_id uuid, p_reason text DEFAULT NULL)
RETURNS TABLE (changed boolean, open bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was boolean;
BEGIN
    SELECT p.enabled INTO was FROM outbox.endpoint p WHERE p.id = p_id AND p.removed_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT count(*) INTO open FROM outbox.delivery d
     WHERE d.endpoint = p_id AND d.state IN ('pending', 'failed');
    changed := was;
    IF was THEN
        UPDATE outbox.endpoint p SET enabled = false, disabled_reason = coalesce(p_reason, 'by ' || session_user)
         WHERE p.id = p_id;
        INSERT INTO outbox.audit (action, subject, reason, detail)
        VALUES ('endpoint disable', p_id::text, p_reason, jsonb_build_object('open', open));
    END IF;
    RETURN NEXT;
END $$;

-- Function:  outbox.endpoint_enable(id, reason)
-- The reverse: what waited is sent, as it is due.
-- Returns:   changed: false if it was enabled already; open: deliveries that waited
-- No row if there is no such endpoint.
CREATE FUNCTION outbox.endpoint_enable(p_id uuid, p_reason text DEFAULT NULL)
RETURNS TABLE (changed boolean, open bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    former outbox.endpoint;
BEGIN
    SELECT p.* INTO former FROM outbox.endpoint p WHERE p.id = p_id AND p.removed_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT count(*) INTO open FROM outbox.delivery d
     WHERE d.endpoint = p_id AND d.state IN ('pending', 'failed');
    changed := NOT former.enabled;
    IF changed THEN
        UPDATE outbox.endpoint p SET enabled = true, disabled_reason = NULL WHERE p.id = p_id;
        INSERT INTO outbox.audit (action, subject, reason, detail)
        VALUES ('endpoint enable', p_id::text, p_reason,
                jsonb_build_object('open', open, 'disabled_reason', former.disabled_reason));
    END IF;
    RETURN NEXT;
END $$;

-- HMAC-SHA256 (RFC 2104), which PostgreSQL has only in an extension.
CREATE FUNCTION outbox.hmac_sha256(message bytea, secret bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    short bytea := CASE WHEN octet_length(secret) > 64 THEN sha256(secret) ELSE secret END;
    inner_pad bytea := decode(repeat('36', 64), 'hex');
    outer_pad bytea := decode(repeat('5c', 64), 'hex');
BEGIN
    FOR i IN 0..octet_length(short) - 1 LOOP
        inner_pad := set_byte(inner_pad, i, get_byte(inner_pad, i) # get_byte(short, i));
        outer_pad := set_byte(outer_pad, i, get_byte(outer_pad, i) # get_byte(short, i));
    END LOOP;
    RETURN sha256(outer_pad || sha256(inner_pad || message));
END $$;

-- Function:  outbox.endpoint_test(id, reason)
-- A test webhook for the endpoint, signed here: the operator who sends it may not read
-- the secrets, and nothing else can be signed this way.
-- Returns:   what to send, and where; no row if there is no such endpoint
CREATE FUNCTION outbox.endpoint_test(p_id uuid, p_reason text DEFAULT NULL)
RETURNS TABLE (url text, timeout_ms integer, message_id uuid, message_timestamp bigint, signature text,
               message_type text, content_type text, payload text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tested  outbox.endpoint;
    content bytea;
BEGIN
    SELECT p.* INTO tested FROM outbox.endpoint p WHERE p.id = p_id AND p.removed_at IS NULL;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    url := tested.url;
    timeout_ms := tested.timeout_ms;
    message_id := gen_random_uuid();
    message_timestamp := floor(extract(epoch FROM clock_timestamp()));
    message_type := 'outbox.test';
    content_type := 'application/json';
    payload := json_build_object('type', message_type, 'endpoint', p_id, 'timestamp', message_timestamp);
    content := convert_to(format('%s.%s.%s', message_id, message_timestamp, payload), 'UTF8');
    SELECT string_agg('v1,' || encode(outbox.hmac_sha256(content, x.secret), 'base64'), ' ' ORDER BY x.id DESC)
      INTO signature
      FROM outbox.endpoint_secret x
     WHERE x.endpoint = p_id AND x.kind = 'v1' AND x.sealed_with IS NULL
       AND (x.expires_at IS NULL OR x.expires_at > clock_timestamp());
    IF signature IS NULL THEN
        RAISE EXCEPTION 'endpoint %: has no live secret of kind v1; webhooks are never sent unsigned', p_id
            USING ERRCODE = '55000';
    END IF;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    VALUES ('endpoint test', p_id::text, p_reason, jsonb_build_object('message_id', message_id));
    RETURN NEXT;
END $$;

-- Is the event there, and will it be?  Not once retention has decided that its partition
-- goes, unless it was copied.  To be asked under lock 5, under which that is decided.
CREATE FUNCTION outbox.event_present(p_seq bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM outbox.event_partition p WHERE p_seq >= p.low AND p_seq < p.high AND p.state = 'attached')
        OR EXISTS (SELECT FROM outbox.kept_event k WHERE k.seq = p_seq)
$$;

-- Makes deliveries due again, whatever they were; the caller has locked and judged them.
-- A new token: nobody who was sending one of them before can record a result any more.
-- The schedule begins anew, the count of sends goes on.
CREATE FUNCTION outbox.delivery_revive(p_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE outbox.delivery d
       SET state = 'pending', attempts = 0, token = nextval('outbox.delivery_token'), next_at = clock_timestamp(),
           lease_until = NULL, finished_at = NULL
     WHERE d.id = ANY (p_ids);
END $$;

-- Function:  outbox.delivery_retry(ids, reason)
-- Sends these deliveries again, now: failed, dead, parked and unknown ones, whose event is
-- still there.
-- Returns:   how many.  All of them or, by an exception that names the first that cannot, none.
CREATE FUNCTION outbox.delivery_retry(p_ids bigint[], p_reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted bigint[] := ARRAY(SELECT DISTINCT u.id FROM unnest(p_ids) AS u(id) ORDER BY u.id);
    was    jsonb := '{}';
    d      record;
BEGIN
    -- An endpoint that is being removed must not be left with open deliveries.
    PERFORM pg_advisory_xact_lock_shared(outbox.lock_class(), 5);
    FOR d IN SELECT x.id, x.state, x.next_at, x.lease_until, p.removed_at, outbox.event_present(x.event_seq) AS present
               FROM outbox.delivery x LEFT JOIN outbox.endpoint p ON p.id = x.endpoint
              WHERE x.id = ANY (wanted) ORDER BY x.id FOR UPDATE OF x LOOP
        IF d.state = 'delivered' THEN
            RAISE EXCEPTION 'delivery % was delivered: it is not sent again', d.id USING ERRCODE = '55000';
        ELSIF d.state = 'sending' THEN
            RAISE EXCEPTION 'delivery % is being sent: wait for its result, or for its lease to end at %', d.id,
                            d.lease_until USING ERRCODE = '55000';
        ELSIF d.state = 'pending' THEN
            RAISE EXCEPTION 'delivery % is pending already, due at %', d.id, d.next_at USING ERRCODE = '55000';
        ELSIF d.removed_at IS NOT NULL THEN
            RAISE EXCEPTION 'delivery %: its endpoint was removed', d.id USING ERRCODE = '55000';
        ELSIF NOT d.present THEN
            RAISE EXCEPTION 'delivery %: its event is older than the retention, and gone', d.id USING ERRCODE = '55000';
        END IF;
        was := was || jsonb_build_object(d.id::text, d.state);
    END LOOP;
    FOR d IN SELECT u.id FROM unnest(wanted) AS u(id) WHERE NOT was ? u.id::text LOOP
        RAISE EXCEPTION 'there is no delivery %', d.id USING ERRCODE = 'P0002';
    END LOOP;
    PERFORM outbox.delivery_revive(wanted);
    INSERT INTO outbox.audit (action, subject, reason, detail)
    SELECT 'delivery retry', u.id::text, p_reason, jsonb_build_object('was', was -> u.id::text)
      FROM unnest(wanted) AS u(id);
    RETURN cardinality(wanted);
END $$;

-- Function:  outbox.delivery_retry_of(endpoint, state, after, limit, reason)
-- The same with an endpoint's deliveries of one state, beyond the id after.
-- Returns:   retried: how many; last: the highest id among them, for the next call
-- One row in the audit, with their ids.
CREATE FUNCTION outbox.delivery_retry_of(
    p_endpoint uuid, p_state text, p_after bigint, p_limit integer, p_reason text DEFAULT NULL,
    OUT retried bigint, OUT last bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chosen bigint[];
BEGIN
    IF coalesce(p_state NOT IN ('failed', 'dead', 'parked', 'unknown'), true) THEN
        RAISE EXCEPTION 'state: is %, must be failed, dead, parked or unknown', coalesce(p_state, 'null')
            USING ERRCODE = '22023', COLUMN = 'state';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(outbox.lock_class(), 5);
    IF NOT EXISTS (SELECT FROM outbox.endpoint p WHERE p.id = p_endpoint AND p.removed_at IS NULL) THEN
        RAISE EXCEPTION 'there is no endpoint %, or it was removed', p_endpoint USING ERRCODE = 'P0002';
    END IF;
    -- What is locked is being sent or recorded just now.
    chosen := ARRAY(SELECT d.id FROM outbox.delivery d
                     WHERE d.endpoint = p_endpoint AND d.state = p_state AND d.id > p_after
                       AND outbox.event_present(d.event_seq)
                     ORDER BY d.id LIMIT p_limit FOR UPDATE SKIP LOCKED);
    retried := cardinality(chosen);
    last := chosen[retried];
    IF retried > 0 THEN
        PERFORM outbox.delivery_revive(chosen);
        INSERT INTO outbox.audit (action, subject, reason, detail)
        VALUES ('delivery retry', p_endpoint::text, p_reason,
                jsonb_build_object('was', p_state, 'count', retried, 'deliveries', to_jsonb(chosen)));
    END IF;
END $$;

-- Function:  outbox.delivery_resolve(id, state, reason)
-- Decides what the sender could not: the delivery is delivered, or dead.
-- Returns:   the state it had; null if there is no such delivery
CREATE FUNCTION outbox.delivery_resolve(p_id bigint, p_state text, p_reason text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    d record;
BEGIN
    IF coalesce(p_state NOT IN ('delivered', 'dead'), true) THEN
        RAISE EXCEPTION 'state: is %, must be delivered or dead', coalesce(p_state, 'null')
            USING ERRCODE = '22023', COLUMN = 'state';
    END IF;
    SELECT x.id, x.state, x.lease_until INTO d FROM outbox.delivery x WHERE x.id = p_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF d.state = 'sending' THEN
        RAISE EXCEPTION 'delivery % is being sent: wait for its result, or for its lease to end at %', p_id,
                        d.lease_until USING ERRCODE = '55000';
    ELSIF d.state = p_state THEN
        RAISE EXCEPTION 'delivery % is % already', p_id, d.state USING ERRCODE = '55000';
    ELSIF d.state = 'delivered' THEN
        RAISE EXCEPTION 'delivery % was delivered, by a recorded answer: that stands', p_id USING ERRCODE = '55000';
    ELSIF d.state = 'pending' AND p_state = 'delivered' THEN
        RAISE EXCEPTION 'delivery % is pending: it cannot have been delivered', p_id USING ERRCODE = '55000';
    END IF;
    UPDATE outbox.delivery x
       SET state = p_state, token = nextval('outbox.delivery_token'), lease_until = NULL,
           finished_at = clock_timestamp()
     WHERE x.id = p_id;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    VALUES ('delivery resolve', p_id::text, p_reason, jsonb_build_object('was', d.state, 'as', p_state));
    RETURN d.state;
END $$;

-- Function:  outbox.route_add(pattern, topic, replace, reason)
-- Sends the events of a type, or of types like 'order.*', to a topic; null: to webhooks only.
-- Returns:   the route; no row if the pattern has one and it is not to be replaced
CREATE FUNCTION outbox.route_add(
    p_pattern text, p_topic text, p_replace boolean DEFAULT false, p_reason text DEFAULT NULL)
RETURNS SETOF outbox.route
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    former outbox.route;
    made   outbox.route;
BEGIN
    SELECT r.* INTO former FROM outbox.route r WHERE r.pattern = p_pattern FOR UPDATE;
    INSERT INTO outbox.route AS r (pattern, topic) VALUES (p_pattern, p_topic)
    ON CONFLICT (pattern) DO UPDATE SET topic = excluded.topic WHERE p_replace
    RETURNING r.* INTO made;
    IF made.pattern IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    VALUES ('route add', p_pattern, p_reason,
            jsonb_build_object('topic', p_topic) || CASE WHEN former.pattern IS NULL THEN '{}'
                                                    ELSE jsonb_build_object('was', former.topic) END);
    RETURN NEXT made;
END $$;

-- Function:  outbox.route_remove(pattern, reason)
-- Returns:   the route that was; no row if there was none
CREATE FUNCTION outbox.route_remove(p_pattern text, p_reason text DEFAULT NULL) RETURNS SETOF outbox.route
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    former outbox.route;
BEGIN
    DELETE FROM outbox.route r WHERE r.pattern = p_pattern RETURNING r.* INTO former;
    IF former.pattern IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    VALUES ('route remove', p_pattern, p_reason, jsonb_build_object('topic', former.topic));
    RETURN NEXT former;
END $$;

-- Function:  outbox.place(host)
-- Where this session is.  host is the client's own name, which stands for the server's
-- when it is reached by a Unix socket or the loopback.  The timeline is that of the WAL
-- being written: pg_control_checkpoint() lags behind a promotion.
CREATE FUNCTION outbox.place(
    p_host text, OUT system_identifier bigint, OUT timeline integer, OUT database oid, OUT address text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'this is a standby: the outbox works on the primary' USING ERRCODE = '25006';
    END IF;
    SELECT c.system_identifier INTO place.system_identifier FROM pg_control_system() AS c;
    timeline := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer;
    SELECT d.oid INTO place.database FROM pg_database AS d WHERE d.datname = current_database();
    address := CASE WHEN inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8'
                         OR inet_server_addr() = '::1'
                    THEN format('local:%s:%s', p_host, current_setting('port'))
                    ELSE format('%s:%s', host(inet_server_addr()), inet_server_port()) END;
END $$;

-- Function:  outbox.xids_ahead()
-- Returns:   what has a transaction id that this cluster has not reached; null: nothing
CREATE FUNCTION outbox.xids_ahead() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reached xid8 := pg_snapshot_xmax(pg_current_snapshot());
    highest xid8;
BEGIN
    SELECT e.xid INTO highest FROM outbox.event e ORDER BY e.xid DESC LIMIT 1;
    IF highest >= reached THEN
        RETURN format('an event has transaction id %s, this PostgreSQL has reached %s', highest, reached);
    END IF;
    SELECT t.self_xid INTO highest FROM outbox.tick t ORDER BY t.id DESC LIMIT 1;
    IF highest > reached THEN
        RETURN format('the last tick has transaction id %s, this PostgreSQL has reached %s', highest, reached);
    END IF;
    RETURN NULL;
END $$;

-- Function:  outbox.standing(host)
-- May a relay of this host publish from here?
-- Returns:   state: null if so, else the named state in which it halts, with its detail
CREATE FUNCTION outbox.standing(p_host text, OUT state text, OUT detail text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here  record;
    meant outbox.meta;
BEGIN
    SELECT p.* INTO here FROM outbox.place(p_host) AS p;
    SELECT m.* INTO meant FROM outbox.meta m;
    IF meant.system_identifier <> here.system_identifier THEN
        state := 'wrong_server';
        detail := format('enabled on PostgreSQL system %s, this is %s', meant.system_identifier,
                         here.system_identifier);
        RETURN;
    END IF;
    detail := outbox.xids_ahead();
    IF detail IS NOT NULL THEN
        state := 'xids_ahead';
    ELSIF meant.database <> here.database THEN
        state := 'not_enabled';
        detail := format('enabled in database %s, this is %s (%s): a copy', meant.database, here.database,
                         current_database());
    ELSIF meant.timeline <> here.timeline THEN
        state := 'not_enabled';
        detail := format('enabled on timeline %s, this is %s: a standby was promoted, or a backup was recovered',
                         meant.timeline, here.timeline);
    ELSIF meant.timeline IS NOT NULL AND here.address <> ALL (meant.enabled_addresses)
          AND '*' <> ALL (meant.enabled_addresses) THEN
        state := 'not_enabled';
        detail := format('enabled at %s, this is %s', array_to_string(meant.enabled_addresses, ' and '),
                         here.address);
    END IF;
END $$;

-- Function:  outbox.same_files()
-- Is the last tick's row the one that was written by its transaction?  A dump brings back
-- its values, and the row is of the transaction that restored it; copied files, by
-- pg_upgrade too, have the row itself.
CREATE FUNCTION outbox.same_files() RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT t.xmin::text::numeric IN (t.self_xid::text::numeric % 4294967296,
                                             (t.self_xid::text::numeric - 1) % 4294967296)
              FROM outbox.tick t ORDER BY t.id DESC LIMIT 1);
END $$;

-- The part that enable and adopt share.
CREATE FUNCTION outbox.settle_here(p_action text, p_host text, p_any boolean, p_reason text)
RETURNS SETOF outbox.meta
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here   record;
    former outbox.meta;
    made   outbox.meta;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT p.* INTO here FROM outbox.place(p_host) AS p;
    SELECT m.* INTO former FROM outbox.meta m FOR UPDATE;
    UPDATE outbox.meta m
       SET system_identifier = here.system_identifier, timeline = here.timeline, database = here.database,
           enabled_addresses = ARRAY(
               SELECT DISTINCT u.a FROM unnest(
                   ARRAY[CASE WHEN p_any THEN '*' ELSE here.address END] ||
                   CASE WHEN m.system_identifier = here.system_identifier AND m.timeline = here.timeline
                             AND m.database = here.database THEN m.enabled_addresses
                        WHEN '*' = ANY (m.enabled_addresses) THEN ARRAY['*'] ELSE '{}' END) AS u(a) ORDER BY 1)
    RETURNING m.* INTO made;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    VALUES (p_action, here.address, p_reason,
            jsonb_build_object('was', to_jsonb(former), 'is', to_jsonb(made)));
    RETURN NEXT made;
END $$;

-- Function:  outbox.enable(host, any_address, reason)
-- Makes the place where this session is the one that publishes: after a promotion or a
-- move.  On the same timeline it is one more, else it is the only one.  any_address: for
-- servers whose address changes; then timeline and database alone tell a clone.
-- Returns:   the row of outbox.meta.  What Kafka has is for the caller to compare, and
-- the relay compares it again.
CREATE FUNCTION outbox.enable(p_host text, p_any boolean DEFAULT false, p_reason text DEFAULT NULL)
RETURNS SETOF outbox.meta
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found record;
BEGIN
    SELECT s.* INTO found FROM outbox.standing(p_host) AS s;
    IF found.state = 'wrong_server' THEN
        RAISE EXCEPTION '%: after pg_upgrade adopt it; after a restore rebase', found.detail USING ERRCODE = '55000';
    ELSIF found.state = 'xids_ahead' THEN
        RAISE EXCEPTION '%: rebase', found.detail USING ERRCODE = '55000';
    END IF;
    RETURN QUERY SELECT * FROM outbox.settle_here('enable', p_host, p_any, p_reason);
END $$;

-- Function:  outbox.adopt(host, reason)
-- After pg_upgrade, which gives the cluster another system identifier: the files are the
-- same, and the transaction ids go on.  Anything else is refused.
-- Returns:   the row of outbox.meta
CREATE FUNCTION outbox.adopt(p_host text, p_reason text DEFAULT NULL) RETURNS SETOF outbox.meta
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found record;
    ahead text := outbox.xids_ahead();
BEGIN
    SELECT s.* INTO found FROM outbox.standing(p_host) AS s;
    IF found.state IS DISTINCT FROM 'wrong_server' THEN
        RAISE EXCEPTION 'this is the PostgreSQL system that the outbox was enabled on: there is nothing to adopt'
            USING ERRCODE = '55000';
    ELSIF ahead IS NOT NULL THEN
        RAISE EXCEPTION '%: this is no upgraded cluster; rebase', ahead USING ERRCODE = '55000';
    ELSIF NOT outbox.same_files() THEN
        RAISE EXCEPTION 'this database was restored from a dump, not upgraded: rebase' USING ERRCODE = '55000';
    END IF;
    RETURN QUERY SELECT * FROM outbox.settle_here('adopt', p_host, false, p_reason);
END $$;

-- Function:  outbox.beyond_positions()
-- The events that the lanes have not published as far as this database knows.  Goes by the
-- ticks alone, not by what the cluster thinks of the transaction ids.
CREATE FUNCTION outbox.beyond_positions() RETURNS TABLE (seq bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.seq
      FROM outbox.meta m
      JOIN outbox.lane n ON n.map = m.lane_map
      JOIN outbox.tick a ON a.id = n.from_tick AND a.nonce = n.from_nonce
      JOIN outbox.tick b ON b.id = n.to_tick AND b.nonce = n.to_nonce
      JOIN outbox.event e ON e.seq > a.last_seq OR e.xid >= pg_snapshot_xmin(a.snapshot)
     WHERE outbox.bucket(e.key, e.seq) BETWEEN n.bucket_low AND n.bucket_high
       AND NOT (e.seq <= a.last_seq AND pg_visible_in_snapshot(e.xid, a.snapshot))
       AND NOT (e.seq <= b.last_seq AND pg_visible_in_snapshot(e.xid, b.snapshot) AND (n.done OR e.seq <= n.seq));
END $$;

-- Function:  outbox.rebase(host, republish, reason)
-- Begins a new incarnation here: after a restore, or when Kafka or this database lost what
-- the other remembers.  Its lanes start at a fresh tick.  republish: what this database
-- does not know to be published lies behind it and is published (again); else it is not.
-- Whoever calls it has fenced the transactional ids of the former incarnations, and writes
-- the first markers of the new one: until then its relays halt.
-- Writers wait meanwhile.  Events keep their numbers, hence their order, and get this
-- transaction's id, which the tick made here calls late.  An id that could be taken for
-- one of this cluster is taken away from the events that are done with.
-- Returns:   the new incarnation, its first tick, how many events lie behind it
CREATE FUNCTION outbox.rebase(
    p_host text, p_republish boolean, p_reason text DEFAULT NULL,
    OUT incarnation uuid, OUT tick bigint, OUT nonce uuid, OUT events bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    here    record;
    held    record;
    former  outbox.meta;
    own     xid8;
    running pg_snapshot;
    drawn   bigint;
BEGIN
    IF p_republish IS NULL THEN
        RAISE EXCEPTION 'republish: must be true or false' USING ERRCODE = '22023', COLUMN = 'republish';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'outbox.rebase() needs READ COMMITTED' USING ERRCODE = '25001';
    END IF;
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT p.* INTO here FROM outbox.place(p_host) AS p;
    PERFORM pg_advisory_xact_lock(outbox.lock_class(), 2);
    PERFORM pg_advisory_xact_lock(outbox.lock_class(), 3);
    FOR held IN SELECT l.name, l.holder, l.expires_at FROM outbox.lease l WHERE l.name LIKE 'lane/%' FOR UPDATE LOOP
        IF held.holder IS NOT NULL AND held.expires_at > clock_timestamp() THEN
            RAISE EXCEPTION '% is held by relay "%" until %: stop it first', held.name, held.holder, held.expires_at
                USING ERRCODE = '55000';
        END IF;
    END LOOP;
    UPDATE outbox.lease l SET holder = NULL, epoch = l.epoch + 1, expires_at = '-infinity' WHERE l.name LIKE 'lane/%';
    IF EXISTS (SELECT FROM outbox.lane n, outbox.meta m
                WHERE n.map = m.lane_map
                  AND NOT (EXISTS (SELECT FROM outbox.tick t WHERE t.id = n.from_tick AND t.nonce = n.from_nonce)
                           AND EXISTS (SELECT FROM outbox.tick t WHERE t.id = n.to_tick AND t.nonce = n.to_nonce))) THEN
        RAISE EXCEPTION 'a lane''s position names a tick that is not there' USING ERRCODE = 'XX001';
    END IF;
    -- From here on nobody has written what is not committed, and nobody draws a number.
    LOCK TABLE outbox.event IN SHARE ROW EXCLUSIVE MODE;
    own := pg_current_xact_id();
    running := pg_current_snapshot();
    events := 0;
    IF p_republish THEN
        UPDATE outbox.event e SET xid = own FROM outbox.beyond_positions() AS b WHERE e.seq = b.seq;
        GET DIAGNOSTICS events = ROW_COUNT;
    ELSE
        SELECT count(*) INTO events FROM outbox.beyond_positions();
    END IF;
    UPDATE outbox.event e SET xid = '1' WHERE e.xid >= pg_snapshot_xmin(running) AND e.xid <> own;
    UPDATE outbox.event_partition p SET attached_xid = '1', open_by = NULL WHERE p.attached_xid >= own;
    -- A restored sequence may lie behind what was drawn from it.
    PERFORM setval('outbox.event_seq', s.last)
       FROM (SELECT max(e.seq) AS last FROM outbox.event e) AS s, outbox.event_seq q WHERE s.last > q.last_value;
    PERFORM setval('outbox.tick_seq', s.last)
       FROM (SELECT max(t.id) AS last FROM outbox.tick t) AS s, outbox.tick_seq q WHERE s.last > q.last_value;
    SELECT CASE WHEN q.is_called THEN q.last_value ELSE q.last_value - 1 END INTO drawn FROM outbox.event_seq q;
    INSERT INTO outbox.tick AS t (snapshot, last_seq, self_xid)
    SELECT format('%s:%s:%s', least(pg_snapshot_xmin(running)::text::numeric, own::text::numeric), own,
                  (SELECT string_agg(x.xid::text, ',' ORDER BY x.xid) FROM pg_snapshot_xip(running) AS x(xid)
                    WHERE x.xid < own))::pg_snapshot,
           drawn, (own::text::numeric + 1)::text::xid8
    RETURNING t.id, t.nonce INTO rebase.tick, rebase.nonce;
    SELECT m.* INTO former FROM outbox.meta m FOR UPDATE;
    INSERT INTO outbox.former_incarnation (incarnation, born_on) VALUES (former.incarnation, former.born_on);
    UPDATE outbox.meta m
       SET incarnation = gen_random_uuid(), system_identifier = here.system_identifier,
           born_on = here.system_identifier, timeline = here.timeline, database = here.database,
           enabled_addresses = CASE WHEN '*' = ANY (m.enabled_addresses) THEN ARRAY['*'] ELSE ARRAY[here.address] END
    RETURNING m.incarnation INTO rebase.incarnation;
    UPDATE outbox.lane n
       SET from_tick = rebase.tick, from_nonce = rebase.nonce, to_tick = rebase.tick, to_nonce = rebase.nonce,
           seq = 0, done = true, started = true, publish = 'exactly_once', halted = NULL, halted_detail = NULL
     WHERE n.map = former.lane_map;
    DELETE FROM outbox.lane_change;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    VALUES ('rebase', rebase.incarnation::text, p_reason,
            jsonb_build_object('republish', p_republish, 'events', rebase.events, 'tick', rebase.tick,
                               'was', to_jsonb(former)));
END $$;

-- Locks parked events for an operator's decision.  Raises, naming the first that cannot be
-- decided about: all of them or none.
-- Returns:   their seqs, each once
CREATE FUNCTION outbox.parked_lock(p_seqs bigint[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted bigint[] := ARRAY(SELECT DISTINCT u.seq FROM unnest(p_seqs) AS u(seq) ORDER BY u.seq);
    found  bigint[] := '{}';
    k      record;
BEGIN
    FOR k IN SELECT x.seq, x.state, x.release_id FROM outbox.parked_event x
              WHERE x.seq = ANY (wanted) ORDER BY x.seq FOR UPDATE LOOP
        IF k.state IN ('released', 'discarded') THEN
            RAISE EXCEPTION 'event % is not parked any more: it was %', k.seq, k.state USING ERRCODE = '55000';
        ELSIF k.release_id IS NOT NULL THEN
            RAISE EXCEPTION 'event % is being released: look again in a moment', k.seq USING ERRCODE = '55000';
        END IF;
        found := found || k.seq;
    END LOOP;
    FOR k IN SELECT u.seq FROM unnest(wanted) AS u(seq) WHERE NOT u.seq = ANY (found) LOOP
        RAISE EXCEPTION 'event % is not parked', k.seq USING ERRCODE = 'P0002';
    END LOOP;
    RETURN wanted;
END $$;

-- Function:  outbox.parked_retry(seqs, reason)
-- Has parked events published now, and what waits behind them after them.  What is at
-- fault still is parked again.
-- Returns:   how many
CREATE FUNCTION outbox.parked_retry(p_seqs bigint[], p_reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted bigint[] := outbox.parked_lock(p_seqs);
BEGIN
    UPDATE outbox.parked_event k SET state = 'retry' WHERE k.seq = ANY (wanted) AND k.state = 'parked';
    UPDATE outbox.parked_topic t SET next_at = clock_timestamp()
     WHERE t.topic IN (SELECT coalesce(k.reroute, k.topic) FROM outbox.parked_event k WHERE k.seq = ANY (wanted));
    INSERT INTO outbox.audit (action, subject, reason) SELECT 'parked retry', u.seq::text, p_reason
      FROM unnest(wanted) AS u(seq);
    RETURN cardinality(wanted);
END $$;

-- Function:  outbox.parked_retry_topic(topic, reason)
-- The same with everything that is parked of a topic.
CREATE FUNCTION outbox.parked_retry_topic(p_topic text, p_reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number bigint;
BEGIN
    UPDATE outbox.parked_topic t SET next_at = clock_timestamp() WHERE t.topic = p_topic;
    UPDATE outbox.parked_event k SET state = 'retry'
     WHERE coalesce(k.reroute, k.topic) = p_topic AND k.state = 'parked' AND k.released_at IS NULL;
    SELECT count(*) INTO number FROM outbox.parked_event k
     WHERE coalesce(k.reroute, k.topic) = p_topic AND k.released_at IS NULL;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    VALUES ('parked retry', 'topic ' || p_topic, p_reason, jsonb_build_object('count', number));
    RETURN number;
END $$;

-- Function:  outbox.parked_reroute(seqs, topic, reason)
-- Has parked events published to another topic, in place of their own.
-- Returns:   how many
CREATE FUNCTION outbox.parked_reroute(p_seqs bigint[], p_topic text, p_reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted bigint[] := outbox.parked_lock(p_seqs);
BEGIN
    UPDATE outbox.parked_event k SET state = 'retry', reroute = p_topic WHERE k.seq = ANY (wanted);
    INSERT INTO outbox.audit (action, subject, reason, detail)
    SELECT 'parked reroute', u.seq::text, p_reason, jsonb_build_object('topic', p_topic)
      FROM unnest(wanted) AS u(seq);
    RETURN cardinality(wanted);
END $$;

-- Function:  outbox.parked_discard(seqs, deliver, reason)
-- Gives parked events up: they are never published.  What waits behind them goes on.
--   deliver   their webhooks are sent all the same
-- Returns:   how many
CREATE FUNCTION outbox.parked_discard(p_seqs bigint[], p_deliver boolean, p_reason text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted bigint[] := outbox.parked_lock(p_seqs);
BEGIN
    PERFORM pg_advisory_xact_lock_shared(outbox.lock_class(), 5);
    UPDATE outbox.parked_event k SET state = 'discarded', released_at = clock_timestamp()
     WHERE k.seq = ANY (wanted);
    IF p_deliver THEN
        WITH made AS (
            INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, tenant, key, next_at)
            SELECT e.seq, e.id, e.type, p.id, e.tenant, e.key, clock_timestamp() + coalesce(p.schedule[1], '0')
              FROM outbox.parked_content(wanted) AS e
              JOIN outbox.endpoint p ON p.enabled AND p.removed_at IS NULL AND e.type LIKE ANY (p.types_like)
               AND (p.tenant IS NULL OR p.tenant = e.tenant)
             ORDER BY e.seq
            RETURNING event_seq, endpoint, replay, event_id, id
        )
        INSERT INTO outbox.delivery_of_event (event_seq, endpoint, replay, event_id, delivery)
        SELECT m.event_seq, m.endpoint, m.replay, m.event_id, m.id FROM made m;
    END IF;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    SELECT 'parked discard', u.seq::text, p_reason, jsonb_build_object('deliver', p_deliver)
      FROM unnest(wanted) AS u(seq);
    RETURN cardinality(wanted);
END $$;

-- Whoever operates sees the lag, as a reader does: outboxctl status and lane list.
GRANT EXECUTE ON FUNCTION outbox.batch(bigint, bigint, bigint, bigint, integer, integer, integer),
                          outbox.batch_rows(xid8[], xid8, xid8, bigint, pg_snapshot, bigint, bigint, bigint, integer, integer, integer),
                          outbox.bucket(text, bigint)
                       TO outbox_admin;

-- Whoever could write the table could leave no trace.
REVOKE INSERT, UPDATE, DELETE ON outbox.route FROM outbox_admin;

DO $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure AS signature, p.proname AS name
          FROM pg_proc p WHERE p.pronamespace = 'outbox'::regnamespace
           AND p.proname IN ('audit_migration', 'endpoint_disable', 'endpoint_enable', 'endpoint_test', 'hmac_sha256',
                             'event_present', 'delivery_revive', 'delivery_retry', 'delivery_retry_of', 'delivery_resolve',
                             'route_add', 'route_remove', 'place', 'xids_ahead', 'standing', 'same_files',
                             'settle_here', 'enable', 'adopt', 'beyond_positions', 'rebase', 'parked_lock',
                             'parked_retry', 'parked_retry_topic', 'parked_reroute', 'parked_discard')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.signature);
        IF f.name = 'standing' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO outbox_relay, outbox_reader', f.signature);
        END IF;
        IF f.name NOT IN ('audit_migration', 'hmac_sha256', 'event_present', 'delivery_revive', 'settle_here', 'place',
                          'xids_ahead', 'same_files', 'parked_lock') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO outbox_admin', f.signature);
        END IF;
    END LOOP;
END $$;
