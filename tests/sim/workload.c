#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_LATEST (600 * MS) /* by the WAL writer */

static void step(struct sim *sim, const struct moment *moment);

static void next(struct sim *sim, int index, int64_t delay)
{
    world_add(&sim->world, (struct moment){.at = sim->world.now + delay, .run = step, .number = index});
}

static int64_t think(struct sim *sim, const struct writer *writer)
{
    return 100 + (int64_t)random_below(&sim->workload.random, (uint64_t)writer->pause);
}

static void add(struct sim *sim, struct writer writer)
{
    struct workload *load = &sim->workload;

    if (load->count >= WRITERS_MAX)
        return;
    writer.txn = -1;
    load->writers[load->count] = writer;
    if (!(load->left_out >> load->count & 1))
        world_add(&sim->world, (struct moment){.at = writer.begin, .run = step, .number = load->count});
    load->count++;
}

static struct writer draw(struct workload *load, int64_t from, int64_t to)
{
    struct writer writer = {.begin = random_between(&load->random, from, to)};

    writer.pause = random_one_in(&load->random, 6) ? 3 * SEC : random_one_in(&load->random, 2) ? 200 * MS : 2 * MS;
    writer.emits = (int)random_below(&load->random, 5);
    if (random_one_in(&load->random, 8))
        writer.emits += 6; /* more than a page */
    writer.keyed = !random_one_in(&load->random, 3);
    writer.rolls_back = random_one_in(&load->random, 6);
    writer.savepoint = random_one_in(&load->random, 6);
    writer.synchronous = random_one_in(&load->random, 2);
    return writer;
}

void workload_draw(struct sim *sim, uint64_t seed, int64_t duration)
{
    struct workload *load = &sim->workload;
    int64_t from = -1;
    int count;

    load->random = seed ^ 0x776f726b6c6f6164u;
    count = 4 + (int)random_below(&load->random, 20);
    if (random_one_in(&load->random, 3)) /* all at once: a backlog */
        from = random_between(&load->random, 0, duration - SEC);
    for (int i = 0; i < count; i++)
        add(sim, from < 0 ? draw(load, 0, duration) : draw(load, from, from + SEC));
}

void workload_add(struct sim *sim, bool is_long)
{
    struct writer writer = draw(&sim->workload, sim->world.now, sim->world.now);

    writer.emits = writer.emits % 3 + 2;
    if (is_long) {
        writer.pause = 4 * SEC;
    } else {
        writer.pause = 2 * MS;
        writer.rolls_back = false;
    }
    add(sim, writer);
}

/* --- a transaction --- */

static void release_keys(struct sim *sim, int index)
{
    for (int key = 0; key < KEYS; key++) {
        if (sim->workload.key_holder[key] == index + 1)
            sim->workload.key_holder[key] = 0;
    }
}

static void end(struct sim *sim, int index)
{
    struct writer *writer = &sim->workload.writers[index];
    struct pg_txn *txn = &sim->pg.txns[writer->txn];

    pg_complete(&sim->pg, txn->xid);
    sim->pg.bell_shared -= txn->holds_bell;
    release_keys(sim, index);
    sim->workload.open--;
    writer->txn = -1;
    for (int i = 0; txn->notifies && txn->state == PG_COMMITTED && i < sim->relay_count; i++)
        relay_tick_notify(sim, &sim->relays[i]);
}

static void become_visible(struct sim *sim, struct pg_txn *txn)
{
    txn->state = PG_COMMITTED;
    txn->commit_no = ++sim->pg.commits;
}

static void flushed(struct sim *sim, const struct moment *moment)
{
    if (sim->pg.boot == moment->life)
        pg_flush(&sim->pg, moment->number);
}

static void commit(struct sim *sim, struct writer *writer, int index)
{
    struct pg_txn *txn = &sim->pg.txns[writer->txn];

    txn->lsn = ++sim->pg.lsn;
    if (writer->synchronous) { /* visible when flushed: the next step */
        txn->state = PG_COMMITTING;
        next(sim, index, random_between(&sim->world.random, 200, 8 * MS));
        return;
    }
    become_visible(sim, txn);
    world_add(&sim->world, (struct moment){.at = sim->world.now +
                                               random_between(&sim->world.random, 10 * MS, FLUSH_LATEST),
                                           .run = flushed, .life = sim->pg.boot, .number = txn->lsn});
    end(sim, index);
}

