-- What operators do: each change by a function that leaves its row in the audit.
BEGIN;
SELECT plan(98);

CREATE FUNCTION pg_temp.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; state text;
BEGIN
    EXECUTE statement;
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
    RETURN format('%s %s', state, message);
END $$;
-- the newest row of the audit
CREATE FUNCTION pg_temp.last() RETURNS text LANGUAGE sql AS
$$ SELECT format('%s %s %s', action, subject, coalesce(reason, '-')) FROM outbox.audit ORDER BY id DESC LIMIT 1 $$;
CREATE FUNCTION pg_temp.rows() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM outbox.audit';

-- The audit itself ---------------------------------------------------------------------------
SELECT results_eq($$SELECT subject FROM outbox.audit WHERE action = 'migrate' ORDER BY id$$,
                  $$SELECT format('%s_%s', lpad(version::text, 4, '0'), name) FROM outbox.migration ORDER BY version$$,
                  'each migration is in the audit');
SELECT is_empty($$SELECT FROM outbox.audit WHERE who <> session_user OR at > clock_timestamp()$$, 'with who and when');
SELECT outbox.endpoint_add('https://a.example/', decode(repeat('ab', 32), 'hex'), 'a') AS a \gset
SELECT is(pg_temp.last(), format('endpoint add %s -', :'a'), 'without a reason there is none');
SET LOCAL outbox.reason = 'because';
SELECT outbox.endpoint_add('https://b.example/', decode(repeat('cd', 24), 'hex'), 'b') AS b \gset
SELECT is(pg_temp.last(), format('endpoint add %s because', :'b'), 'outbox.reason is the reason of what has no argument for it');
SET LOCAL outbox.reason = '';

-- Endpoints ----------------------------------------------------------------------------------
INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, state)
SELECT g, gen_random_uuid(), 't', :'a', s FROM unnest(ARRAY['pending', 'failed', 'sending', 'delivered', 'dead']) WITH ORDINALITY AS u(s, g);
SELECT pg_temp.rows() AS n \gset
SELECT is((SELECT d::text FROM outbox.endpoint_disable(:'a', 'why') d), '(t,2)', 'disable: tells how many wait');
SELECT is(pg_temp.last(), format('endpoint disable %s why', :'a'), 'disable: is in the audit');
SELECT is((SELECT detail FROM outbox.audit ORDER BY id DESC LIMIT 1), '{"open": 2}', 'disable: with what waits');
SELECT is((SELECT (enabled, disabled_reason)::text FROM outbox.endpoint WHERE id = :'a'), '(f,why)', 'disable: the endpoint says why');
SELECT is((SELECT array_agg(state ORDER BY event_seq) FROM outbox.delivery WHERE endpoint = :'a'),
          ARRAY['pending', 'failed', 'sending', 'delivered', 'dead'], 'disable: deliveries stay as they are');
SELECT is_empty(format($$SELECT FROM outbox.delivery_claim('w', ARRAY[%L]::uuid[], ARRAY[9], 9, '1 hour')$$, :'a'), 'disable: nothing is claimed');
SELECT is((SELECT d::text FROM outbox.endpoint_disable(:'a', 'again') d), '(f,2)', 'disable: again changes nothing');
SELECT is(pg_temp.rows(), :n + 1::bigint, 'disable: and leaves no row');
SELECT is((SELECT d::text FROM outbox.endpoint_enable(:'a', 'fixed') d), '(t,2)', 'enable: tells how many waited');
SELECT is(pg_temp.last(), format('endpoint enable %s fixed', :'a'), 'enable: is in the audit');
SELECT is((SELECT detail FROM outbox.audit ORDER BY id DESC LIMIT 1), '{"open": 2, "disabled_reason": "why"}', 'enable: with why it was disabled');
SELECT is((SELECT (enabled, disabled_reason)::text FROM outbox.endpoint WHERE id = :'a'), '(t,)', 'enable: the endpoint is as before');
SELECT is((SELECT d::text FROM outbox.endpoint_enable(:'a') d), '(f,2)', 'enable: again changes nothing');
SELECT is(pg_temp.rows(), :n + 2::bigint, 'enable: and leaves no row');
SELECT is((SELECT count(*) FROM outbox.delivery_claim('w', ARRAY[:'a']::uuid[], ARRAY[9], 9, '1 hour')), 2::bigint, 'enable: what waited is claimed');
SELECT changed FROM outbox.endpoint_disable(:'b') \gset
SELECT is((SELECT disabled_reason FROM outbox.endpoint WHERE id = :'b'), 'by ' || session_user, 'disable: without a reason, who did it');
SELECT outbox.endpoint_add('https://gone.example/', decode(repeat('ef', 32), 'hex')) AS gone \gset
SELECT outbox.endpoint_remove(:'gone') AS removed \gset
SELECT is_empty(format('SELECT FROM outbox.%s(%L)', f, e), format('%s: no row for %s', f, w))
  FROM unnest(ARRAY['endpoint_disable', 'endpoint_enable', 'endpoint_test']) AS f,
       (VALUES (gen_random_uuid(), 'an unknown endpoint'), (:'gone', 'a removed one')) AS e(e, w);

