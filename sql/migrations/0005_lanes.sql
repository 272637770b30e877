-- Lanes: who publishes what, and how far it has come.

CREATE TABLE outbox.route (
    pattern    text PRIMARY KEY CHECK (pattern ~ '^[^\x01-\x1f\x7f]{1,255}$'),
    topic      text CHECK (topic ~ '^[A-Za-z0-9._-]{1,249}$'),  -- null: webhooks only, not to Kafka
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A lease is hot (renewed every second); the position stands elsewhere.  Time is the
-- database's alone.
CREATE TABLE outbox.lease (
    name          text PRIMARY KEY,
    holder        text,
    epoch         bigint NOT NULL DEFAULT 0,
    expires_at    timestamptz NOT NULL DEFAULT '-infinity',
    acquired_at   timestamptz,
    ended_epoch   bigint NOT NULL DEFAULT 0  -- of a lane: nobody who had it up to then can publish any more
) WITH (fillfactor = 50);

-- Position: the batch (from_tick, to_tick] with both nonces, the last seq of it that
-- is published, and whether that completes it.  A tick and a seq alone do not name a
-- batch: a lane that lags skips ticks, and its successor would skip others.
CREATE TABLE outbox.lane (
    map             integer NOT NULL,
    lane            integer NOT NULL,
    bucket_low      smallint NOT NULL CHECK (bucket_low BETWEEN 0 AND 255),
    bucket_high     smallint NOT NULL CHECK (bucket_high BETWEEN 0 AND 255),
    epoch           bigint NOT NULL DEFAULT 0,   -- of the lease under which it was last taken
    from_tick       bigint NOT NULL,
    from_nonce      uuid NOT NULL,
    to_tick         bigint NOT NULL,
    to_nonce        uuid NOT NULL,
    seq             bigint NOT NULL DEFAULT 0,
    done            boolean NOT NULL DEFAULT true,
    started         boolean NOT NULL DEFAULT false,  -- a first marker is known to be in Kafka
    published       bigint NOT NULL DEFAULT 0,
    publish         text NOT NULL DEFAULT 'exactly_once'     -- how it was published last
                    CHECK (publish IN ('exactly_once', 'at_least_once')),
    acknowledged_at timestamptz,
    halted          text,              -- the named state in which its relay stopped, else null
    halted_detail   text,
    halted_at       timestamptz,
    paused          boolean NOT NULL DEFAULT false,  -- by an operator: nobody takes it
    pinned_to       text,              -- the relay that has it while that one is alive, else null
    PRIMARY KEY (map, lane),
    CHECK (bucket_low <= bucket_high)
) WITH (fillfactor = 50);

INSERT INTO outbox.lane (map, lane, bucket_low, bucket_high, from_tick, from_nonce, to_tick, to_nonce)
SELECT 1, 0, 0, 255, t.id, t.nonce, t.id, t.nonce FROM outbox.tick t ORDER BY t.id LIMIT 1;
INSERT INTO outbox.lease (name) VALUES ('lane/1/0'), ('ticker');

-- Relays that are alive: they share the lanes.
CREATE TABLE outbox.relay (
    name       text PRIMARY KEY,
    expires_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    able       boolean NOT NULL        -- false: it fails in Kafka; another may have better luck
) WITH (fillfactor = 50);

-- The change of the lane map that is under way, if any: until it expires nobody ticks, so
-- that the last tick is where all lanes of the present map end and those of the next begin.
CREATE TABLE outbox.lane_change (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    map        integer NOT NULL,       -- the one that ends
    lanes      integer NOT NULL,       -- of the next
    stop_tick  bigint NOT NULL,
    stop_nonce uuid NOT NULL,
    begun_at   timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    reason     text
);

-- Events that cannot be published wait here, and those of the same key behind them.  The
-- lane passes over whatever has a row here, open or not: it is written before the marker
-- moves beyond the event, and stays.
--   parked     an operator decides          behind    waits for what comes before it
--   retry      is to be tried again         released, discarded   the end
CREATE TABLE outbox.parked_event (
    seq        bigint PRIMARY KEY,
    map        integer NOT NULL,
    lane       integer NOT NULL,
    tick       bigint NOT NULL,    -- the from_tick of its batch as last read: (tick, seq) is the lane's order
    topic      text NOT NULL,
    key        text,
    state      text NOT NULL DEFAULT 'parked'
               CHECK (state IN ('parked', 'behind', 'retry', 'released', 'discarded')),
    reason     text NOT NULL,
    error      text,
    reroute    text CHECK (reroute ~ '^[A-Za-z0-9._-]{1,249}$'),  -- released to this topic instead
    parked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    release_id bigint,             -- of the Kafka transaction that is to carry it
    released_at timestamptz,       -- null: open
    CHECK ((released_at IS NOT NULL) = (state IN ('released', 'discarded')))
);
CREATE INDEX parked_event_key_idx ON outbox.parked_event (topic, key, tick, seq) WHERE released_at IS NULL;
CREATE INDEX parked_event_release_idx ON outbox.parked_event (release_id)
    WHERE released_at IS NULL AND release_id IS NOT NULL;
CREATE SEQUENCE outbox.release_seq;

-- A topic none of whose events can be published.  One of them is tried now and then.
CREATE TABLE outbox.parked_topic (
    topic     text PRIMARY KEY,
    reason    text NOT NULL,
    error     text,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tries     integer NOT NULL DEFAULT 1,
    next_at   timestamptz NOT NULL
);

-- Function:  outbox.lane_acquire(map, lane, holder, ttl, host)
-- Takes the lane's lease if it is free, expired, or the holder's own already, and
-- raises the lane's epoch so that nothing of a former holder is accepted any more.
-- The first of all, with a host (its own name), makes the place where it is the one where
-- the outbox is enabled.
-- Returns:   the epoch, or null with the seconds until the present lease may expire
CREATE FUNCTION outbox.lane_acquire(
    p_map integer, p_lane integer, p_holder text, p_ttl interval, p_host text DEFAULT NULL,
    OUT epoch bigint, OUT retry_after double precision, OUT former_holder text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    held outbox.lease;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT l.* INTO held FROM outbox.lease l WHERE l.name = format('lane/%s/%s', p_map, p_lane) FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no lane % in map %', p_lane, p_map USING ERRCODE = '22023';
    END IF;
    lane_acquire.former_holder := held.holder;
    IF held.holder IS DISTINCT FROM p_holder AND held.holder IS NOT NULL AND held.expires_at > clock_timestamp() THEN
        lane_acquire.retry_after := extract(epoch FROM held.expires_at - clock_timestamp());
        RETURN;
    END IF;
    UPDATE outbox.lease l
       SET holder = p_holder, epoch = held.epoch + 1, expires_at = clock_timestamp() + p_ttl,
           acquired_at = clock_timestamp()
     WHERE l.name = held.name;
    UPDATE outbox.lane n SET epoch = held.epoch + 1, halted = NULL, halted_detail = NULL, halted_at = NULL
     WHERE n.map = p_map AND n.lane = p_lane;
    IF p_host IS NOT NULL THEN
        UPDATE outbox.meta m
           SET timeline = p.timeline, database = p.database, enabled_addresses = ARRAY[p.address]
          FROM outbox.place(p_host) AS p
         WHERE m.timeline IS NULL AND m.system_identifier = p.system_identifier
           AND NOT EXISTS (SELECT FROM outbox.lane n WHERE n.started);
    END IF;
    lane_acquire.epoch := held.epoch + 1;
END $$;

-- Function:  outbox.lane_renew(map, lane, epoch, ttl)
-- Returns:   true, or false if the lease has been taken by another since
-- The commit is synchronous: a relay that has it may rely on all that it read before.
CREATE FUNCTION outbox.lane_renew(p_map integer, p_lane integer, p_epoch bigint, p_ttl interval) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    UPDATE outbox.lease l SET expires_at = clock_timestamp() + p_ttl
     WHERE l.name = format('lane/%s/%s', p_map, p_lane) AND l.epoch = p_epoch AND l.holder IS NOT NULL;
    RETURN FOUND;
END $$;

-- Function:  outbox.lane_record_publish(map, lane, epoch, publish)
-- Records how the lane is published from now on.  A lane published at least once has no
-- marker that keeps up with it, and nobody before it who could still commit a transaction:
-- the next owner goes by this.
-- Returns:   true, or false if the lane has been taken by another since
-- The commit is synchronous: what is published then must find it recorded.
CREATE FUNCTION outbox.lane_record_publish(p_map integer, p_lane integer, p_epoch bigint, p_publish text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    UPDATE outbox.lane n SET publish = p_publish
     WHERE n.map = p_map AND n.lane = p_lane AND n.epoch = p_epoch;
    RETURN FOUND;
END $$;

-- Function:  outbox.lane_release(map, lane, epoch, fenced)
-- Gives the lease back, so that a successor need not wait for it to expire, and tells the
-- other relays.  The caller has nothing open; fenced: and has cut off whoever had the lane before.
CREATE FUNCTION outbox.lane_release(p_map integer, p_lane integer, p_epoch bigint, p_fenced boolean DEFAULT true)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE outbox.lease l
       SET holder = NULL, expires_at = '-infinity',
           ended_epoch = CASE WHEN p_fenced OR l.ended_epoch = p_epoch - 1 THEN p_epoch ELSE l.ended_epoch END
     WHERE l.name = format('lane/%s/%s', p_map, p_lane) AND l.epoch = p_epoch;
    IF FOUND THEN
        PERFORM pg_notify('outbox_relays', '');
        RETURN true;
    END IF;
    RETURN false;
END $$;

-- Function:  outbox.lane_halt(map, lane, epoch, state, detail)
-- Records the named state in which the relay stopped, for operators to see.
CREATE FUNCTION outbox.lane_halt(p_map integer, p_lane integer, p_epoch bigint, p_state text, p_detail text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE outbox.lane n SET halted = p_state, halted_detail = p_detail, halted_at = clock_timestamp()
     WHERE n.map = p_map AND n.lane = p_lane AND n.epoch = p_epoch;
    RETURN FOUND;
END $$;

-- Function:  outbox.lane_interval(...)
-- The events published between two positions of one lane: the rest of the old batch,
-- the batches between, and the new batch up to its seq.
CREATE FUNCTION outbox.lane_interval(
    old_from bigint, old_to bigint, old_seq bigint, new_from bigint, new_to bigint, new_seq bigint,
    low integer, high integer) RETURNS SETOF outbox.event
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF old_from = new_from THEN
        RETURN QUERY SELECT * FROM outbox.batch(old_from, new_to, old_seq, new_seq, low, high);
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM outbox.batch(old_from, old_to, old_seq, low => low, high => high);
    IF new_from > old_to THEN
        RETURN QUERY SELECT * FROM outbox.batch(old_to, new_from, low => low, high => high);
    END IF;
    RETURN QUERY SELECT * FROM outbox.batch(new_from, new_to, 0, new_seq, low, high);
END $$;

-- Locks the lane for its owner's changes of what is parked; raises if it is another's by now.
CREATE FUNCTION outbox.lane_own(p_map integer, p_lane integer, p_epoch bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM outbox.lane n WHERE n.map = p_map AND n.lane = p_lane AND n.epoch = p_epoch FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lane % of map %: another relay has taken it', p_lane, p_map USING ERRCODE = '55000';
    END IF;
END $$;

-- Function:  outbox.lane_park(map, lane, epoch, tick, faults)
-- Parks events that Kafka refuses, or whole topics, one row each.
--   tick     the from_tick of their batch
--   faults   [{"seq":, "topic":, "reason":, "error":, "whole": is it the topic's fault}, ...]
-- The commit is synchronous: the batch is published without them next.
CREATE FUNCTION outbox.lane_park(p_map integer, p_lane integer, p_epoch bigint, p_tick bigint, p_faults jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM outbox.lane_own(p_map, p_lane, p_epoch);
    INSERT INTO outbox.parked_topic AS t (topic, reason, error, next_at)
    SELECT DISTINCT ON (f.topic) f.topic, f.reason, f.error, clock_timestamp() + interval '2 s'
      FROM jsonb_to_recordset(p_faults) AS f(topic text, reason text, error text, whole boolean)
     WHERE f.whole
    ON CONFLICT (topic) DO UPDATE
       SET reason = excluded.reason, error = excluded.error, tries = t.tries + 1,
           -- a look-up is cheap; to be denied costs a takeover
           next_at = clock_timestamp() +
                     interval '2 s' * CASE WHEN excluded.reason = 'topic_denied' THEN least(t.tries + 1, 10) ELSE 1 END;
    INSERT INTO outbox.parked_event AS k (seq, map, lane, tick, topic, key, state, reason, error)
    SELECT e.seq, p_map, p_lane, p_tick, f.topic, e.key, CASE WHEN f.whole THEN 'behind' ELSE 'parked' END,
           f.reason, f.error
      FROM jsonb_to_recordset(p_faults)
           AS f(seq bigint, topic text, reason text, error text, whole boolean)
      JOIN outbox.event e ON e.seq = f.seq
    ON CONFLICT (seq) DO UPDATE
       SET state = excluded.state, reason = excluded.reason, error = excluded.error, release_id = NULL
     WHERE k.released_at IS NULL;
END $$;

-- Function:  outbox.lane_park_behind(map, lane, epoch, tick, page)
-- Parks those of a page's events that may not overtake what is parked: an earlier one of the
-- same topic and key, or the whole topic.
--   tick     the from_tick of their batch
--   page     {"again": [seq, ...], "behind": {"topic": [seq, ...], ...}}
-- again: what is parked already.  A batch that is read again may have been cut elsewhere, and
-- its events have one order among them, parked or not.
-- Returns:   the seqs of those that are parked now
CREATE FUNCTION outbox.lane_park_behind(
    p_map integer, p_lane integer, p_epoch bigint, p_tick bigint, p_page jsonb) RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM outbox.lane_own(p_map, p_lane, p_epoch);
    UPDATE outbox.parked_event k SET tick = p_tick
      FROM jsonb_array_elements_text(p_page->'again') AS s(seq)
     WHERE k.seq = s.seq::bigint AND k.released_at IS NULL;
    RETURN QUERY
    INSERT INTO outbox.parked_event (seq, map, lane, tick, topic, key, state, reason)
    SELECT e.seq, p_map, p_lane, p_tick, t.topic, e.key, 'behind', 'behind'
      FROM jsonb_each(p_page->'behind') AS t(topic, seqs)
     CROSS JOIN LATERAL jsonb_array_elements_text(t.seqs) AS s(seq)
     CROSS JOIN LATERAL (SELECT e.seq, e.key FROM outbox.event e WHERE e.seq = s.seq::bigint) AS e
     WHERE EXISTS (SELECT FROM outbox.parked_topic x WHERE x.topic = t.topic)
        OR EXISTS (SELECT FROM outbox.parked_event k
                    WHERE k.topic = t.topic AND k.key = e.key AND k.released_at IS NULL
                      AND (k.tick, k.seq) < (p_tick, e.seq))
    ON CONFLICT (seq) DO NOTHING
    RETURNING parked_event.seq;
END $$;

-- Function:  outbox.parked_topics()
-- The topics of which anything is parked, found by steps through the index: there may be a
-- million events behind one of them.
CREATE FUNCTION outbox.parked_topics() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE step AS (
        SELECT (SELECT min(k.topic) FROM outbox.parked_event k WHERE k.released_at IS NULL) AS topic
        UNION ALL
        SELECT (SELECT min(k.topic) FROM outbox.parked_event k WHERE k.released_at IS NULL AND k.topic > s.topic)
          FROM step s WHERE s.topic IS NOT NULL)
    SELECT s.topic FROM step s WHERE s.topic IS NOT NULL
    UNION
    SELECT t.topic FROM outbox.parked_topic t
$$;

-- Function:  outbox.parked_content(seqs)
-- The events, wherever they are by now: what is parked outlives its partition as a copy.
CREATE FUNCTION outbox.parked_content(p_seqs bigint[])
RETURNS TABLE (seq bigint, id uuid, type text, key text, partition integer, tenant text, headers jsonb,
               content_type text, payload bytea, traceparent text, tracestate text, occurred_at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.seq, e.id, e.type, e.key, e.partition, e.tenant, e.headers, e.content_type, e.payload, e.traceparent,
           e.tracestate, e.occurred_at
      FROM outbox.event e WHERE e.seq = ANY (p_seqs)
     UNION ALL
    SELECT c.seq, c.id, c.type, c.key, c.partition, c.tenant, c.headers, c.content_type, c.payload, c.traceparent,
           c.tracestate, c.occurred_at
      FROM outbox.kept_event c
     WHERE c.seq = ANY (p_seqs) AND NOT EXISTS (SELECT FROM outbox.event e WHERE e.seq = c.seq)
$$;

-- Function:  outbox.lane_take_release(map, lane, epoch, limit, bytes)
-- Chooses what may be published now of what is parked, in the lane's order: what is to be
-- tried again and what waits behind nothing any more; of a whole topic the first event, as
-- a trial, when it is due.  Not what the lane has not come to yet, for what comes before it
-- may still be published.  They get a release id; the marker of their Kafka transaction
-- will have it, so that whoever finds it there knows that they are published.  The caller
-- has acknowledged every release that a marker named.
-- Returns:   the events, with the topics that they go to
CREATE FUNCTION outbox.lane_take_release(
    p_map integer, p_lane integer, p_epoch bigint, p_limit integer, p_bytes bigint)
RETURNS TABLE (seq bigint, id uuid, type text, topic text, key text, partition integer, tenant text, headers jsonb,
               content_type text, payload bytea, traceparent text, tracestate text, occurred_at timestamptz,
               release_id bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    chosen bigint[];
    number bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM outbox.lane_own(p_map, p_lane, p_epoch);
    UPDATE outbox.parked_event k SET release_id = NULL
     WHERE k.release_id IS NOT NULL AND k.released_at IS NULL AND k.map = p_map AND k.lane = p_lane;
    SELECT array_agg(c.seq ORDER BY c.tick, c.seq) INTO chosen FROM (
        SELECT f.seq, f.tick
          FROM (SELECT k.seq, k.tick, t.topic IS NULL AS free,
                       row_number() OVER (PARTITION BY coalesce(k.reroute, k.topic) ORDER BY k.tick, k.seq) AS n
                  FROM outbox.lane n
                  JOIN outbox.parked_event k ON k.map = n.map AND k.lane = n.lane
                  LEFT JOIN outbox.parked_topic t ON t.topic = coalesce(k.reroute, k.topic)
                 WHERE k.map = p_map AND k.lane = p_lane AND k.released_at IS NULL
                   AND k.state IN ('behind', 'retry')
                   -- the batch from a tick to itself is the one before the first
                   AND (k.tick < n.from_tick
                        OR k.tick = n.from_tick AND n.to_tick > n.from_tick AND (n.done OR k.seq <= n.seq))
                   AND (t.topic IS NULL OR t.next_at <= clock_timestamp())
                   AND NOT EXISTS (
                       SELECT FROM outbox.parked_event f
                        WHERE f.topic = k.topic AND f.key = k.key AND f.released_at IS NULL
                          AND (f.tick, f.seq) < (k.tick, k.seq)
                          AND (f.state = 'parked' OR f.reroute IS DISTINCT FROM k.reroute))) AS f
         WHERE f.free OR f.n = 1
         ORDER BY f.tick, f.seq LIMIT p_limit) AS c;
    SELECT array_agg(w.seq) INTO chosen FROM (
        SELECT e.seq, sum(octet_length(e.payload))
                          OVER (ORDER BY k.tick, k.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
          FROM outbox.parked_content(chosen) AS e JOIN outbox.parked_event k ON k.seq = e.seq) AS w
     WHERE coalesce(w.before, 0) < p_bytes;
    IF chosen IS NULL THEN
        RETURN;
    END IF;
    number := nextval('outbox.release_seq');
    RETURN QUERY
    WITH taken AS (
        UPDATE outbox.parked_event k SET release_id = number
         WHERE k.seq = ANY (chosen) AND k.released_at IS NULL
        RETURNING k.seq, k.tick, coalesce(k.reroute, k.topic) AS topic, k.reroute)
    SELECT e.seq, e.id, e.type, t.topic, e.key, CASE WHEN t.reroute IS NULL THEN e.partition END, e.tenant, e.headers,
           e.content_type, e.payload, e.traceparent, e.tracestate, e.occurred_at, number
      FROM taken t JOIN outbox.parked_content(chosen) AS e ON e.seq = t.seq ORDER BY t.tick, t.seq;
END $$;

-- Is there a release of which only the lane's marker tells whether it is published?
CREATE FUNCTION outbox.release_pending(p_map integer, p_lane integer) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM outbox.parked_event k
                    WHERE k.map = p_map AND k.lane = p_lane AND k.release_id IS NOT NULL AND k.released_at IS NULL);
END $$;

-- Function:  outbox.lane_map_commit()
-- Ends a change of the lane map, if all lanes have come to its tick and been given back: the
-- next map begins there.  Whoever has the lanes of the next map makes their first markers;
-- nobody can publish as one of the present map, since the last owner of each has fenced those
-- before it, and has nothing open.  That a lease has expired says nothing: its holder may be
-- at work yet, if this server's clock was set, and nobody of the next map would fence it.
-- Returns:   true if it did
CREATE FUNCTION outbox.lane_map_commit() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    change outbox.lane_change;
BEGIN
    SELECT c.* INTO change FROM outbox.lane_change c FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM FROM outbox.lease l WHERE l.name LIKE format('lane/%s/%%', change.map) ORDER BY l.name FOR UPDATE;
    PERFORM FROM outbox.lane n WHERE n.map = change.map ORDER BY n.lane FOR UPDATE;
    IF EXISTS (SELECT FROM outbox.lane n JOIN outbox.lease l ON l.name = format('lane/%s/%s', n.map, n.lane)
                WHERE n.map = change.map
                  AND (l.holder IS NOT NULL OR l.ended_epoch <> l.epoch OR n.halted IS NOT NULL OR NOT n.done
                       OR n.to_tick <> change.stop_tick OR n.to_nonce <> change.stop_nonce
                       OR outbox.release_pending(n.map, n.lane))) THEN
        RETURN false;
    END IF;
    INSERT INTO outbox.lane (map, lane, bucket_low, bucket_high, from_tick, from_nonce, to_tick, to_nonce, published)
    SELECT change.map + 1, g.n, g.n * 256 / change.lanes, (g.n + 1) * 256 / change.lanes - 1,
           change.stop_tick, change.stop_nonce, change.stop_tick, change.stop_nonce,
           -- so that the sum over the lanes goes on
           CASE WHEN g.n = 0 THEN (SELECT sum(o.published) FROM outbox.lane o WHERE o.map = change.map) ELSE 0 END
      FROM generate_series(0, change.lanes - 1) AS g(n);
    INSERT INTO outbox.lease (name)
    SELECT format('lane/%s/%s', change.map + 1, g.n) FROM generate_series(0, change.lanes - 1) AS g(n);
    UPDATE outbox.parked_event p
       SET map = change.map + 1,
           lane = (SELECT n.lane FROM outbox.lane n WHERE n.map = change.map + 1
                      AND outbox.bucket(p.key, p.seq) BETWEEN n.bucket_low AND n.bucket_high)
     WHERE p.released_at IS NULL;
    DELETE FROM outbox.lease l WHERE l.name LIKE format('lane/%s/%%', change.map);
    DELETE FROM outbox.lane n WHERE n.map = change.map;
    DELETE FROM outbox.lane_change;
    UPDATE outbox.meta m SET lane_map = change.map + 1;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    VALUES ('lane_map', (change.map + 1)::text, change.reason,
            jsonb_build_object('lanes', change.lanes, 'tick', change.stop_tick,
                               'seconds', round(extract(epoch FROM clock_timestamp() - change.begun_at), 3)));
    PERFORM pg_notify('outbox_relays', '');
    RETURN true;
END $$;

-- Function:  outbox.relay_check_in(...)
-- A relay's sign of life, about once a second, and how things stand, in one statement:
--   p_first           the process has just started
--   p_leaving         it ends: its lanes are its own only until it releases them
--   p_able            it does not fail in Kafka
--   p_tick            it would tick: it publishes, which proves that this is the right database
--   p_lanes, p_epochs the leases that it holds, to be renewed
-- The commit is synchronous, as in lane_renew().
-- Returns:   rows of these kinds:
--   map    number; name: who ticks; yes: the caller does; tick, nonce: where the map ends, if it does
--   relay  name, yes: it is able
--   lane   number; name: its holder; lease_left in seconds; yes: renewed for the caller;
--          closed: nobody may take it now; pinned_to
--   tick   tick: the newest
CREATE FUNCTION outbox.relay_check_in(
    p_name text, p_ttl interval, p_first boolean, p_leaving boolean, p_able boolean, p_tick boolean,
    p_map integer, p_lanes integer[], p_epochs bigint[])
RETURNS TABLE (kind text, number integer, name text, lease_left double precision, yes boolean, closed boolean,
               pinned_to text, tick bigint, nonce uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    renewed integer[];
    since   timestamptz;
    present integer;
    gone    boolean := false;  -- just now: who leaves checks in again, and its own notification wakes it
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    WITH mine AS (
        UPDATE outbox.lease l SET expires_at = clock_timestamp() + p_ttl
          FROM unnest(p_lanes, p_epochs) AS u(lane, epoch)
         WHERE l.name = format('lane/%s/%s', p_map, u.lane) AND l.epoch = u.epoch AND l.holder IS NOT NULL
        RETURNING u.lane)
    SELECT array_agg(mine.lane) INTO renewed FROM mine;
    IF p_leaving THEN
        DELETE FROM outbox.relay r WHERE r.name = p_name;
        gone := FOUND;
    ELSE
        INSERT INTO outbox.relay AS r (name, expires_at, started_at, able)
        VALUES (p_name, clock_timestamp() + p_ttl, clock_timestamp(), p_able)
        ON CONFLICT (name) DO UPDATE
           SET expires_at = excluded.expires_at, able = excluded.able,
               started_at = CASE WHEN p_first THEN excluded.started_at ELSE r.started_at END
        RETURNING r.started_at INTO since;
        DELETE FROM outbox.relay r WHERE r.expires_at < clock_timestamp() - interval '1 hour';
    END IF;
    IF p_tick AND NOT p_leaving THEN
        UPDATE outbox.lease l
           SET holder = p_name, expires_at = clock_timestamp() + p_ttl,
               epoch = CASE WHEN l.holder = p_name THEN l.epoch ELSE l.epoch + 1 END,
               acquired_at = CASE WHEN l.holder = p_name THEN l.acquired_at ELSE clock_timestamp() END
         WHERE l.name = 'ticker'
           AND (l.holder IS NULL OR l.holder = p_name OR l.expires_at <= clock_timestamp());
    ELSE
        UPDATE outbox.lease l SET holder = NULL, expires_at = '-infinity' WHERE l.name = 'ticker' AND l.holder = p_name;
        IF FOUND OR gone THEN
            PERFORM pg_notify('outbox_relays', '');
        END IF;
    END IF;
    WITH over AS (DELETE FROM outbox.lane_change c WHERE c.expires_at <= clock_timestamp() RETURNING c.*)
    INSERT INTO outbox.audit (action, subject, reason, detail)
    SELECT 'lane_map_given_up', (over.map + 1)::text, over.reason,
           jsonb_build_object('lanes', over.lanes, 'tick', over.stop_tick) FROM over;
    IF FOUND THEN  -- whoever ticks was told meanwhile that nothing is new, and may sleep
        PERFORM pg_notify('outbox', '');
    END IF;
    PERFORM outbox.lane_map_commit();

    SELECT m.lane_map INTO present FROM outbox.meta m;
    RETURN QUERY
    SELECT 'map', present, l.holder, NULL::double precision,
           l.holder IS NOT DISTINCT FROM p_name AND l.expires_at > clock_timestamp(), NULL::boolean, NULL::text,
           c.stop_tick, c.stop_nonce
      FROM outbox.lease l LEFT JOIN outbox.lane_change c ON true WHERE l.name = 'ticker';
    RETURN QUERY
    SELECT 'relay', NULL::integer, r.name, NULL::double precision, r.able, NULL::boolean, NULL::text, NULL::bigint,
           NULL::uuid
      FROM outbox.relay r WHERE r.expires_at > clock_timestamp() ORDER BY r.name COLLATE "C";
    RETURN QUERY
    SELECT 'lane', n.lane, CASE WHEN l.expires_at > clock_timestamp() THEN l.holder END,
           CASE WHEN l.holder IS NOT NULL THEN extract(epoch FROM l.expires_at - clock_timestamp())::double precision END,
           coalesce(n.lane = ANY (renewed) AND p_map = present, false),
           n.paused OR coalesce(n.halted_at >= since, false)
           OR coalesce(n.to_tick = c.stop_tick AND n.to_nonce = c.stop_nonce AND n.done, false)
              AND l.holder IS NULL AND l.ended_epoch = l.epoch AND NOT outbox.release_pending(n.map, n.lane),
           -- Only who is started after a halt may try again: then the lane is nobody else's turn.
           coalesce(n.pinned_to, (SELECT r.name FROM outbox.relay r
                                   WHERE r.started_at > n.halted_at AND r.expires_at > clock_timestamp()
                                   ORDER BY r.started_at DESC LIMIT 1)),
           NULL::bigint, NULL::uuid
      FROM outbox.lane n JOIN outbox.lease l ON l.name = format('lane/%s/%s', n.map, n.lane)
      LEFT JOIN outbox.lane_change c ON true
     WHERE n.map = present ORDER BY n.lane;
    RETURN QUERY
    SELECT 'tick', NULL::integer, NULL::text, NULL::double precision, NULL::boolean, NULL::boolean, NULL::text, t.id,
           NULL::uuid
      FROM outbox.tick t ORDER BY t.id DESC LIMIT 1;
END $$;

-- Function:  outbox.lane_set(lanes, patience, reason)
-- Begins to change the lane map: ticks stop here, the lanes come to the last one and end
-- there, and then the relays begin those of the next map.  What is committed meanwhile is
-- published then.  If that takes longer than patience, everything stays as it was.
-- Returns:   the number of the next map
CREATE FUNCTION outbox.lane_set(p_lanes integer, p_patience interval DEFAULT '1 minute', p_reason text DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    present integer;
    hinders text;
BEGIN
    IF p_lanes IS NULL OR p_lanes NOT BETWEEN 1 AND 16 THEN
        RAISE EXCEPTION 'lanes: must be 1 to 16' USING ERRCODE = '22023', COLUMN = 'lanes';
    END IF;
    IF p_patience IS NULL OR p_patience NOT BETWEEN interval '1 second' AND interval '10 minutes' THEN
        RAISE EXCEPTION 'patience: must be 1 second to 10 minutes' USING ERRCODE = '22023', COLUMN = 'patience';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'outbox.lane_set() needs READ COMMITTED' USING ERRCODE = '25001';
    END IF;
    PERFORM set_config('synchronous_commit', 'on', true);
    -- From here on nobody ticks, until this is committed and seen by whoever would.
    PERFORM pg_advisory_xact_lock(outbox.lock_class(), 3);
    SELECT m.lane_map INTO present FROM outbox.meta m;
    DELETE FROM outbox.lane_change c WHERE c.expires_at <= clock_timestamp();
    IF EXISTS (SELECT FROM outbox.lane_change) THEN
        RAISE EXCEPTION 'the lane map is being changed already: see outboxctl lane list' USING ERRCODE = '55000';
    END IF;
    SELECT string_agg(format('lane %s is %s', n.lane, CASE WHEN n.paused THEN 'paused' ELSE 'halted' END), ', '
                      ORDER BY n.lane) INTO hinders
      FROM outbox.lane n WHERE n.map = present AND (n.paused OR n.halted IS NOT NULL);
    IF hinders IS NOT NULL THEN
        RAISE EXCEPTION '%: it would not come to the tick at which all lanes end', hinders
            USING ERRCODE = '55000', HINT = 'resume it, or see to why it is halted (outboxctl doctor)';
    END IF;
    INSERT INTO outbox.lane_change (map, lanes, stop_tick, stop_nonce, begun_at, expires_at, reason)
    SELECT present, p_lanes, t.id, t.nonce, clock_timestamp(), clock_timestamp() + p_patience, p_reason
      FROM outbox.tick t ORDER BY t.id DESC LIMIT 1;
    IF NOT outbox.lane_map_commit()
       AND NOT EXISTS (SELECT FROM outbox.relay r WHERE r.expires_at > clock_timestamp()) THEN
        RAISE EXCEPTION 'no relay is alive that could bring the lanes to one tick: start one'
            USING ERRCODE = '55000';
    END IF;
    PERFORM pg_notify('outbox_relays', '');
    RETURN present + 1;
END $$;

-- Function:  outbox.lane_lock(lane)
-- Returns:   the row of a lane of the present map, locked; raises if there is none
CREATE FUNCTION outbox.lane_lock(p_lane integer) RETURNS outbox.lane
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_lane outbox.lane;
BEGIN
    SELECT n.* INTO found_lane FROM outbox.lane n, outbox.meta m
     WHERE n.map = m.lane_map AND n.lane = p_lane FOR UPDATE OF n;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no lane %', p_lane USING ERRCODE = '22023', COLUMN = 'lane';
    END IF;
    RETURN found_lane;
END $$;

-- Function:  outbox.lane_pause(lane, reason), outbox.lane_resume(lane, reason)
-- Nobody publishes a paused lane; its events wait.
-- Returns:   true if it was not so already
CREATE FUNCTION outbox.lane_pause(p_lane integer, p_reason text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was outbox.lane := outbox.lane_lock(p_lane);
BEGIN
    IF EXISTS (SELECT FROM outbox.lane_change c WHERE c.expires_at > clock_timestamp()) THEN
        RAISE EXCEPTION 'the lane map is being changed: wait until it is' USING ERRCODE = '55000';
    END IF;
    UPDATE outbox.lane n SET paused = true WHERE n.map = was.map AND n.lane = was.lane;
    INSERT INTO outbox.audit (action, subject, reason) VALUES ('lane_pause', p_lane::text, p_reason);
    PERFORM pg_notify('outbox_relays', '');
    RETURN NOT was.paused;
END $$;

CREATE FUNCTION outbox.lane_resume(p_lane integer, p_reason text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was outbox.lane := outbox.lane_lock(p_lane);
BEGIN
    UPDATE outbox.lane n SET paused = false WHERE n.map = was.map AND n.lane = was.lane;
    INSERT INTO outbox.audit (action, subject, reason) VALUES ('lane_resume', p_lane::text, p_reason);
    PERFORM pg_notify('outbox_relays', '');
    RETURN was.paused;
END $$;

-- Function:  outbox.lane_move(lane, relay, reason)
-- The lane goes to that relay and stays with it while it is alive; null: to whoever's turn it is.
-- Returns:   who had it
CREATE FUNCTION outbox.lane_move(p_lane integer, p_relay text, p_reason text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was outbox.lane := outbox.lane_lock(p_lane);
BEGIN
    IF p_relay IS NOT NULL AND NOT EXISTS (SELECT FROM outbox.relay r
                                            WHERE r.name = p_relay AND r.expires_at > clock_timestamp()) THEN
        RAISE EXCEPTION 'no relay "%" is alive', p_relay USING ERRCODE = '22023', COLUMN = 'relay',
            HINT = 'outboxctl lane list shows the owners; a relay''s name is its option name';
    END IF;
    UPDATE outbox.lane n SET pinned_to = p_relay WHERE n.map = was.map AND n.lane = was.lane;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    VALUES ('lane_move', p_lane::text, p_reason, jsonb_build_object('relay', p_relay));
    PERFORM pg_notify('outbox_relays', '');
    RETURN (SELECT l.holder FROM outbox.lease l WHERE l.name = format('lane/%s/%s', was.map, was.lane));
END $$;
