-- The door for writers.  Every value is checked here too, since any client may call it.

-- Function:  outbox.check_headers(headers)
-- Raises unless headers is an object of names [A-Za-z0-9_.-]{1,128} and string values
-- of at most 4096 characters without control characters.
CREATE FUNCTION outbox.check_headers(headers jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    header record;
BEGIN
    IF jsonb_typeof(headers) <> 'object' THEN
        RAISE EXCEPTION 'headers: must be a JSON object, is %', jsonb_typeof(headers)
            USING ERRCODE = '22023', COLUMN = 'headers', HINT = 'Pass {"name": "value", ...}.';
    END IF;
    FOR header IN SELECT h.key, h.value, h.value #>> '{}' AS text FROM jsonb_each(headers) AS h LOOP
        IF header.key ~ '[^A-Za-z0-9_.-]' OR header.key = '' OR length(header.key) > 128 THEN
            RAISE EXCEPTION 'headers: the name % is not allowed', quote_literal(left(header.key, 40))
                USING ERRCODE = '22023', COLUMN = 'headers',
                      HINT = 'Use 1 to 128 letters, digits, "_", "." or "-".';
        ELSIF header.key ~* '^(outbox-|webhook-)' OR lower(header.key) IN
              ('host', 'content-length', 'content-type', 'transfer-encoding', 'authorization', 'connection',
               'traceparent', 'tracestate') THEN
            RAISE EXCEPTION 'headers: the name % is reserved', quote_literal(header.key)
                USING ERRCODE = '22023', COLUMN = 'headers', HINT = 'Choose another name, or use the argument made for it.';
        ELSIF jsonb_typeof(header.value) <> 'string' THEN
            RAISE EXCEPTION 'headers: the value of % must be a string, is %', quote_literal(header.key),
                            jsonb_typeof(header.value)
                USING ERRCODE = '22023', COLUMN = 'headers', HINT = 'Convert it to text.';
        ELSIF header.text ~ '[\x01-\x1f\x7f]' THEN
            RAISE EXCEPTION 'headers: the value of % has a control character', quote_literal(header.key)
                USING ERRCODE = '22023', COLUMN = 'headers', HINT = 'Remove or encode it.';
        ELSIF length(header.text) > 4096 THEN
            RAISE EXCEPTION 'headers: the value of % is longer than 4096 characters', quote_literal(header.key)
                USING ERRCODE = '22023', COLUMN = 'headers', HINT = 'Move it into the payload.';
        END IF;
    END LOOP;
END $$;

-- The limit of a payload, in bytes: ALTER DATABASE ... SET outbox.max_payload_bytes = ...
CREATE FUNCTION outbox.max_payload_bytes() RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(nullif(current_setting('outbox.max_payload_bytes', true), '')::integer, 1048576) $$;

-- Function:  outbox.check_event(...)
-- Raises, naming the field and the remedy, unless the event may be emitted.
-- Returns:   true
-- For the speed of writers: it has no SET of its own (only functions that pin the
-- search_path may call it) and is called as a plain expression; a field that is null
-- costs nothing, as each function named in an expression is prepared anew in every
-- transaction; no {n} in a regular expression, which makes it ten times slower.
CREATE FUNCTION outbox.check_event(
    p_type text, p_topic text, p_key text, p_partition integer, p_tenant text, p_headers jsonb,
    p_content_type text, p_payload bytea, p_traceparent text, p_tracestate text,
    p_occurred_at timestamptz, p_schema_ref text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_type IS NULL OR p_type = '' THEN
        RAISE EXCEPTION 'type: is empty'
            USING ERRCODE = '22023', COLUMN = 'type', HINT = 'Name what happened, for example "order_placed".';
    ELSIF length(p_type) > 255 OR p_type ~ '[\x01-\x1f\x7f]' THEN
        RAISE EXCEPTION 'type: is longer than 255 characters or has a control character'
            USING ERRCODE = '22023', COLUMN = 'type', HINT = 'Use a short dotted or underscored name.';
    ELSIF octet_length(p_key) > 4096 THEN
        RAISE EXCEPTION 'key: has % bytes, the limit is 4096', octet_length(p_key)
            USING ERRCODE = '22023', COLUMN = 'key', HINT = 'Use the identifier of the row that the event is about.';
    ELSIF octet_length(p_payload) > outbox.max_payload_bytes() THEN
        RAISE EXCEPTION 'payload: has % bytes, the limit is %', octet_length(p_payload), outbox.max_payload_bytes()
            USING ERRCODE = '22023', COLUMN = 'payload',
                  HINT = 'Emit a reference to the data, or raise outbox.max_payload_bytes together with the limits of the broker.';
    END IF;
    IF p_topic IS NOT NULL THEN
        IF p_topic ~ '[^A-Za-z0-9._-]' OR length(p_topic) > 249 OR p_topic IN ('', '.', '..') THEN
            RAISE EXCEPTION 'topic: % is not a Kafka topic name', quote_literal(left(p_topic, 40))
                USING ERRCODE = '22023', COLUMN = 'topic', HINT = 'Use 1 to 249 of letters, digits, ".", "_" and "-".';
        END IF;
    END IF;
    IF p_content_type IS NOT NULL THEN
        IF length(p_content_type) > 255 OR p_content_type = '' OR p_content_type ~ '[\x01-\x1f\x7f]' THEN
            RAISE EXCEPTION 'content_type: must have 1 to 255 characters and no control character'
                USING ERRCODE = '22023', COLUMN = 'content_type', HINT = 'Use a media type such as application/json.';
        END IF;
    END IF;
    IF p_traceparent IS NOT NULL THEN
        IF p_traceparent NOT LIKE '__-________________________________-________________-__'
           OR p_traceparent ~ '[^0-9a-f-]' OR length(replace(p_traceparent, '-', '')) <> 52 THEN
            RAISE EXCEPTION 'traceparent: is not a W3C trace context'
                USING ERRCODE = '22023', COLUMN = 'traceparent', HINT = 'Pass the value of the traceparent header unchanged.';
        END IF;
    END IF;
    IF p_headers IS NOT NULL THEN
        PERFORM outbox.check_headers(p_headers);
    END IF;
    IF p_partition IS NOT NULL OR p_tenant IS NOT NULL OR p_tracestate IS NOT NULL OR p_occurred_at IS NOT NULL
       OR p_schema_ref IS NOT NULL THEN
        IF p_partition < 0 THEN
            RAISE EXCEPTION 'partition: % is negative', p_partition
                USING ERRCODE = '22023', COLUMN = 'partition', HINT = 'Leave it out to let the key decide.';
        ELSIF length(p_tenant) > 255 OR p_tenant = '' OR p_tenant ~ '[\x01-\x1f\x7f]' THEN
            RAISE EXCEPTION 'tenant: must have 1 to 255 characters and no control character'
                USING ERRCODE = '22023', COLUMN = 'tenant', HINT = 'Leave it out when there are no tenants.';
        ELSIF length(p_tracestate) > 512 OR p_tracestate ~ '[\x01-\x1f\x7f]' THEN
            RAISE EXCEPTION 'tracestate: is longer than 512 characters or has a control character'
                USING ERRCODE = '22023', COLUMN = 'tracestate', HINT = 'Pass the value of the tracestate header unchanged.';
        ELSIF p_occurred_at < '0001-01-01 00:00:00+00' OR p_occurred_at >= '10000-01-01 00:00:00+00' THEN
            RAISE EXCEPTION 'occurred_at: must lie in the years 1 to 9999'
                USING ERRCODE = '22023', COLUMN = 'occurred_at', HINT = 'Leave it out to have the present time.';
        ELSIF length(p_schema_ref) > 255 OR p_schema_ref = '' OR p_schema_ref ~ '[\x01-\x1f\x7f]' THEN
            RAISE EXCEPTION 'schema_ref: must have 1 to 255 characters and no control character'
                USING ERRCODE = '22023', COLUMN = 'schema_ref', HINT = 'Leave it out when there is no schema.';
        END IF;
    END IF;
    RETURN true;
END $$;

-- Function:  outbox.claim_ids(ids)
-- Claims ids that a caller supplied, for this transaction.
-- Returns:   those that are new; the others were emitted by an earlier transaction or
--            earlier in this one
-- The locks make concurrent claims of one id wait for each other's end; they are taken
-- in order of id, so that two callers with the same ids cannot deadlock.  A READ
-- COMMITTED caller then sees whatever the other committed.  With an older snapshot it
-- may not, so the claim is tried in every slot: a unique index looks past snapshots and
-- answers with a serialization failure (40001: retry).
CREATE FUNCTION outbox.claim_ids(p_ids uuid[]) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    today smallint := outbox.day_slot(clock_timestamp());
    fresh uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(uuid_hash_extended(u.id, 0))
       FROM (SELECT DISTINCT i.id FROM unnest(p_ids) AS i(id) WHERE i.id IS NOT NULL ORDER BY i.id) AS u;
    fresh := ARRAY(SELECT DISTINCT i.id FROM unnest(p_ids) AS i(id)
                    WHERE i.id IS NOT NULL AND NOT EXISTS (SELECT FROM outbox.emitted e WHERE e.id = i.id));
    IF current_setting('transaction_isolation') = 'read committed' THEN
        INSERT INTO outbox.emitted (id, slot) SELECT i.id, today FROM unnest(fresh) AS i(id);
    ELSE
        INSERT INTO outbox.emitted (id, slot)
        SELECT i.id, g FROM unnest(fresh) AS i(id) CROSS JOIN generate_series(0, 15) AS g
        ON CONFLICT DO NOTHING;
        DELETE FROM outbox.emitted e USING unnest(fresh) AS i(id) WHERE e.id = i.id AND e.slot <> today;
    END IF;
    RETURN fresh;
END $$;

-- Function:  outbox.ring()
-- Wakes the relay if it sleeps.  It sleeps holding the bell's lock exclusively; as
-- long as it does not, the shared lock taken here tells it to look again, and no
-- NOTIFY (a lock on all commits of the cluster) is paid for.  Two-phase
-- transactions set outbox.two_phase = on: PREPARE refuses what has notified.
CREATE FUNCTION outbox.ring() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('outbox.two_phase', true) = 'on' THEN
        RETURN;
    END IF;
    IF NOT pg_try_advisory_xact_lock_shared(1868721016, 4) AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('outbox', '');
    END IF;
END $$;

-- Function:  outbox.admit(...)
-- Judges and announces an event that outbox.new_event does not pass at first sight.
-- Raises unless it may be emitted.
-- Returns:   true
CREATE FUNCTION outbox.admit(
    p_type text, p_topic text, p_key text, p_partition integer, p_tenant text, p_headers jsonb,
    p_content_type text, p_payload bytea, p_traceparent text, p_tracestate text,
    p_occurred_at timestamptz, p_schema_ref text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM outbox.check_event(p_type, p_topic, p_key, p_partition, p_tenant, p_headers, p_content_type, p_payload,
                               p_traceparent, p_tracestate, p_occurred_at, p_schema_ref);
    PERFORM outbox.ring();
    RETURN true;
END $$;

-- Function:  outbox.admit_json(type, key, payload)
-- The same for outbox.new_json_event, which takes no tombstone.
-- Returns:   true
CREATE FUNCTION outbox.admit_json(p_type text, p_key text, p_payload bytea) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_payload IS NULL THEN
        RAISE EXCEPTION 'payload: is null'
            USING ERRCODE = '22023', COLUMN = 'payload', HINT = 'Emit a tombstone by outbox.new_event or outbox.emit().';
    END IF;
    RETURN outbox.admit(p_type, NULL, p_key, NULL, NULL, NULL, 'application/json', p_payload, NULL, NULL,
                        clock_timestamp(), NULL);
END $$;

-- The writers' doors without a function's cost: what they may set of an event, and
-- nothing that they may not (xid, seq).  The rights on the log are the owner's, as for
-- any view; an INSERT by hand, an ORM's for example, is as good as outbox.emit().
-- The condition judges each row that was inserted: the usual event, with the bell's lock
-- granted (see ring), passes as it stands, admit() takes all others.  A CHECK of the
-- table would be parsed and planned anew by each INSERT, this is planned with the statement.
-- Each execution prepares the condition twice, for the table and for its partition: every
-- function in it costs a thirtieth of the INSERT.  Hence LIKE for a length in characters,
-- stricter for the key than its limit in bytes, and settings that are merely looked for.
CREATE VIEW outbox.new_event AS
SELECT e.id, e.type, e.topic, e.key, e.partition, e.tenant, e.headers, e.content_type, e.payload, e.schema_ref,
       e.traceparent, e.tracestate, e.occurred_at
  FROM outbox.event AS e
 WHERE CASE WHEN num_nonnulls(e.topic, e.headers, e.tenant, e.partition, e.traceparent, e.tracestate,
                              e.schema_ref, nullif(e.content_type, 'application/json')) = 0
             AND e.type !~ '[\x01-\x1f\x7f]|^$' AND e.type NOT LIKE repeat('_', 256) || '%'
             AND (e.key IS NULL OR e.key NOT LIKE repeat('_', 1025) || '%')
             AND (e.payload IS NULL OR octet_length(e.payload) <= 1048576)
             AND e.occurred_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'
             AND current_setting('outbox.max_payload_bytes', true) IS NULL
             AND current_setting('outbox.two_phase', true) IS NULL
             AND pg_try_advisory_xact_lock_shared(1868721016, 4)
            THEN true
            ELSE outbox.admit(e.type, e.topic, e.key, e.partition, e.tenant, e.headers, e.content_type, e.payload,
                              e.traceparent, e.tracestate, e.occurred_at, e.schema_ref)
       END
  WITH LOCAL CHECK OPTION;
-- Here as at the other doors there is no content type but the one that is given.
ALTER VIEW outbox.new_event ALTER COLUMN content_type SET DEFAULT nullif('', '');

-- The door for what most events are: a JSON payload, and nothing but type and key besides.
-- What it does not show needs no judgement.
CREATE VIEW outbox.new_json_event AS
SELECT e.id, e.type, e.key, e.payload
  FROM outbox.event AS e
 WHERE CASE WHEN e.type !~ '[\x01-\x1f\x7f]|^$' AND e.type NOT LIKE repeat('_', 256) || '%'
             AND (e.key IS NULL OR e.key NOT LIKE repeat('_', 1025) || '%')
             AND octet_length(e.payload) <= 1048576
             AND current_setting('outbox.max_payload_bytes', true) IS NULL
             AND current_setting('outbox.two_phase', true) IS NULL
             AND pg_try_advisory_xact_lock_shared(1868721016, 4)
            THEN true
            ELSE outbox.admit_json(e.type, e.key, e.payload)
       END
  WITH LOCAL CHECK OPTION;

-- Function:  outbox.emit_event(...)
-- Emits one event.  The client library calls this; outbox.emit() is the friendly form.
-- A tombstone (no payload) has no content type either.
-- Returns:   the event's id, its seq, and whether that id had been emitted before
--            (then nothing is written and seq is null)
CREATE FUNCTION outbox.emit_event(
    p_type text, p_key text DEFAULT NULL, p_payload bytea DEFAULT NULL, p_content_type text DEFAULT NULL,
    p_topic text DEFAULT NULL, p_headers jsonb DEFAULT NULL, p_id uuid DEFAULT NULL, p_tenant text DEFAULT NULL,
    p_partition integer DEFAULT NULL, p_traceparent text DEFAULT NULL, p_tracestate text DEFAULT NULL,
    p_occurred_at timestamptz DEFAULT NULL, p_schema_ref text DEFAULT NULL,
    OUT id uuid, OUT seq bigint, OUT already_emitted boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    -- The usual event passes here; check_event judges all others.
    IF p_type IS NULL OR p_type = '' OR octet_length(p_type) > 255 OR p_type ~ '[\x01-\x1f\x7f]'
       OR octet_length(p_key) > 4096 OR p_content_type <> 'application/json'
       OR octet_length(p_payload) > coalesce(nullif(current_setting('outbox.max_payload_bytes', true), '')::integer,
                                             1048576)
       OR p_topic IS NOT NULL OR p_headers IS NOT NULL OR p_tenant IS NOT NULL OR p_partition IS NOT NULL
       OR p_traceparent IS NOT NULL OR p_tracestate IS NOT NULL OR p_occurred_at IS NOT NULL
       OR p_schema_ref IS NOT NULL THEN
        emit_event.already_emitted := NOT outbox.check_event(
            p_type, p_topic, p_key, p_partition, p_tenant, p_headers, p_content_type, p_payload,
            p_traceparent, p_tracestate, p_occurred_at, p_schema_ref);
    END IF;
    IF p_id IS NOT NULL THEN
        IF cardinality(outbox.claim_ids(ARRAY[p_id])) = 0 THEN
            emit_event.id := p_id;
            emit_event.already_emitted := true;
            RETURN;
        END IF;
    END IF;
    INSERT INTO outbox.event AS e (id, type, topic, key, partition, tenant, headers, content_type, payload,
                                   schema_ref, traceparent, tracestate, occurred_at)
    VALUES (coalesce(p_id, gen_random_uuid()), p_type, p_topic, p_key, p_partition, p_tenant, p_headers,
            CASE WHEN p_payload IS NOT NULL THEN p_content_type END, p_payload, p_schema_ref,
            p_traceparent, p_tracestate, coalesce(p_occurred_at, clock_timestamp()))
    RETURNING e.id, e.seq, false INTO emit_event.id, emit_event.seq, emit_event.already_emitted;
    IF current_setting('outbox.two_phase', true) IS DISTINCT FROM 'on'
       AND NOT pg_try_advisory_xact_lock_shared(1868721016, 4) AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('outbox', '');
    END IF;
END $$;

-- Function:  outbox.emit_events(...)
-- Emits many events in one round trip, in the order of the arrays, which must have
-- equal lengths; an array may be null when no event has that field.
-- Returns:   the ids in order, and whether each had been emitted before
CREATE FUNCTION outbox.emit_events(
    p_type text[], p_key text[] DEFAULT NULL, p_payload bytea[] DEFAULT NULL, p_content_type text[] DEFAULT NULL,
    p_topic text[] DEFAULT NULL, p_headers jsonb[] DEFAULT NULL, p_id uuid[] DEFAULT NULL,
    p_tenant text[] DEFAULT NULL, p_partition integer[] DEFAULT NULL, p_traceparent text[] DEFAULT NULL,
    p_tracestate text[] DEFAULT NULL, p_occurred_at timestamptz[] DEFAULT NULL, p_schema_ref text[] DEFAULT NULL)
RETURNS TABLE (id uuid, already_emitted boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    count integer := coalesce(cardinality(p_type), 0);
    ids   uuid[];
    fresh uuid[];
    old   boolean[] := array_fill(false, ARRAY[count]);
BEGIN
    IF count <> ANY (ARRAY[cardinality(p_key), cardinality(p_payload), cardinality(p_content_type),
                           cardinality(p_topic), cardinality(p_headers), cardinality(p_id),
                           cardinality(p_tenant), cardinality(p_partition), cardinality(p_traceparent),
                           cardinality(p_tracestate), cardinality(p_occurred_at), cardinality(p_schema_ref)]) THEN
        RAISE EXCEPTION 'emit_events: the arrays have different lengths (type has %)', count
            USING ERRCODE = '22023', HINT = 'Pass null for a field that no event has.';
    END IF;
    -- What is checked and what is inserted must be the same elements: unnest both
    -- times, since subscripts mean others in an array that does not begin at 1.
    PERFORM outbox.check_event(u.type, u.topic, u.key, u.partition, u.tenant, u.headers, u.content_type, u.payload,
                               u.traceparent, u.tracestate, u.occurred_at, u.schema_ref)
       FROM unnest(p_type, p_key, p_payload, p_content_type, p_topic, p_headers, p_tenant, p_partition,
                   p_traceparent, p_tracestate, p_occurred_at, p_schema_ref)
         AS u(type, key, payload, content_type, topic, headers, tenant, partition,
              traceparent, tracestate, occurred_at, schema_ref);
    SELECT array_agg(coalesce(u.id, gen_random_uuid()) ORDER BY u.i) INTO ids
      FROM unnest(p_type, p_id) WITH ORDINALITY AS u(type, id, i);
    IF p_id IS NOT NULL THEN
        fresh := outbox.claim_ids(p_id);
        -- Old is also the second of two equal ids.
        SELECT array_agg(u.id IS NOT NULL AND (f.id IS NULL OR u.nth > 1) ORDER BY u.i) INTO old
          FROM (SELECT i.id, i.i, row_number() OVER (PARTITION BY i.id ORDER BY i.i) AS nth
                  FROM unnest(p_id) WITH ORDINALITY AS i(id, i)) AS u
          LEFT JOIN unnest(fresh) AS f(id) ON f.id = u.id;
    END IF;
    INSERT INTO outbox.event (id, type, topic, key, partition, tenant, headers, content_type, payload,
                              schema_ref, traceparent, tracestate, occurred_at)
    SELECT u.id, u.type, u.topic, u.key, u.partition, u.tenant, u.headers,
           CASE WHEN u.payload IS NOT NULL THEN u.content_type END, u.payload, u.schema_ref,
           u.traceparent, u.tracestate, coalesce(u.occurred_at, clock_timestamp())
      FROM unnest(ids, old, p_type, p_key, p_payload, p_content_type, p_topic, p_headers, p_tenant, p_partition,
                  p_traceparent, p_tracestate, p_occurred_at, p_schema_ref)
        AS u(id, old, type, key, payload, content_type, topic, headers, tenant, partition,
             traceparent, tracestate, occurred_at, schema_ref)
     WHERE NOT u.old;
    PERFORM outbox.ring();
    RETURN QUERY SELECT u.id, u.old FROM unnest(ids, old) AS u(id, old);
END $$;

-- Function:  outbox.emit(...)  JSON
-- The door for services in any language:
--   SELECT outbox.emit(type => 'user_created', key => '42', payload => '{"id": 42}');
-- Returns:   the event's id (the caller's own, if it gave one and it was emitted before)
-- Written as one expression that the planner folds into the caller's query, so that
-- it costs no call of its own; its names are resolved now, not under the caller's
-- search_path.
CREATE FUNCTION outbox.emit(
    type text, key text DEFAULT NULL, payload jsonb DEFAULT NULL, topic text DEFAULT NULL,
    headers jsonb DEFAULT NULL, id uuid DEFAULT NULL, tenant text DEFAULT NULL, partition integer DEFAULT NULL,
    traceparent text DEFAULT NULL, tracestate text DEFAULT NULL, occurred_at timestamptz DEFAULT NULL,
    schema_ref text DEFAULT NULL) RETURNS uuid
LANGUAGE sql VOLATILE
RETURN (outbox.emit_event(emit.type, emit.key, convert_to(emit.payload::text, 'UTF8'), 'application/json',
                          emit.topic, emit.headers, emit.id, emit.tenant, emit.partition, emit.traceparent,
                          emit.tracestate, emit.occurred_at, emit.schema_ref)).id;

-- Function:  outbox.emit(...)  bytes
-- The same for any content: payload and content_type have no default.
CREATE FUNCTION outbox.emit(
    type text, key text, payload bytea, content_type text, topic text DEFAULT NULL,
    headers jsonb DEFAULT NULL, id uuid DEFAULT NULL, tenant text DEFAULT NULL, partition integer DEFAULT NULL,
    traceparent text DEFAULT NULL, tracestate text DEFAULT NULL, occurred_at timestamptz DEFAULT NULL,
    schema_ref text DEFAULT NULL) RETURNS uuid
LANGUAGE sql VOLATILE
RETURN (outbox.emit_event(emit.type, emit.key, emit.payload, emit.content_type, emit.topic, emit.headers, emit.id,
                          emit.tenant, emit.partition, emit.traceparent, emit.tracestate, emit.occurred_at,
                          emit.schema_ref)).id;
