-- Ticks cut the stream of commits into batches.  See docs/design.md, "Ticks".

-- Function:  outbox.tick_needed()
-- Is there anything that the last tick does not cover?  Either a number was drawn
-- since, or a transaction that was open at the last tick has ended and left events.
-- Returns:   boolean.  Assigns no transaction id.
CREATE FUNCTION outbox.tick_needed() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    last  outbox.tick;
    drawn bigint;
BEGIN
    SELECT t.* INTO last FROM outbox.tick t ORDER BY t.id DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN true;
    END IF;
    SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END INTO drawn FROM outbox.event_seq;
    IF drawn > last.last_seq THEN
        RETURN true;
    END IF;
    -- Mostly nobody was running at the last tick: then neither query is even planned.
    IF pg_snapshot_xmin(last.snapshot) < pg_snapshot_xmax(last.snapshot) AND EXISTS (
        SELECT FROM pg_snapshot_xip(last.snapshot) AS x(xid)
         WHERE pg_visible_in_snapshot(x.xid, pg_current_snapshot())
           AND EXISTS (SELECT FROM outbox.event e WHERE e.xid = x.xid AND e.seq <= last.last_seq)) THEN
        RETURN true;
    END IF;
    IF pg_snapshot_xmax(last.snapshot) >= last.self_xid THEN
        RETURN false;
    END IF;
    RETURN EXISTS (
        SELECT FROM outbox.event e
         WHERE e.xid >= pg_snapshot_xmax(last.snapshot) AND e.xid < last.self_xid AND e.seq <= last.last_seq);
END $$;

-- Function:  outbox.tick(only_if_needed, known)
-- Takes a tick: remembers which transactions are committed now.
-- only_if_needed   only if there is news, which a tick newer than `known` is, too
-- Returns:   the new tick; a row of nulls when only_if_needed and nothing is new
-- While the lane map changes there is no new tick: then the last one, if it is news or must be.
-- It must be a transaction of its own: with an older xid it would lose events of
-- transactions that started later (the interval [xmax, self_xid) would be too short).
-- The order of the statements is the algorithm; each has a snapshot of its own.
-- Their plans are kept: planning was half of what a tick cost.  They must hold for any
-- number of ticks, whenever they were made: hence no sequential scan.
CREATE FUNCTION outbox.tick(only_if_needed boolean DEFAULT false, known bigint DEFAULT NULL) RETURNS outbox.tick
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    drawn    bigint;
    own      xid8;
    previous outbox.tick;
    made     outbox.tick;
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'outbox.tick() cannot run on a standby: snapshots there do not list running transactions'
            USING ERRCODE = '25006';
    END IF;
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'outbox.tick() must be a transaction of its own: this one already has a transaction id'
            USING ERRCODE = '25001';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'outbox.tick() needs READ COMMITTED' USING ERRCODE = '25001';
    END IF;
    IF only_if_needed THEN
        SELECT t.* INTO previous FROM outbox.tick t ORDER BY t.id DESC LIMIT 1;
        IF (known IS NULL OR previous.id <= known) AND NOT outbox.tick_needed() THEN
            RETURN NULL;
        END IF;
    END IF;
    -- Publishing follows this commit; what it covers must be durable by then.
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM pg_advisory_xact_lock(outbox.lock_class(), 3);
    IF EXISTS (SELECT FROM outbox.lane_change c WHERE c.expires_at > clock_timestamp()) THEN
        RETURN outbox.tick_newest(CASE WHEN only_if_needed THEN coalesce(known, 9223372036854775807) ELSE 0 END);
    END IF;
    SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END INTO drawn FROM outbox.event_seq;
    own := pg_current_xact_id();
    INSERT INTO outbox.tick (snapshot, last_seq, self_xid) VALUES (pg_current_snapshot(), drawn, own)
    RETURNING * INTO made;
    SELECT t.* INTO previous FROM outbox.tick t WHERE t.id < made.id ORDER BY t.id DESC LIMIT 1;
    IF previous.last_seq > made.last_seq
       OR previous.self_xid > made.self_xid
       OR pg_snapshot_xmin(previous.snapshot) > pg_snapshot_xmin(made.snapshot)
       OR pg_snapshot_xmax(previous.snapshot) > pg_snapshot_xmax(made.snapshot) THEN
        RAISE EXCEPTION 'tick % lies behind tick %: this database was restored or went back in time',
                        made.id, previous.id USING ERRCODE = 'XX001';
    END IF;
    RETURN made;
