-- Emitting: every field arrives, ids are idempotent, arrays keep their order, the bell rings.
BEGIN;
SELECT plan(51);

-- All fields -----------------------------------------------------------------------------
SELECT outbox.emit(type => 'order_placed', key => '42', payload => '{"id": 42,  "x": null}', topic => 'orders',
                   headers => '{"source": "shop", "n": "é"}', id => '11111111-1111-4111-8111-111111111111',
                   tenant => 'acme', partition => 3,
                   traceparent => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate => 'a=b',
                   occurred_at => '2001-02-03 04:05:06.789+00', schema_ref => 'order-v1') AS id \gset
SELECT is(:'id'::text, '11111111-1111-4111-8111-111111111111', 'emit(JSON) returns the id');
SELECT is(to_jsonb(e) - 'xid' - 'seq', jsonb_build_object('id', :'id'::text, 'type', 'order_placed', 'topic', 'orders', 'key', '42',
              'partition', 3, 'tenant', 'acme', 'headers', '{"source": "shop", "n": "é"}'::jsonb,
              'content_type', 'application/json', 'payload', '\x' || encode(convert_to('{"x": null, "id": 42}', 'UTF8'), 'hex'),
              'schema_ref', 'order-v1', 'traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
              'tracestate', 'a=b', 'stream', null, 'version', null,
              'occurred_at', '2001-02-03 04:05:06.789+00'::timestamptz), 'emit(JSON) stores every field')
  FROM outbox.event e WHERE id = :'id';
SELECT outbox.emit('t', 'k', '\x0001ff'::bytea, 'application/octet-stream', topic => 'x', headers => '{"a": "b"}',
                   id => '22222222-2222-4222-8222-222222222222', tenant => 'u', partition => 0,
                   traceparent => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00', tracestate => 'c=d',
                   occurred_at => '2002-02-03 04:05:06+00', schema_ref => 's') AS id \gset
SELECT is(:'id'::text, '22222222-2222-4222-8222-222222222222', 'emit(bytes) returns the id');
SELECT is(to_jsonb(e) - 'xid' - 'seq', jsonb_build_object('id', :'id'::text, 'type', 't', 'topic', 'x', 'key', 'k', 'partition', 0,
              'tenant', 'u', 'headers', '{"a": "b"}'::jsonb, 'content_type', 'application/octet-stream', 'payload', '\x0001ff',
              'schema_ref', 's', 'traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
              'tracestate', 'c=d', 'stream', null, 'version', null, 'occurred_at', '2002-02-03 04:05:06+00'::timestamptz),
          'emit(bytes) stores every field')
  FROM outbox.event e WHERE id = :'id';
SELECT id, seq, already_emitted FROM outbox.emit_event('t', 'k', '\x61', 'text/plain', 'x', '{"a": "b"}',
           '33333333-3333-4333-8333-333333333333', 'u', 7, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
           'c=d', '2003-02-03 04:05:06+00', 's') \gset
SELECT is(:'already_emitted'::text, 'f', 'emit_event() tells that the id is new');
SELECT is(:seq::bigint, (SELECT last_value FROM outbox.event_seq), 'and the seq');
SELECT is(to_jsonb(e) - 'xid', jsonb_build_object('seq', :seq::bigint, 'id', :'id'::text, 'type', 't', 'topic', 'x', 'key', 'k', 'partition', 7,
              'tenant', 'u', 'headers', '{"a": "b"}'::jsonb, 'content_type', 'text/plain', 'payload', '\x61',
              'schema_ref', 's', 'traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
              'tracestate', 'c=d', 'stream', null, 'version', null, 'occurred_at', '2003-02-03 04:05:06+00'::timestamptz),
          'emit_event() stores every field') FROM outbox.event e WHERE id = :'id';
