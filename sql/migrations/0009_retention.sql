-- Retention: what goes, when nothing needs it any more.  Partitions are detached and
-- dropped by the caller (DETACH ... CONCURRENTLY cannot run in a function); whether one may
-- go is decided here, and so is everything that goes row by row, in portions.
-- A retention of null means for ever.

-- Function:  outbox.partition_ahead(every, events)
-- Returns:   ahead: partitions after the one in use; due: is it time to leave that one, as
--            it has been used for so long or has so many numbers drawn?  An unused one never.
CREATE FUNCTION outbox.partition_ahead(p_every interval, p_events bigint, OUT ahead integer, OUT due boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    drawn   bigint;
    used    outbox.event_partition;
    entered timestamptz;
BEGIN
    SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END INTO drawn FROM outbox.event_seq;
    SELECT count(*) INTO ahead FROM outbox.event_partition p, outbox.event_seq s
     WHERE p.low > s.last_value AND p.state = 'attached';
    SELECT p.* INTO used FROM outbox.event_partition p, outbox.event_seq s
     WHERE s.last_value >= p.low AND s.last_value < p.high;
    SELECT max(p.rotated_at) INTO entered FROM outbox.event_partition p;
    due := drawn >= greatest(used.low, 1)
           AND (drawn - greatest(used.low, 1) + 1 >= p_events OR coalesce(entered, used.created_at) + p_every <= clock_timestamp());
END $$;

-- The events of a range of numbers to which something open points: deliveries that have
-- not come to their end, and events parked.  By the indexes that hold nothing else.
CREATE FUNCTION outbox.open_events(low bigint, high bigint) RETURNS SETOF bigint
LANGUAGE sql STABLE AS $$
    SELECT d.event_seq FROM outbox.delivery d
     WHERE d.state IN ('pending', 'failed') AND d.event_seq >= low AND d.event_seq < high
    UNION ALL
    SELECT d.event_seq FROM outbox.delivery d
     WHERE d.state = 'sending' AND d.event_seq >= low AND d.event_seq < high
    UNION ALL
    SELECT d.event_seq FROM outbox.delivery d
     WHERE d.state IN ('unknown', 'parked') AND d.event_seq >= low AND d.event_seq < high
    UNION ALL
    SELECT k.seq FROM outbox.parked_event k WHERE k.released_at IS NULL AND k.seq >= low AND k.seq < high
$$;

-- Function:  outbox.partition_held(n, retention)
-- What holds the partition, or null: then it may go.
--   in use        writers are in it, or ahead of it
--   order         an older partition is still there: ticks needed to judge this one may be in it
--   age           writers left it less than the retention ago
--   tick          no tick was taken since
--   lane          a lane's batch begins in it, or before
--   transaction   one that drew a number of it had not ended when that batch began
--   replay        one that is not done has not passed it
--   parked event, delivery   an open one points to an event of it, which has not been copied
-- A lane's batch begins at its from_tick: all that was visible then has been published.
-- Its to_tick says nothing, the batch may be published in part.  Who drew a number before
-- the first tick after the rotation (the fence) has an xid below that tick's own; once the
-- from_tick saw all of these ended, nobody can add to the partition any more.
CREATE FUNCTION outbox.partition_held(p_n integer, p_retention interval) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part  outbox.event_partition;
    fence outbox.tick;
BEGIN
    SELECT p.* INTO part FROM outbox.event_partition p WHERE p.n = p_n;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no partition %', p_n USING ERRCODE = 'P0002';
    ELSIF part.rotated_at IS NULL OR (SELECT s.last_value < part.high FROM outbox.event_seq s) THEN
        RETURN 'in use';
    ELSIF EXISTS (SELECT FROM outbox.event_partition p WHERE p.n < p_n) THEN
        RETURN 'order';
    ELSIF p_retention IS NULL OR part.rotated_at > clock_timestamp() - p_retention THEN
        RETURN 'age';
    END IF;
    SELECT t.* INTO fence FROM outbox.tick t
     WHERE t.id >= part.tick_high AND t.last_seq >= part.high - 1 ORDER BY t.id LIMIT 1;
    IF NOT FOUND THEN
        RETURN 'tick';
    ELSIF EXISTS (SELECT FROM outbox.lane l LEFT JOIN outbox.tick a ON a.id = l.from_tick AND a.nonce = l.from_nonce
                   WHERE a.id IS NULL OR a.id < part.tick_high OR a.last_seq < part.high - 1) THEN
        RETURN 'lane';
    ELSIF EXISTS (SELECT FROM outbox.lane l JOIN outbox.tick a ON a.id = l.from_tick
                   WHERE pg_snapshot_xmin(a.snapshot) < fence.self_xid) THEN
        RETURN 'transaction';
    ELSIF EXISTS (SELECT FROM outbox.replay r WHERE r.state IN ('pending', 'running') AND r.position < part.high) THEN
        RETURN 'replay';
    ELSIF EXISTS (SELECT FROM outbox.parked_event k
                   WHERE k.released_at IS NULL AND k.seq >= part.low AND k.seq < part.high
                     AND NOT EXISTS (SELECT FROM outbox.kept_event c WHERE c.seq = k.seq)) THEN
        RETURN 'parked event';
    ELSIF EXISTS (SELECT FROM outbox.open_events(part.low, part.high) AS o(seq)
                   WHERE NOT EXISTS (SELECT FROM outbox.kept_event c WHERE c.seq = o.seq)) THEN
        RETURN 'delivery';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION outbox.partition_droppable(p_n integer, p_retention interval) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS
$$ SELECT outbox.partition_held(p_n, p_retention) IS NULL $$;

-- Function:  outbox.partition_keep(n, limit)
-- Copies events of the partition to which something open points, at most limit of them.
-- Returns:   how many; 0: all have been copied
CREATE FUNCTION outbox.partition_keep(p_n integer, p_limit integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part outbox.event_partition;
    kept bigint;
BEGIN
    SELECT p.* INTO STRICT part FROM outbox.event_partition p WHERE p.n = p_n;
    INSERT INTO outbox.kept_event (seq, id, type, topic, key, partition, tenant, headers, content_type, payload,
                                   schema_ref, traceparent, tracestate, stream, version, occurred_at)
    SELECT e.seq, e.id, e.type, e.topic, e.key, e.partition, e.tenant, e.headers, e.content_type, e.payload,
           e.schema_ref, e.traceparent, e.tracestate, e.stream, e.version, e.occurred_at
      FROM (SELECT DISTINCT o.seq FROM outbox.open_events(part.low, part.high) AS o(seq)
             WHERE NOT EXISTS (SELECT FROM outbox.kept_event c WHERE c.seq = o.seq) LIMIT p_limit) AS o
      JOIN outbox.event e ON e.seq = o.seq
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS kept = ROW_COUNT;
    RETURN kept;
END $$;

-- Function:  outbox.partition_retire(retention)
-- Decides that the oldest partition goes, if nothing holds it.
-- Returns:   n: the partition that is to be detached and dropped now; else, with what
--            holds it, the oldest.  One that was retired before, and is still there, comes first.
-- From here on no delivery that points into it can be opened again: whoever does that
-- looks under lock 5, and comes before this or sees it.
CREATE FUNCTION outbox.partition_retire(p_retention interval, OUT n integer, OUT held text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    part outbox.event_partition;
BEGIN
    PERFORM pg_advisory_xact_lock(outbox.lock_class(), 2);
    SELECT p.* INTO part FROM outbox.event_partition p ORDER BY p.n LIMIT 1;
    partition_retire.n := part.n;
    IF part.state <> 'attached' THEN
        RETURN;
    END IF;
    partition_retire.held := outbox.partition_held(part.n, p_retention);
    IF partition_retire.held IS NULL THEN
        PERFORM pg_advisory_xact_lock(outbox.lock_class(), 5);
        partition_retire.held := outbox.partition_held(part.n, p_retention);
    END IF;
    IF partition_retire.held IS NOT NULL THEN
        RETURN;
    END IF;
    UPDATE outbox.event_partition p SET state = 'detaching' WHERE p.n = part.n;
    INSERT INTO outbox.audit (action, subject, detail)
    VALUES ('partition drop', part.n::text,
            jsonb_build_object('low', part.low, 'high', part.high, 'left_at', part.rotated_at,
                               'retention', p_retention));
END $$;

-- Function:  outbox.partition_table(n, parent)
-- How far the table of a retired partition has come on its way: 'attached', 'pending'
-- (a detachment was cancelled, and is to be finalized), 'detached', 'gone'.
-- parent: 'event' or 'tick'
CREATE FUNCTION outbox.partition_table(p_n integer, p_parent text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN c.oid IS NULL THEN 'gone' WHEN i.inhrelid IS NULL THEN 'detached'
                WHEN i.inhdetachpending THEN 'pending' ELSE 'attached' END
      FROM (SELECT to_regclass(format('outbox.%I', p_parent || '_' || p_n))::oid AS oid) AS c
      LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
$$;

-- Function:  outbox.partition_forget(n)
-- Removes what is known of a retired partition whose tables are gone.
-- Returns:   false if it is not retired, or there is a table of it
CREATE FUNCTION outbox.partition_forget(p_n integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(outbox.lock_class(), 2);
    DELETE FROM outbox.event_partition p
     WHERE p.n = p_n AND p.state <> 'attached'
       AND outbox.partition_table(p_n, 'event') = 'gone' AND outbox.partition_table(p_n, 'tick') = 'gone';
    RETURN FOUND;
END $$;

-- Function:  outbox.kept_expire(limit)
-- Deletes copies of events to which nothing open points any more, and what is known of
-- parked events that were released, once their partition is gone.
-- Returns:   how many copies
CREATE FUNCTION outbox.kept_expire(p_limit integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    removed bigint := 0;
BEGIN
    DELETE FROM outbox.parked_event k
     WHERE k.seq IN (SELECT x.seq FROM outbox.parked_event x
                      WHERE x.released_at IS NOT NULL
                        AND NOT EXISTS (SELECT FROM outbox.event_partition p WHERE x.seq >= p.low AND x.seq < p.high)
                      LIMIT p_limit);
    IF NOT EXISTS (SELECT FROM outbox.kept_event) THEN
        RETURN 0;
    END IF;
    -- As in partition_retire: nobody opens a delivery meanwhile.
    PERFORM pg_advisory_xact_lock(outbox.lock_class(), 5);
    DELETE FROM outbox.kept_event c
     WHERE c.seq IN (SELECT k.seq FROM outbox.kept_event k
                      WHERE NOT EXISTS (SELECT FROM outbox.delivery_of_event o
                                          JOIN outbox.delivery d ON d.id = o.delivery
                                         WHERE o.event_seq = k.seq AND d.state NOT IN ('delivered', 'dead'))
                        AND NOT EXISTS (SELECT FROM outbox.parked_event q
                                         WHERE q.seq = k.seq AND q.released_at IS NULL)
                      LIMIT p_limit);
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END $$;

-- Function:  outbox.delivery_expire(after, retention, limit)
-- Looks at the next deliveries beyond the id after, at most limit of them, and deletes
-- those that came to their end before the retention, with their attempts and the names that
-- their events have for them.
-- Returns:   last: up to where it looked, null: there is nothing older; removed: how many
CREATE FUNCTION outbox.delivery_expire(
    p_after bigint, p_retention interval, p_limit integer, OUT last bigint, OUT removed bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    since   timestamptz := clock_timestamp() - p_retention;
    reached timestamptz;
    old     bigint[];
BEGIN
    removed := 0;
    SELECT max(x.id), max(x.created_at) INTO last, reached
      FROM (SELECT d.id, d.created_at FROM outbox.delivery d WHERE d.id > p_after ORDER BY d.id LIMIT p_limit) AS x;
    IF last IS NULL OR since IS NULL THEN
        last := NULL;
        RETURN;
    END IF;
    old := ARRAY(SELECT d.id FROM outbox.delivery d
                  WHERE d.id > p_after AND d.id <= last AND d.state IN ('delivered', 'dead') AND d.finished_at < since
                  ORDER BY d.id FOR UPDATE SKIP LOCKED);
    DELETE FROM outbox.delivery_attempt a WHERE a.delivery = ANY (old);
    WITH gone AS (
        DELETE FROM outbox.delivery d WHERE d.id = ANY (old) RETURNING d.event_seq, d.endpoint, d.replay
    )
    DELETE FROM outbox.delivery_of_event o USING gone g
     WHERE o.event_seq = g.event_seq AND o.endpoint = g.endpoint AND o.replay = g.replay;
    removed := cardinality(old);
    IF reached >= since THEN
        last := NULL;
    END IF;
END $$;

-- Function:  outbox.slot_expire(ring, age, limit)
-- Empties the slot of the ring ('emitted' or 'inbox') that was in use so many days ago.
-- Returns:   emptied: by TRUNCATE, or it was empty; removed: rows deleted, at most limit
-- TRUNCATE needs the slot to itself and never waits for that: a waiting one would stop
-- everybody.  Under writers who leave it no moment rows are deleted instead, as many as
-- the limit says.  Tomorrow's slot, 15 days old, is left alone: it was emptied in time, and
-- if the clock was set back it may be newer than it looks.
CREATE FUNCTION outbox.slot_expire(p_ring text, p_age integer, p_limit integer, OUT emptied boolean, OUT removed bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    slot   integer := (outbox.day_slot(clock_timestamp()) - p_age) & 15;
    filled boolean;
BEGIN
    IF coalesce(p_ring NOT IN ('emitted', 'inbox'), true) THEN
        RAISE EXCEPTION 'ring: is %, must be emitted or inbox', coalesce(p_ring, 'null')
            USING ERRCODE = '22023', COLUMN = 'ring';
    ELSIF coalesce(p_age NOT BETWEEN 2 AND 14, true) THEN
        RAISE EXCEPTION 'age: is %, must be 2 to 14 days', coalesce(p_age::text, 'null')
            USING ERRCODE = '22023', COLUMN = 'age';
    END IF;
    emptied := true;
    removed := 0;
    EXECUTE format('SELECT EXISTS (SELECT FROM outbox.%I)', p_ring || '_' || slot) INTO filled;
    IF NOT filled THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE format('LOCK TABLE outbox.%I IN ACCESS EXCLUSIVE MODE NOWAIT', p_ring || '_' || slot);
        EXECUTE format('TRUNCATE outbox.%I', p_ring || '_' || slot);
    EXCEPTION WHEN lock_not_available THEN
        emptied := false;
        EXECUTE format('DELETE FROM outbox.%1$I WHERE ctid = ANY (ARRAY(SELECT ctid FROM outbox.%1$I LIMIT $1))',
                       p_ring || '_' || slot) USING p_limit;
        GET DIAGNOSTICS removed = ROW_COUNT;
    END;
END $$;

-- Function:  outbox.audit_expire(retention, limit)
-- Deletes the oldest rows of the audit beyond the retention, at most limit of them.
-- Returns:   how many
CREATE FUNCTION outbox.audit_expire(p_retention interval, p_limit integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    removed bigint;
BEGIN
    DELETE FROM outbox.audit a
     WHERE a.id IN (SELECT x.id FROM (SELECT o.id, o.at FROM outbox.audit o ORDER BY o.id LIMIT p_limit) AS x
                     WHERE x.at < clock_timestamp() - p_retention);
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END $$;

-- Who emits must go on when nobody may remove anything: a relay adds and enters
-- partitions by its own role.  What removes takes outbox_maintenance.
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure AS signature, p.proname AS name
          FROM pg_proc p WHERE p.pronamespace = 'outbox'::regnamespace
           AND p.proname IN ('partition_ahead', 'open_events', 'partition_held', 'partition_droppable',
                             'partition_keep', 'partition_retire', 'partition_table', 'partition_forget',
                             'kept_expire', 'delivery_expire', 'slot_expire', 'audit_expire')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.signature);
        IF f.name <> 'open_events' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO outbox_maintenance', f.signature);
        END IF;
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION outbox.partition_ahead(interval, bigint), outbox.partition_add(), outbox.rotate()
   TO outbox_relay;
