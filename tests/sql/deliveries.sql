-- Endpoints, and the life of a delivery: claimed with a token, finished by its bearer,
-- recovered when the sender vanished.
BEGIN;
SELECT plan(87);

CREATE FUNCTION pg_temp.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    field text; message text; state text;
BEGIN
    EXECUTE statement;
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS field = COLUMN_NAME, message = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
    RETURN format('%s [%s] %s', state, field, message);
END $$;

-- Endpoints --------------------------------------------------------------------------------
SELECT outbox.endpoint_add('https://example.org/hook', decode(repeat('ab', 32), 'hex'), 'one', '{order.*,a_b%}', 'acme', 'park',
                           20000, 4, '{1 s,2 s}', '2 days') AS one \gset
SELECT is((SELECT (url, name, tenant, types::text, types_like::text, policy, enabled, timeout_ms, concurrency, schedule::text, max_age,
                   ordered, removed_at)::text FROM outbox.endpoint WHERE id = :'one'),
          ('https://example.org/hook', 'one', 'acme', '{order.*,a_b%}', '{order.%,"a\\_b\\%"}', 'park', true, 20000, 4,
           '{00:00:01,00:00:02}', interval '2 days', false, NULL)::text, 'endpoint_add() registers every field');
SELECT is((SELECT array_agg((kind, secret, sealed_with, expires_at)::text) FROM outbox.endpoint_secret WHERE endpoint = :'one'),
          ARRAY[('v1', decode(repeat('ab', 32), 'hex'), NULL, NULL)::text], 'and its secret');
SELECT is((SELECT (action, subject, detail - 'url')::text FROM outbox.audit WHERE action <> 'migrate'),
          ('endpoint add', :'one', '{"types": ["order.*", "a_b%"], "policy": "park"}'::jsonb)::text, 'and is in the audit');
SELECT ok(NOT EXISTS (SELECT FROM outbox.audit a WHERE a.action <> 'migrate' AND a::text ~ repeat('ab', 16)), 'which has no secret');
SELECT outbox.endpoint_add('http://[::1]:8080/', decode(repeat('00', 24), 'hex')) AS two \gset
SELECT is((SELECT (name, tenant, types::text, policy, enabled, timeout_ms, concurrency, schedule, max_age)::text
             FROM outbox.endpoint WHERE id = :'two'),
          (NULL, NULL, '{*}', 'resend', true, 15000, 16, NULL, interval '4 days')::text, 'its defaults');
SELECT is(pg_temp.failure(format($$SELECT outbox.endpoint_add('http://a/', decode(repeat('00', %s), 'hex'))$$, n)),
          format('22023 [secret] secret: has %s bytes, must have 24 to 75', n), format('a secret of %s bytes', n))
  FROM unnest(ARRAY[0, 23, 76]) AS n;
SELECT is(pg_temp.failure($$SELECT outbox.endpoint_add('http://a/', decode(repeat('00', 75), 'hex'))$$), 'nothing', 'one of 75');
SELECT alike(pg_temp.failure(format($$SELECT outbox.endpoint_add(%s)$$, arguments)), '235%', arguments)
  FROM unnest(ARRAY[$$'ftp://a/', decode(repeat('00', 32), 'hex')$$,
                    $$'javascript:alert(1)', decode(repeat('00', 32), 'hex')$$,
                    $$'http://' || repeat('a', 2048), decode(repeat('00', 32), 'hex')$$,
                    $$'http://a/', decode(repeat('00', 32), 'hex'), 'a name'$$,
                    $$'http://a/', decode(repeat('00', 32), 'hex'), p_types => '{}'$$,
                    $$'http://a/', decode(repeat('00', 32), 'hex'), p_types => '{a,NULL}'$$,
                    $$'http://a/', decode(repeat('00', 32), 'hex'), p_policy => 'hope'$$,
                    $$'http://a/', decode(repeat('00', 32), 'hex'), p_timeout_ms => 99$$,
                    $$'http://a/', decode(repeat('00', 32), 'hex'), p_concurrency => 0$$,
                    $$'http://a/', decode(repeat('00', 32), 'hex'), p_schedule => '{}'$$]) AS arguments;
