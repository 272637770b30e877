/* Transactions, snapshots, the sequence, the WAL and crashes. */
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEQUENCE_AHEAD 32 /* numbers that one WAL record covers */

static void give_up(const char *what)
{
    fprintf(stderr, "sim-run: %s: enlarge it in tests/sim/pg.h\n", what);
    abort();
}

void pg_init(struct sim *sim)
{
    struct pg *pg = &sim->pg;
    struct pg_tick *first = &pg->ticks[0];

    pg->up = true;
    pg->next_xid = 101;
    pg->latest_completed = 100;
    pg->flushed_xid = 100;
    pg->tick_sequence = 1;
    pg->tick_lock = -1;
    pg->bell_relay = -1;
    pg->ticker = -1;
    pg->incarnation = 1;
    first->id.id = 1;
    first->id.nonce[0] = 1;
    first->self_xid = 100;
    first->snapshot = (struct pg_snapshot){.xmin = 101, .xmax = 101};
    pg->tick_count = 1;
    pg->map = 1;
    pg->lane_count = 1;
    pg->lanes[0] = (struct pg_lane){.high = PG_BUCKETS - 1, .holder = -1, .pinned = -1,
                                    .position = {.from = first->id, .to = first->id, .done = true}};
}

int64_t pg_clock(const struct sim *sim)
{
    return sim->world.now + sim->pg.clock_offset;
}

int64_t pg_xid(struct sim *sim)
{
    struct pg *pg = &sim->pg;

    if (pg->running_count >= PG_RUNNING)
        give_up("too many running transactions");
    pg->running[pg->running_count++] = pg->next_xid;
    return pg->next_xid++;
}

void pg_complete(struct pg *pg, int64_t xid)
{
    for (int i = 0; i < pg->running_count; i++) {
        if (pg->running[i] == xid) {
            pg->running[i] = pg->running[--pg->running_count];
            break;
        }
    }
    if (xid > pg->latest_completed)
        pg->latest_completed = xid;
}

void pg_statement_commit(struct sim *sim)
{
    int64_t xid = pg_xid(sim);

    pg_flush(&sim->pg, ++sim->pg.lsn);
    if (xid > sim->pg.flushed_xid)
        sim->pg.flushed_xid = xid;
    pg_complete(&sim->pg, xid);
}

static void log_sequence(struct pg *pg, int64_t value)
{
    if (pg->sequence_logs >= PG_SEQUENCE_LOG)
        give_up("too many records of the sequence");
    pg->sequence_logged = value;
    pg->sequence_log[pg->sequence_logs].value = value;
    pg->sequence_log[pg->sequence_logs++].lsn = ++pg->lsn;
}

int64_t pg_nextval(struct pg *pg)
{
    if (pg->sequence >= pg->sequence_logged)
        log_sequence(pg, pg->sequence + SEQUENCE_AHEAD);
    return ++pg->sequence;
}

void pg_sequence_set(struct pg *pg, int64_t value)
{
    pg->sequence = value;
    log_sequence(pg, value);
}

/* xmax is one more than the newest completed: what runs may have a higher id, and is not in
 * xip then. */
void pg_snapshot_take(const struct pg *pg, int64_t own, struct pg_snapshot *ret)
{
    ret->xmax = pg->latest_completed + 1;
    ret->xmin = ret->xmax;
    ret->count = 0;
    for (int i = 0; i < pg->running_count; i++) {
        int64_t xid = pg->running[i];

        if (xid == own || xid >= ret->xmax)
            continue;
        ret->xip[ret->count++] = xid;
        if (xid < ret->xmin)
            ret->xmin = xid;
    }
}

bool pg_snapshot_sees(const struct pg_snapshot *snapshot, int64_t xid)
{
    if (xid < snapshot->xmin)
        return true;
    if (xid >= snapshot->xmax)
        return false;
    for (int i = 0; i < snapshot->count; i++) {
        if (snapshot->xip[i] == xid)
            return false;
    }
    return true;
}

