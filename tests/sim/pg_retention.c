/* Partitions of the log: outbox.rotate(), and when one may be dropped: outbox.partition_held().
 * Old enough is everything; what is open of it is kept as a copy. */
#include "sim/sim.h"

#define PARTITION 1000 /* numbers */

static void maintain(struct sim *sim, const struct moment *moment);

static void maintain_later(struct sim *sim)
{
    world_add(&sim->world, (struct moment){.at = sim->world.now + random_between(&sim->world.random, 5 * MS, 200 * MS),
                                           .run = maintain});
}

bool pg_rotate(struct sim *sim)
{
    struct pg *pg = &sim->pg;

    if (!pg->up || pg->left_below != 0)
        return false;
    pg->left_below = (pg->sequence / PARTITION + 1) * PARTITION;
    pg_sequence_set(pg, pg->left_below - 1);
    pg->fence_after = pg->ticks[pg->tick_count - 1].id.id;
    pg_statement_commit(sim);
    TELL(sim, "numbers from %lld on", (long long)pg->left_below);
    maintain_later(sim);
    return true;
}

/* The first tick after the rotation: whoever drew a number before has an id below its own. */
static const struct pg_tick *fence(const struct pg *pg)
{
    for (int i = 0; i < pg->tick_count; i++) {
        if (pg->ticks[i].id.id > pg->fence_after && pg->ticks[i].last_seq >= pg->left_below - 1)
            return &pg->ticks[i];
    }
    return NULL;
}

static bool holds(const struct sim *sim, const struct pg_lane *lane, const struct pg_tick *first)
{
    const struct tick_id *id = sim->bug == BUG_DROP_BY_TO_TICK ? &lane->position.to : &lane->position.from;
    const struct pg_tick *tick = pg_tick_find(sim, id);

    return !tick || tick->id.id < first->id.id || tick->snapshot.xmin < first->self_xid;
}

static bool is_held(const struct sim *sim)
{
    const struct pg_tick *first = fence(&sim->pg);

    for (int i = 0; first && i < sim->pg.lane_count; i++) {
        if (holds(sim, &sim->pg.lanes[i], first))
            return true;
    }
    return !first;
}

static void maintain(struct sim *sim, const struct moment *moment)
{
    struct pg *pg = &sim->pg;

    (void)moment;
    if (pg->left_below == 0) /* a restored database has not rotated yet */
        return;
    if (!pg->up || is_held(sim)) {
        maintain_later(sim);
        return;
    }
    TELL(sim, "dropped: what lies before %lld", (long long)pg->left_below);
    pg->dropped_below = pg->left_below;
    pg->left_below = 0;
    pg_statement_commit(sim);
}
