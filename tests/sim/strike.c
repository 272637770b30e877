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
    for (int i = 0; i < sim->relay_count; i++) {
        relay_tick_notify(sim, &sim->relays[i]);
        relay_follow_notify(sim, &sim->relays[i]);
    }
    world_add(&sim->world, (struct moment){.at = sim->world.now + down, .run = start_db});
}

static void step_clock(struct sim *sim, uint64_t dice)
{
    int64_t step = 100 * MS + (int64_t)(dice % (20 * SEC));

    sim->pg.clock_offset += dice & (1 << 30) ? step : -step;
    sim->oracle.clock_stepped = true;
}

/* Ticks of another session, whose waits for a standby are cancelled, and which tells of them. */
static void stray(struct sim *sim, const struct moment *moment)
{
    struct moment again = *moment;

    if (again.number-- == 0)
        return;
    if (sim->pg.up)
        pg_tick_begin(sim, (struct pg_ticking){.forced = true, .tells = true, .unreplicated = true}, 0);
    again.at = sim->world.now + random_between(&sim->world.random, 10 * MS, 60 * MS);
    again.run = stray;
    world_add(&sim->world, again);
}

/* --- loss of data: with all relays down --- */

/* Each of these returns the lanes that must halt, as bits. */
static unsigned all_lanes(const struct sim *sim)
{
    return (1u << sim->pg.lane_count) - 1;
}

static unsigned lose_markers(struct sim *sim)
{
    unsigned lanes = 0;

    kafka_lose_markers(&sim->kafka);
    for (int i = 0; i < sim->pg.lane_count; i++)
        lanes |= (unsigned)sim->pg.lanes[i].started << i;
    return lanes;
}

/* The marker of the first lane that has one falls behind what the database has acknowledged. */
static unsigned take_markers_back(struct sim *sim)
{
    struct kafka *kafka = &sim->kafka;
    int lane = -1;

    for (int i = kafka->marker_count - 1; i >= 0 && lane < 0; i--) {
        const struct kafka_marker *marker = &kafka->markers[i];

        if (marker->map == sim->pg.map && kafka_sees(kafka, marker) &&
            position_compare(&marker->position, &sim->pg.lanes[marker->lane].position) == POSITION_BEFORE)
            lane = marker->lane;
    }
    if (lane < 0)
        return 0;
    for (int i = kafka->marker_count - 1; i >= 0; i--) {
        struct kafka_marker *marker = &kafka->markers[i];

        if (marker->map != sim->pg.map || marker->lane != lane || !kafka_sees(kafka, marker))
            continue;
        if (position_compare(&marker->position, &sim->pg.lanes[lane].position) == POSITION_BEFORE)
            break;
        marker->map = 0; /* as if it had never been */
    }
    return 1u << lane;
}

static bool exists(const struct pg *pg, const struct tick_id *id)
{
    const struct pg_tick *tick = pg_tick_by_id(pg, id->id);

    return tick && memcmp(tick->id.nonce, id->nonce, sizeof(id->nonce)) == 0;
}

static bool knows_newer_map(const struct sim *sim)
{
    for (int i = 0; i < sim->kafka.marker_count; i++) {
        if (sim->kafka.markers[i].map > sim->pg.map && kafka_sees(&sim->kafka, &sim->kafka.markers[i]))
            return true;
    }
    return false;
}

/* A lane must halt if the ticks that its marker names are gone, and all if the map changed since;
 * else nothing of what it published is, and it goes on. */
static unsigned take_db_back(struct sim *sim)
{
    struct pg *backup = sim->backup;
    unsigned lanes = 0;

    if (!backup)
        return 0;
    pg_restore(sim, backup);
    sim->pg.up = true;
    if (knows_newer_map(sim))
        return all_lanes(sim);
    for (int i = 0; i < sim->pg.lane_count; i++) {
        const struct kafka_marker *marker = kafka_last_marker(&sim->kafka, sim->pg.map, i);

        if (marker && (!exists(&sim->pg, &marker->position.from) || !exists(&sim->pg, &marker->position.to)))
            lanes |= 1u << i;
    }
    return lanes;
}

