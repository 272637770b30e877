-- What may not be emitted is refused with the field, what is wrong and the remedy; and
-- what is just within the limits is taken.  Each case goes through emit_event() and,
-- as the second of two events, through emit_events().
BEGIN;
SELECT plan(286);

CREATE FUNCTION pg_temp.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    field text; message text; hint text; state text;
BEGIN
    EXECUTE statement;
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS field = COLUMN_NAME, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
    RETURN format('%s [%s] %s%s', state, field, message, CASE WHEN hint = '' THEN ' (no hint)' END);
END $$;
-- The event is given as type and one field more.
CREATE FUNCTION pg_temp.one(p_type text, p_field text, p_value text) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT outbox.emit_event(%L, %s => %s)', p_type, p_field, p_value)
$$;
CREATE FUNCTION pg_temp.two(p_type text, p_field text, p_value text) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT * FROM outbox.emit_events(ARRAY[''first'', %L], %s => ARRAY[NULL, %s])', p_type, p_field, p_value)
$$;

CREATE FUNCTION pg_temp.three(p_type text, p_field text, p_value text) RETURNS text LANGUAGE sql AS $$
    SELECT format('INSERT INTO outbox.new_event (type, %s) VALUES (%L, %s)', substr(p_field, 3), p_type, p_value)
$$;

