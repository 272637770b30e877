/* The lease and the lane: sql/migrations/0005_lanes.sql and lane_acknowledge. */
#include "sim/sim.h"

struct pg_grant pg_lane_acquire(struct sim *sim, int holder, int64_t ttl)
{
    struct pg *pg = &sim->pg;
    struct pg_grant grant = {0};

    if (pg->holder >= 0 && pg->holder != holder && pg->expires_at > pg_clock(sim)) {
        grant.retry_after = pg->expires_at - pg_clock(sim);
        return grant;
    }
    pg->holder = holder;
    pg->expires_at = pg_clock(sim) + ttl;
    pg->epoch = ++pg->lease_epoch;
    grant.granted = true;
    grant.epoch = pg->epoch;
    pg_statement_commit(sim);
    return grant;
}

bool pg_lane_renew(struct sim *sim, int64_t epoch, int64_t ttl)
{
    struct pg *pg = &sim->pg;

    if (pg->lease_epoch != epoch || pg->holder < 0)
        return false;
    pg->expires_at = pg_clock(sim) + ttl;
    pg_statement_commit(sim);
    return true;
}

bool pg_lane_record(struct sim *sim, int64_t epoch, bool at_least_once)
{
    if (sim->pg.epoch != epoch)
        return false;
    sim->pg.at_least_once = at_least_once;
    pg_statement_commit(sim);
    return true;
}

void pg_lane_release(struct sim *sim, int64_t epoch)
{
    if (sim->pg.lease_epoch != epoch)
        return;
    sim->pg.holder = -1;
    sim->pg.expires_at = 0;
    pg_statement_commit(sim);
}

int pg_endpoints(const struct pg *pg)
{
    int count = 0;

    for (int i = 0; i < PG_ENDPOINTS; i++)
        count += pg->endpoints[i].enabled;
    return count;
}

static void insert_deliveries(struct sim *sim, const struct position *batch, int64_t upto)
{
    int rows[PG_ROWS];
    int count = pg_batch(sim, batch, upto, PG_ROWS, rows);

    for (int i = 0; i < count; i++) {
        if (sim->pg.rows[rows[i]].parked == PG_NOT_PARKED)
            pg_delivery_insert(sim, &sim->pg.rows[rows[i]]);
    }
}

/* outbox.lane_interval() */
static void deliver_interval(struct sim *sim, const struct position *old, const struct position *new)
{
    struct position batch = {.from = old->from, .to = new->to, .seq = old->seq};

    if (sim->bug == BUG_DOUBLED_DELIVERIES && position_same_batch(old, new))
        batch.seq = 0;
    if (old->from.id == new->from.id) {
        insert_deliveries(sim, &batch, new->seq);
        return;
    }
    batch = (struct position){.from = old->from, .to = old->to, .seq = old->seq};
    if (sim->bug != BUG_SKIPPED_DELIVERIES)
        insert_deliveries(sim, &batch, INT64_MAX);
    batch = (struct position){.from = old->to, .to = new->from};
    if (new->from.id > old->to.id && sim->bug != BUG_SKIPPED_DELIVERIES)
        insert_deliveries(sim, &batch, INT64_MAX);
    batch = (struct position){.from = new->from, .to = new->to};
    insert_deliveries(sim, &batch, new->seq);
}

static bool follows(const struct position *old, const struct position *new)
{
    bool same = new->from.id == old->from.id && new->to.id == old->to.id;

    return new->to.id >= new->from.id && (!same || new->seq >= old->seq) && (same || new->from.id >= old->to.id);
}

enum pg_acknowledged pg_lane_acknowledge(struct sim *sim, const struct lane_action *action)
{
    const struct position *old = &action->old, *position = &action->position;
    struct pg *pg = &sim->pg;
    bool condition = pg->epoch == action->epoch && pg->position.from.id == old->from.id &&
                     pg->position.to.id == old->to.id && pg->position.seq == old->seq;

    if (!follows(old, position) || !pg_tick_find(sim, &position->from) || !pg_tick_find(sim, &position->to))
        return PG_RAISED;
    if (!condition && sim->bug != BUG_NO_ACK_CONDITION)
        return PG_NOT_ACCEPTED;
    pg->position = *position;
    pg->started = true;
    pg->published += action->published;
    if (pg_endpoints(pg) > 0)
        deliver_interval(sim, old, position);
    if (action->release != 0)
        pg_released(sim, action->release);
    pg_statement_commit(sim);
    oracle_acknowledged(sim, position);
    return PG_ACCEPTED;
}
