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
    acquired_at   timestamptz
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
    PRIMARY KEY (map, lane),
    CHECK (bucket_low <= bucket_high)
) WITH (fillfactor = 50);

INSERT INTO outbox.lane (map, lane, bucket_low, bucket_high, from_tick, from_nonce, to_tick, to_nonce)
SELECT 1, 0, 0, 255, t.id, t.nonce, t.id, t.nonce FROM outbox.tick t ORDER BY t.id LIMIT 1;
INSERT INTO outbox.lease (name) VALUES ('lane/1/0');

-- Events that cannot be published wait here, with their key behind them.
CREATE TABLE outbox.parked_event (
    seq        bigint PRIMARY KEY,
    map        integer NOT NULL,
    lane       integer NOT NULL,
    topic      text NOT NULL,
    key        text,
    reason     text NOT NULL,
    error      text,
    parked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    release_id bigint,
    released_at timestamptz
);
CREATE INDEX parked_event_key_idx ON outbox.parked_event (topic, key) WHERE released_at IS NULL;

CREATE TABLE outbox.parked_topic (
    topic     text PRIMARY KEY,
    reason    text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp()
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
    UPDATE outbox.lane n SET epoch = held.epoch + 1, halted = NULL, halted_detail = NULL
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

-- Function:  outbox.lane_release(map, lane, epoch)
-- Gives the lease back, so that a successor need not wait for it to expire.
CREATE FUNCTION outbox.lane_release(p_map integer, p_lane integer, p_epoch bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE outbox.lease l SET holder = NULL, expires_at = '-infinity'
     WHERE l.name = format('lane/%s/%s', p_map, p_lane) AND l.epoch = p_epoch;
    RETURN FOUND;
END $$;

-- Function:  outbox.lane_halt(map, lane, epoch, state, detail)
-- Records the named state in which the relay stopped, for operators to see.
CREATE FUNCTION outbox.lane_halt(p_map integer, p_lane integer, p_epoch bigint, p_state text, p_detail text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE outbox.lane n SET halted = p_state, halted_detail = p_detail
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