/* The WAL is sequential: what comes before is flushed with it. */
void pg_flush(struct pg *pg, int64_t lsn)
{
    if (lsn > pg->flushed)
        pg->flushed = lsn;
}

static void recover_txns(struct pg *pg)
{
    for (int i = 0; i < pg->txn_count; i++) {
        struct pg_txn *txn = &pg->txns[i];

        if (txn->boot != pg->boot)
            continue;
        if (txn->state == PG_RUNS)
            txn->state = PG_ABORTED;
        else if (txn->state == PG_COMMITTED && txn->lsn > pg->flushed)
            txn->state = PG_LOST;
        else if (txn->state == PG_COMMITTING)
            txn->state = txn->lsn <= pg->flushed ? PG_COMMITTED : PG_LOST;
        if (txn->state == PG_COMMITTED && txn->commit_no == 0)
            txn->commit_no = ++pg->commits;
        if (txn->state == PG_COMMITTED && txn->xid > pg->flushed_xid)
            pg->flushed_xid = txn->xid;
    }
}

/* Ids and numbers of which no flushed record tells are given out again. */
static void recover_counters(struct pg *pg)
{
    for (int i = 0; i < pg->row_count; i++) {
        const struct pg_row *row = &pg->rows[i];

        if (pg->txns[row->txn].boot == pg->boot && row->lsn <= pg->flushed &&
            pg->txns[row->txn].xid > pg->flushed_xid)
            pg->flushed_xid = pg->txns[row->txn].xid;
    }
    pg->next_xid = pg->flushed_xid + 1;
    pg->latest_completed = pg->flushed_xid;
    pg->running_count = 0;
    while (pg->sequence_logs > 0 && pg->sequence_log[pg->sequence_logs - 1].lsn > pg->flushed)
        pg->sequence_logs--;
    pg->sequence = pg->sequence_logs > 0 ? pg->sequence_log[pg->sequence_logs - 1].value : 0;
    pg->sequence_logged = pg->sequence;
    pg->lsn = pg->flushed;
}

void pg_crash(struct sim *sim)
{
    struct pg *pg = &sim->pg;
    struct pg_ticking open[PG_TICKINGS];

    memcpy(open, pg->tickings, sizeof(open));
    memset(pg->tickings, 0, sizeof(pg->tickings));
    while (pg->tick_count > 1 && pg->ticks[pg->tick_count - 1].lsn > pg->flushed) {
        TELL(sim, "tick %lld is lost", (long long)pg->ticks[pg->tick_count - 1].id.id);
        pg->tick_count--;
    }
    for (int i = 0; i < pg->tick_count; i++) {
        if (pg->ticks[i].self_xid > pg->flushed_xid)
            pg->flushed_xid = pg->ticks[i].self_xid;
    }
    pg_ticks_after_crash(sim, open, PG_TICKINGS);
    recover_txns(pg);
    recover_counters(pg);
    pg->up = false;
    pg->boot++;
    pg->tick_lock = -1;
    pg->bell_relay = -1;
    pg->bell_shared = 0;
    sim->workload.open = 0;
    memset(sim->workload.key_holder, 0, sizeof(sim->workload.key_holder));
}

void pg_start(struct sim *sim)
{
    sim->pg.up = true;
}

/* Restored from a copy made earlier: as after a crash then, but nothing of it was unflushed. */
void pg_restore(struct sim *sim, const struct pg *backup)
{
    int boot = sim->pg.boot;
    int64_t offset = sim->pg.clock_offset;

    sim->pg = *backup;
    sim->pg.clock_offset = offset;
    for (int i = 0; i < sim->pg.txn_count; i++) {
        if (sim->pg.txns[i].boot == sim->pg.boot)
            sim->pg.txns[i].boot = boot;
    }
    sim->pg.boot = boot;
    pg_flush(&sim->pg, sim->pg.lsn);
    pg_crash(sim);
}
