-- Roles, the schema and the record of applied migrations.  Idempotent: it runs
-- before every migration, in the same transaction and under the same lock, so
-- that two migrations started at once queue up instead of colliding.
DO $bootstrap$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['outbox_owner', 'outbox_maintenance', 'outbox_writer',
                                     'outbox_relay', 'outbox_reader', 'outbox_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this cluster created it just now
            END;
        END IF;
    END LOOP;
    -- From PostgreSQL 16 on, a CREATEROLE user may grant what it created but does
    -- not yet act as it.  'USAGE' and 'MEMBER' differ there, 'MEMBER' is SET ROLE.
    IF NOT pg_catalog.pg_has_role(current_user, 'outbox_owner', 'MEMBER') THEN
        EXECUTE format('GRANT outbox_owner TO %I', current_user);
    END IF;
    -- DETACH and DROP need ownership.
    IF NOT pg_catalog.pg_has_role('outbox_maintenance', 'outbox_owner', 'MEMBER') THEN
        GRANT outbox_owner TO outbox_maintenance;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'outbox') THEN
        CREATE SCHEMA outbox AUTHORIZATION outbox_owner;
        REVOKE ALL ON SCHEMA outbox FROM PUBLIC;
        GRANT USAGE ON SCHEMA outbox TO outbox_maintenance, outbox_writer, outbox_relay,
                                        outbox_reader, outbox_admin;
    END IF;
END
$bootstrap$;

SET LOCAL ROLE outbox_owner;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;

CREATE TABLE IF NOT EXISTS outbox.migration (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,          -- sha256 of the migration's text, hexadecimal
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by text NOT NULL DEFAULT session_user
);
