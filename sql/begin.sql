-- Begins the transaction of one migration; bootstrap.sql, the migration, its record in
-- outbox.migration and COMMIT follow.  Whoever comes second waits here, then looks
-- again.  The patience: SET outbox.migration_lock_timeout = '5s'.
BEGIN ISOLATION LEVEL READ COMMITTED;
DO $begin$
DECLARE
    patience text := coalesce(nullif(pg_catalog.current_setting('outbox.migration_lock_timeout', true), ''), '60s');
BEGIN
    IF pg_catalog.current_setting('server_version_num')::integer < 150000 THEN
        RAISE EXCEPTION 'outbox needs PostgreSQL 15 or later; this server is %',
                        pg_catalog.current_setting('server_version') USING ERRCODE = '0A000';
    END IF;
    IF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'outbox needs a database with the encoding UTF8; this one has %',
                        pg_catalog.current_setting('server_encoding') USING ERRCODE = '0A000';
    END IF;
    BEGIN
        PERFORM pg_catalog.set_config('lock_timeout', patience, true);
        PERFORM pg_catalog.pg_advisory_xact_lock(1868721016, 1);
    EXCEPTION WHEN lock_not_available THEN
        RAISE EXCEPTION 'another migration of this outbox has been running for %', patience
            USING ERRCODE = '55P03', HINT = 'Wait for it, or end its session: it is in pg_locks with objid 1.';
    END;
    -- A migration that cannot have its table soon must not make the writers queue behind it.
    PERFORM pg_catalog.set_config('lock_timeout', '10s', true);
END
$begin$;
