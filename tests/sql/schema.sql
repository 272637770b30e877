-- Tables, columns, indexes and partitions: what other parts and other promises rest on.
BEGIN;
SELECT plan(70);

SELECT has_schema('outbox');
SELECT schema_owner_is('outbox', 'outbox_owner');

SELECT tables_are('outbox', (
    SELECT array_agg(name) FROM (
        SELECT unnest(ARRAY['meta', 'audit', 'migration', 'event', 'event_partition', 'tick', 'emitted', 'inbox',
                            'scheduled_event', 'kept_event', 'stream', 'route', 'lease', 'lane', 'lane_change', 'relay', 'parked_event',
                            'parked_topic', 'endpoint', 'endpoint_secret', 'delivery', 'delivery_of_event', 'delivery_attempt', 'replay',
                            'former_incarnation', 'consumer_position', 'consumer_parked_key'])
        UNION ALL SELECT format('%s_%s', t, n) FROM unnest(ARRAY['event', 'tick']) t, generate_series(0, 2) n
        UNION ALL SELECT format('%s_%s', t, n) FROM unnest(ARRAY['emitted', 'inbox']) t, generate_series(0, 15) n
    ) AS expected(name)), 'exactly the tables of the design');
SELECT is_empty($$
    SELECT c.relname FROM pg_class c
     WHERE c.relnamespace = 'outbox'::regnamespace AND c.relowner <> 'outbox_owner'::regrole
$$, 'every relation belongs to outbox_owner');
SELECT is_empty($$
    SELECT p.proname FROM pg_proc p
     WHERE p.pronamespace = 'outbox'::regnamespace AND p.proowner <> 'outbox_owner'::regrole
$$, 'every function belongs to outbox_owner');

-- The event log ----------------------------------------------------------------------
SELECT columns_are('outbox', 'event', ARRAY['xid', 'seq', 'id', 'type', 'topic', 'key', 'partition', 'tenant', 'headers',
    'content_type', 'payload', 'schema_ref', 'traceparent', 'tracestate', 'stream', 'version', 'occurred_at']);
SELECT is((SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = 'outbox.event'::regclass AND attnum BETWEEN 1 AND 2),
          ARRAY['xid', 'seq'], 'event: xid stands before seq, as defaults are evaluated in that order');
SELECT is_empty($$
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'outbox.event'::regclass
       AND (SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
             WHERE attrelid = c.oid AND attnum BETWEEN 1 AND 2) <> ARRAY['xid', 'seq']
$$, 'event: the same in every partition');
SELECT col_default_is('outbox', 'event', 'xid', 'pg_current_xact_id()', 'event.xid is the transaction''s');
SELECT col_default_is('outbox', 'event', 'seq', $$nextval('outbox.event_seq'::regclass)$$, 'event.seq is drawn');
SELECT col_default_is('outbox', 'event', 'id', 'gen_random_uuid()', 'event.id is generated');
SELECT col_default_is('outbox', 'event', 'occurred_at', 'clock_timestamp()', 'event.occurred_at is now');
SELECT is_empty($$
    SELECT attname FROM pg_attribute WHERE attrelid = 'outbox.event'::regclass AND attgenerated <> ''
$$, 'event: no generated column, which each writer would pay for');
SELECT is_empty($$
    SELECT c.relname, a.attname FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid
      JOIN pg_attribute a ON a.attrelid = i.inhparent AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef pd ON pd.adrelid = i.inhparent AND pd.adnum = a.attnum
      LEFT JOIN pg_attribute l ON l.attrelid = c.oid AND l.attname = a.attname
      LEFT JOIN pg_attrdef ld ON ld.adrelid = c.oid AND ld.adnum = l.attnum
     WHERE i.inhparent = 'outbox.event'::regclass
       AND (l.attnum IS DISTINCT FROM a.attnum OR l.attnotnull <> a.attnotnull OR l.atttypid <> a.atttypid
            OR pg_get_expr(pd.adbin, pd.adrelid) IS DISTINCT FROM pg_get_expr(ld.adbin, ld.adrelid))
$$, 'event: partitions have the columns, types and defaults of the log');
SELECT col_type_is('outbox', 'event', 'xid', 'xid8', 'event.xid is xid8');
SELECT col_type_is('outbox', 'event', 'seq', 'bigint', 'event.seq is bigint');
SELECT col_type_is('outbox', 'event', 'id', 'uuid', 'event.id is uuid');
SELECT col_type_is('outbox', 'event', 'payload', 'bytea', 'event.payload is bytea');
SELECT col_type_is('outbox', 'event', 'headers', 'jsonb', 'event.headers is jsonb');
SELECT col_type_is('outbox', 'event', 'occurred_at', 'timestamp with time zone', 'event.occurred_at is timestamp with time zone');
SELECT col_not_null('outbox', 'event', c) FROM unnest(ARRAY['xid', 'seq', 'id', 'type', 'occurred_at']::name[]) AS c;
SELECT col_is_null('outbox', 'event', c) FROM unnest(ARRAY['key', 'payload', 'topic', 'tenant']::name[]) AS c;
SELECT is((SELECT (seqcache, seqcycle, seqtypid::regtype)::text FROM pg_sequence
            WHERE seqrelid = 'outbox.event_seq'::regclass), '(1,f,bigint)', 'event_seq caches nothing and does not cycle');