SELECT is(left(pg_temp.failure($$SELECT outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'one')$$), 5), '23505',
          'a name that is taken');
SELECT is(left(pg_temp.failure($$SELECT outbox.endpoint_add('http://a/', NULL)$$), 5), '23502', 'no secret');

-- Deliveries to work with -------------------------------------------------------------------
SELECT outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'resend', p_timeout_ms => 1000) AS resend,
       outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'park', p_policy => 'park') AS park,
       outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'reconcile', p_policy => 'reconcile') AS reconcile,
       outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'), 'disabled') AS disabled \gset
UPDATE outbox.endpoint SET enabled = false WHERE id = :'disabled';
SELECT outbox.emit(type => 'first', key => 'k', payload => '{"n": 1}', headers => '{"b": "2", "a": "1"}',
                   traceparent => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate => 's=1') AS event \gset
SELECT seq FROM outbox.event WHERE id = :'event' \gset
-- ids 1 to 6 for resend, due in this order but 5, not due, and 6, delivered; 11 park, 12 reconcile, 13 disabled
INSERT INTO outbox.delivery (id, event_seq, event_id, event_type, endpoint, replay, next_at, state, created_at) OVERRIDING SYSTEM VALUE
SELECT n, :seq, :'event', 'first', :'resend', n, now() - (10 - n) * interval '1 minute', CASE n WHEN 2 THEN 'failed' ELSE 'pending' END,
       now() - interval '1 hour' FROM generate_series(1, 4) AS n;
INSERT INTO outbox.delivery (id, event_seq, event_id, event_type, endpoint, replay, next_at, state) OVERRIDING SYSTEM VALUE
VALUES (5, :seq, :'event', 'first', :'resend', 5, now() + interval '1 hour', 'pending'),
       (6, :seq, :'event', 'first', :'resend', 6, now(), 'delivered'),
       (11, :seq, :'event', 'first', :'park', 0, now(), 'pending'),
       (12, :seq, :'event', 'first', :'reconcile', 0, now(), 'pending'),
       (13, :seq, :'event', 'first', :'disabled', 0, now(), 'pending');
CREATE FUNCTION pg_temp.claim(endpoints text[], slots integer[], most integer DEFAULT 100, worker text DEFAULT 'w')
RETURNS bigint[] LANGUAGE sql AS $$
    SELECT coalesce(array_agg(c.delivery ORDER BY c.delivery), '{}') FROM outbox.delivery_claim(worker,
        ARRAY(SELECT e.id FROM unnest(endpoints) WITH ORDINALITY AS n(name, i) JOIN outbox.endpoint e USING (name) ORDER BY i),
        slots, most, '10 s') AS c
$$;
CREATE FUNCTION pg_temp.finish(id bigint, state text, charged boolean, retry_in interval, outcome text, token bigint DEFAULT NULL)
RETURNS bigint[] LANGUAGE sql AS $$
    SELECT coalesce(array_agg(f), '{}') FROM outbox.delivery_finish(ARRAY[id],
        ARRAY[coalesce(token, (SELECT d.token FROM outbox.delivery d WHERE d.id = finish.id))], ARRAY[state], ARRAY[charged],
        ARRAY[retry_in], ARRAY[outcome], ARRAY[503], ARRAY['busy'], ARRAY['2026-01-01 00:00+00'::timestamptz], ARRAY['192.0.2.1:80'],
        ARRAY[1::bigint], ARRAY[2::bigint], ARRAY[3::bigint], ARRAY[4::bigint], ARRAY[5::bigint], ARRAY[6::bigint], ARRAY['no']) AS f
$$;

