/* outbox.tick(), statement by statement, and the batches between ticks. */
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

static void step(struct sim *sim, const struct moment *moment);

const struct pg_tick *pg_tick_by_id(const struct pg *pg, int64_t id)
{
    for (int i = pg->tick_count - 1; i >= 0; i--) {
        if (pg->ticks[i].id.id == id)
            return &pg->ticks[i];
    }
    return NULL;
}

const struct pg_tick *pg_tick_find(const struct sim *sim, const struct tick_id *id)
{
    const struct pg_tick *tick = pg_tick_by_id(&sim->pg, id->id);
    struct tick_id asked = *id;
    struct position a = {0};
    struct position b = {0};

    if (!tick)
        return NULL;
    if (sim->bug == BUG_NO_NONCE)
        return tick;
    a.from = tick->id;
    b.from = asked;
    return position_same_batch(&a, &b) ? tick : NULL;
}

bool pg_row_live(const struct pg *pg, const struct pg_row *row)
{
    return !row->undone && pg->txns[row->txn].state == PG_COMMITTED;
}

static bool late(const struct sim *sim, const struct pg_tick *a, int64_t xid)
{
    for (int i = 0; i < a->snapshot.count; i++) {
        if (a->snapshot.xip[i] == xid)
            return true;
    }
    return sim->bug != BUG_NO_SELF_XID && xid >= a->snapshot.xmax && xid < a->self_xid;
}

bool pg_batch_has(const struct sim *sim, const struct pg_tick *a, const struct pg_tick *b, const struct pg_row *row)
{
    int64_t xid = sim->pg.txns[row->txn].xid;

    if (row->seq > b->last_seq || !pg_row_live(&sim->pg, row) || !pg_snapshot_sees(&b->snapshot, xid))
        return false;
    return row->seq > a->last_seq || late(sim, a, xid);
}

bool pg_covered(const struct sim *sim, const struct position *position, const struct pg_row *row)
{
    const struct pg_tick *from = pg_tick_find(sim, &position->from);
    const struct pg_tick *to = pg_tick_find(sim, &position->to);
    int64_t xid = sim->pg.txns[row->txn].xid;

    if (!from || !to || !pg_row_live(&sim->pg, row))
        return false;
    if (row->seq <= from->last_seq && pg_snapshot_sees(&from->snapshot, xid))
        return true;
    return row->seq <= position->seq && pg_batch_has(sim, from, to, row);
}

int pg_batch(const struct sim *sim, const struct pg_interval *what, int limit, int *ret)
{
    const struct position *position = what->position;
    const struct pg_tick *a = pg_tick_find(sim, &position->from);
    const struct pg_tick *b = pg_tick_find(sim, &position->to);
    int count = 0;

    if (!a || !b)
        return -1;
    for (int i = 0; i < sim->pg.row_count && count < limit; i++) {
        const struct pg_row *row = &sim->pg.rows[i];

        if (row->seq <= position->seq || row->seq > what->upto || row->seq < sim->pg.dropped_below)
            continue;
        if (row->bucket >= what->low && row->bucket <= what->high && pg_batch_has(sim, a, b, row))
            ret[count++] = i;
    }
    return count;
}

/* outbox.tick_needed() */
static bool needed(const struct sim *sim)
{
    const struct pg *pg = &sim->pg;
    const struct pg_tick *last = &pg->ticks[pg->tick_count - 1];
    struct pg_snapshot now;

    if (pg->sequence > last->last_seq)
        return true;
    pg_snapshot_take(pg, 0, &now);
    for (int i = 0; i < pg->row_count; i++) {
        const struct pg_row *row = &pg->rows[i];
        int64_t xid = pg->txns[row->txn].xid;

        if (row->seq <= last->last_seq && pg_row_live(pg, row) && late(sim, last, xid) &&
            (xid >= last->snapshot.xmax || pg_snapshot_sees(&now, xid)))
            return true;
    }
    return false;
}