-- The door for JSON shows type, key and payload alone.
CREATE FUNCTION pg_temp.four(p_type text, p_field text, p_value text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE p_field WHEN 'p_key' THEN format('INSERT INTO outbox.new_json_event (type, payload, key) VALUES (%L, ''{}'', %s)', p_type, p_value)
                        ELSE format('INSERT INTO outbox.new_json_event (type, payload) VALUES (%L, %s)', p_type, p_value) END
$$;

CREATE TEMP TABLE refused (n serial, field text, value text, message text);
INSERT INTO refused (field, value, message) VALUES
    ('p_key', $$repeat('k', 4097)$$, 'key: has 4097 bytes, the limit is 4096'),
    ('p_key', $$repeat('é', 2049)$$, 'key: has 4098 bytes, the limit is 4096'),
    ('p_payload', $$convert_to(repeat('x', 1048577), 'UTF8')$$, 'payload: has 1048577 bytes, the limit is 1048576'),
    ('p_topic', $$''$$, 'topic: '''' is not a Kafka topic name'),
    ('p_topic', $$'.'$$, 'topic: ''.'' is not a Kafka topic name'),
    ('p_topic', $$'..'$$, 'topic: ''..'' is not a Kafka topic name'),
    ('p_topic', $$'a b'$$, 'topic: ''a b'' is not a Kafka topic name'),
    ('p_topic', $$E'a\n'$$, E'topic: ''a\n'' is not a Kafka topic name'),
    ('p_topic', $$'café'$$, 'topic: ''café'' is not a Kafka topic name'),
    ('p_topic', $$repeat('t', 250)$$, 'topic: ''' || repeat('t', 40) || ''' is not a Kafka topic name'),
    ('p_content_type', $$''$$, 'content_type: must have 1 to 255 characters and no control character'),
    ('p_content_type', $$repeat('c', 256)$$, 'content_type: must have 1 to 255 characters and no control character'),
    ('p_content_type', $$E'text/plain\r\nX-Evil: 1'$$, 'content_type: must have 1 to 255 characters and no control character'),
    ('p_tenant', $$''$$, 'tenant: must have 1 to 255 characters and no control character'),
    ('p_tenant', $$repeat('t', 256)$$, 'tenant: must have 1 to 255 characters and no control character'),
    ('p_tenant', $$E'a\tb'$$, 'tenant: must have 1 to 255 characters and no control character'),
    ('p_partition', $$-1$$, 'partition: -1 is negative'),
    ('p_traceparent', $$''$$, 'traceparent: is not a W3C trace context'),
    ('p_traceparent', $$'00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01'$$, 'traceparent: is not a W3C trace context'),
    ('p_traceparent', $$'00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01'$$, 'traceparent: is not a W3C trace context'),
    ('p_traceparent', $$'00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333--01'$$, 'traceparent: is not a W3C trace context'),
    ('p_traceparent', $$'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x'$$, 'traceparent: is not a W3C trace context'),
    ('p_traceparent', $$E'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\n'$$, 'traceparent: is not a W3C trace context'),
    ('p_tracestate', $$repeat('s', 513)$$, 'tracestate: is longer than 512 characters or has a control character'),
    ('p_tracestate', $$E'a=b\r'$$, 'tracestate: is longer than 512 characters or has a control character'),
    ('p_occurred_at', $$'infinity'::timestamptz$$, 'occurred_at: must lie in the years 1 to 9999'),
    ('p_occurred_at', $$'-infinity'::timestamptz$$, 'occurred_at: must lie in the years 1 to 9999'),
    ('p_occurred_at', $$'10000-01-01 00:00+00'::timestamptz$$, 'occurred_at: must lie in the years 1 to 9999'),
    ('p_occurred_at', $$'0001-12-31 00:00+00 BC'::timestamptz$$, 'occurred_at: must lie in the years 1 to 9999'),
    ('p_schema_ref', $$''$$, 'schema_ref: must have 1 to 255 characters and no control character'),
    ('p_schema_ref', $$repeat('s', 256)$$, 'schema_ref: must have 1 to 255 characters and no control character'),
    ('p_schema_ref', $$E'\x7f'$$, 'schema_ref: must have 1 to 255 characters and no control character'),
    ('p_headers', $$'[]'::jsonb$$, 'headers: must be a JSON object, is array'),
    ('p_headers', $$'null'::jsonb$$, 'headers: must be a JSON object, is null'),
    ('p_headers', $$'"a"'::jsonb$$, 'headers: must be a JSON object, is string'),
    ('p_headers', $$'{"": "a"}'::jsonb$$, 'headers: the name '''' is not allowed'),
    ('p_headers', $$'{"a b": "a"}'::jsonb$$, 'headers: the name ''a b'' is not allowed'),
    ('p_headers', $$'{"a:": "a"}'::jsonb$$, 'headers: the name ''a:'' is not allowed'),
    ('p_headers', $$'{"a\r\n": "a"}'::jsonb$$, E'headers: the name ''a\r\n'' is not allowed'),
    ('p_headers', $$jsonb_build_object(repeat('n', 129), 'a')$$, 'headers: the name ''' || repeat('n', 40) || ''' is not allowed'),
    ('p_headers', $$'{"fine": "a", "Host": "a"}'::jsonb$$, 'headers: the name ''Host'' is reserved'),
    ('p_headers', $$'{"content-LENGTH": "a"}'::jsonb$$, 'headers: the name ''content-LENGTH'' is reserved'),
    ('p_headers', $$'{"content-type": "a"}'::jsonb$$, 'headers: the name ''content-type'' is reserved'),
    ('p_headers', $$'{"transfer-encoding": "a"}'::jsonb$$, 'headers: the name ''transfer-encoding'' is reserved'),
    ('p_headers', $$'{"authorization": "a"}'::jsonb$$, 'headers: the name ''authorization'' is reserved'),
    ('p_headers', $$'{"connection": "a"}'::jsonb$$, 'headers: the name ''connection'' is reserved'),
    ('p_headers', $$'{"traceparent": "a"}'::jsonb$$, 'headers: the name ''traceparent'' is reserved'),
    ('p_headers', $$'{"tracestate": "a"}'::jsonb$$, 'headers: the name ''tracestate'' is reserved'),
    ('p_headers', $$'{"Webhook-Id": "a"}'::jsonb$$, 'headers: the name ''Webhook-Id'' is reserved'),
    ('p_headers', $$'{"outbox-id": "a"}'::jsonb$$, 'headers: the name ''outbox-id'' is reserved'),
    ('p_headers', $$'{"a": 1}'::jsonb$$, 'headers: the value of ''a'' must be a string, is number'),
    ('p_headers', $$'{"a": null}'::jsonb$$, 'headers: the value of ''a'' must be a string, is null'),
    ('p_headers', $$'{"a": {"b": "c"}}'::jsonb$$, 'headers: the value of ''a'' must be a string, is object'),
    ('p_headers', $$'{"a": "b\nc"}'::jsonb$$, 'headers: the value of ''a'' has a control character'),
    ('p_headers', $$'{"a": "b\u007f"}'::jsonb$$, 'headers: the value of ''a'' has a control character'),
    ('p_headers', $$jsonb_build_object('a', repeat('v', 4097))$$, 'headers: the value of ''a'' is longer than 4096 characters');
SELECT is(pg_temp.failure(pg_temp.one('t', field, value)), format('22023 [%s] %s', substr(field, 3), message),
          format('emit_event: %s => %s', substr(field, 3), left(value, 60))) FROM refused ORDER BY n;
SELECT is(pg_temp.failure(pg_temp.two('t', field, value)), format('22023 [%s] %s', substr(field, 3), message),
          format('emit_events: %s => %s', substr(field, 3), left(value, 60))) FROM refused ORDER BY n;

SELECT is(pg_temp.failure(pg_temp.three('t', field, value)), format('22023 [%s] %s', substr(field, 3), message),
          format('new_event: %s => %s', substr(field, 3), left(value, 60))) FROM refused ORDER BY n;

SELECT is(pg_temp.failure(pg_temp.four('t', field, value)), format('22023 [%s] %s', substr(field, 3), message),
          format('new_json_event: %s => %s', substr(field, 3), left(value, 60)))
  FROM refused WHERE field IN ('p_key', 'p_payload') ORDER BY n;
SELECT is(pg_temp.failure(pg_temp.four('t', 'p_payload', 'NULL')), '22023 [payload] payload: is null',
          'new_json_event: no tombstone');

-- type comes first
CREATE TEMP TABLE bad_type (n serial, value text, message text);
INSERT INTO bad_type (value, message) VALUES
    ('NULL', 'type: is empty'), ($$''$$, 'type: is empty'),
    ($$repeat('t', 256)$$, 'type: is longer than 255 characters or has a control character'),
    ($$E'a\nb'$$, 'type: is longer than 255 characters or has a control character'),
    ($$E'a\x7f'$$, 'type: is longer than 255 characters or has a control character');
SELECT is(pg_temp.failure(format('SELECT outbox.emit_event(%s)', value)), '22023 [type] ' || message,
          format('emit_event: type => %s', left(value, 40))) FROM bad_type ORDER BY n;
SELECT is(pg_temp.failure(format('SELECT * FROM outbox.emit_events(ARRAY[''a'', %s])', value)), '22023 [type] ' || message,
          format('emit_events: type => %s', left(value, 40))) FROM bad_type ORDER BY n;
SELECT is(pg_temp.failure(format('INSERT INTO outbox.new_event (type) VALUES (%s)', value)), '22023 [type] ' || message,
          format('new_event: type => %s', left(value, 40))) FROM bad_type WHERE value <> 'NULL' ORDER BY n;
SELECT is(pg_temp.failure(format('INSERT INTO outbox.new_json_event (type, payload) VALUES (%s, ''{}'')', value)),
          '22023 [type] ' || message, format('new_json_event: type => %s', left(value, 40)))
  FROM bad_type WHERE value <> 'NULL' ORDER BY n;
SELECT is(pg_temp.failure($$SELECT outbox.emit(type => '', payload => '{}')$$), '22023 [type] type: is empty',
          'emit(JSON) checks the same');
SELECT is(pg_temp.failure($$SELECT outbox.emit('t', 'k', '\x00'::bytea, '')$$),
          '22023 [content_type] content_type: must have 1 to 255 characters and no control character',
          'emit(bytes) checks the same');
SELECT is(pg_temp.failure($$SELECT outbox.emit(type => 't', payload => '{"a"}')$$) LIKE '22P02 %', true,
          'emit(JSON) refuses what is not JSON');
SELECT is((SELECT count(*) FROM outbox.event), 0::bigint, 'what was refused left no event');

-- Just within the limits -------------------------------------------------------------------
CREATE TEMP TABLE taken (n serial, field text, value text);
INSERT INTO taken (field, value) VALUES
    ('p_key', $$repeat('k', 4096)$$), ('p_key', $$''$$), ('p_key', $$E'a\nb'$$),
    ('p_payload', $$convert_to(repeat('x', 1048576), 'UTF8')$$), ('p_payload', $$''::bytea$$),
    ('p_topic', $$repeat('t', 249)$$), ('p_topic', $$'A.z_0-9'$$), ('p_topic', $$'...'$$),
    ('p_content_type', $$repeat('c', 255)$$), ('p_content_type', $$'text/plain; charset="utf-8"'$$),
    ('p_tenant', $$repeat('é', 255)$$), ('p_tenant', $$'Ärger & Co'$$),
    ('p_partition', '0'), ('p_partition', '2147483647'),
    ('p_traceparent', $$'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'$$),
    ('p_tracestate', $$repeat('s', 512)$$), ('p_tracestate', $$''$$),
    ('p_occurred_at', $$'0001-01-01 00:00+00'::timestamptz$$),
    ('p_occurred_at', $$'9999-12-31 23:59:59.999999+00'::timestamptz$$),
    ('p_schema_ref', $$repeat('s', 255)$$),
    ('p_headers', $$'{}'::jsonb$$), ('p_headers', $$'{"a": ""}'::jsonb$$),
    ('p_headers', $$jsonb_build_object(repeat('n', 128), repeat('v', 4096), 'X-1_2.3', 'é "quoted"')$$);
SELECT is(pg_temp.failure(pg_temp.one(repeat('t', 255), field, value)), 'nothing',
          format('emit_event takes %s => %s', substr(field, 3), left(value, 60))) FROM taken ORDER BY n;
SELECT is(pg_temp.failure(pg_temp.two('ä.b-c', field, value)), 'nothing',
          format('emit_events takes %s => %s', substr(field, 3), left(value, 60))) FROM taken ORDER BY n;
SELECT is(pg_temp.failure(pg_temp.three(repeat('t', 255), field, value)), 'nothing',
          format('new_event takes %s => %s', substr(field, 3), left(value, 60))) FROM taken ORDER BY n;
SELECT is(pg_temp.failure(format('INSERT INTO outbox.new_event (type) VALUES (repeat(%L, 255))', 'é')), 'nothing',
          'in new_event too');
SELECT is(pg_temp.failure(format('SELECT outbox.emit_event(repeat(%L, 255))', 'é')), 'nothing', 'type counts characters');

SELECT is(pg_temp.failure(pg_temp.four(repeat('é', 255), field, value)), 'nothing',
          format('new_json_event takes %s => %s', substr(field, 3), left(value, 60)))
  FROM taken WHERE field IN ('p_key', 'p_payload') ORDER BY n;
DELETE FROM outbox.event;
INSERT INTO outbox.new_json_event (id, type, key, payload) VALUES ('00000000-0000-4000-8000-000000000001', 't', 'k', '{}');
INSERT INTO outbox.new_json_event (type, payload) VALUES ('t', '[1]');
SELECT is((SELECT array_agg(format('%s %s %s %s %s %s', type, key, convert_from(payload, 'UTF8'), content_type, num_nulls(topic, partition, tenant, headers,
                           schema_ref, traceparent, tracestate, stream, version), occurred_at > now() - interval '1 day') ORDER BY seq)
             FROM outbox.event),
          ARRAY['t k {} application/json 9 t', 't  [1] application/json 9 t'], 'what goes through new_json_event');
SELECT is((SELECT id FROM outbox.event ORDER BY seq LIMIT 1), '00000000-0000-4000-8000-000000000001'::uuid, 'with its id');
INSERT INTO outbox.new_event (type, payload) VALUES ('t', 'x'), ('t', NULL);
SELECT is((SELECT count(*) FROM outbox.event WHERE content_type IS NULL), 2::bigint,
          'new_event gives no content type by itself');

-- The limit of the payload can be set -----------------------------------------------------------
SET LOCAL outbox.max_payload_bytes = 10;
SELECT is(pg_temp.failure($$INSERT INTO outbox.new_event (type, payload) VALUES ('t', '\x0102030405060708090a0b')$$),
          '22023 [payload] payload: has 11 bytes, the limit is 10', 'new_event knows the limit');
SELECT is(pg_temp.failure($$INSERT INTO outbox.new_json_event (type, payload) VALUES ('t', '\x0102030405060708090a0b')$$),
          '22023 [payload] payload: has 11 bytes, the limit is 10', 'new_json_event, too');
SELECT is(pg_temp.failure($$SELECT outbox.emit_event('t', p_payload => '\x0102030405060708090a0b')$$),
          '22023 [payload] payload: has 11 bytes, the limit is 10', 'a lower limit of the payload');
SELECT is(pg_temp.failure($$SELECT outbox.emit_event('t', p_payload => '\x0102030405060708090a')$$), 'nothing',
          'which is inclusive');
SET LOCAL outbox.max_payload_bytes = 2000000;
SELECT is(pg_temp.failure($$SELECT outbox.emit_event('t', p_payload => convert_to(repeat('x', 2000000), 'UTF8'))$$), 'nothing',
          'a higher one');
SET LOCAL outbox.max_payload_bytes = '';
SELECT is(pg_temp.failure($$SELECT outbox.emit_event('t', p_payload => convert_to(repeat('x', 1048577), 'UTF8'))$$),
          '22023 [payload] payload: has 1048577 bytes, the limit is 1048576', 'an empty setting is the default');

-- The arrays of emit_events() -----------------------------------------------------------------------
SELECT is(pg_temp.failure(statement), '22023 [] emit_events: the arrays have different lengths (type has 2)', statement)
  FROM unnest(ARRAY[
    $$SELECT * FROM outbox.emit_events(ARRAY['a', 'b'], ARRAY['k'])$$,
    $$SELECT * FROM outbox.emit_events(ARRAY['a', 'b'], ARRAY['k', 'l', 'm'])$$,
    $$SELECT * FROM outbox.emit_events(ARRAY['a', 'b'], p_headers => '{}'::jsonb[])$$,
    $$SELECT * FROM outbox.emit_events(ARRAY['a', 'b'], ARRAY['k', 'l'], p_schema_ref => ARRAY['s'])$$]) AS statement;
-- Subscripts that begin elsewhere do not lead past the checks.
SELECT is(pg_temp.failure($$SELECT * FROM outbox.emit_events(ARRAY['a'], p_headers => '[2:2]={"{\"x\": \"a\\nb\"}"}'::jsonb[])$$),
          '22023 [headers] headers: the value of ''x'' has a control character', 'headers in an array that begins at 2');
SELECT is(pg_temp.failure($$SELECT * FROM outbox.emit_events(ARRAY['a'], p_topic => '[0:0]={"a b"}'::text[])$$),
          '22023 [topic] topic: ''a b'' is not a Kafka topic name', 'topic in an array that begins at 0');
SELECT is(pg_temp.failure($$SELECT * FROM outbox.emit_events('[5:6]={a,""}'::text[])$$), '22023 [type] type: is empty',
          'type in an array that begins at 5');

SELECT * FROM finish();
ROLLBACK;
