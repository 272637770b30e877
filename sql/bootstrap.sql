-- Roles, the schema and the record of applied migrations.  Idempotent: it runs
-- before every migration, in the same transaction and under the same lock, so
-- that two migrations started at once queue up instead of colliding.
DO $bootstrap$
DECLARE
    role_name text;
    -- To own the schema and to act as the owner.  From PostgreSQL 16 on, whoever created
    -- a role is its 'MEMBER' already, to grant it on, but may not yet SET ROLE to it.
    acting    text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['outbox_owner', 'outbox_maintenance', 'outbox_writer',
                                     'outbox_relay', 'outbox_reader', 'outbox_admin', 'outbox_consumer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this cluster created it just now
            END;
        END IF;
    END LOOP;
    -- Roles belong to the cluster and the lock to one database, so two databases may
    -- collide here: an internal error then ("tuple concurrently updated").
    FOR attempt IN 1..5 LOOP
        BEGIN
            IF NOT pg_catalog.pg_has_role(current_user, 'outbox_owner', acting) THEN
                EXECUTE format('GRANT outbox_owner TO %I', current_user);
            END IF;
            -- DETACH and DROP need ownership.
            IF NOT pg_catalog.pg_has_role('outbox_maintenance', 'outbox_owner', 'USAGE') THEN
                GRANT outbox_owner TO outbox_maintenance;
            END IF;
            EXIT;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION '% (it exists since another database of this cluster got an outbox)', SQLERRM
                    USING ERRCODE = '42501', HINT = format(
                        'As a superuser: GRANT outbox_owner, outbox_maintenance TO %I WITH ADMIN OPTION', current_user);
            WHEN internal_error OR unique_violation THEN
                IF attempt = 5 THEN
                    RAISE;
                END IF;
        END;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'outbox') THEN
        CREATE SCHEMA outbox AUTHORIZATION outbox_owner;
        REVOKE ALL ON SCHEMA outbox FROM PUBLIC;
        GRANT USAGE ON SCHEMA outbox TO outbox_maintenance, outbox_writer, outbox_relay,
                                        outbox_reader, outbox_admin, outbox_consumer;
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