SELECT id FROM outbox.emit_event('bare') \gset
SELECT is(to_jsonb(e) - 'xid' - 'seq' - 'occurred_at', jsonb_build_object('id', :'id'::text, 'type', 'bare', 'topic', null, 'key', null,
              'partition', null, 'tenant', null, 'headers', null, 'content_type', null, 'payload', null, 'schema_ref', null,
              'traceparent', null, 'tracestate', null, 'stream', null, 'version', null), 'all but type may be left out')
  FROM outbox.event e WHERE id = :'id';
SELECT ok(e.occurred_at BETWEEN now() AND clock_timestamp(), 'occurred_at is the moment then') FROM outbox.event e WHERE id = :'id';
SELECT is(substr(:'id'::text, 15, 1), '4', 'and the id is generated');
SELECT outbox.emit(type => 't', key => 'gone') AS id \gset
SELECT is((payload IS NULL, content_type IS NULL), (true, true), 'a tombstone has no content type')
  FROM outbox.event WHERE id = :'id';
SELECT outbox.emit(type => 't', payload => 'null') AS id \gset
SELECT is(ARRAY[convert_from(payload, 'UTF8'), content_type], ARRAY['null', 'application/json'], 'JSON null is no tombstone')
  FROM outbox.event WHERE id = :'id';
SELECT isnt(outbox.emit(type => 't', key => 'k', payload => jsonb_build_object('r', random())), NULL,
            'emit() of a computed payload');
SELECT is((SELECT count(DISTINCT xid) FROM outbox.event), 1::bigint, 'one transaction, one xid');
SELECT is((SELECT max(xid) FROM outbox.event), pg_current_xact_id(), 'its own');

-- A subtransaction's events belong to the whole transaction, or to nothing.
SAVEPOINT s;
SELECT outbox.emit(type => 'undone') AS undone \gset
ROLLBACK TO s;
SAVEPOINT s;
SELECT outbox.emit(type => 'kept') AS kept \gset
RELEASE s;
SELECT is((SELECT array_agg(type) FROM outbox.event WHERE id IN (:'undone', :'kept')), ARRAY['kept'],
          'a rollback to a savepoint takes the event along');
SELECT is((SELECT xid FROM outbox.event WHERE id = :'kept'), pg_current_xact_id(), 'an event of a savepoint has the xid of the whole');

-- Buckets ------------------------------------------------------------------------------------
SELECT is(outbox.bucket(k, 77), (hashtextextended(k, 0) & 255)::integer, format('the bucket of the key %L', k))
  FROM unnest(ARRAY['', '1', '42', 'é', repeat('x', 1000)]) AS k;
SELECT is(outbox.bucket(NULL, s), (s & 255)::integer, format('the bucket of no key, seq %s', s))
  FROM unnest(ARRAY[0, 255, 256, 1::bigint << 41]) AS s;
SELECT is((SELECT (min(b), max(b), count(DISTINCT b)) FROM (SELECT outbox.bucket('k' || g, 1) AS b
                                                              FROM generate_series(1, 5000) AS g) AS x),
          (0, 255, 256::bigint), 'keys spread over all 256');
SELECT is(outbox.bucket('42', 1), 190, 'the bucket of a key never changes, whatever the version');

-- Ids that the caller supplies ------------------------------------------------------------------
SELECT is(outbox.emit(type => 'again', id => '11111111-1111-4111-8111-111111111111'),
          '11111111-1111-4111-8111-111111111111', 'a second emit() of an id returns it');
SELECT is((SELECT array_agg(type) FROM outbox.event WHERE id = '11111111-1111-4111-8111-111111111111'), ARRAY['order_placed'],
          'and writes nothing');
SELECT is((SELECT (e.id, e.seq, e.already_emitted) FROM outbox.emit_event('again', p_id => '22222222-2222-4222-8222-222222222222') e),
          ('22222222-2222-4222-8222-222222222222'::uuid, NULL::bigint, true), 'emit_event() tells that it was emitted, and no seq');
