/* What is parked: lane_park(), lane_park_behind(), lane_take_release() of
 * sql/migrations/0005_lanes.sql, all of one topic; and the operator. */
#include "sim/sim.h"

bool pg_is_parked(const struct pg_row *row)
{
    return row->parked == PG_HELD || row->parked == PG_BEHIND || row->parked == PG_RETRY;
}

static bool is_before(const struct pg_row *a, int64_t tick, int64_t seq)
{
    return a->tick < tick || (a->tick == tick && a->seq < seq);
}

static struct pg_row *row_of(struct pg *pg, int event)
{
    for (int i = 0; i < pg->row_count; i++) {
        if (pg->rows[i].event == event)
            return &pg->rows[i];
    }
    return NULL;
}

bool pg_park(struct sim *sim, const struct owner *owner, int64_t tick, const int *events, int count)
{
    if (!pg_lane_owned(&sim->pg, owner))
        return false;
    for (int i = 0; i < count; i++) {
        struct pg_row *row = row_of(&sim->pg, events[i]);

        if (!row || (row->parked != PG_NOT_PARKED && !pg_is_parked(row)))
            continue;
        TELL(sim, "parked: event %d", row->event);
        if (row->parked == PG_NOT_PARKED) {
            row->tick = tick;
            row->map = owner->map;
        }
        row->parked = PG_HELD;
        row->release = 0;
    }
    pg_statement_commit(sim);
    return true;
}

/* Does an earlier one of its key wait? */
static bool waits(const struct sim *sim, const struct pg_row *row, int64_t tick, bool held)
{
    for (int i = 0; i < sim->pg.row_count && row->key >= 0; i++) {
        const struct pg_row *other = &sim->pg.rows[i];

        if (other->key == row->key && pg_is_parked(other) && (!held || other->parked == PG_HELD) &&
            is_before(other, tick, row->seq))
            return true;
    }
    return false;
}

bool pg_park_behind(struct sim *sim, const struct owner *owner, int64_t tick, const int *rows, int count)
{
    if (!pg_lane_owned(&sim->pg, owner))
        return false;
    for (int i = 0; i < count; i++) {
        struct pg_row *row = &sim->pg.rows[rows[i]];

        if (pg_is_parked(row) && sim->bug != BUG_PARKED_STAYS)
            row->tick = tick;
    }
    for (int i = 0; i < count; i++) {
        struct pg_row *row = &sim->pg.rows[rows[i]];

        if (row->parked != PG_NOT_PARKED || !waits(sim, row, tick, false) || sim->bug == BUG_NOT_BEHIND)
            continue;
        TELL(sim, "parked behind: event %d", row->event);
        row->parked = PG_BEHIND;
        row->tick = tick;
        row->map = owner->map;
    }
    pg_statement_commit(sim);
    return true;
}

static bool has_passed(const struct sim *sim, const struct pg_lane *lane, const struct pg_row *row)
{
    const struct position *position = &lane->position;
    int64_t from = position->from.id;

    if (row->tick < from || sim->bug == BUG_RELEASE_AHEAD)
        return true;
    return row->tick == from && position->to.id > from && (position->done || row->seq <= position->seq);
}

/* The first that may go on and comes after this one. */
static int next_free(const struct sim *sim, const struct pg_lane *lane, int after)
{
    int found = -1;

    for (int i = 0; i < sim->pg.row_count; i++) {
        const struct pg_row *row = &sim->pg.rows[i];

        if ((row->parked != PG_BEHIND && row->parked != PG_RETRY) || !pg_lane_has(lane, row) ||
            row->map != sim->pg.map || !has_passed(sim, lane, row) || waits(sim, row, row->tick, true))
            continue;
        if (after >= 0 && !is_before(&sim->pg.rows[after], row->tick, row->seq))
            continue;
        if (found < 0 || is_before(row, sim->pg.rows[found].tick, sim->pg.rows[found].seq))
            found = i;
    }
    return found;
}

int pg_take_release(struct sim *sim, const struct owner *owner, int limit, int *ret, int64_t *ret_release)
{
    struct pg *pg = &sim->pg;
    const struct pg_lane *lane = pg_lane_owned(pg, owner);
    int count = 0;

    if (!lane)
        return -1;
    for (int i = 0; i < pg->row_count; i++) {
        if (pg_lane_has(lane, &pg->rows[i]) && pg_is_parked(&pg->rows[i]))
            pg->rows[i].release = 0;
    }
    for (int row = next_free(sim, lane, -1); row >= 0 && count < limit; row = next_free(sim, lane, row))
        ret[count++] = row;
    if (count > 0)
        *ret_release = ++pg->last_release;
    for (int i = 0; i < count; i++)
        pg->rows[ret[i]].release = pg->last_release;
    pg_statement_commit(sim);
    return count;
}

void pg_released(struct sim *sim, int64_t release)
{
    for (int i = 0; i < sim->pg.row_count; i++) {
        struct pg_row *row = &sim->pg.rows[i];

        if (row->release != release || !pg_is_parked(row))
            continue;
        row->parked = PG_RELEASED;
        if (pg_endpoints(&sim->pg) > 0)
            pg_delivery_insert(sim, row);
        oracle_released(sim, row);
    }
}

/* Looks at what is parked from time to time; once there are no more faults, with a decision. */
static void operate(struct sim *sim, const struct moment *moment)
{
    (void)moment;
    for (int i = 0; sim->pg.up && i < sim->pg.row_count; i++) {
        struct pg_row *row = &sim->pg.rows[i];
        uint64_t dice = random_below(&sim->world.random, sim->healed ? 3 : 6);

        if (row->parked != PG_HELD || row->release != 0 || dice >= 4)
            continue;
        if (dice == 0) {
            row->parked = PG_DISCARDED;
            oracle_discarded(sim, row);
        } else {
            if (dice < 3) /* the limit is raised */
                sim->nature[row->event] = NATURE_GOOD;
            row->parked = PG_RETRY;
        }
    }
    if (sim->pg.up)
        pg_statement_commit(sim);
    pg_operate_later(sim);
}

void pg_operate_later(struct sim *sim)
{
    world_add(&sim->world, (struct moment){.at = sim->world.now + random_between(&sim->world.random, 50 * MS, 3 * SEC),
                                           .run = operate});
}