-- The test webhook ---------------------------------------------------------------------------
-- RFC 4231, cases 1, 2, 3, 6 (a key longer than a block)
SELECT is(encode(outbox.hmac_sha256(message, secret), 'hex'), digest, 'HMAC-SHA256: ' || octet_length(secret) || ' bytes of key')
  FROM (VALUES
    ('Hi There'::bytea, decode(repeat('0b', 20), 'hex'), 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'),
    ('what do ya want for nothing?', 'Jefe', '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'),
    (decode(repeat('dd', 50), 'hex'), decode(repeat('aa', 20), 'hex'), '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe'),
    ('Test Using Larger Than Block-Size Key - Hash Key First', decode(repeat('aa', 131), 'hex'),
     '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54')) AS v(message, secret, digest);
SELECT * FROM outbox.endpoint_test(:'a', 'try') \gset t_
SELECT is((:'t_url', :'t_timeout_ms', :'t_message_type', :'t_content_type')::text, '(https://a.example/,15000,outbox.test,application/json)', 'test: what to send where');
SELECT is(:'t_payload'::jsonb, jsonb_build_object('type', 'outbox.test', 'endpoint', :'a', 'timestamp', :t_message_timestamp), 'test: a small JSON');
SELECT ok(abs(:t_message_timestamp - extract(epoch FROM clock_timestamp())) < 60, 'test: the time is now');
SELECT is(:'t_signature', 'v1,' || encode(outbox.hmac_sha256(convert_to(:'t_message_id' || '.' || :'t_message_timestamp' || '.' || :'t_payload', 'UTF8'),
          decode(repeat('ab', 32), 'hex')), 'base64'), 'test: signed by the endpoint''s secret');
SELECT is(pg_temp.last(), format('endpoint test %s try', :'a'), 'test: is in the audit');
SELECT is((SELECT detail ->> 'message_id' FROM outbox.audit ORDER BY id DESC LIMIT 1), :'t_message_id', 'test: with its id');
SELECT is((SELECT count(*) FROM outbox.delivery), 5::bigint, 'test: is no delivery');
INSERT INTO outbox.endpoint_secret (endpoint, kind, secret, sealed_with, expires_at) VALUES
  (:'a', 'v1', decode(repeat('11', 24), 'hex'), NULL, clock_timestamp() + interval '1 hour'),
  (:'a', 'v1', decode(repeat('22', 24), 'hex'), NULL, clock_timestamp() - interval '1 hour'),
  (:'a', 'v1', decode(repeat('33', 24), 'hex'), 'key', NULL), (:'a', 'v1a', decode(repeat('44', 32), 'hex'), NULL, NULL);
SELECT is((SELECT cardinality(string_to_array(signature, ' ')) FROM outbox.endpoint_test(:'a')), 2, 'test: signed by each live secret');
DELETE FROM outbox.endpoint_secret WHERE endpoint = :'b';
SELECT alike(pg_temp.failure(format('SELECT outbox.endpoint_test(%L)', :'b')), '55000 endpoint %: has no live secret%', 'test: never unsigned');

-- Retrying -----------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.make(state text, endpoint text) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO outbox.delivery (event_seq, event_id, event_type, endpoint, state, attempts, sends, token, next_at, lease_until, last_error, finished_at)
    SELECT 100 + count(*), gen_random_uuid(), 't', make.endpoint::uuid, make.state, 7, 9, nextval('outbox.delivery_token'),
           clock_timestamp() + interval '1 hour', CASE WHEN make.state = 'sending' THEN clock_timestamp() + interval '1 hour' END, 'oops',
           CASE WHEN make.state IN ('dead', 'delivered') THEN clock_timestamp() END FROM outbox.delivery
    RETURNING id
$$;
CREATE FUNCTION pg_temp.due(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT (d.state, d.attempts, d.sends, d.next_at <= clock_timestamp(), d.lease_until, d.finished_at, d.last_error)::text
      FROM outbox.delivery d WHERE d.id = due.id
$$;
CREATE TEMP TABLE chosen AS SELECT s AS was, pg_temp.make(s, :'a') AS id FROM unnest(ARRAY['failed', 'dead', 'parked', 'unknown']) s;
CREATE TEMP TABLE tokens AS SELECT d.id, d.token FROM outbox.delivery d JOIN chosen USING (id);
SELECT pg_temp.rows() AS n \gset
SELECT is(outbox.delivery_retry(array_agg(id) || array_agg(id), 'once more'), 4::bigint, 'retry: failed, dead, parked and unknown; each once') FROM chosen;
SELECT is(pg_temp.due(id), '(pending,0,9,t,,,oops)', 'retry: due now, sends kept: ' || was) FROM chosen;
SELECT is_empty($$SELECT FROM outbox.delivery d JOIN tokens t USING (id) WHERE d.token <= t.token$$, 'retry: with a new token');
SELECT results_eq($$SELECT subject, reason, detail ->> 'was' FROM outbox.audit WHERE action = 'delivery retry' ORDER BY id$$,
                  $$SELECT id::text, 'once more', was FROM chosen ORDER BY id$$, 'retry: each is in the audit');
SELECT alike(pg_temp.failure(format('SELECT outbox.delivery_retry(ARRAY[%s])', pg_temp.make(s, :'a'))), '55000 delivery % ' || says || '%', 'retry: not ' || s)
  FROM (VALUES ('pending', 'is pending already'), ('sending', 'is being sent'), ('delivered', 'was delivered')) AS v(s, says);
SELECT alike(pg_temp.failure(format('SELECT outbox.delivery_retry(ARRAY[%s])', pg_temp.make('dead', :'gone'))), '55000 %endpoint was removed', 'retry: not to a removed endpoint');
SELECT is(pg_temp.failure('SELECT outbox.delivery_retry(ARRAY[0])'), 'P0002 there is no delivery 0', 'retry: not what does not exist');
SELECT pg_temp.make('dead', :'a') AS good, pg_temp.make('delivered', :'a') AS bad \gset
SELECT alike(pg_temp.failure(format('SELECT outbox.delivery_retry(ARRAY[%s, %s])', :good, :bad)), '55000%', 'retry: one that cannot ...');
SELECT is((SELECT state FROM outbox.delivery WHERE id = :good), 'dead', 'retry: ... and none is');
SELECT is(pg_temp.rows(), :n + 4::bigint, 'retry: what is refused leaves no row');

-- Retrying many ------------------------------------------------------------------------------
UPDATE outbox.delivery SET state = 'delivered';
CREATE TEMP TABLE many AS SELECT pg_temp.make('parked', :'a') AS id FROM generate_series(1, 5);
SELECT pg_temp.make('parked', :'b') AS other, pg_temp.make('dead', :'a') AS another \gset
SELECT retried, last FROM outbox.delivery_retry_of(:'a', 'parked', 0, 3, 'all') \gset
SELECT is((:retried::bigint, :last::bigint), (3::bigint, (SELECT id FROM many ORDER BY id OFFSET 2 LIMIT 1)), 'retry of many: as many as wanted, the oldest first');
SELECT is((SELECT (action, subject, reason, detail)::text FROM outbox.audit ORDER BY id DESC LIMIT 1),
          ('delivery retry', :'a', 'all', jsonb_build_object('was', 'parked', 'count', 3, 'deliveries',
           (SELECT jsonb_agg(id ORDER BY id) FROM (SELECT id FROM many ORDER BY id LIMIT 3) m)))::text, 'retry of many: one row in the audit, with all ids');
UPDATE outbox.delivery SET state = 'parked' WHERE id = (SELECT min(id) FROM many);
SELECT is((SELECT r.retried FROM outbox.delivery_retry_of(:'a', 'parked', :last, 3, 'all') r), 2::bigint, 'retry of many: the rest, and none twice');
SELECT pg_temp.rows() AS n \gset
SELECT is((SELECT r::text FROM outbox.delivery_retry_of(:'a', 'parked', :last, 3, 'all') r), '(0,)', 'retry of many: then nothing');
SELECT is(pg_temp.rows(), :n::bigint, 'retry of many: which leaves no row');
SELECT is((SELECT array_agg(state ORDER BY id) FROM outbox.delivery WHERE id IN (:other, :another)), ARRAY['parked', 'dead'], 'retry of many: others stay');
SELECT alike(pg_temp.failure(format('SELECT outbox.delivery_retry_of(%L, %L, 0, 1)', :'a', s)), '22023%', 'retry of many: not ' || coalesce(s, 'null'))
  FROM unnest(ARRAY['delivered', 'pending', 'sending', 'x', NULL]) AS s;
SELECT alike(pg_temp.failure(format('SELECT outbox.delivery_retry_of(%L, %L, 0, 1)', :'gone', 'dead')), 'P0002%', 'retry of many: not of a removed endpoint');

-- Resolving ----------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.resolve(was text, become text, endpoint text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    made bigint := pg_temp.make(was, endpoint);
    former text;
    d outbox.delivery;
BEGIN
    former := outbox.delivery_resolve(made, become, 'asked');
    SELECT * INTO d FROM outbox.delivery WHERE id = made;
    RETURN format('%s %s %s %s', former, d.state, d.finished_at IS NOT NULL AND d.lease_until IS NULL,
                  pg_temp.last() = format('delivery resolve %s asked', made));
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || regexp_replace(SQLERRM, '[0-9].*[0-9]', '');
END $$;
SELECT is(pg_temp.resolve(was, become, :'a'), format('%s %s t t', was, become), format('resolve: %s as %s', was, become))
  FROM (VALUES ('parked', 'delivered'), ('parked', 'dead'), ('unknown', 'delivered'), ('unknown', 'dead'), ('failed', 'delivered'),
               ('failed', 'dead'), ('pending', 'dead'), ('dead', 'delivered')) AS v(was, become);
SELECT alike(pg_temp.resolve(was, become, :'a'), '55000%' || says || '%', format('resolve: not %s as %s', was, become))
  FROM (VALUES ('sending', 'dead', ''), ('sending', 'delivered', ''), ('delivered', 'dead', 'that stands'), ('delivered', 'delivered', 'already'),
               ('dead', 'dead', 'already'), ('pending', 'delivered', 'cannot have been')) AS v(was, become, says);
SELECT is(pg_temp.failure(format('SELECT outbox.delivery_resolve(%s, %L)', pg_temp.make('parked', :'a'), s)),
          format('22023 state: is %s, must be delivered or dead', coalesce(s, 'null')), 'resolve: not as ' || coalesce(s, 'null'))
  FROM unnest(ARRAY['failed', NULL]) AS s;
SELECT is(outbox.delivery_resolve(0, 'dead'), NULL, 'resolve: null if there is none');

-- Routes -------------------------------------------------------------------------------------
SELECT is((SELECT (pattern, topic)::text FROM outbox.route_add('order.*', 'orders', p_reason => 'new')), '(order.*,orders)', 'route add');
SELECT is((SELECT (action, subject, reason, detail)::text FROM outbox.audit ORDER BY id DESC LIMIT 1),
          ('route add', 'order.*', 'new', '{"topic": "orders"}'::jsonb)::text, 'route add: is in the audit');
SELECT pg_temp.rows() AS n \gset
SELECT is_empty($$SELECT FROM outbox.route_add('order.*', 'other')$$, 'route add: not twice');
SELECT is(pg_temp.rows(), :n::bigint, 'route add: which leaves no row');
SELECT is((SELECT topic FROM outbox.route_add('order.*', NULL, true)), NULL, 'route add: replaces, by webhooks only');
SELECT is((SELECT detail FROM outbox.audit ORDER BY id DESC LIMIT 1), '{"topic": null, "was": "orders"}', 'route add: the audit knows what was');
SELECT alike(pg_temp.failure($$SELECT outbox.route_add('x', 'a b')$$), '23514%', 'route add: no topic name');
SELECT is((SELECT pattern FROM outbox.route_remove('order.*', 'done')), 'order.*', 'route remove');
SELECT is(pg_temp.last(), 'route remove order.* done', 'route remove: is in the audit');
SELECT is_empty($$SELECT FROM outbox.route_remove('order.*')$$, 'route remove: no row if there is none');

-- Rights -------------------------------------------------------------------------------------
SELECT is_empty($$
    SELECT r.rolname, p.proname FROM pg_proc p, unnest(ARRAY['outbox_writer', 'outbox_relay', 'outbox_reader']) AS r(rolname)
     WHERE p.pronamespace = 'outbox'::regnamespace
       AND p.proname IN ('endpoint_disable', 'endpoint_enable', 'endpoint_test', 'hmac_sha256', 'delivery_revive', 'delivery_retry',
                         'delivery_retry_of', 'delivery_resolve', 'route_add', 'route_remove', 'audit_migration')
       AND has_function_privilege(r.rolname, p.oid, 'EXECUTE')
$$, 'only an admin operates');
SET LOCAL ROLE outbox_admin;
SELECT is((SELECT changed FROM outbox.endpoint_disable(:'a')), true, 'an admin does');
SELECT alike(pg_temp.failure('INSERT INTO outbox.audit (action, subject) VALUES (''x'', ''y'')'), '42501%', 'but does not write the audit');
SELECT alike(pg_temp.failure('DELETE FROM outbox.audit'), '42501%', 'nor clean it');
RESET ROLE;
SELECT is((SELECT who FROM outbox.audit ORDER BY id DESC LIMIT 1), session_user::text, 'the audit names who logged in');

SELECT * FROM finish();
ROLLBACK;
