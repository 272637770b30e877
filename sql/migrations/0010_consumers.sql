-- Where consumers stand in Kafka, kept beside what they did: a consumer's transaction
-- changes its rows and its position together.  See docs/design.md, "Consumers".

-- One row for each partition that a consumer reads.  fence is the epoch of the assignment:
-- whoever is given the partition draws a new one, and alone may then advance.  It comes from
-- a sequence, so that none comes back when a position is forgotten and made anew.
CREATE SEQUENCE outbox.consumer_fence_seq;
CREATE TABLE outbox.consumer_position (
    consumer    text NOT NULL CHECK (octet_length(consumer) BETWEEN 1 AND 249),
    topic       text NOT NULL CHECK (octet_length(topic) BETWEEN 1 AND 249),
    partition   integer NOT NULL CHECK (partition >= 0),
    cluster     text NOT NULL,                    -- Kafka's id of it: offsets of another mean nothing
    next_offset bigint CHECK (next_offset >= 0),  -- the first that is not done; null: not decided yet
    fence       bigint NOT NULL DEFAULT nextval('outbox.consumer_fence_seq'),
    owner       text NOT NULL,                    -- the instance that had it last
    acquired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    advanced_at timestamptz,
    PRIMARY KEY (consumer, topic, partition)
) WITH (fillfactor = 50);

-- Keys whose events go to the dead-letter topic, one after the other, since an earlier one of theirs did.
CREATE TABLE outbox.consumer_parked_key (
    consumer     text NOT NULL,
    topic        text NOT NULL,
    partition    integer NOT NULL,
    key          bytea NOT NULL CHECK (octet_length(key) <= 1024),   -- its beginning, if it is longer
    first_offset bigint NOT NULL,
    reason       text NOT NULL,
    followers    bigint NOT NULL DEFAULT 0,
    parked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, topic, partition, key)
);

