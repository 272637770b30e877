-- The inbox: whether a message is new, within one session.  tests/integration/inbox.sh has several.
BEGIN;
SELECT plan(30);

CREATE FUNCTION pg_temp.refusal(consumer text, message_id text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    field text;
BEGIN
    RETURN outbox.inbox_claim(consumer, message_id);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS field = COLUMN_NAME;
    RETURN SQLSTATE || ' ' || field;
END $$;

SELECT is(outbox.inbox_claim('billing', 'msg_1'), 'new', 'a message that never came is new');
SELECT is(outbox.inbox_claim('billing', 'msg_1'), 'seen', 'once');
SELECT is(outbox.inbox_claim('billing', 'msg_1', false), 'seen', 'also for who would not wait');
SELECT is(outbox.inbox_claim('mailing', 'msg_1'), 'new', 'each consumer has ids of its own');
SELECT is(outbox.inbox_claim('billing', 'MSG_1', false), 'new', 'ids are compared byte by byte');
SELECT is(outbox.inbox_claim('billing', 'msg_1 '), 'new', 'to the last one');
SELECT is(outbox.inbox_claim('billing', E'\u00e4'), 'new', 'of what looks the same');
SELECT is(outbox.inbox_claim('billing', E'a\u0308'), 'new', 'one may be new');
SELECT is(outbox.inbox_claim('ab', 'c'), 'new', 'consumer and id');
SELECT is(outbox.inbox_claim('a', 'bc'), 'new', 'are not run together');
SELECT is((SELECT array_agg(DISTINCT slot) FROM outbox.inbox), ARRAY[outbox.day_slot(clock_timestamp())], 'all stand in the slot of today');
SELECT is((SELECT count(*) FROM outbox.inbox WHERE consumer = 'billing' AND message_id = 'msg_1'), 1::bigint, 'once each');

SAVEPOINT s;
SELECT is(outbox.inbox_claim('billing', 'undone'), 'new', 'claimed after a savepoint');
ROLLBACK TO s;
SELECT is(outbox.inbox_claim('billing', 'undone'), 'new', 'and rolled back: it is new again');

-- Days ---------------------------------------------------------------------------------------
INSERT INTO outbox.inbox (consumer, message_id, slot)
SELECT 'billing', 'day ' || age, (outbox.day_slot(clock_timestamp()) - age) & 15 FROM generate_series(0, 15) AS age;
SELECT is((SELECT array_agg(DISTINCT outbox.inbox_claim('billing', 'day ' || age)) FROM generate_series(0, 15) AS age),
          ARRAY['seen'], 'a message is known whichever slot it stands in');
SELECT outbox.slot_expire('inbox', 8, 0) \g /dev/null
SELECT is(outbox.inbox_claim('billing', 'day 7'), 'seen', 'until retention empties its slot');
SELECT is(outbox.inbox_claim('billing', 'day 8'), 'new', 'then it is new');

-- What is refused -------------------------------------------------------------------------------
SELECT is(pg_temp.refusal(NULL, 'm'), '22023 consumer', 'no consumer');
SELECT is(pg_temp.refusal('', 'm'), '22023 consumer', 'an empty one');
SELECT is(pg_temp.refusal(E'a\nb', 'm'), '22023 consumer', 'one with a control character');
SELECT is(pg_temp.refusal(repeat('c', 250), 'm'), '22023 consumer', 'one that is too long');
SELECT is(pg_temp.refusal(repeat('c', 249), 'm'), 'new', 'the longest');
SELECT is(pg_temp.refusal('c', NULL), '22023 message_id', 'no id');
SELECT is(pg_temp.refusal('c', ''), '22023 message_id', 'an empty one');
SELECT is(pg_temp.refusal('c', repeat(E'\u00e4', 128)), '22023 message_id', 'one that is too long, in bytes');
SELECT is(pg_temp.refusal('c', repeat(E'\u00e4', 127) || 'm'), 'new', 'the longest');
SELECT throws_ok($$SELECT outbox.inbox_claim('c', repeat('m', 256))$$, '22023', 'message_id: must have 1 to 255 bytes',
                 'the message names the field');

-- Whoever calls -----------------------------------------------------------------------------------
SET LOCAL ROLE outbox_consumer;
SELECT is(outbox.inbox_claim('billing', 'msg_1'), 'seen', 'a consumer may claim');
SELECT is(outbox.inbox_claim('billing' COLLATE "C", 'msg_2' COLLATE "C"), 'new', 'under any collation');
RESET ROLE;
SELECT is((SELECT count(*) FROM outbox.inbox i WHERE i.message_id = 'msg_2'), 1::bigint, 'and it stands there');

SELECT * FROM finish();
ROLLBACK;