-- Claiming ------------------------------------------------------------------------------------
SAVEPOINT fresh;
SET LOCAL synchronous_commit = off;
SELECT pg_temp.claim('{resend}', '{1}') AS claimed \gset
SELECT is(current_setting('synchronous_commit'), 'on', 'a claim is on the disk before anything is sent');
SET LOCAL synchronous_commit = off;
SELECT pg_temp.finish(1, 'delivered', true, NULL, 'delivered') AS finished \gset
SELECT is(current_setting('synchronous_commit'), 'on', 'a result is on the disk when it counts as recorded');
ROLLBACK TO fresh;
SELECT is(pg_temp.claim('{resend}', '{2}'), '{1,2}', 'as many as there are slots, oldest first, pending and failed');
SELECT is(pg_temp.claim('{resend}', '{100}'), '{3,4}', 'the rest that is due; nothing twice, nothing that is finished');
SELECT is(pg_temp.claim('{resend}', '{100}'), '{}', 'then nothing');
ROLLBACK TO fresh;
SELECT is(pg_temp.claim('{resend,park,reconcile}', '{1,1,1}'), '{1,11,12}', 'several endpoints, each its slots');
ROLLBACK TO fresh;
SELECT is(pg_temp.claim('{park,resend}', '{5,5}', 2), '{1,11}', 'at most the limit in all, the endpoint named first comes first');
ROLLBACK TO fresh;
SELECT is(pg_temp.claim('{disabled}', '{5}'), '{}', 'nothing for a disabled endpoint');
SELECT is(pg_temp.claim('{resend}', '{0}'), '{}', 'nothing without a slot');
SELECT is((SELECT (c.delivery, c.send, c.attempts, c.replay, c.present, c.endpoint, c.event_id, c.event_type, c.content_type,
                   convert_from(c.payload, 'UTF8'), c.headers, c.traceparent, c.tracestate)::text
             FROM outbox.delivery_claim('w', ARRAY[:'resend']::uuid[], '{1}', 10, '10 s') AS c),
          (1, 1, 0, 1, true, :'resend'::uuid, :'event'::uuid, 'first', 'application/json', '{"n": 1}', E'a: 1\nb: 2',
           '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 's=1')::text, 'a claim brings all there is to send');
SELECT is((SELECT (state, sends, attempts, worker, claimed_at IS NOT NULL,
                   lease_until - claimed_at BETWEEN interval '10.99 s' AND interval '11.01 s', token > 0)::text
             FROM outbox.delivery WHERE id = 1), '(sending,1,0,w,t,t,t)', 'it is marked, for the endpoint''s timeout and the margin');
ROLLBACK TO fresh;
SELECT ok((SELECT c.age_us BETWEEN 3599000000 AND 3700000000
             FROM outbox.delivery_claim('w', ARRAY[:'resend']::uuid[], '{1}', 10, '10 s') AS c), 'and its age, by the database''s clock');
ROLLBACK TO fresh;
SELECT is((SELECT count(DISTINCT token) FROM outbox.delivery_claim('w', ARRAY[:'resend']::uuid[], '{9}', 10, '10 s')), 4::bigint,
          'each claim has a token of its own');
ROLLBACK TO fresh;
INSERT INTO outbox.kept_event (seq, id, type, payload, content_type, occurred_at)
SELECT seq, id, type, convert_to('kept', 'UTF8'), 'text/plain', occurred_at FROM outbox.event WHERE seq = :seq;
DELETE FROM outbox.event;
SELECT is((SELECT (c.present, convert_from(c.payload, 'UTF8'), c.content_type)::text
             FROM outbox.delivery_claim('w', ARRAY[:'resend']::uuid[], '{1}', 10, '10 s') AS c),
          '(t,kept,text/plain)', 'an event whose partition went comes from its copy');
DELETE FROM outbox.kept_event;
SELECT is((SELECT (c.present, c.payload)::text FROM outbox.delivery_claim('w', ARRAY[:'resend']::uuid[], '{1}', 10, '10 s') AS c),
          '(f,)', 'one that is nowhere is said to be absent, not empty');
ROLLBACK TO fresh;

-- Finishing -------------------------------------------------------------------------------------
SELECT pg_temp.claim('{resend,park,reconcile}', '{4,1,1}') \g /dev/null
SELECT token AS token1 FROM outbox.delivery WHERE id = 1 \gset
SELECT is(pg_temp.finish(1, 'delivered', true, NULL, 'delivered', :token1 + 1000), '{}', 'another token''s result is dropped');
SELECT is((SELECT (state, attempts)::text FROM outbox.delivery WHERE id = 1), '(sending,0)', 'and changes nothing');
SELECT is((SELECT count(*) FROM outbox.delivery_attempt), 0::bigint, 'nor leaves evidence');
SELECT is(pg_temp.finish(1, 'delivered', true, NULL, 'delivered'), '{1}', 'the bearer''s is accepted');
SELECT is((SELECT (state, attempts, sends, lease_until, finished_at IS NOT NULL, last_status, last_error)::text
             FROM outbox.delivery WHERE id = 1), '(delivered,1,1,,t,503,busy)', 'and recorded');
SELECT is((SELECT (delivery, attempt, token, worker, started_at, resolved_us, connected_us, tls_us, sent_bytes, first_byte_us, total_us,
                   address, outcome, status, error, response)::text FROM outbox.delivery_attempt),
          (1, 1, :token1::bigint, 'w', '2026-01-01 00:00+00'::timestamptz, 1, 2, 3, 4, 5, 6, '192.0.2.1:80', 'delivered', 503, 'busy',
           'no')::text, 'with its evidence');
SELECT is(pg_temp.finish(1, 'failed', true, '1 s', 'refused'), '{}', 'a second result of the same token is dropped');
SELECT is((SELECT state FROM outbox.delivery WHERE id = 1), 'delivered', 'delivered stays delivered');
SELECT is(pg_temp.finish(2, 'failed', true, '1 hour', 'refused'), '{2}', 'a failure that is charged');
SELECT ok((SELECT state = 'failed' AND attempts = 1 AND finished_at IS NULL
                  AND next_at BETWEEN clock_timestamp() + interval '59 minutes' AND clock_timestamp() + interval '1 hour'
             FROM outbox.delivery WHERE id = 2), 'is due again after its interval');
SELECT is(pg_temp.finish(3, 'failed', false, '0 s', 'not_sent'), '{3}', 'one that is not');
SELECT is((SELECT (state, attempts, sends)::text FROM outbox.delivery WHERE id = 3), '(failed,0,1)', 'counts as sent only');
SELECT is(pg_temp.finish(4, 'dead', true, NULL, 'refused'), '{4}', 'given up');
SELECT ok((SELECT finished_at IS NOT NULL FROM outbox.delivery WHERE id = 4), 'is finished');
SELECT is(pg_temp.finish(11, 'parked', true, NULL, 'unknown'), '{11}', 'parked');
SELECT is(pg_temp.finish(12, 'unknown', true, NULL, 'unknown'), '{12}', 'unknown');
SELECT is((SELECT array_agg((id, state, finished_at IS NULL)::text ORDER BY id) FROM outbox.delivery WHERE id IN (11, 12)),
          ARRAY['(11,parked,t)', '(12,unknown,t)'], 'neither is finished');
SELECT is(left(pg_temp.failure($$SELECT pg_temp.claim('{resend}', '{9}')$$), 7), 'nothing', 'claims go on');
ROLLBACK TO fresh;
SELECT pg_temp.claim('{resend}', '{3}') \g /dev/null
SELECT is((SELECT array_agg(f ORDER BY f) FROM outbox.delivery_finish(
              ARRAY[1, 2, 3]::bigint[], (SELECT array_agg(CASE id WHEN 2 THEN 0 ELSE token END ORDER BY id) FROM outbox.delivery WHERE id <= 3),
              ARRAY['delivered', 'delivered', 'failed'], ARRAY[true, true, true], ARRAY[NULL, NULL, '1 s']::interval[],
              ARRAY['delivered', 'delivered', 'refused'], ARRAY[200, 200, 500], ARRAY[NULL, NULL, 'x'],
              ARRAY[now(), now(), now()], ARRAY['a', 'b', 'c'], ARRAY[1, 1, 1]::bigint[], ARRAY[1, 1, 1]::bigint[],
              ARRAY[1, 1, 1]::bigint[], ARRAY[1, 1, 1]::bigint[], ARRAY[1, 1, 1]::bigint[], ARRAY[1, 1, 1]::bigint[],
              ARRAY['', '', '']) AS f), ARRAY[1, 3]::bigint[], 'many at once: those with their tokens are accepted');
SELECT is((SELECT array_agg(state ORDER BY id) FROM outbox.delivery WHERE id <= 3), ARRAY['delivered', 'sending', 'failed'],
          'the others are left as they are');
ROLLBACK TO fresh;

-- Gone --------------------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.answer(ids bigint[], token bigint, status integer) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM unnest(ids) AS i(id), outbox.delivery_finish(ARRAY[i.id],
        ARRAY[coalesce(token, (SELECT d.token FROM outbox.delivery d WHERE d.id = i.id))], ARRAY['dead'], ARRAY[true],
        ARRAY[NULL::interval], ARRAY['refused'], ARRAY[status], ARRAY[NULL], ARRAY[now()], ARRAY['a'], ARRAY[1::bigint],
        ARRAY[1::bigint], ARRAY[1::bigint], ARRAY[1::bigint], ARRAY[1::bigint], ARRAY[1::bigint], ARRAY[NULL])
$$;
SELECT pg_temp.claim('{resend,park}', '{2,1}') \g /dev/null
SELECT is(pg_temp.answer('{1}', 999999, 410), 0::bigint, 'gone: a result whose token is not the delivery''s ...');
SELECT is((SELECT enabled FROM outbox.endpoint WHERE id = :'resend'), true, 'gone: ... disables nothing');
SELECT is(pg_temp.answer('{1}', NULL, 404), 1::bigint, 'gone: 404 ...');
SELECT is((SELECT enabled FROM outbox.endpoint WHERE id = :'resend'), true, 'gone: ... does not disable');
SELECT is(pg_temp.answer('{2}', NULL, 410), 1::bigint, 'gone: 410 is accepted');
SELECT is((SELECT (enabled, disabled_reason, removed_at)::text FROM outbox.endpoint WHERE id = :'resend'),
          '(f,"it answered 410 Gone",)', 'gone: and disables its endpoint');
SELECT is((SELECT array_agg(id ORDER BY id) FROM outbox.endpoint WHERE NOT enabled),
          (SELECT array_agg(u ORDER BY u) FROM unnest(ARRAY[:'resend', :'disabled']::uuid[]) AS u), 'gone: and no other');
SELECT is((SELECT (action, subject, reason, detail)::text FROM outbox.audit ORDER BY id DESC LIMIT 1),
          ('endpoint disable', :'resend', 'it answered 410 Gone', '{"open": 3, "delivery": 2}'::jsonb)::text,
          'gone: the audit says by which delivery, and how many wait');
SELECT is((SELECT array_agg(state ORDER BY id) FROM outbox.delivery WHERE id BETWEEN 1 AND 5),
          '{dead,dead,pending,pending,pending}', 'gone: what waits goes on waiting');
SELECT is(pg_temp.claim('{resend}', '{9}'), '{}', 'gone: but is not claimed');
ROLLBACK TO fresh;

-- Recovering --------------------------------------------------------------------------------------
SELECT pg_temp.claim('{resend,park,reconcile}', '{2,1,1}') \g /dev/null
SELECT is(outbox.delivery_recover(), 0::bigint, 'while the leases last, nothing is lost');
SELECT is(outbox.delivery_recover('other'), 0::bigint, 'another worker''s name recovers nothing');
CREATE TEMP TABLE before ON COMMIT DROP AS SELECT id, token FROM outbox.delivery;
UPDATE outbox.delivery SET lease_until = clock_timestamp() - interval '1 ms' WHERE id IN (1, 11, 12);
SELECT is(outbox.delivery_recover(), 3::bigint, 'those whose lease is over are');
SELECT is((SELECT array_agg((id, state, attempts, sends, lease_until, finished_at)::text ORDER BY id) FROM outbox.delivery
            WHERE id IN (1, 2, 11, 12) AND id <> 2),
          ARRAY['(1,failed,1,1,,)', '(11,parked,1,1,,)', '(12,unknown,1,1,,)'], 'the endpoint''s policy decides');
SELECT is((SELECT state FROM outbox.delivery WHERE id = 2), 'sending', 'the other one is still being sent');
SELECT is((SELECT array_agg((a.delivery, a.attempt, a.outcome, a.worker, a.token = b.token)::text ORDER BY a.delivery)
             FROM outbox.delivery_attempt a JOIN before b ON b.id = a.delivery),
          ARRAY['(1,1,unknown,w,t)', '(11,1,unknown,w,t)', '(12,1,unknown,w,t)'], 'evidence: unknown, with the token that was lost');
SELECT is(pg_temp.finish(1, 'delivered', true, NULL, 'delivered', (SELECT token FROM before WHERE id = 1)), '{}',
          'the vanished sender''s result comes too late');
SELECT is(outbox.delivery_recover('w', (SELECT array_agg(token) FROM before WHERE id = 2)), 0::bigint,
          'a worker that came back keeps what it holds');
SELECT is(outbox.delivery_recover('w'), 1::bigint, 'and recovers what an earlier process of its name left');
ROLLBACK TO fresh;

-- Removing -----------------------------------------------------------------------------------------
SELECT is(outbox.endpoint_remove(gen_random_uuid()), false, 'an endpoint that is not there');
SELECT pg_temp.claim('{resend}', '{2}') \g /dev/null
UPDATE outbox.delivery SET state = 'unknown' WHERE id = 3;
UPDATE outbox.delivery SET state = 'parked' WHERE id = 4;
SELECT is(outbox.endpoint_remove(:'resend', 'gone'), true, 'endpoint_remove()');
SELECT is((SELECT (enabled, removed_at IS NOT NULL, name, disabled_reason)::text FROM outbox.endpoint WHERE id = :'resend'),
          '(f,t,,removed)', 'it stays, disabled, without its name');
SELECT is((SELECT count(*) FROM outbox.endpoint_secret WHERE endpoint = :'resend'), 0::bigint, 'its secrets are gone');
SELECT is((SELECT array_agg((id, state)::text ORDER BY id) FROM outbox.delivery WHERE endpoint = :'resend'),
          ARRAY['(1,sending)', '(2,sending)', '(3,dead)', '(4,dead)', '(5,dead)', '(6,delivered)'],
          'open deliveries are given up, but what is on the wire');
SELECT is((SELECT (action, subject, reason)::text FROM outbox.audit ORDER BY id DESC LIMIT 1),
          ('endpoint remove', :'resend', 'gone')::text, 'it is in the audit');
SELECT is(outbox.endpoint_remove(:'resend'), false, 'a second time there is none');
SELECT is(pg_temp.finish(1, 'failed', true, '1 s', 'refused'), '{1}', 'what was on the wire ends');
SELECT is((SELECT (state, finished_at IS NOT NULL)::text FROM outbox.delivery WHERE id = 1), '(dead,t)',
          'dead: nothing would ever send it again');
UPDATE outbox.delivery SET lease_until = clock_timestamp() - interval '1 ms' WHERE id = 2;
SELECT is(outbox.delivery_recover(), 1::bigint, 'or is recovered');
SELECT is((SELECT (state, finished_at IS NOT NULL)::text FROM outbox.delivery WHERE id = 2), '(dead,t)', 'dead as well');
SELECT lives_ok($$SELECT outbox.endpoint_add('http://b/', decode(repeat('00', 32), 'hex'), 'resend')$$, 'the name may be given again');

SELECT * FROM finish();
ROLLBACK;