-- Function:  outbox.consumer_acquire(consumer, topic, partition, cluster, owner)
-- Takes a partition over: from now on its earlier owner cannot advance.  Waits for a
-- transaction of the earlier owner that is about to commit.
-- Returns:   the fence, and where to begin (null: not decided yet)
CREATE FUNCTION outbox.consumer_acquire(p_consumer text, p_topic text, p_partition integer, p_cluster text,
                                        p_owner text, OUT fence bigint, OUT next_offset bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO outbox.consumer_position AS c (consumer, topic, partition, cluster, owner)
    VALUES (p_consumer, p_topic, p_partition, p_cluster, p_owner)
    ON CONFLICT (consumer, topic, partition) DO UPDATE
       SET fence = excluded.fence, owner = excluded.owner, acquired_at = clock_timestamp()
     WHERE c.cluster = excluded.cluster
    RETURNING c.fence, c.next_offset INTO consumer_acquire.fence, consumer_acquire.next_offset;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'consumer %: its position in topic % is one of another Kafka cluster',
                        quote_literal(p_consumer), p_topic
            USING ERRCODE = '55000', COLUMN = 'cluster',
                  HINT = 'Give this consumer another name, or forget the position (outbox.consumer_forget).';
    END IF;
END $$;

-- Function:  outbox.consumer_advance(consumer, topic, partition, fence, from, to)
-- Moves the position, in the transaction that did the work.  from: where the caller
-- believes it to stand (null: not decided yet).
-- Raises 55000 if the partition is another's by now, or the position has been moved.
CREATE FUNCTION outbox.consumer_advance(p_consumer text, p_topic text, p_partition integer, p_fence bigint,
                                        p_from bigint, p_to bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE outbox.consumer_position c SET next_offset = p_to, advanced_at = clock_timestamp()
     WHERE c.consumer = p_consumer AND c.topic = p_topic AND c.partition = p_partition AND c.fence = p_fence
       AND c.next_offset IS NOT DISTINCT FROM p_from AND p_to >= coalesce(p_from, 0);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'consumer %: partition % of topic % has been taken over, or its position moved',
                        quote_literal(p_consumer), p_partition, p_topic
            USING ERRCODE = '55000', COLUMN = 'fence',
                  HINT = 'Roll back: the present owner does the work from the position that stands.';
    END IF;
END $$;

-- Function:  outbox.consumer_fence(consumer, topic, partition)
-- Returns:   the fence that stands; null if there is no such position
CREATE FUNCTION outbox.consumer_fence(p_consumer text, p_topic text, p_partition integer) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT c.fence FROM outbox.consumer_position c
             WHERE c.consumer = p_consumer AND c.topic = p_topic AND c.partition = p_partition);
END $$;

-- Function:  outbox.consumer_park_key(consumer, topic, partition, key, offset, reason)
-- From now on the events of this key follow the one that goes to the dead-letter topic
-- in this transaction.
CREATE FUNCTION outbox.consumer_park_key(p_consumer text, p_topic text, p_partition integer, p_key bytea,
                                         p_offset bigint, p_reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO outbox.consumer_parked_key (consumer, topic, partition, key, first_offset, reason)
    VALUES (p_consumer, p_topic, p_partition, p_key, p_offset, left(p_reason, 1000))
    ON CONFLICT DO NOTHING;
END $$;

-- Function:  outbox.consumer_park_behind(consumer, topic, partition, key)
-- Counts one more event of a parked key.
-- Returns:   false if the key is not parked any more, and the event to be handled as others
CREATE FUNCTION outbox.consumer_park_behind(p_consumer text, p_topic text, p_partition integer, p_key bytea)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE outbox.consumer_parked_key k SET followers = k.followers + 1
     WHERE k.consumer = p_consumer AND k.topic = p_topic AND k.partition = p_partition AND k.key = p_key;
    RETURN FOUND;
END $$;

-- Function:  outbox.consumer_parked_keys(consumer, topic, partition, limit)
-- In the order of their bytes: the consumer keeps them so, and appends.
CREATE FUNCTION outbox.consumer_parked_keys(p_consumer text, p_topic text, p_partition integer, p_limit integer)
RETURNS SETOF bytea
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT k.key FROM outbox.consumer_parked_key k
                  WHERE k.consumer = p_consumer AND k.topic = p_topic AND k.partition = p_partition
                  ORDER BY k.key LIMIT p_limit;
END $$;

-- The inbox -------------------------------------------------------------------------------

-- Function:  outbox.inbox_claim(consumer, message_id, wait)
-- Claims a message that came from elsewhere, for this transaction: whoever is told 'new'
-- has its effect here, and commits both or neither.
-- Returns:   'new'; 'seen': claimed by a transaction that committed, or earlier in this one;
--            'in_progress', unless it is to wait: another transaction has claimed it and has not ended
-- As claim_ids() does: the lock makes concurrent claims of one message wait for each other's
-- end, whichever day they began on, and a look into all slots admits none twice at midnight.
-- The snapshot of a caller that is not READ COMMITTED may be too old to see what the other
-- committed, so it claims in every slot: a unique index looks past snapshots and answers
-- with a serialization failure (40001: retry).  No plan may scan a slot that was empty when
-- it was planned.
CREATE FUNCTION outbox.inbox_claim(p_consumer text, p_message_id text, p_wait boolean DEFAULT true) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    reader  text COLLATE "C" := p_consumer;
    message text COLLATE "C" := p_message_id;
    job     bigint;
    locked  boolean;
    today   smallint;
BEGIN
    IF coalesce(octet_length(reader) NOT BETWEEN 1 AND 249 OR reader ~ '[\x01-\x1f\x7f]', true) THEN
        RAISE EXCEPTION 'consumer: must have 1 to 249 bytes and no control character'
            USING ERRCODE = '22023', COLUMN = 'consumer', HINT = 'Name who does the work, for example "billing".';
    ELSIF coalesce(octet_length(message) NOT BETWEEN 1 AND 255, true) THEN
        RAISE EXCEPTION 'message_id: must have 1 to 255 bytes'
            USING ERRCODE = '22023', COLUMN = 'message_id', HINT = 'Pass a hash (SHA-256) of an id that is longer.';
    END IF;
    job := hashtextextended(message, hashtextextended(reader, 0));
    LOOP
        locked := pg_try_advisory_xact_lock(job);
        IF EXISTS (SELECT FROM outbox.inbox i WHERE i.message_id = message AND i.consumer = reader) THEN
            RETURN 'seen';
        END IF;
        EXIT WHEN locked;
        IF NOT p_wait THEN
            RETURN 'in_progress';
        END IF;
        PERFORM pg_advisory_xact_lock(job);
    END LOOP;
    today := outbox.day_slot(clock_timestamp());
    IF current_setting('transaction_isolation') = 'read committed' THEN
        INSERT INTO outbox.inbox (consumer, message_id, slot) VALUES (reader, message, today);
    ELSE
        INSERT INTO outbox.inbox (consumer, message_id, slot)
        SELECT reader, message, g FROM generate_series(0, 15) AS g
        ON CONFLICT DO NOTHING;
        DELETE FROM outbox.inbox i WHERE i.message_id = message AND i.consumer = reader AND i.slot <> today;
    END IF;
    RETURN 'new';
END $$;

-- For operators ---------------------------------------------------------------------------

-- Function:  outbox.consumer_release_key(consumer, topic, key, reason)
-- Has the coming events of a parked key handled again.  Those that are in the dead-letter
-- topic stay there: handle them first.
-- Returns:   how many had followed the first
CREATE FUNCTION outbox.consumer_release_key(p_consumer text, p_topic text, p_key bytea, p_reason text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    released record;
BEGIN
    WITH gone AS (
        DELETE FROM outbox.consumer_parked_key k
         WHERE k.consumer = p_consumer AND k.topic = p_topic AND k.key = substr(p_key, 1, 1024) RETURNING k.followers)
    SELECT count(*) AS keys, coalesce(sum(g.followers), 0)::bigint AS followers INTO released FROM gone g;
    IF released.keys = 0 THEN
        RAISE EXCEPTION 'this key of topic % is not parked for consumer %', p_topic, quote_literal(p_consumer)
            USING ERRCODE = 'P0002', HINT = 'See outbox.consumer_parked_key.';
    END IF;
    INSERT INTO outbox.audit (action, subject, reason)
    VALUES ('consumer release key', p_consumer || ' ' || p_topic, p_reason);
    RETURN released.followers;
END $$;

-- Function:  outbox.consumer_seek(consumer, topic, partition, next_offset, reason)
-- Has a consumer go on from another offset: what it skips is not done, what it repeats is
-- done again.  Running instances notice with their next transaction, or within 10 seconds.
CREATE FUNCTION outbox.consumer_seek(p_consumer text, p_topic text, p_partition integer, p_next_offset bigint,
                                     p_reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was bigint;
BEGIN
    IF coalesce(p_next_offset < 0, true) THEN
        RAISE EXCEPTION 'next_offset: must be 0 or more' USING ERRCODE = '22023', COLUMN = 'next_offset',
            HINT = 'Pass the offset of the first record that is to be handled.';
    END IF;
    SELECT c.next_offset INTO was FROM outbox.consumer_position c
     WHERE c.consumer = p_consumer AND c.topic = p_topic AND c.partition = p_partition FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'consumer % has no position in partition % of topic %', quote_literal(p_consumer),
                        p_partition, p_topic
            USING ERRCODE = 'P0002', HINT = 'See outbox.consumer_position.';
    END IF;
    UPDATE outbox.consumer_position c SET next_offset = p_next_offset, fence = nextval('outbox.consumer_fence_seq')
     WHERE c.consumer = p_consumer AND c.topic = p_topic AND c.partition = p_partition;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    VALUES ('consumer seek', format('%s %s %s', p_consumer, p_topic, p_partition), p_reason,
            jsonb_build_object('from', was, 'to', p_next_offset));
END $$;

-- Function:  outbox.consumer_forget(consumer, topic, reason)
-- Removes the positions and parked keys of a consumer that is no more, in one topic or in
-- all of them (null).
-- Returns:   how many positions
CREATE FUNCTION outbox.consumer_forget(p_consumer text, p_topic text DEFAULT NULL, p_reason text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM outbox.consumer_parked_key k WHERE k.consumer = p_consumer AND k.topic = coalesce(p_topic, k.topic);
    DELETE FROM outbox.consumer_position c WHERE c.consumer = p_consumer AND c.topic = coalesce(p_topic, c.topic);
    GET DIAGNOSTICS gone = ROW_COUNT;
    INSERT INTO outbox.audit (action, subject, reason, detail)
    VALUES ('consumer forget', p_consumer, p_reason, jsonb_build_object('topic', p_topic, 'positions', gone));
    RETURN gone;
END $$;

-- A consumer advances, claims, and emits what follows from what it did; it is a writer, too.
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure AS signature, p.proname AS name
          FROM pg_proc p WHERE p.pronamespace = 'outbox'::regnamespace
           AND (p.proname ~ '^(consumer|inbox)_' OR p.proname IN ('emit', 'emit_event', 'emit_events', 'admit', 'admit_json'))
    LOOP
        IF f.name !~ '^(consumer|inbox)_' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO outbox_consumer', f.signature);
            CONTINUE;
        END IF;
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.signature);
        IF f.name IN ('consumer_release_key', 'consumer_seek', 'consumer_forget') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO outbox_admin', f.signature);
        ELSE
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO outbox_consumer', f.signature);
        END IF;
    END LOOP;
END $$;
GRANT INSERT ON outbox.new_event, outbox.new_json_event TO outbox_consumer;
GRANT USAGE ON SEQUENCE outbox.event_seq TO outbox_consumer;
GRANT SELECT ON SEQUENCE outbox.consumer_fence_seq TO outbox_reader, outbox_relay, outbox_admin;
GRANT SELECT ON outbox.consumer_position, outbox.consumer_parked_key TO outbox_reader, outbox_relay, outbox_admin;