/* Another incarnation: it is seen where there is a marker. */
static unsigned become_foreign(struct sim *sim)
{
    unsigned lanes = 0;

    for (int i = 0; i < sim->kafka.marker_count; i++)
        lanes |= (unsigned)kafka_sees(&sim->kafka, &sim->kafka.markers[i]) << sim->kafka.markers[i].lane;
    if (lanes != 0)
        sim->pg.incarnation++;
    return lanes & all_lanes(sim);
}

static unsigned lose(struct sim *sim, enum fault_kind kind)
{
    switch (kind) {
    case FAULT_MARKER_LOST:
        return lose_markers(sim);
    case FAULT_MARKER_BACK:
        return take_markers_back(sim);
    case FAULT_DB_BACK:
        return take_db_back(sim);
    case FAULT_FOREIGN:
        return become_foreign(sim);
    default:
        sim->pg.other_server = true;
        return all_lanes(sim);
    }
}

static void start_all(struct sim *sim, const struct moment *moment)
{
    (void)moment;
    for (int i = 0; i < sim->relay_count; i++)
        relay_start(sim, i);
}

/* What is on the wire and in the broker comes to its end first: a loss is of what was there. */
static void lose_data(struct sim *sim, const struct moment *moment)
{
    struct fault *fault = moment->data;
    struct oracle *oracle = &sim->oracle;
    bool told = sim->publish == PUBLISH_EXACTLY_ONCE || fault->kind == FAULT_FOREIGN ||
                fault->kind == FAULT_OTHER_SERVER;

    if (oracle_failed(sim) || oracle->must_halt)
        return;
    if (fault->kind != FAULT_DB_BACK) /* no change of the map hides what is lost */
        sim->pg.change = (struct pg_change){0};
    /* Without a marker that keeps up, the others cannot be told. */
    oracle->must_halt = told ? lose(sim, fault->kind) : 0;
    oracle->may_fence = fault->kind == FAULT_MARKER_LOST || fault->kind == FAULT_MARKER_BACK;
    oracle->data_lost = oracle->must_halt || (told && fault->kind == FAULT_DB_BACK && sim->backup);
    oracle->lost_at = sim->world.now;
    oracle->loss = oracle->data_lost ? fault : NULL;
    /* Somebody else ticks: ids come again, with other nonces. */
    for (int i = 0; told && fault->kind == FAULT_DB_BACK && i < (int)(fault->dice >> 16 & 15); i++)
        pg_tick_begin(sim, (struct pg_ticking){.forced = true}, 0);
    world_add(&sim->world, (struct moment){.at = sim->world.now + 200 * MS, .run = start_all, .data = fault});
    TELL(sim, "%s: %s", fault_name(fault->kind), oracle->must_halt ? "it must halt" : "nothing is lost");
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

/* --- the operator --- */

static bool set_lanes(struct sim *sim, uint64_t dice)
{
    if (!sim->pg.up || sim->oracle.data_lost)
        return false;
    pg_tick_begin(sim, (struct pg_ticking){.lanes = 1 + (int)(dice % PG_LANES),
                                           .patience = SEC + (int64_t)(dice >> 8 & 15) * SEC}, 0);
    return true;
}

static bool move_lane(struct sim *sim, uint64_t dice)
{
    if (!sim->pg.up)
        return false;
    sim->pg.lanes[dice % (uint64_t)sim->pg.lane_count].pinned = (int)(dice >> 8 & 3) % sim->relay_count;
    if (dice & (1 << 16))
        sim->pg.lanes[dice % (uint64_t)sim->pg.lane_count].pinned = -1;
    pg_statement_commit(sim);
    relays_poke(sim);
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
        stray(sim, &(struct moment){.number = fault->dice >> 40 & 1 ? 16 : 0});
        if ((fault->dice >> 40 & 1) == 0)
            pg_tick_begin(sim, (struct pg_ticking){.forced = true, .pause = (int64_t)(fault->dice % (3 * SEC))}, 0);
        return true;
    case FAULT_ROTATE:
        return pg_rotate(sim);
    case FAULT_LANE_SET:
        return set_lanes(sim, fault->dice);
    case FAULT_LANE_MOVE:
        return move_lane(sim, fault->dice);
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