SELECT is((SELECT (seqcache, seqcycle, seqtypid::regtype)::text FROM pg_sequence
            WHERE seqrelid = 'outbox.tick_seq'::regclass), '(1,f,bigint)', 'tick_seq caches nothing and does not cycle');

SELECT is((SELECT pg_get_partkeydef('outbox.event'::regclass)), 'RANGE (seq)', 'event is partitioned by seq');
SELECT is((SELECT pg_get_partkeydef('outbox.tick'::regclass)), 'RANGE (id)', 'tick is partitioned by id');
SELECT is((SELECT partdefid::integer FROM pg_partitioned_table WHERE partrelid = 'outbox.event'::regclass), 0,
          'event has no default partition, which would forbid DETACH CONCURRENTLY');
SELECT is((SELECT partdefid::integer FROM pg_partitioned_table WHERE partrelid = 'outbox.tick'::regclass), 0,
          'tick has no default partition');
SELECT is((SELECT string_agg(format('%s %s', c.relname, pg_get_expr(c.relpartbound, c.oid)), E'\n' ORDER BY c.relname)
             FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'outbox.event'::regclass),
          (SELECT string_agg(format('event_%s FOR VALUES FROM (%L) TO (%L)', n, n * (1::bigint << 40),
                                    (n + 1) * (1::bigint << 40)), E'\n' ORDER BY n) FROM generate_series(0, 2) AS n),
          'event: three partitions of 2^40 numbers');
SELECT is((SELECT string_agg(format('%s %s', c.relname, pg_get_expr(c.relpartbound, c.oid)), E'\n' ORDER BY c.relname)
             FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'outbox.tick'::regclass),
          (SELECT string_agg(format('tick_%s FOR VALUES FROM (%L) TO (%L)', n, n * (1::bigint << 32),
                                    (n + 1) * (1::bigint << 32)), E'\n' ORDER BY n) FROM generate_series(0, 2) AS n),
          'tick: three partitions of 2^32 ids');
SELECT results_eq($$
    SELECT n, low, high, tick_low, tick_high, state FROM outbox.event_partition ORDER BY n $$, $$
    SELECT n, n * (1::bigint << 40), (n + 1) * (1::bigint << 40), n * (1::bigint << 32), (n + 1) * (1::bigint << 32),
           'attached'::text
      FROM generate_series(0, 2) AS n $$, 'event_partition tells the same');
SELECT is((SELECT string_agg(pg_get_expr(c.relpartbound, c.oid), E'\n'
                             ORDER BY substring(c.relname FROM '\d+')::integer)
             FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'outbox.emitted'::regclass),
          (SELECT string_agg(format('FOR VALUES IN (%L)', n::text), E'\n' ORDER BY n) FROM generate_series(0, 15) AS n),
          'emitted: a ring of 16 slots');

SELECT indexes_are('outbox', 'event', ARRAY['event_seq_idx', 'event_xid_seq_idx']);
SELECT is((SELECT array_agg(pg_get_indexdef(indexrelid) ORDER BY pg_get_indexdef(indexrelid)) FROM pg_index
            WHERE indrelid = 'outbox.event'::regclass),
          ARRAY['CREATE INDEX event_seq_idx ON ONLY outbox.event USING btree (seq)',
                'CREATE INDEX event_xid_seq_idx ON ONLY outbox.event USING btree (xid, seq)'],
          'event: indexes by seq and by xid, none unique');
