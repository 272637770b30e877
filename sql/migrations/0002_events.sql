-- The event log.  No row of it is ever updated, so it neither bloats nor stalls
-- behind a long transaction; space comes back by dropping whole partitions.

CREATE SEQUENCE outbox.event_seq AS bigint CACHE 1 NO CYCLE;
CREATE SEQUENCE outbox.tick_seq AS bigint CACHE 1 NO CYCLE;

-- xid stands before seq on purpose: defaults are evaluated in column order, and a
-- tick relies on "a seq at or below last_seq belongs to an xid below the tick's own".
CREATE TABLE outbox.event (
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq          bigint NOT NULL DEFAULT nextval('outbox.event_seq'),
    id           uuid NOT NULL DEFAULT gen_random_uuid(),
    type         text NOT NULL,
    topic        text,                 -- null: by route, else the type
    key          text,
    partition    integer,              -- null: by the key
    tenant       text,
    headers      jsonb,
    content_type text DEFAULT 'application/json', -- for the door that does not show it; all others set it
    payload      bytea,                -- null: a tombstone
    schema_ref   text,
    traceparent  text,
    tracestate   text,
    stream       text,
    version      bigint,
    occurred_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (seq);
-- No CHECK: each INSERT would parse and plan it anew.  The doors for writers check.
-- No DEFAULT partition: it forbids DETACH CONCURRENTLY.  No foreign key and no
-- unique index: they would make writers wait for each other or for retention.
CREATE INDEX event_seq_idx ON outbox.event (seq);
CREATE INDEX event_xid_seq_idx ON outbox.event (xid, seq);

-- Partition n holds event seq [n, n+1) * 2^40 and the ticks made meanwhile, ids [n, n+1) * 2^32.
CREATE TABLE outbox.event_partition (
    n            integer PRIMARY KEY,
    low          bigint NOT NULL,
    high         bigint NOT NULL,
    tick_low     bigint NOT NULL,
    tick_high    bigint NOT NULL,
    attached_xid xid8 NOT NULL,
    open_by      text[],               -- virtual transactions that may not know it; null: not looked yet
    rotated_at   timestamptz,          -- when writers left it
    state        text NOT NULL DEFAULT 'attached' CHECK (state IN ('attached', 'detaching', 'detached')),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The bucket of an event: the unit of order and of ownership.  Without a key no order
-- is promised.  Computed by readers: a stored one costs each writer a third of its INSERT.
CREATE FUNCTION outbox.bucket(key text, seq bigint) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ((CASE WHEN key IS NULL THEN seq ELSE hashtextextended(key, 0) END) & 255)::integer;

-- One row per tick: everything that was committed when the tick was taken.
CREATE TABLE outbox.tick (
    id       bigint NOT NULL DEFAULT nextval('outbox.tick_seq'),
    nonce    uuid NOT NULL DEFAULT gen_random_uuid(),
    snapshot pg_snapshot NOT NULL,
    last_seq bigint NOT NULL,
    self_xid xid8 NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (id);
CREATE INDEX tick_id_idx ON outbox.tick (id);

-- Function:  outbox.partition_add()
-- Adds the next partition, for events and for ticks, ahead of need.
-- Returns:   its number
-- Blocks nobody: ATTACH takes SHARE UPDATE EXCLUSIVE, and the CHECK that proves
-- the range makes it skip the scan.
CREATE FUNCTION outbox.partition_add() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number    integer;
    low       bigint;
    high      bigint;
    tick_low  bigint;
    tick_high bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(outbox.lock_class(), 2);
    PERFORM outbox.partition_look();
    SELECT coalesce(max(p.n), -1) + 1 INTO number FROM outbox.event_partition p;
    low := number * (1::bigint << 40);
    high := low + (1::bigint << 40);
    tick_low := number * (1::bigint << 32);
    tick_high := tick_low + (1::bigint << 32);
    EXECUTE format('CREATE TABLE outbox.event_%s (LIKE outbox.event INCLUDING DEFAULTS INCLUDING CONSTRAINTS,'
                   ' CONSTRAINT range_proof CHECK (seq >= %s AND seq < %s))', number, low, high);
    EXECUTE format('CREATE INDEX ON outbox.event_%s (seq)', number);
    EXECUTE format('CREATE INDEX ON outbox.event_%s (xid, seq)', number);
    EXECUTE format('ALTER TABLE outbox.event ATTACH PARTITION outbox.event_%s FOR VALUES FROM (%s) TO (%s)',
                   number, low, high);
    EXECUTE format('ALTER TABLE outbox.event_%s DROP CONSTRAINT range_proof', number);
    EXECUTE format('CREATE TABLE outbox.tick_%s (LIKE outbox.tick INCLUDING DEFAULTS,'
                   ' CONSTRAINT range_proof CHECK (id >= %s AND id < %s))', number, tick_low, tick_high);
    EXECUTE format('CREATE INDEX ON outbox.tick_%s (id)', number);
    EXECUTE format('ALTER TABLE outbox.tick ATTACH PARTITION outbox.tick_%s FOR VALUES FROM (%s) TO (%s)',
                   number, tick_low, tick_high);
    EXECUTE format('ALTER TABLE outbox.tick_%s DROP CONSTRAINT range_proof', number);
    INSERT INTO outbox.event_partition (n, low, high, tick_low, tick_high, attached_xid)
    VALUES (number, low, high, tick_low, tick_high, pg_current_xact_id());
    RETURN number;
END $$;

-- Function:  outbox.partition_look()
-- Notes, for each partition attached since the last look, who has the log open now.
-- A statement learns the partitions when it opens the log: whoever opens it after this
-- look knows them.  No xid tells: a COPY from a slow client draws its first xid late.
CREATE FUNCTION outbox.partition_look() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE outbox.event_partition p
       SET open_by = ARRAY(SELECT DISTINCT l.virtualtransaction FROM pg_locks l
                            WHERE l.relation = 'outbox.event'::regclass AND l.mode = 'RowExclusiveLock'
                              AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                              AND l.pid IS NOT NULL AND l.pid <> pg_backend_pid())
     WHERE p.open_by IS NULL AND p.attached_xid <> pg_current_xact_id();
END $$;

-- Function:  outbox.rotate()
-- Sends new events, and new ticks, into the next partition by moving the sequences.
-- Returns:   the partition's number, or null when none is ready to be entered
-- No lock that a writer takes and no pointer that it reads, hence safe for
-- REPEATABLE READ writers.  A sequence cannot be locked cheaply, so the guard
-- against going backwards is the gap: 2^38 numbers would have to be drawn between
-- the check and the jump.  A partition is entered only when everybody who had the log
-- open at its attachment has ended: a COPY open across both would fail.
CREATE FUNCTION outbox.rotate() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    next_partition outbox.event_partition;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'outbox.rotate() needs READ COMMITTED' USING ERRCODE = '25001';
    END IF;
    PERFORM pg_advisory_xact_lock(outbox.lock_class(), 2);
    PERFORM pg_advisory_xact_lock(outbox.lock_class(), 3);
    PERFORM outbox.partition_look();
    SELECT p.* INTO next_partition
      FROM outbox.event_partition p
     WHERE p.low > (SELECT last_value FROM outbox.event_seq)
     ORDER BY p.low LIMIT 1;
    IF NOT FOUND OR next_partition.open_by IS NULL OR EXISTS (
        SELECT FROM pg_locks l
         WHERE l.relation = 'outbox.event'::regclass AND l.mode = 'RowExclusiveLock'
           AND l.virtualtransaction = ANY (next_partition.open_by)) THEN
        RETURN NULL;
    END IF;
    PERFORM setval('outbox.event_seq', next_partition.low, false)
       FROM outbox.event_seq s WHERE s.last_value < next_partition.low - (1::bigint << 38);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM setval('outbox.tick_seq', next_partition.tick_low, false)
       FROM outbox.tick_seq s WHERE s.last_value < next_partition.tick_low;
    UPDATE outbox.event_partition SET rotated_at = clock_timestamp()
     WHERE high <= next_partition.low AND rotated_at IS NULL;
    RETURN next_partition.n;
END $$;

DO $$
BEGIN
    PERFORM outbox.partition_add() FROM generate_series(1, 3);
END $$;

-- Ids that a caller supplied are idempotency keys.  A ring of day slots needs no
-- partition created ahead (a writer never fails for want of one); retention
-- truncates the slots that lie beyond the window.
CREATE TABLE outbox.emitted (
    id   uuid NOT NULL,
    slot smallint NOT NULL,
    at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, slot)
) PARTITION BY LIST (slot);

-- The inbox: what each consumer has had from elsewhere, kept the same way and for the same
-- reason.  Ids are whatever their senders call them, compared byte by byte.
CREATE TABLE outbox.inbox (
    consumer   text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    slot       smallint NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (message_id, consumer, slot)
) PARTITION BY LIST (slot);

DO $$
BEGIN
    FOR slot IN 0..15 LOOP
        EXECUTE format('CREATE TABLE outbox.emitted_%s PARTITION OF outbox.emitted FOR VALUES IN (%s)', slot, slot);
        EXECUTE format('CREATE TABLE outbox.inbox_%s PARTITION OF outbox.inbox FOR VALUES IN (%s)', slot, slot);
    END LOOP;
END $$;

-- The slot of a moment: its day, UTC, in a ring of 16.
CREATE FUNCTION outbox.day_slot(at timestamptz) RETURNS smallint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT (floor(extract(epoch FROM at) / 86400)::bigint & 15)::smallint $$;

-- Events that wait for their time; a transaction of the relay emits them.
CREATE TABLE outbox.scheduled_event (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    not_before   timestamptz NOT NULL,
    type         text NOT NULL CHECK (type <> ''),
    topic        text,
    key          text,
    partition    integer,
    tenant       text,
    headers      jsonb,
    content_type text,
    payload      bytea,
    schema_ref   text,
    traceparent  text,
    tracestate   text,
    stream       text,
    version      bigint,
    occurred_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX scheduled_event_not_before_idx ON outbox.scheduled_event (not_before);

-- Copies of events that something open still needs when their partition goes.
CREATE TABLE outbox.kept_event (
    seq          bigint PRIMARY KEY,
    id           uuid NOT NULL,
    type         text NOT NULL,
    topic        text,
    key          text,
    partition    integer,
    tenant       text,
    headers      jsonb,
    content_type text,
    payload      bytea,
    schema_ref   text,
    traceparent  text,
    tracestate   text,
    stream       text,
    version      bigint,
    occurred_at  timestamptz NOT NULL,
    kept_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The head of each stream: expected_version is checked against it, under its row lock.
CREATE TABLE outbox.stream (
    stream     text PRIMARY KEY,
    version    bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
