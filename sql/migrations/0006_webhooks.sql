-- Webhooks: endpoints, one delivery per (event, endpoint, replay), its attempts.

CREATE TABLE outbox.endpoint (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name            text UNIQUE CHECK (name ~ '^[A-Za-z0-9_.-]{1,64}$'),
    url             text NOT NULL CHECK (url ~ '^https?://' AND length(url) <= 2048),
    tenant          text,              -- null: events of every tenant
    types           text[] NOT NULL DEFAULT '{*}'
                    CHECK (cardinality(types) >= 1 AND array_position(types, NULL) IS NULL),
    types_like      text[] NOT NULL GENERATED ALWAYS AS (outbox.patterns_to_like(types)) STORED,
    policy          text NOT NULL DEFAULT 'resend' CHECK (policy IN ('resend', 'reconcile', 'park')),
    enabled         boolean NOT NULL DEFAULT true,
    disabled_reason text,
    timeout_ms      integer NOT NULL DEFAULT 15000 CHECK (timeout_ms BETWEEN 100 AND 120000),
    concurrency     integer NOT NULL DEFAULT 16 CHECK (concurrency BETWEEN 1 AND 1000),
    rate_per_second double precision CHECK (rate_per_second > 0),
    ordered         boolean NOT NULL DEFAULT false,
    schedule        interval[] CHECK (cardinality(schedule) >= 1),  -- the wait before each attempt; null: the default
    max_age         interval NOT NULL DEFAULT '4 days',
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    removed_at      timestamptz        -- removed endpoints stay for their history
);

-- Several secrets sign at once while one is rotated out.
CREATE TABLE outbox.endpoint_secret (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint    uuid NOT NULL REFERENCES outbox.endpoint,
    kind        text NOT NULL DEFAULT 'v1' CHECK (kind IN ('v1', 'v1a')),
    secret      bytea NOT NULL,
    sealed_with text,                  -- name of the key that encrypts it; null: as it is
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz
);
CREATE INDEX endpoint_secret_endpoint_idx ON outbox.endpoint_secret (endpoint);

CREATE SEQUENCE outbox.delivery_token AS bigint;

-- pending    never sent                    sending   a request may be on the wire
-- delivered  a 2xx was recorded            failed    will be tried again at next_at
-- unknown    sent, no answer: undecided    parked    waits for an operator
-- dead       given up
CREATE TABLE outbox.delivery (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_seq   bigint NOT NULL,
    event_id    uuid NOT NULL,
    event_type  text NOT NULL,
    endpoint    uuid NOT NULL,
    replay      integer NOT NULL DEFAULT 0,
    tenant      text,
    key         text,
    state       text NOT NULL DEFAULT 'pending'
                CHECK (state IN ('pending', 'sending', 'delivered', 'failed', 'unknown', 'parked', 'dead')),
    attempts    integer NOT NULL DEFAULT 0,   -- charged against the schedule
    sends       integer NOT NULL DEFAULT 0,   -- times it was claimed for sending
    token       bigint NOT NULL DEFAULT 0,    -- fencing: only its bearer may record a result
    worker      text,
    next_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_at  timestamptz,
    lease_until timestamptz,
    last_status integer,
    last_error  text,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX delivery_due_idx ON outbox.delivery (endpoint, next_at, id) WHERE state IN ('pending', 'failed');
CREATE INDEX delivery_sending_idx ON outbox.delivery (lease_until) WHERE state = 'sending';

-- Which deliveries an event has, and that it has each but once: whoever inserts or deletes a
-- delivery does it here, too, and kept_expire() relies on that.  Written once: claiming and
-- finishing a delivery write its row anew into each index of its table, and these two would
-- add two thirds to what that costs.
CREATE TABLE outbox.delivery_of_event (
    event_seq bigint NOT NULL,
    endpoint  uuid NOT NULL,
    replay    integer NOT NULL,
    event_id  uuid NOT NULL,
    delivery  bigint NOT NULL,
    PRIMARY KEY (event_seq, endpoint, replay)
);
CREATE INDEX delivery_of_event_id_idx ON outbox.delivery_of_event (event_id);

-- The evidence of each attempt.  Microseconds since started_at; null: did not happen, or
-- not anew, on a connection that was kept.  first_byte_us is that of a whole line.
CREATE TABLE outbox.delivery_attempt (
    delivery     bigint NOT NULL,
    attempt      integer NOT NULL,     -- the delivery's sends
    token        bigint NOT NULL,
    worker       text,
    started_at   timestamptz NOT NULL,
    resolved_us  bigint,
    connected_us bigint,
    tls_us       bigint,
    sent_bytes   bigint,
    first_byte_us bigint,
    total_us     bigint,
    address      text,
    outcome      text NOT NULL CHECK (outcome IN ('delivered', 'refused', 'not_sent', 'unknown')),
    status       integer,
    error        text,
    response     text,                 -- its beginning, for people
    PRIMARY KEY (delivery, attempt)
);

-- A running or finished replay of events to Kafka or to an endpoint.
CREATE TABLE outbox.replay (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    requested_by text NOT NULL DEFAULT session_user,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    selection  jsonb NOT NULL,
    target     text NOT NULL,
    position   bigint NOT NULL DEFAULT 0,
    state      text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'done', 'cancelled'))
);