static int take_key(struct sim *sim, int index)
{
    int first = (int)random_below(&sim->workload.random, KEYS);

    for (int i = 0; i < KEYS; i++) {
        int *holder = &sim->workload.key_holder[(first + i) % KEYS];

        if (*holder == 0 || *holder == index + 1) {
            *holder = index + 1;
            return (first + i) % KEYS;
        }
    }
    return -1; /* others hold them: without a key, rather than wait */
}

/* The id, then the number: a tick may come between. */
static void begin(struct sim *sim, struct writer *writer)
{
    struct pg *pg = &sim->pg;

    if (pg->txn_count >= PG_TXNS) {
        fprintf(stderr, "sim-run: too many transactions: enlarge it in tests/sim/pg.h\n");
        abort();
    }
    writer->txn = pg->txn_count++;
    writer->boot = pg->boot;
    pg->txns[writer->txn] = (struct pg_txn){.xid = pg_xid(sim), .boot = pg->boot};
    sim->workload.open++;
}

/* Keys lie where lanes meet. */
static int bucket_of(const struct pg_row *row)
{
    uint64_t hash = (uint64_t)row->seq;

    return row->key >= 0 ? row->key * (PG_BUCKETS / KEYS) : (int)random_below(&hash, PG_BUCKETS);
}

static void emit(struct sim *sim, struct writer *writer, int index)
{
    struct pg *pg = &sim->pg;
    struct pg_txn *txn = &pg->txns[writer->txn];
    struct pg_row *row = &pg->rows[pg->row_count];

    if (pg->row_count >= PG_ROWS || sim->oracle.event_count >= ORACLE_EVENTS)
        return;
    pg->row_count++;
    *row = (struct pg_row){.seq = pg_nextval(pg), .event = sim->oracle.event_count++, .txn = writer->txn,
                           .key = writer->keyed ? take_key(sim, index) : -1};
    row->bucket = bucket_of(row);
    row->lsn = ++pg->lsn;
    if (sim->spoilt && random_one_in(&sim->workload.random, 8))
        sim->nature[row->event] = random_one_in(&sim->workload.random, 2) ? NATURE_TOO_LARGE : NATURE_BAD;
    if (pg->bell_relay >= 0) {
        txn->notifies = true;
    } else if (!txn->holds_bell) {
        txn->holds_bell = true;
        pg->bell_shared++;
    }
    TELL(sim, "event %d: xid %lld, seq %lld, key %d", row->event, (long long)txn->xid, (long long)row->seq,
         row->key);
}

static void roll_back_to_savepoint(struct sim *sim, const struct writer *writer)
{
    for (int i = sim->pg.row_count - 1; i >= 0; i--) {
        if (sim->pg.rows[i].txn == writer->txn) {
            sim->pg.rows[i].undone = true;
            return;
        }
    }
}

static void finish(struct sim *sim, struct writer *writer, int index)
{
    struct pg_txn *txn = &sim->pg.txns[writer->txn];

    if (txn->state == PG_COMMITTING) {
        pg_flush(&sim->pg, txn->lsn);
        become_visible(sim, txn);
        end(sim, index);
    } else if (writer->rolls_back) {
        txn->state = PG_ABORTED;
        end(sim, index);
    } else {
        commit(sim, writer, index);
    }
}

static void step(struct sim *sim, const struct moment *moment)
{
    int index = (int)moment->number;
    struct writer *writer = &sim->workload.writers[index];

    if (writer->txn >= 0 && writer->boot != sim->pg.boot)
        return; /* it went with the server */
    if (writer->txn < 0) {
        if (!sim->pg.up)
            return;
        begin(sim, writer);
    } else if (writer->step <= writer->emits) {
        emit(sim, writer, index);
        if (writer->step == 1 && writer->savepoint)
            roll_back_to_savepoint(sim, writer);
    } else {
        finish(sim, writer, index);
        return;
    }
    writer->step++;
    next(sim, index, think(sim, writer));
}
