#include "source/outlook.h"

#include <stdio.h>

/* What a lane has still to publish: the rest of its batch, and all that is committed since,
 * up to this statement's own snapshot.  A transaction that stayed open long is not the
 * relay's delay: the lag is no more than the age of the tick up to which all is published. */
static const char sql_lanes[] =
    "SELECT n.lane,"
    "       CASE WHEN lag.events < 1000 THEN lag.events"
    "            ELSE greatest(lag.events, s.last_value - least(a.last_seq, n.seq)) END,"
    "       CASE WHEN lag.events = 0 THEN 0 ELSE round(1000000 * extract(epoch FROM greatest('0', least("
    "            clock_timestamp() - lag.oldest, clock_timestamp() - CASE WHEN n.done THEN b.at ELSE a.at END"
    "       ))))::bigint END,"
    "       n.published, n.to_tick, n.seq, coalesce(n.halted, '')"
    "  FROM outbox.meta m"
    "  JOIN outbox.lane n ON n.map = m.lane_map"
    " CROSS JOIN outbox.event_seq s"
    "  LEFT JOIN outbox.tick a ON a.id = n.from_tick AND a.nonce = n.from_nonce"
    "  LEFT JOIN outbox.tick b ON b.id = n.to_tick AND b.nonce = n.to_nonce"
    " CROSS JOIN LATERAL ("
    "       SELECT count(*) AS events, min(e.occurred_at) AS oldest FROM ("
    "           SELECT r.occurred_at FROM outbox.batch_rows("
    "               ARRAY(SELECT pg_catalog.pg_snapshot_xip(a.snapshot)), pg_catalog.pg_snapshot_xmax(a.snapshot),"
    "               a.self_xid, a.last_seq, b.snapshot, b.last_seq, n.seq, 9223372036854775807, n.bucket_low,"
    "               n.bucket_high, CASE WHEN n.done THEN 0 ELSE 1000 END) AS r"
    "           UNION ALL"
    "           SELECT r.occurred_at FROM outbox.batch_rows("
    "               ARRAY(SELECT pg_catalog.pg_snapshot_xip(b.snapshot)), pg_catalog.pg_snapshot_xmax(b.snapshot),"
    "               b.self_xid, b.last_seq, pg_catalog.pg_current_snapshot(), 9223372036854775807, 0,"
    "               9223372036854775807, n.bucket_low, n.bucket_high, 1000) AS r) AS e) AS lag"
    " WHERE n.lane < $1 ORDER BY n.lane";

/* By indexes that hold nothing but what is counted. */
static const char sql_rest[] =
    "SELECT (SELECT count(*) FROM outbox.event_partition p, outbox.event_seq s"
    "         WHERE p.low > s.last_value AND p.state = 'attached'),"
    "       o.due, o.later, h.unknown, h.parked, h.dead,"
    "       (SELECT coalesce(round(1000000 * extract(epoch FROM clock_timestamp() - min(p.rotated_at))), 0)::bigint"
    "          FROM outbox.event_partition p), k.count,"
    "       round(1000000 * extract(epoch FROM clock_timestamp() - k.oldest))::bigint"
    "  FROM (SELECT count(*) FILTER (WHERE d.next_at <= now()) AS due,"
    "               count(*) FILTER (WHERE d.next_at > now()) AS later"
    "          FROM (SELECT next_at FROM outbox.delivery WHERE state IN ('pending', 'failed') LIMIT 50000) AS d) AS o,"
    "       (SELECT (SELECT count(*) FROM (SELECT FROM outbox.delivery WHERE state = 'unknown' LIMIT 50000) AS d)"
    "                   AS unknown,"
    "               (SELECT count(*) FROM (SELECT FROM outbox.delivery WHERE state = 'parked' LIMIT 50000) AS d)"
    "                   AS parked,"
    "               (SELECT count(*) FROM (SELECT FROM outbox.delivery WHERE state = 'dead' LIMIT 50000) AS d)"
    "                   AS dead) AS h,"
    "       (SELECT count(*), coalesce(min(p.parked_at), clock_timestamp()) AS oldest"
    "          FROM (SELECT parked_at FROM outbox.parked_event WHERE released_at IS NULL LIMIT 50000) AS p) AS k";

static int read_lanes(struct pg *pg, mono_us deadline, struct outlook *ret, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *result = NULL;
    int status;

    pg_arg_int(&args, OUTLOOK_LANES);
    status = pg_exec(pg, sql_lanes, &args, 0, deadline, &result, reterr);
    if (status < 0)
        return status;
    ret->lane_count = PQntuples(result) < OUTLOOK_LANES ? PQntuples(result) : OUTLOOK_LANES;
    for (int row = 0; row < ret->lane_count; row++) {
        struct outlook_lane *lane = &ret->lanes[row];

        lane->lane = (int)pg_get_int(result, row, 0);
        lane->events = pg_get_int(result, row, 1);
        lane->age = pg_get_int(result, row, 2);
        lane->published = pg_get_int(result, row, 3);
        lane->to_tick = pg_get_int(result, row, 4);
        lane->seq = pg_get_int(result, row, 5);
        snprintf(lane->halt, sizeof(lane->halt), "%s", PQgetvalue(result, row, 6));
    }
    PQclear(result);
    return OUTBOX_OK;
}

static int read_rest(struct pg *pg, mono_us deadline, struct outlook *ret, outbox_error **reterr)
{
    PGresult *result = NULL;
    int status = pg_exec(pg, sql_rest, NULL, 0, deadline, &result, reterr);

    if (status < 0)
        return status;
    ret->partitions_ahead = (int)pg_get_int(result, 0, 0);
    ret->due = pg_get_int(result, 0, 1);
    ret->later = pg_get_int(result, 0, 2);
    ret->unknown = pg_get_int(result, 0, 3);
    ret->parked = pg_get_int(result, 0, 4);
    ret->dead = pg_get_int(result, 0, 5);
    ret->oldest_partition = pg_get_int(result, 0, 6);
    ret->parked_events = pg_get_int(result, 0, 7);
    ret->parked_age = pg_get_int(result, 0, 8);
    PQclear(result);
    return OUTBOX_OK;
}

int outlook_read(struct pg *pg, mono_us deadline, struct outlook *ret, outbox_error **reterr)
{
    int status = read_lanes(pg, deadline, ret, reterr);

    return status < 0 ? status : read_rest(pg, deadline, ret, reterr);
}