END $$;

-- Function:  outbox.tick_newest(after)
-- The newest tick, if it comes after that one, by a synchronous commit: whoever publishes
-- what another has ticked must know it to be durable.
-- Returns:   a tick, or a row of nulls
CREATE FUNCTION outbox.tick_newest(p_after bigint) RETURNS outbox.tick
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest outbox.tick;
BEGIN
    SELECT t.* INTO newest FROM outbox.tick t WHERE t.id > p_after ORDER BY t.id DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('synchronous_commit', 'on', true);
    -- a transaction that has written nothing is not waited for
    PERFORM pg_logical_emit_message(true, 'outbox', '');
    RETURN newest;
END $$;

-- Function:  outbox.batch_rows(...)
-- The events that became visible from tick a to tick b, within a range of buckets,
-- in order of seq.  Arguments come from the two tick rows:
--   a_xip, a_xmax, a_self, a_last   of the from_tick: xids running, xmax, own xid, last_seq
--   b_snapshot, b_last              of the to_tick
--   after_seq, upto_seq             the page: after_seq < seq <= upto_seq
--   low, high                       buckets; a lane that has them all pays for no hash
--   row_limit                       at most this many
-- Two parts: transactions that were open (or, being newer than xmax, unknown) at a
-- and have committed by b, found by xid; and everything numbered since, found by seq.
-- LATERAL per xid, never "= ANY": a bulk writer would make that quadratic.  The range
-- of xids is read in order of xid: for an order by seq the planner might rather read
-- the whole log up to a.
-- Plain SQL without SET, so that the planner folds it into the caller's query.
CREATE FUNCTION outbox.batch_rows(
    a_xip xid8[], a_xmax xid8, a_self xid8, a_last bigint, b_snapshot pg_snapshot, b_last bigint,
    after_seq bigint, upto_seq bigint, low integer, high integer, row_limit integer)
RETURNS SETOF outbox.event
LANGUAGE sql STABLE AS $$
    SELECT * FROM (
        (SELECT late.*
           FROM unnest(a_xip) AS x(xid)
          CROSS JOIN LATERAL (
                SELECT e.* FROM outbox.event e
                 WHERE e.xid = x.xid AND e.seq > after_seq AND e.seq <= least(a_last, upto_seq)
                   AND (low = 0 AND high = 255 OR outbox.bucket(e.key, e.seq) BETWEEN low AND high)
                 ORDER BY e.xid, e.seq LIMIT row_limit) AS late
          WHERE pg_visible_in_snapshot(x.xid, b_snapshot)
          ORDER BY late.seq LIMIT row_limit)
        UNION ALL
        (SELECT recent.* FROM (
                SELECT e.* FROM outbox.event e
                 WHERE e.xid >= a_xmax AND e.xid < a_self
                   AND e.seq > after_seq AND e.seq <= least(a_last, upto_seq)
                   AND (low = 0 AND high = 255 OR outbox.bucket(e.key, e.seq) BETWEEN low AND high)
                   AND pg_visible_in_snapshot(e.xid, b_snapshot)
                 ORDER BY e.xid, e.seq OFFSET 0) AS recent
          ORDER BY recent.seq LIMIT row_limit)
        UNION ALL
        (SELECT e.* FROM outbox.event e
          WHERE e.seq > greatest(a_last, after_seq) AND e.seq <= least(b_last, upto_seq)
            AND (low = 0 AND high = 255 OR outbox.bucket(e.key, e.seq) BETWEEN low AND high)
            AND pg_visible_in_snapshot(e.xid, b_snapshot)
          ORDER BY e.seq LIMIT row_limit)
    ) AS part
    ORDER BY seq LIMIT row_limit
