#include "cli/lanes.h"

#define COUNT_MAX "100000" /* events are counted up to here, beyond they are estimated */

/* What a lane has still to publish: the rest of its batch, and all that is committed
 * since (the same parts as a batch's, up to this statement's own snapshot).  Its lag in
 * seconds is the age of the oldest of them, but no more than the age of the tick up to
 * which all is published: a transaction that stayed open long is not the relay's delay. */
const char lanes_sql[] =
    "SELECT n.map, n.lane, n.bucket_low, n.bucket_high,"
    "       CASE WHEN n.halted IS NOT NULL THEN 'halted'"
    "            WHEN l.holder IS NOT NULL AND l.expires_at > clock_timestamp() THEN 'running'"
    "            WHEN n.paused THEN 'paused'"
    "            ELSE 'unowned' END AS state,"
    "       CASE WHEN lag.events < " COUNT_MAX " THEN lag.events"
    "            ELSE greatest(lag.events, s.last_value - least(a.last_seq, n.seq)) END AS lag_events,"
    "       lag.events < " COUNT_MAX " AS lag_exact,"
    "       CASE WHEN lag.events = 0 THEN 0 ELSE round(extract(epoch FROM greatest('0', least("
    "            clock_timestamp() - lag.oldest, clock_timestamp() - CASE WHEN n.done THEN b.at ELSE a.at END"
    "       )))::numeric, 3) END AS lag_seconds,"
    "       n.from_tick, n.to_tick, n.seq, n.done, n.published, n.acknowledged_at, n.halted, n.halted_detail,"
    "       l.holder, l.epoch, l.expires_at,"
    "       CASE WHEN l.holder IS NOT NULL THEN"
    "            round(extract(epoch FROM l.expires_at - clock_timestamp())::numeric, 1) END AS lease_left,"
    "       n.started, n.from_nonce, n.to_nonce, n.publish,"
    "       coalesce(l.holder IS NOT NULL AND l.expires_at > clock_timestamp(), false) AS lease_live,"
    "       n.paused, n.pinned_to,"
    "       (SELECT c.lanes FROM outbox.lane_change c WHERE c.expires_at > clock_timestamp()) AS next_lanes"
    "  FROM outbox.meta m"
    "  JOIN outbox.lane n ON n.map = m.lane_map"
    " CROSS JOIN outbox.event_seq s"
    "  LEFT JOIN outbox.lease l ON l.name = format('lane/%s/%s', n.map, n.lane)"
    "  LEFT JOIN outbox.tick a ON a.id = n.from_tick AND a.nonce = n.from_nonce"
    "  LEFT JOIN outbox.tick b ON b.id = n.to_tick AND b.nonce = n.to_nonce"
    " CROSS JOIN LATERAL ("
    "       SELECT count(*) AS events, min(e.occurred_at) AS oldest FROM ("
    "           SELECT r.occurred_at FROM outbox.batch_rows("
    "               ARRAY(SELECT pg_snapshot_xip(a.snapshot)), pg_snapshot_xmax(a.snapshot), a.self_xid, "
    "a.last_seq,"
    "               b.snapshot, b.last_seq, n.seq, 9223372036854775807, n.bucket_low, n.bucket_high,"
    "               CASE WHEN n.done THEN 0 ELSE " COUNT_MAX " END) AS r"
    "           UNION ALL"
    "           SELECT r.occurred_at FROM outbox.batch_rows("
    "               ARRAY(SELECT pg_snapshot_xip(b.snapshot)), pg_snapshot_xmax(b.snapshot), b.self_xid, "
    "b.last_seq,"
    "               pg_current_snapshot(), 9223372036854775807, 0, 9223372036854775807, n.bucket_low,"
    "               n.bucket_high, " COUNT_MAX ") AS r) AS e) AS lag"
    " ORDER BY n.lane";

int lanes_read(struct cli *cli, PGresult **ret)
{
    return cli_query(cli, lanes_sql, NULL, ret);
}
