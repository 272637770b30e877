#include "sim/strike.h"

#include <string.h>

#include "sim/sim.h"

static void start_db(struct sim *sim, const struct moment *moment)
{
    (void)moment;
    pg_start(sim);
}

/* Sessions learn of it at once. */
static void crash_db(struct sim *sim, int64_t down)
{
    pg_crash(sim);
    for (int i = 0; i < sim->relay_count; i++)
        relay_tick_notify(sim, &sim->relays[i]);
    world_add(&sim->world, (struct moment){.at = sim->world.now + down, .run = start_db});
}

static void step_clock(struct sim *sim, uint64_t dice)
{
    int64_t step = 100 * MS + (int64_t)(dice % (20 * SEC));

    sim->pg.clock_offset += dice & (1 << 30) ? step : -step;
    sim->oracle.clock_stepped = true;
}

/* --- loss of data: with all relays down --- */

static bool lose_markers(struct sim *sim)
{
    sim->kafka.marker_count = 0;
    return sim->pg.started;
}

/* The marker falls behind what the database has acknowledged. */
static bool take_markers_back(struct sim *sim)
{
    struct kafka *kafka = &sim->kafka;

    for (int i = kafka->marker_count - 1; i >= 0; i--) {
        if (position_compare(&kafka->markers[i].position, &sim->pg.position) != POSITION_BEFORE)
            continue;
        kafka->marker_count = i + 1;
        return true;
    }
    return false;
}

static bool exists(const struct pg *pg, const struct tick_id *id)
{
    const struct pg_tick *tick = pg_tick_by_id(pg, id->id);

    return tick && memcmp(tick->id.nonce, id->nonce, sizeof(id->nonce)) == 0;
}

/* It must halt if the ticks that the marker names are gone; else nothing of what it
 * published is, and it goes on. */
static bool take_db_back(struct sim *sim)
{
    const struct kafka_marker *marker = kafka_last_marker(&sim->kafka);
    struct pg *backup = sim->backup;

    if (!backup)
        return false;
    pg_restore(sim, backup);
    sim->pg.up = true;
    return marker && (!exists(&sim->pg, &marker->position.from) || !exists(&sim->pg, &marker->position.to));
}

static bool is_lost(struct sim *sim, enum fault_kind kind)
{
    switch (kind) {
    case FAULT_MARKER_LOST:
        return lose_markers(sim);
    case FAULT_MARKER_BACK:
        return take_markers_back(sim);
    case FAULT_DB_BACK:
        return take_db_back(sim);
    case FAULT_FOREIGN:
        if (sim->kafka.marker_count == 0)
            return false;
        sim->pg.incarnation++;
        return true;
    default:
        sim->pg.other_server = true;
        return true;
    }
}

static void start_all(struct sim *sim, const struct moment *moment)
{
    for (int i = 0; i < sim->relay_count; i++) {
        relay_start(sim, i);
        if (sim->oracle.data_lost)
            faults_record(sim, moment->data, i);
    }
}

/* What is on the wire and in the broker comes to its end first: a loss is of what was there. */
static void lose_data(struct sim *sim, const struct moment *moment)
{
    struct fault *fault = moment->data;

    bool told = sim->publish == PUBLISH_EXACTLY_ONCE || fault->kind == FAULT_FOREIGN ||
                fault->kind == FAULT_OTHER_SERVER;

    if (oracle_failed(sim) || sim->oracle.must_halt)
        return;
    /* Without a marker that keeps up, the others cannot be told. */
    sim->oracle.must_halt = told && is_lost(sim, fault->kind);
    sim->oracle.may_fence = fault->kind == FAULT_MARKER_LOST || fault->kind == FAULT_MARKER_BACK;
    sim->oracle.data_lost = sim->oracle.must_halt || (told && fault->kind == FAULT_DB_BACK && sim->backup);
    sim->oracle.lost_at = sim->world.now;
    /* Somebody else ticks: ids come again, with other nonces. */
    for (int i = 0; told && fault->kind == FAULT_DB_BACK && i < (int)(fault->dice >> 16 & 15); i++)
        pg_tick_begin(sim, (struct pg_ticking){.forced = true}, 0);
    world_add(&sim->world, (struct moment){.at = sim->world.now + 200 * MS, .run = start_all, .data = fault});
    TELL(sim, "%s: %s", fault_name(fault->kind), sim->oracle.must_halt ? "it must halt" : "nothing is lost");
}

static bool strike_data(struct sim *sim, struct fault *fault)
{
    if (sim->oracle.data_lost)
        return false;
    for (int i = 0; i < sim->relay_count; i++) {
        relay_kill(sim, i);
        sim->relays[i].life++; /* nor does it start again by itself */
    }
    world_add(&sim->world, (struct moment){.at = sim->world.now + TRANSACTION_TIMEOUT + 2 * SEC, .run = lose_data,
                                           .data = fault});
    return true;
}

/* --- one relay --- */

static bool strike_relay(struct sim *sim, const struct fault *fault, int relay)
{
    uint64_t dice = fault->dice >> 8;

    if (relay < 0 || !sim->relays[relay].alive)
        return false;
    if (fault->kind == FAULT_CRASH) {
        relay_kill(sim, relay);
        relay_restart_later(sim, relay, 10 * MS + (int64_t)(dice % (fault->dice & 1 ? 100 * MS : 8 * SEC)));
    } else if (fault->kind == FAULT_PAUSE) {
        relay_pause(sim, relay, 1 * MS + (int64_t)(dice % (fault->dice & 1 ? 300 * MS : 15 * SEC)));
    } else if (fault->kind == FAULT_RELOAD) {
        relay_reload(sim, relay, 1 + (int)(dice % PAGE_ROWS));
    } else {
        if (sim->relays[relay].stopping)
            return false;
        relay_stop(sim, relay);
    }
    return true;
}

bool strike(struct sim *sim, struct fault *fault, int relay)
{
    switch (fault->kind) {
    case FAULT_CRASH:
    case FAULT_PAUSE:
    case FAULT_STOP:
    case FAULT_RELOAD:
        return strike_relay(sim, fault, relay);
    case FAULT_DB_CRASH:
        if (!sim->pg.up)
            return false;
        crash_db(sim, 20 * MS + (int64_t)(fault->dice % (3 * SEC)));
        return true;
    case FAULT_CLOCK_STEP:
        step_clock(sim, fault->dice);
        return true;
    case FAULT_STRAY_TICK:
        if (!sim->pg.up)
            return false;
        pg_tick_begin(sim, (struct pg_ticking){.forced = true, .pause = (int64_t)(fault->dice % (3 * SEC))}, 0);
        return true;
    case FAULT_LONG_WRITER:
        workload_add(sim, true);
        return true;
    case FAULT_BROKER_DOWN:
        sim->kafka.down_until = sim->world.now + 50 * MS + (int64_t)(fault->dice % (3 * SEC));
        return true;
    default:
        return strike_data(sim, fault);
    }
}
