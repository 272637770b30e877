-- What is different in a transaction with one snapshot for all.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT plan(9);

SELECT throws_ok('SELECT outbox.rotate()', '25001', 'outbox.rotate() needs READ COMMITTED', 'rotate() is refused');
SELECT throws_ok('SELECT outbox.tick()', '25001', NULL, 'so is tick()');
SELECT outbox.emit(type => 't', key => 'k') AS id \gset
SELECT is((SELECT count(*) FROM outbox.event WHERE id = :'id'), 1::bigint, 'emit() works');
-- A claim is tried in every slot: a unique index looks past the snapshot.
SELECT is((SELECT already_emitted FROM outbox.emit_event('t', p_id => '11111111-1111-4111-8111-111111111111')), false,
          'so does emit() with an id');
SELECT is((SELECT array_agg(slot) FROM outbox.emitted WHERE id = '11111111-1111-4111-8111-111111111111'),
          ARRAY[outbox.day_slot(clock_timestamp())], 'the claim stands in the slot of today alone');
SELECT is((SELECT already_emitted FROM outbox.emit_event('t', p_id => '11111111-1111-4111-8111-111111111111')), true,
          'and is found again');
INSERT INTO outbox.emitted (id, slot)
VALUES ('22222222-2222-4222-8222-222222222222', outbox.day_slot(clock_timestamp() - interval '3 days'));
SELECT is((SELECT already_emitted FROM outbox.emit_event('t', p_id => '22222222-2222-4222-8222-222222222222')), true,
          'so is one of another day');
CREATE TEMP TABLE made AS
SELECT * FROM outbox.emit_events(ARRAY['a', 'b', 'c'], p_id => ARRAY['33333333-3333-4333-8333-333333333333',
    '11111111-1111-4111-8111-111111111111', '33333333-3333-4333-8333-333333333333']::uuid[]);
SELECT is((SELECT array_agg(already_emitted) FROM made), ARRAY[false, true, true], 'and with an array');
SELECT is((SELECT count(*) FROM outbox.emitted), 3::bigint, 'one claim each');

SELECT * FROM finish();
ROLLBACK;