-- Function:  outbox.lane_acknowledge(...)
-- Moves a lane from its old position to the marker's and inserts the deliveries of
-- exactly the events between, with the endpoints as of this transaction; those that are
-- parked get theirs when they are released.  p_release: the marker's release, 0 for none;
-- its events are published too.  Nothing
-- happens unless the caller's epoch is the lane's and its old position still holds.
-- Returns:   accepted; deliveries inserted; endpoints enabled now
-- Raises when the new position cannot follow the old one, or names a tick that this
-- database does not have.
CREATE FUNCTION outbox.lane_acknowledge(
    p_map integer, p_lane integer, p_epoch bigint,
    p_old_from bigint, p_old_to bigint, p_old_seq bigint,
    p_from bigint, p_from_nonce uuid, p_to bigint, p_to_nonce uuid, p_seq bigint, p_done boolean,
    p_published bigint, p_release bigint DEFAULT 0,
    OUT accepted boolean, OUT deliveries bigint, OUT endpoints integer)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    n        outbox.lane;
    released bigint[];
BEGIN
    lane_acknowledge.deliveries := 0;
    IF p_release <> 0 THEN
        PERFORM set_config('synchronous_commit', 'on', true);  -- the next marker does not name it any more
    END IF;
    IF p_to < p_from OR (p_from, p_to) = (p_old_from, p_old_to) AND p_seq < p_old_seq
       OR (p_from, p_to) <> (p_old_from, p_old_to) AND p_from < p_old_to THEN
        RAISE EXCEPTION 'lane % of map %: the position (%, %, %) cannot follow (%, %, %)', p_lane, p_map,
                        p_from, p_to, p_seq, p_old_from, p_old_to, p_old_seq USING ERRCODE = '22023';
    END IF;
    IF NOT EXISTS (SELECT FROM outbox.tick t WHERE t.id = p_from AND t.nonce = p_from_nonce)
       OR NOT EXISTS (SELECT FROM outbox.tick t WHERE t.id = p_to AND t.nonce = p_to_nonce) THEN
        RAISE EXCEPTION 'lane % of map %: there is no tick % or % with that nonce', p_lane, p_map, p_from, p_to
            USING ERRCODE = '22023';
    END IF;
    -- An endpoint removed meanwhile must not be left with open deliveries.
    PERFORM pg_advisory_xact_lock_shared(outbox.lock_class(), 5);
    SELECT count(*) INTO lane_acknowledge.endpoints FROM outbox.endpoint WHERE enabled AND removed_at IS NULL;
    UPDATE outbox.lane l
       SET from_tick = p_from, from_nonce = p_from_nonce, to_tick = p_to, to_nonce = p_to_nonce, seq = p_seq,
           done = p_done, started = true, published = l.published + p_published, acknowledged_at = clock_timestamp()
     WHERE l.map = p_map AND l.lane = p_lane AND l.epoch = p_epoch
       AND l.from_tick = p_old_from AND l.to_tick = p_old_to AND l.seq = p_old_seq
    RETURNING l.* INTO n;
    lane_acknowledge.accepted := FOUND;
    IF NOT lane_acknowledge.accepted THEN
        RETURN;
    END IF;
    IF p_release <> 0 THEN
        WITH done AS (
            UPDATE outbox.parked_event k SET state = 'released', released_at = clock_timestamp()
             WHERE k.release_id = p_release AND k.released_at IS NULL AND k.map = p_map AND k.lane = p_lane
            RETURNING k.seq, coalesce(k.reroute, k.topic) AS topic
        ), freed AS (
            DELETE FROM outbox.parked_topic t USING done d WHERE t.topic = d.topic
        )
        SELECT array_agg(d.seq) INTO released FROM done d;
    END IF;
    IF lane_acknowledge.endpoints = 0 THEN
        RETURN;
    END IF;
    WITH made AS (
        INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, tenant, key, next_at)
        SELECT e.seq, e.id, e.type, p.id, e.tenant, e.key, clock_timestamp() + coalesce(p.schedule[1], '0')
          FROM (SELECT i.seq, i.id, i.type, i.tenant, i.key
                  FROM outbox.lane_interval(p_old_from, p_old_to, p_old_seq, p_from, p_to, p_seq,
                                            n.bucket_low, n.bucket_high) AS i
                 WHERE NOT EXISTS (SELECT FROM outbox.parked_event k WHERE k.seq = i.seq)
                 UNION ALL
                SELECT r.seq, r.id, r.type, r.tenant, r.key FROM outbox.parked_content(released) AS r) AS e
          JOIN outbox.endpoint AS p
            ON p.enabled AND p.removed_at IS NULL
           AND e.type LIKE ANY (p.types_like)
           AND (p.tenant IS NULL OR p.tenant = e.tenant)
         ORDER BY e.seq
        RETURNING event_seq, endpoint, replay, event_id, id
    )
    INSERT INTO outbox.delivery_of_event (event_seq, endpoint, replay, event_id, delivery)
    SELECT m.event_seq, m.endpoint, m.replay, m.event_id, m.id FROM made m;
    GET DIAGNOSTICS deliveries = ROW_COUNT;