SELECT is_empty($$
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'outbox.event'::regclass
       AND (SELECT count(*) FROM pg_index x JOIN pg_inherits h ON h.inhrelid = x.indexrelid
             WHERE x.indrelid = c.oid AND x.indisvalid) <> 2
$$, 'event: every partition has both, attached to the log''s');
SELECT is_empty($$
    SELECT conname FROM pg_constraint WHERE contype = 'f'
       AND (conrelid = 'outbox.event'::regclass OR confrelid = 'outbox.event'::regclass
            OR conrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'outbox.event'::regclass))
$$, 'event: no foreign key from or to it');
SELECT is_empty($$
    SELECT tgname FROM pg_trigger WHERE tgrelid = 'outbox.event'::regclass AND NOT tgisinternal
$$, 'event: no trigger');
SELECT is_empty($$
    SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'outbox'::regnamespace AND c.relpersistence <> 'p'
$$, 'nothing is unlogged or temporary');

-- Positions, leases, deliveries -----------------------------------------------------------
SELECT is((SELECT count(*) FROM outbox.meta), 1::bigint, 'meta has one row');
SELECT throws_ok($$INSERT INTO outbox.meta (only_row, system_identifier, born_on) VALUES (false, 1, 1)$$, '23514', NULL,
                 'meta cannot have another');
SELECT is((SELECT system_identifier FROM outbox.meta), (SELECT system_identifier FROM pg_control_system()),
          'meta names this system');
SELECT results_eq($$SELECT map, lane, bucket_low::integer, bucket_high::integer, epoch, done, started, seq FROM outbox.lane$$,
                  $$VALUES (1, 0, 0, 255, 0::bigint, true, false, 0::bigint)$$, 'one lane, of all buckets, not started');
SELECT is((SELECT (l.from_tick, l.from_nonce, l.to_tick, l.to_nonce) = (t.id, t.nonce, t.id, t.nonce)
             FROM outbox.lane l, (SELECT * FROM outbox.tick ORDER BY id LIMIT 1) t), true, 'it begins at the first tick');
SELECT is((SELECT last_seq FROM outbox.tick ORDER BY id LIMIT 1), 0::bigint, 'which covers nothing');
SELECT results_eq($$SELECT name, epoch FROM outbox.lease ORDER BY name$$, $$VALUES ('lane/1/0', 0::bigint), ('ticker', 0)$$,
                  'it has a lease, as the tick has');
SELECT is((SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = ('outbox.' || t)::regclass AND contype = k),
          wanted, format('%s: %s', t, wanted))
  FROM (VALUES ('meta', 'p'::"char", 'PRIMARY KEY (only_row)'),
               ('lane', 'p', 'PRIMARY KEY (map, lane)'),
               ('lease', 'p', 'PRIMARY KEY (name)'),
               ('parked_event', 'p', 'PRIMARY KEY (seq)'),
               ('delivery', 'p', 'PRIMARY KEY (id)'),
               ('delivery_of_event', 'p', 'PRIMARY KEY (event_seq, endpoint, replay)'),
               ('delivery_attempt', 'p', 'PRIMARY KEY (delivery, attempt)'),
               ('emitted', 'p', 'PRIMARY KEY (id, slot)'),
               ('inbox', 'p', 'PRIMARY KEY (message_id, consumer, slot)')) AS c(t, k, wanted);
SELECT throws_ok($$INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, state)
                   VALUES (1, gen_random_uuid(), 't', gen_random_uuid(), 'lost')$$, '23514', NULL,
                 'delivery.state is one of the seven');
SELECT has_column('outbox', 'delivery_attempt', c, format('delivery_attempt.%s', c))
  FROM unnest(ARRAY['resolved_us', 'connected_us', 'tls_us', 'sent_bytes', 'first_byte_us', 'total_us']::name[]) AS c;
SELECT has_index('outbox', 'delivery_of_event', 'delivery_of_event_id_idx', 'event_id', 'deliveries are found by the id of the event');
SELECT has_column('outbox', 'scheduled_event', 'not_before', 'scheduled_event.not_before');

SELECT * FROM finish();
ROLLBACK;
