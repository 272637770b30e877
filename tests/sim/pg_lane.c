/* Leases and lanes: sql/migrations/0005_lanes.sql and lane_acknowledge. */
#include "sim/sim.h"

struct pg_lane *pg_lane_find(struct pg *pg, int map, int lane)
{
    return map == pg->map && lane < pg->lane_count ? &pg->lanes[lane] : NULL;
}

struct pg_lane *pg_lane_owned(struct pg *pg, const struct owner *owner)
{
    struct pg_lane *lane = pg_lane_find(pg, owner->map, owner->lane);

    return lane && lane->epoch == owner->epoch ? lane : NULL;
}

bool pg_lane_has(const struct pg_lane *lane, const struct pg_row *row)
{
    return row->bucket >= lane->low && row->bucket <= lane->high;
}

struct pg_grant pg_lane_acquire(struct sim *sim, const struct owner *owner, int holder, int64_t ttl)
{
    struct pg_lane *lane = pg_lane_find(&sim->pg, owner->map, owner->lane);
    struct pg_grant grant = {.raised = !lane};

    if (!lane)
        return grant;
    if (lane->holder >= 0 && lane->holder != holder && lane->expires_at > pg_clock(sim)) {
        grant.retry_after = lane->expires_at - pg_clock(sim);
        return grant;
    }
    lane->holder = holder;
    lane->expires_at = pg_clock(sim) + ttl;
    lane->epoch = ++lane->lease_epoch;
    lane->halted = false;
    grant.granted = true;
    grant.epoch = lane->epoch;
    pg_statement_commit(sim);
    return grant;
}

static struct pg_lane *leased(struct pg *pg, const struct owner *owner)
{
    struct pg_lane *lane = pg_lane_find(pg, owner->map, owner->lane);

    return lane && lane->lease_epoch == owner->epoch ? lane : NULL;
}

bool pg_lane_renew(struct sim *sim, const struct owner *owner, int64_t ttl)
{
    struct pg_lane *lane = leased(&sim->pg, owner);

    if (!lane || lane->holder < 0)
        return false;
    lane->expires_at = pg_clock(sim) + ttl;
    pg_statement_commit(sim);
    return true;
}

bool pg_lane_record(struct sim *sim, const struct owner *owner, bool at_least_once)
{
    struct pg_lane *lane = pg_lane_owned(&sim->pg, owner);

    if (!lane)
        return false;
    lane->at_least_once = at_least_once;
    pg_statement_commit(sim);
    return true;
}

void pg_lane_release(struct sim *sim, const struct owner *owner, bool fenced)
{
    struct pg_lane *lane = leased(&sim->pg, owner);

    if (!lane)
        return;
    lane->holder = -1;
    lane->expires_at = 0;
    if (fenced || lane->ended_epoch == owner->epoch - 1)
        lane->ended_epoch = owner->epoch;
    pg_statement_commit(sim);
    relays_poke(sim);
}

void pg_lane_halt(struct sim *sim, const struct owner *owner)
{
    struct pg_lane *lane = pg_lane_owned(&sim->pg, owner);

    if (!lane)
        return;
    lane->halted = true;
    lane->halted_at = pg_clock(sim);
    pg_statement_commit(sim);
}

int pg_endpoints(const struct pg *pg)
{
    int count = 0;

    for (int i = 0; i < PG_ENDPOINTS; i++)
        count += pg->endpoints[i].enabled;
    return count;
}

static void insert_deliveries(struct sim *sim, const struct pg_lane *lane, const struct position *batch, int64_t upto)
{
    const struct pg_interval interval = {batch, upto, lane->low, lane->high};
    int rows[PG_ROWS];
    int count = pg_batch(sim, &interval, PG_ROWS, rows);

    for (int i = 0; i < count; i++) {
        if (sim->pg.rows[rows[i]].parked == PG_NOT_PARKED)
            pg_delivery_insert(sim, &sim->pg.rows[rows[i]]);
    }
}

/* outbox.lane_interval() */
static void deliver_interval(struct sim *sim, const struct pg_lane *lane, const struct position *old,
                             const struct position *new)
{
    struct position batch = {.from = old->from, .to = new->to, .seq = old->seq};

    if (sim->bug == BUG_DOUBLED_DELIVERIES && position_same_batch(old, new))
        batch.seq = 0;
    if (old->from.id == new->from.id) {
        insert_deliveries(sim, lane, &batch, new->seq);
        return;
    }
    batch = (struct position){.from = old->from, .to = old->to, .seq = old->seq};
    if (sim->bug != BUG_SKIPPED_DELIVERIES)
        insert_deliveries(sim, lane, &batch, INT64_MAX);
    batch = (struct position){.from = old->to, .to = new->from};
    if (new->from.id > old->to.id && sim->bug != BUG_SKIPPED_DELIVERIES)
        insert_deliveries(sim, lane, &batch, INT64_MAX);
    batch = (struct position){.from = new->from, .to = new->to};
    insert_deliveries(sim, lane, &batch, new->seq);
}

static bool follows(const struct position *old, const struct position *new)
{
    bool same = new->from.id == old->from.id && new->to.id == old->to.id;

    return new->to.id >= new->from.id && (!same || new->seq >= old->seq) && (same || new->from.id >= old->to.id);
}

/* For a planted bug: the lane, whatever epoch. */
static struct pg_lane *lane_of(struct sim *sim, const struct owner *owner, const struct position *old)
{
    struct pg_lane *lane = pg_lane_find(&sim->pg, owner->map, owner->lane);

    if (!lane || sim->bug == BUG_NO_ACK_CONDITION)
        return lane;
    return lane->epoch == owner->epoch && lane->position.from.id == old->from.id &&
           lane->position.to.id == old->to.id && lane->position.seq == old->seq ? lane : NULL;
}

enum pg_acknowledged pg_lane_acknowledge(struct sim *sim, const struct owner *owner, const struct lane_action *action)
{
    const struct position *old = &action->old, *position = &action->position;
    struct pg_lane *lane = lane_of(sim, owner, old);

    if (!follows(old, position) || !pg_tick_find(sim, &position->from) || !pg_tick_find(sim, &position->to))
        return PG_RAISED;
    if (!lane)
        return PG_NOT_ACCEPTED;
    lane->position = *position;
    lane->started = true;
    lane->published += action->published;
    if (pg_endpoints(&sim->pg) > 0)
        deliver_interval(sim, lane, old, position);
    if (action->release != 0)
        pg_released(sim, action->release);
    pg_statement_commit(sim);
    oracle_acknowledged(sim, owner->lane, position);
    return PG_ACCEPTED;
}
