-- What identifies this outbox, who did what to it, and the pieces shared by the
-- later migrations.

-- One row.  A marker in Kafka names born_on and incarnation; whatever does not match is
-- another outbox.  system_identifier, timeline, database and address are the place where
-- the outbox was enabled: a relay that finds itself elsewhere is on a clone, a restore or
-- a promoted standby, and stays silent.  See docs/design.md, "Incarnation".
CREATE TABLE outbox.meta (
    only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    system_identifier bigint NOT NULL,
    born_on           bigint NOT NULL,              -- the system_identifier when the incarnation began
    incarnation       uuid NOT NULL DEFAULT gen_random_uuid(),
    timeline          integer,                      -- null, as is database: not until the first relay comes
    database          oid,
    lane_map          integer NOT NULL DEFAULT 1,
    enabled_addresses text[] NOT NULL DEFAULT '{}',
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO outbox.meta (system_identifier, born_on)
SELECT c.system_identifier, c.system_identifier FROM pg_control_system() AS c;

-- The incarnations that were: their transactional ids may have to be fenced.
CREATE TABLE outbox.former_incarnation (
    incarnation uuid PRIMARY KEY,
    born_on     bigint NOT NULL,
    ended_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Every change of state made by an operator: who, when, what, why.
CREATE TABLE outbox.audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    who     text NOT NULL DEFAULT session_user,
    action  text NOT NULL,
    subject text NOT NULL,
    reason  text,
    detail  jsonb
);

-- Advisory locks live in one two-key class, ASCII "obox"; the second key is the job.
-- 1 migrate, 2 partitions, 3 tick, 4 doorbell, 5 endpoints, 6 maintenance.
CREATE FUNCTION outbox.lock_class() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 1868721016';

-- 'order.*' -> 'order.%': patterns are matched with LIKE wherever SQL matches them.
CREATE FUNCTION outbox.pattern_to_like(pattern text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%') $$;

CREATE FUNCTION outbox.patterns_to_like(patterns text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT array_agg(outbox.pattern_to_like(p) ORDER BY o) FROM unnest(patterns) WITH ORDINALITY AS u(p, o) $$;