const struct pg_tick *pg_tick_newest(struct sim *sim, int64_t after)
{
    const struct pg_tick *newest = &sim->pg.ticks[sim->pg.tick_count - 1];

    if (newest->id.id <= after)
        return NULL;
    if (sim->bug != BUG_FOLLOWER_NOT_DURABLE)
        pg_statement_commit(sim);
    return newest;
}

static void next_step(struct sim *sim, int index)
{
    struct pg_ticking *ticking = &sim->pg.tickings[index];
    int64_t delay = random_between(&sim->world.random, 20, 600);

    if (ticking->pause > 0 && ticking->step == 1) {
        delay += ticking->pause;
        ticking->pause = 0;
    }
    world_add(&sim->world, (struct moment){.at = sim->world.now + delay, .run = step, .relay = index,
                                           .life = ticking->boot, .number = ticking->step});
}

static void answer(struct sim *sim, struct pg_ticking *ticking, bool made, bool failed)
{
    struct call *call = ticking->call;

    if (!call)
        return;
    call->answer.kind = failed ? LANE_EVENT_DB_FAILED : LANE_EVENT_TICK;
    call->answer.found = made;
    call->answer.tick = ticking->tick.id;
    if (!call->answer_lost)
        world_add(&sim->world, (struct moment){.at = sim->world.now + world_latency(&sim->world),
                                               .run = relay_tick_answer, .data = call});
}

static void unlock(struct sim *sim)
{
    struct pg *pg = &sim->pg;

    pg->tick_lock = -1;
    for (int i = 0; i < PG_TICKINGS; i++) {
        if (pg->tickings[i].open && pg->tickings[i].waits) {
            pg->tickings[i].waits = false;
            pg->tick_lock = i;
            next_step(sim, i);
            return;
        }
    }
}

static void end(struct sim *sim, int index, bool made, bool failed)
{
    struct pg_ticking *ticking = &sim->pg.tickings[index];

    answer(sim, ticking, made, failed);
    for (int i = 0; ticking->tells && i < sim->relay_count; i++)
        relay_follow_notify(sim, &sim->relays[i]);
    if (ticking->tick.self_xid != 0)
        pg_complete(&sim->pg, ticking->tick.self_xid);
    ticking->open = false;
    if (sim->pg.tick_lock == index)
        unlock(sim);
}

static void publish_row(struct sim *sim, const struct pg_tick *tick)
{
    struct pg *pg = &sim->pg;

    if (pg->tick_count >= PG_TICKS) {
        fprintf(stderr, "sim-run: too many ticks: enlarge it in tests/sim/pg.h\n");
        abort();
    }
    pg->ticks[pg->tick_count++] = *tick;
    TELL(sim, "tick %lld: xmax %lld, self %lld, last_seq %lld, %d running", (long long)tick->id.id,
         (long long)tick->snapshot.xmax, (long long)tick->self_xid, (long long)tick->last_seq, tick->snapshot.count);
}

/* The guard at the end of outbox.tick().  A lane publishes from one tick of its own to the next,
 * which are in order even when those of several sessions are not, so it is the guard by which a
 * snapshot that is older than its predecessor's is seen. */
static bool lies_behind(struct sim *sim, const struct pg_tick *made)
{
    const struct pg_tick *previous = &sim->pg.ticks[sim->pg.tick_count - 1];

    return previous->last_seq > made->last_seq || previous->snapshot.xmin > made->snapshot.xmin ||
           previous->snapshot.xmax > made->snapshot.xmax;
}