SELECT is((SELECT count(*) FROM outbox.event WHERE id = '22222222-2222-4222-8222-222222222222'), 1::bigint, 'and writes nothing');
SELECT is((SELECT array_agg(slot) FROM outbox.emitted WHERE id = '22222222-2222-4222-8222-222222222222'),
          ARRAY[outbox.day_slot(clock_timestamp())], 'the claim stands in the slot of today');
SELECT is((SELECT count(*) FROM outbox.emitted WHERE id = :'kept'), 0::bigint, 'a generated id is not claimed');
-- in whichever slot
INSERT INTO outbox.emitted (id, slot) SELECT format('44444444-4444-4444-8444-%s', lpad(n::text, 12, '0'))::uuid, n
  FROM generate_series(0, 15) AS n;
SELECT is((SELECT count(*) FILTER (WHERE e.already_emitted) FROM generate_series(0, 15) AS n,
             outbox.emit_event('t', p_id => format('44444444-4444-4444-8444-%s', lpad(n::text, 12, '0'))::uuid) AS e),
          16::bigint, 'a claim is found in each of the 16 slots');
SAVEPOINT s;
SELECT outbox.emit(type => 't', id => '55555555-5555-4555-8555-555555555555') AS undone \gset
ROLLBACK TO s;
SELECT is((SELECT already_emitted FROM outbox.emit_event('t', p_id => '55555555-5555-4555-8555-555555555555')), false,
          'what was rolled back may be emitted again');

-- Arrays --------------------------------------------------------------------------------------
CREATE TEMP TABLE made AS
SELECT * FROM outbox.emit_events(
    ARRAY['a', 'b', 'c'], ARRAY['k1', NULL, 'k3'], ARRAY['\x61', NULL, '\x63']::bytea[], ARRAY['text/plain', 'text/plain', NULL],
    ARRAY[NULL, 'tb', NULL], ARRAY[NULL, NULL, '{"h": "c"}']::jsonb[], ARRAY[NULL, '66666666-6666-4666-8666-666666666666', NULL]::uuid[],
    ARRAY['ta', NULL, NULL], ARRAY[NULL, 5, NULL], ARRAY['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00', NULL, NULL],
    ARRAY[NULL, 's=b', NULL], ARRAY[NULL, NULL, '2004-01-01 00:00+00']::timestamptz[], ARRAY['sa', NULL, 'sc'])
  WITH ORDINALITY AS m(id, already_emitted, n);
SELECT is((SELECT array_agg(e.type ORDER BY m.n) FROM made m JOIN outbox.event e USING (id)), ARRAY['a', 'b', 'c'],
          'emit_events() returns the ids in the order of the arrays');
SELECT is((SELECT array_agg(e.type ORDER BY e.seq) FROM made m JOIN outbox.event e USING (id)), ARRAY['a', 'b', 'c'],
          'and numbers the events in it');
SELECT is((SELECT bool_or(already_emitted) FROM made), false, 'all of them new');
SELECT is((SELECT array_agg((to_jsonb(e) - 'xid' - 'seq' - 'id' - 'occurred_at')::text ORDER BY e.seq)
             FROM made m JOIN outbox.event e USING (id)),
          (SELECT array_agg(jsonb_build_object('type', type, 'key', key, 'payload', payload, 'content_type', content_type,
                                               'topic', topic, 'headers', headers, 'tenant', tenant, 'partition', partition,
                                               'traceparent', traceparent, 'tracestate', tracestate, 'schema_ref', schema_ref,
                                               'stream', null, 'version', null)::text ORDER BY n)
             FROM (VALUES (1, 'a', 'k1', '\x61', 'text/plain', NULL, NULL, 'ta', NULL,
                           '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00', NULL, 'sa'),
                          (2, 'b', NULL, NULL, NULL, 'tb', NULL, NULL, 5, NULL, 's=b', NULL),
                          (3, 'c', 'k3', '\x63', NULL, NULL, '{"h": "c"}'::jsonb, NULL, NULL, NULL, NULL, 'sc'))
               AS v(n, type, key, payload, content_type, topic, headers, tenant, partition, traceparent, tracestate, schema_ref)),
          'every field of each');
