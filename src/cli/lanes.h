/* The lanes of the present map, with their lag. */
#ifndef CLI_LANES_H
#define CLI_LANES_H

#include "cli/cli.h"

/* A row per lane: map, lane, bucket_low, bucket_high, state (running, halted, paused, unowned),
 * lag_events, lag_exact, lag_seconds, from_tick, to_tick, seq, done, published,
 * acknowledged_at, halted, halted_detail, holder, epoch, expires_at, lease_left (seconds,
 * negative if it is over), started, from_nonce, to_nonce, publish, lease_live,
 * paused, pinned_to, next_lanes (of a change that is under way).  An exit code. */
int lanes_read(struct cli *cli, PGresult **ret);
extern const char lanes_sql[];

#endif