static void insert(struct sim *sim, int index)
{
    struct pg_ticking *ticking = &sim->pg.tickings[index];
    struct pg_tick *tick = &ticking->tick;
    uint64_t nonce = random_next(&sim->world.random);

    if (sim->bug != BUG_LOCK_WITH_SNAPSHOT)
        pg_snapshot_take(&sim->pg, tick->self_xid, &tick->snapshot);
    tick->id.id = ++sim->pg.tick_sequence;
    for (int i = 0; i < 8; i++)
        tick->id.nonce[i] = (uint8_t)(nonce >> (8 * i));
    ticking->inserted = true;
    sim->pg.lsn++;
    if (lies_behind(sim, tick)) {
        oracle_fail(sim, "tick %lld lies behind its predecessor", (long long)tick->id.id);
        end(sim, index, false, true);
        return;
    }
    if (ticking->fails) {
        end(sim, index, false, true);
        return;
    }
    tick->lsn = ++sim->pg.lsn;
    if (ticking->unreplicated) { /* visible, and its client is warned */
        publish_row(sim, tick);
        end(sim, index, false, true);
        return;
    }
    if (sim->bug == BUG_NOT_DURABLE) {
        publish_row(sim, tick);
        end(sim, index, true, false);
        return;
    }
    next_step(sim, index);
}

/* With the lock: what stands in the way of a tick, and a change of the lane map. */
static bool instead(struct sim *sim, int index)
{
    struct pg_ticking *ticking = &sim->pg.tickings[index];
    const struct pg_tick *newest;

    if (ticking->lanes > 0) {
        pg_lane_set(sim, ticking->lanes, ticking->patience);
        end(sim, index, false, false);
        return true;
    }
    if (!pg_map_changes(sim))
        return false;
    newest = pg_tick_newest(sim, ticking->forced ? 0 : ticking->known);
    if (newest)
        ticking->tick.id = newest->id;
    end(sim, index, newest != NULL, false);
    return true;
}

static void step(struct sim *sim, const struct moment *moment)
{
    int index = moment->relay;
    struct pg_ticking *ticking = &sim->pg.tickings[index];

    if (!ticking->open || ticking->boot != moment->life || ticking->boot != sim->pg.boot ||
        ticking->step != moment->number)
        return;
    switch (++ticking->step) {
    case 1: /* the lock; whether it is this one's already is known from the queue */
        if (sim->bug == BUG_LOCK_WITH_SNAPSHOT)
            pg_snapshot_take(&sim->pg, 0, &ticking->tick.snapshot);
        if (sim->pg.tick_lock >= 0) {
            ticking->waits = true;
            return;
        }
        sim->pg.tick_lock = index;
        break;
    case 2:
        if (instead(sim, index))
            return;
        ticking->tick.last_seq = sim->pg.sequence;
        break;
    case 3:
        ticking->tick.self_xid = pg_xid(sim);
        break;
    case 4:
        insert(sim, index);
        return;
    default:
        pg_flush(&sim->pg, ticking->tick.lsn);
        publish_row(sim, &ticking->tick);
        end(sim, index, true, false);
        return;
    }
    next_step(sim, index);
}

void pg_tick_begin(struct sim *sim, struct pg_ticking ticking, int64_t last)
{
    struct pg *pg = &sim->pg;
    bool newer = pg->ticks[pg->tick_count - 1].id.id > last;
    int index = 0;

    ticking.boot = pg->boot;
    ticking.known = last;
    if (ticking.lanes == 0 && !ticking.forced && !newer && !needed(sim)) {
        answer(sim, &ticking, false, false);
        return;
    }
    while (index < PG_TICKINGS && pg->tickings[index].open)
        index++;
    if (index == PG_TICKINGS) { /* no connection left: it is refused */
        answer(sim, &ticking, false, true);
        return;
    }
    ticking.open = true;
    pg->tickings[index] = ticking;
    next_step(sim, index);
}

/* A tick whose commit was flushed, and whose session had no time to show it. */
void pg_ticks_after_crash(struct sim *sim, const struct pg_ticking *open, int count)
{
    for (int i = 0; i < count; i++) {
        const struct pg_tick *tick = &open[i].tick;

        if (!open[i].open || open[i].step != 4 || tick->lsn == 0 || tick->lsn > sim->pg.flushed)
            continue;
        publish_row(sim, tick);
        if (tick->self_xid > sim->pg.flushed_xid)
            sim->pg.flushed_xid = tick->self_xid;
    }
}