SELECT is((SELECT e.occurred_at FROM made m JOIN outbox.event e USING (id) WHERE m.n = 3), '2004-01-01 00:00+00'::timestamptz,
          'occurred_at given');
SELECT ok((SELECT e.occurred_at > now() - interval '1 minute' FROM made m JOIN outbox.event e USING (id) WHERE m.n = 1),
          'or not');
CREATE TEMP TABLE twice AS
SELECT * FROM outbox.emit_events(ARRAY['one', 'two', 'three', 'four', 'five'],
    p_id => ARRAY['99999999-9999-4999-8999-999999999999', '77777777-7777-4777-8777-777777777777',
                  '99999999-9999-4999-8999-999999999999', '66666666-6666-4666-8666-666666666666', NULL]::uuid[])
  WITH ORDINALITY AS m(id, already_emitted, n);
SELECT is((SELECT array_agg(already_emitted ORDER BY n) FROM twice), ARRAY[false, false, true, true, false],
          'an id twice in one array: the first is emitted, the second already was; so was one of before');
SELECT is((SELECT array_agg(type ORDER BY seq) FROM outbox.event WHERE type IN ('one', 'two', 'three', 'four', 'five')),
          ARRAY['one', 'two', 'five'], 'and what was is not written');
SELECT is((SELECT array_agg(id ORDER BY n) FROM twice WHERE n <= 4),
          ARRAY['99999999-9999-4999-8999-999999999999', '77777777-7777-4777-8777-777777777777',
                '99999999-9999-4999-8999-999999999999', '66666666-6666-4666-8666-666666666666']::uuid[],
          'each gets its id back');
SELECT is((SELECT count(*) FROM outbox.emit_events('{}')), 0::bigint, 'no event at all');
SELECT is((SELECT count(*) FROM outbox.emit_events(NULL)), 0::bigint, 'nor for null');
CREATE TEMP TABLE elsewhere AS SELECT * FROM outbox.emit_events('[3:4]={x,y}'::text[], '[-1:0]={kx,ky}'::text[]);
SELECT is((SELECT array_agg(e.type || e.key ORDER BY e.seq) FROM elsewhere JOIN outbox.event e USING (id)),
          ARRAY['xkx', 'yky'], 'arrays that begin elsewhere are matched by position');
CREATE TEMP TABLE many AS
SELECT * FROM outbox.emit_events(array_fill('many'::text, ARRAY[3000]),
                                 (SELECT array_agg(g::text ORDER BY g) FROM generate_series(1, 3000) AS g),
                                 p_id => (SELECT array_agg(gen_random_uuid()) FROM generate_series(1, 3000)))
  WITH ORDINALITY AS m(id, already_emitted, n);
SELECT is((SELECT (count(*), bool_and(key = n::text), bool_and(seq - first_seq = n - 1))
             FROM (SELECT m.n, e.key, e.seq, min(e.seq) OVER () AS first_seq FROM many m JOIN outbox.event e USING (id)) AS x),
          (3000::bigint, true, true), '3000 with ids of their own, in order');

-- The doorbell ------------------------------------------------------------------------------------
SELECT is((SELECT array_agg(mode) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1868721016 AND objid = 4
              AND objsubid = 2 AND pid = pg_backend_pid()), ARRAY['ShareLock'],
          'a writer holds the bell''s lock, shared: the relay is awake, so nobody is notified');
SET LOCAL outbox.two_phase = on;
SELECT lives_ok($$SELECT outbox.emit(type => 't')$$, 'two-phase writers emit without the bell');

SELECT * FROM finish();
ROLLBACK;