$$;

-- Function:  outbox.batch(from_tick, to_tick, after_seq, upto_seq, low, high, row_limit)
-- The same by tick ids: for operators, tests and the acknowledgement.
CREATE FUNCTION outbox.batch(
    from_tick bigint, to_tick bigint, after_seq bigint DEFAULT 0, upto_seq bigint DEFAULT 9223372036854775807,
    low integer DEFAULT 0, high integer DEFAULT 255, row_limit integer DEFAULT NULL)
RETURNS SETOF outbox.event
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    a     outbox.tick;
    b     outbox.tick;
    a_xip xid8[];
BEGIN
    SELECT t.* INTO STRICT a FROM outbox.tick t WHERE t.id = from_tick;
    SELECT t.* INTO STRICT b FROM outbox.tick t WHERE t.id = to_tick;
    -- Not in the call: the planner does not fold a function whose argument is a query.
    a_xip := ARRAY(SELECT pg_snapshot_xip(a.snapshot));
    RETURN QUERY
    SELECT * FROM outbox.batch_rows(a_xip, pg_snapshot_xmax(a.snapshot), a.self_xid, a.last_seq,
                                    b.snapshot, b.last_seq, after_seq, upto_seq, low, high, row_limit);
END $$;

-- Function:  outbox.recent_rows(to_tick, nonce, after_seq, low, high, row_limit, byte_limit)
-- A page of a small batch in which nothing is late: what batch_rows() returns then, and no
-- more rows than fill byte_limit with their payloads.  It is the relay's hot path when events
-- come one by one, where planning took longer than reading.  So the plan is kept, and since
-- it must hold for a log of any size, it may only be the scan of event_seq_idx in its order.
CREATE FUNCTION outbox.recent_rows(
    to_tick bigint, nonce uuid, after_seq bigint, low integer, high integer, row_limit integer, byte_limit bigint)
RETURNS TABLE (seq bigint, id uuid, type text, topic text, key text, partition integer, tenant text, headers jsonb,
               content_type text, payload bytea, traceparent text, tracestate text, occurred_at timestamptz)
LANGUAGE plpgsql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    b outbox.tick;
BEGIN
    SELECT t.* INTO b FROM outbox.tick t WHERE t.id = to_tick AND t.nonce = recent_rows.nonce;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'tick % is not there any more', to_tick USING ERRCODE = 'XX001';
    END IF;
    RETURN QUERY
    SELECT p.seq, p.id, p.type, p.topic, p.key, p.partition, p.tenant, p.headers, p.content_type, p.payload,
           p.traceparent, p.tracestate, p.occurred_at
      FROM (SELECT r.*, sum(octet_length(r.payload))
                            OVER (ORDER BY r.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
              FROM (SELECT e.* FROM outbox.event e
                     WHERE e.seq > after_seq AND e.seq <= b.last_seq
                       AND (low = 0 AND high = 255 OR outbox.bucket(e.key, e.seq) BETWEEN low AND high)
                       AND pg_visible_in_snapshot(e.xid, b.snapshot)
                     ORDER BY e.seq LIMIT row_limit) AS r) AS p
     WHERE coalesce(p.before, 0) < byte_limit
     ORDER BY p.seq;
END $$;

-- The first tick is the beginning of every position.  It is written here, by hand,
-- because a migration's transaction already has an xid: nothing has been emitted
-- yet, so an empty past needs no snapshot to be exact.
INSERT INTO outbox.tick (snapshot, last_seq, self_xid)
SELECT pg_current_snapshot(), 0, pg_current_xact_id();