END $$;

-- Function:  outbox.delivery_claim(worker, endpoints, slots, limit, margin)
-- Marks due deliveries as being sent and hands them over: for each endpoint at most
-- its number of slots, oldest first; at most limit in all, and the endpoints named
-- first come first.  A claim outlives its endpoint's timeout by margin.  The caller
-- must commit before the first byte.  Look-ups by index only: the planner cannot
-- know how few rows there are, and would rather hash all events.
-- Returns:   what there is to send; present is false if the event is gone
CREATE FUNCTION outbox.delivery_claim(
    p_worker text, p_endpoints uuid[], p_slots integer[], p_limit integer, p_margin interval)
RETURNS TABLE (delivery bigint, token bigint, send integer, attempts integer, age_us bigint, replay integer,
               present boolean, endpoint uuid, event_id uuid, event_type text, content_type text, payload bytea,
               headers text, traceparent text, tracestate text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);  -- else a crash makes it sent, and never claimed
    -- A queue's statistics are always out of date, so its plan must not depend on them: the
    -- shape of the statement and the settings above leave one, by the indexes, and it is
    -- planned once.
    -- statement_timestamp(), not clock_timestamp(): only a stable function can be a
    -- condition of the index, and without it all that is not due yet would be read.
    RETURN QUERY
    WITH due AS MATERIALIZED (
        SELECT d.id
          FROM (SELECT u.endpoint, u.slots
                  FROM unnest(p_endpoints, p_slots) WITH ORDINALITY AS u(endpoint, slots, n)
                  JOIN outbox.endpoint p ON p.id = u.endpoint AND p.enabled AND p.removed_at IS NULL
                 ORDER BY u.n) AS s
         CROSS JOIN LATERAL (
               SELECT d.id FROM outbox.delivery d
                WHERE d.endpoint = s.endpoint AND d.state IN ('pending', 'failed')
                  AND d.next_at <= statement_timestamp()
                ORDER BY d.next_at, d.id LIMIT s.slots FOR UPDATE SKIP LOCKED) AS d
         LIMIT p_limit
    ), claimed AS (
        UPDATE outbox.delivery d
           SET state = 'sending', token = nextval('outbox.delivery_token'), sends = d.sends + 1, worker = p_worker,
               claimed_at = clock_timestamp(),
               lease_until = clock_timestamp() + p_margin + interval '1 ms' *
                             (SELECT p.timeout_ms FROM outbox.endpoint p WHERE p.id = d.endpoint)
         WHERE d.id = ANY (ARRAY(SELECT due.id FROM due))
        RETURNING d.*
    )
    SELECT c.id, c.token, c.sends, c.attempts,
           (extract(epoch FROM clock_timestamp() - c.created_at) * 1000000)::bigint, c.replay,
           e.seq IS NOT NULL OR k.seq IS NOT NULL, c.endpoint, c.event_id, c.event_type,
           coalesce(e.content_type, k.content_type), coalesce(e.payload, k.payload),
           (SELECT string_agg(h.key || ': ' || h.value, E'\n')
              FROM jsonb_each_text(coalesce(e.headers, k.headers)) AS h),
           coalesce(e.traceparent, k.traceparent), coalesce(e.tracestate, k.tracestate)
      FROM claimed c
      LEFT JOIN LATERAL (SELECT * FROM outbox.event e WHERE e.seq = c.event_seq LIMIT 1) AS e ON true
      LEFT JOIN LATERAL (SELECT * FROM outbox.kept_event k
                          WHERE k.seq = c.event_seq AND e.seq IS NULL LIMIT 1) AS k ON true
     ORDER BY c.event_seq;
END $$;

-- Function:  outbox.delivery_finish(...)
-- Records results, one array element each; a result whose token is not the
-- delivery's any more is dropped.  charged: counts against the schedule.  What was not
-- delivered to an endpoint that is removed by now is dead.  An endpoint that answered
-- 410 is disabled, with a row in the audit: nothing more is wanted there.
-- Returns:   the deliveries whose result was accepted
CREATE FUNCTION outbox.delivery_finish(
    p_delivery bigint[], p_token bigint[], p_state text[], p_charged boolean[], p_retry_in interval[],
    p_outcome text[], p_status integer[], p_error text[], p_started_at timestamptz[], p_address text[],
    p_resolved_us bigint[], p_connected_us bigint[], p_tls_us bigint[], p_sent_bytes bigint[],
    p_first_byte_us bigint[], p_total_us bigint[], p_response text[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_nestloop = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);  -- a recorded success is never sent again
    PERFORM pg_advisory_xact_lock_shared(outbox.lock_class(), 5);
    -- As in delivery_claim: one plan, whatever the statistics say.
    RETURN QUERY
    WITH result AS (
        SELECT * FROM unnest(p_delivery, p_token, p_state, p_charged, p_retry_in, p_outcome, p_status, p_error,
                             p_started_at, p_address, p_resolved_us, p_connected_us, p_tls_us, p_sent_bytes,
                             p_first_byte_us, p_total_us, p_response)
          AS r(delivery, token, state, charged, retry_in, outcome, status, error, started_at, address,
               resolved_us, connected_us, tls_us, sent_bytes, first_byte_us, total_us, response)
    ), finished AS (
        UPDATE outbox.delivery d
           SET state = CASE WHEN p.removed_at IS NULL OR r.state = 'delivered' THEN r.state ELSE 'dead' END,
               attempts = d.attempts + r.charged::integer,
               next_at = coalesce(clock_timestamp() + r.retry_in, d.next_at),
               lease_until = NULL, last_status = r.status, last_error = r.error,
               finished_at = CASE WHEN r.state IN ('delivered', 'dead') OR p.removed_at IS NOT NULL
                                  THEN clock_timestamp() END
          FROM result r, outbox.endpoint p
         -- Being sent is told by its lease: told by its state, the index of what is being sent
         -- would be read from end to end, with all that has left it since the last VACUUM.
         WHERE d.id = ANY (p_delivery) AND d.id = r.delivery AND d.token = r.token AND d.lease_until IS NOT NULL
           AND p.id = d.endpoint
        RETURNING d.id, d.sends, d.token, d.worker
    ), evidence AS (
        INSERT INTO outbox.delivery_attempt (delivery, attempt, token, worker, started_at, address, resolved_us,
                                             connected_us, tls_us, sent_bytes, first_byte_us, total_us,
                                             outcome, status, error, response)
        SELECT f.id, f.sends, f.token, f.worker, r.started_at, r.address, r.resolved_us, r.connected_us, r.tls_us,
               r.sent_bytes, r.first_byte_us, r.total_us, r.outcome, r.status, r.error, r.response
          FROM finished f JOIN result r ON r.delivery = f.id AND r.token = f.token
    )
    SELECT f.id FROM finished f;
    IF 410 = ANY (p_status) THEN
        PERFORM outbox.endpoint_gone(p_delivery, p_token);
    END IF;
END $$;

-- Disables the endpoints of those deliveries whose attempt with that token was answered
-- with 410.  What waits for them stays, in case that somebody enables them again.
CREATE FUNCTION outbox.endpoint_gone(p_delivery bigint[], p_token bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    WITH gone AS (
        SELECT d.endpoint, min(d.id) AS delivery
          FROM unnest(p_delivery, p_token) AS r(delivery, token)
          JOIN outbox.delivery_attempt a ON a.delivery = r.delivery AND a.token = r.token AND a.status = 410
          JOIN outbox.delivery d ON d.id = a.delivery
         GROUP BY d.endpoint
    ), enabled AS (
        -- in one order, since others may be doing the same with the same endpoints
        SELECT p.id FROM outbox.endpoint p
         WHERE p.enabled AND p.id IN (SELECT g.endpoint FROM gone g) ORDER BY p.id FOR UPDATE
    ), disabled AS (
        UPDATE outbox.endpoint p SET enabled = false, disabled_reason = 'it answered 410 Gone'
          FROM enabled e WHERE p.id = e.id
        RETURNING p.id
    )
    INSERT INTO outbox.audit (action, subject, reason, detail)
    SELECT 'endpoint disable', x.id::text, 'it answered 410 Gone',
           jsonb_build_object('delivery', g.delivery, 'open', (SELECT count(*) FROM outbox.delivery d
                              WHERE d.endpoint = x.id AND d.state IN ('pending', 'failed')))
      FROM disabled x JOIN gone g ON g.endpoint = x.id;
END $$;

-- Function:  outbox.delivery_recover(worker, held)
-- Deliveries whose sender vanished (its lease is over) or, with worker, those that an
-- earlier process of that name left behind: whether they were sent is unknown.  The
-- endpoint's policy decides: resend tries again at once, the others park.  held: tokens
-- under which the caller itself is still sending or has a result to record.
-- Returns:   how many
CREATE FUNCTION outbox.delivery_recover(p_worker text DEFAULT NULL, p_held bigint[] DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_nestloop = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    recovered bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(outbox.lock_class(), 5);
    WITH lost AS (
        SELECT d.id, d.token, CASE WHEN p.removed_at IS NOT NULL THEN 'dead' WHEN p.policy = 'resend' THEN 'failed'
                                   WHEN p.policy = 'park' THEN 'parked' ELSE 'unknown' END AS state
          FROM outbox.delivery d JOIN outbox.endpoint p ON p.id = d.endpoint
         WHERE d.state = 'sending' AND (d.lease_until < clock_timestamp() OR d.worker = p_worker)
           AND d.token <> ALL (p_held)
           FOR UPDATE OF d SKIP LOCKED
    ), moved AS (
        UPDATE outbox.delivery d
           SET state = lost.state, attempts = d.attempts + 1, token = nextval('outbox.delivery_token'),
               lease_until = NULL, next_at = clock_timestamp(), last_status = NULL,
               last_error = 'the sender vanished while sending: outcome unknown',
               finished_at = CASE WHEN lost.state = 'dead' THEN clock_timestamp() END
          FROM lost WHERE d.id = ANY (ARRAY(SELECT lost.id FROM lost)) AND d.id = lost.id
        RETURNING d.id, d.sends, lost.token, d.worker, d.claimed_at, d.last_error
    )
    INSERT INTO outbox.delivery_attempt (delivery, attempt, token, worker, started_at, outcome, error)
    SELECT m.id, m.sends, m.token, m.worker, m.claimed_at, 'unknown', m.last_error FROM moved m;
    GET DIAGNOSTICS recovered = ROW_COUNT;
    RETURN recovered;
END $$;

-- Function:  outbox.endpoint_add(...)
-- Registers an endpoint with its first secret.
-- Returns:   its id
CREATE FUNCTION outbox.endpoint_add(
    p_url text, p_secret bytea, p_name text DEFAULT NULL, p_types text[] DEFAULT '{*}', p_tenant text DEFAULT NULL,
    p_policy text DEFAULT 'resend', p_timeout_ms integer DEFAULT 15000, p_concurrency integer DEFAULT 16,
    p_schedule interval[] DEFAULT NULL, p_max_age interval DEFAULT '4 days') RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made uuid;
BEGIN
    IF octet_length(p_secret) NOT BETWEEN 24 AND 75 THEN
        RAISE EXCEPTION 'secret: has % bytes, must have 24 to 75', octet_length(p_secret)
            USING ERRCODE = '22023', COLUMN = 'secret', HINT = 'Leave it out to have one generated.';
    END IF;
    INSERT INTO outbox.endpoint (url, name, types, tenant, policy, timeout_ms, concurrency, schedule, max_age)
    VALUES (p_url, p_name, p_types, p_tenant, p_policy, p_timeout_ms, p_concurrency, p_schedule, p_max_age)
    RETURNING id INTO made;
    INSERT INTO outbox.endpoint_secret (endpoint, secret) VALUES (made, p_secret);
    INSERT INTO outbox.audit (action, subject, detail)
    VALUES ('endpoint add', made::text, jsonb_build_object('url', p_url, 'types', p_types, 'policy', p_policy));
    RETURN made;
END $$;

-- Function:  outbox.endpoint_remove(id, reason)
-- Sends nothing more to the endpoint: its open deliveries are given up, its history stays.
-- Returns:   false if there is no such endpoint
CREATE FUNCTION outbox.endpoint_remove(p_id uuid, p_reason text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Whoever adds deliveries for it, or is about to record a result, comes before or sees it removed.
    PERFORM pg_advisory_xact_lock(outbox.lock_class(), 5);
    UPDATE outbox.endpoint SET enabled = false, removed_at = clock_timestamp(), disabled_reason = 'removed', name = NULL
     WHERE id = p_id AND removed_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM outbox.endpoint_secret WHERE endpoint = p_id;
    UPDATE outbox.delivery SET state = 'dead', finished_at = clock_timestamp(), last_error = 'endpoint removed'
     WHERE endpoint = p_id AND state IN ('pending', 'failed', 'unknown', 'parked');
    INSERT INTO outbox.audit (action, subject, reason) VALUES ('endpoint remove', p_id::text, p_reason);
    RETURN true;
END $$;
