#include "sim/faults.h"

#include "sim/sim.h"
#include "sim/strike.h"

static const char *const names[] = {
#define FAULT_NAME(constant, name, class) name,
    FAULT_MAP(FAULT_NAME)
#undef FAULT_NAME
};

static const enum fault_class classes[] = {
#define FAULT_CLASS(constant, name, class) class,
    FAULT_MAP(FAULT_CLASS)
#undef FAULT_CLASS
};

const char *fault_name(enum fault_kind kind)
{
    return names[kind];
}

enum fault_class fault_class(enum fault_kind kind)
{
    return classes[kind];
}

/* --- the schedule --- */

static void put(struct sim *sim, struct fault fault)
{
    if (sim->faults.count < FAULTS_MAX)
        sim->faults.list[sim->faults.count++] = fault;
}

static bool is_takeover(int state)
{
    return state != ANY && state != LANE_RUNNING && state != FAULT_CHANGING;
}

const char *fault_state_name(int state)
{
    return state == FAULT_CHANGING ? "changing" : lane_state_name((enum lane_state)state);
}

/* A renewal is due only after a second, and a webhook under way when a lane is taken over again
 * is rare: most states are over too soon. */
static void prolong(struct sim *sim, const struct fault *fault, uint64_t *random)
{
    struct fault other = *fault;

    other.dice = random_next(random);
    if (fault_class(fault->kind) != FAULT_OF_RENEWAL) {
        other.kind = fault->state == LANE_RELEASING  ? FAULT_STOP
                     : fault->state == LANE_WAITING ? FAULT_KAFKA_REFUSED
                                                    : FAULT_DB_LOST_ANSWER;
        other.what = other.kind == FAULT_DB_LOST_ANSWER ? LANE_DO_ACKNOWLEDGE : ANY;
        other.state = LANE_RUNNING;
        put(sim, other);
        other.what = ANY;
        other.state = fault->state;
    }
    switch (fault->state) {
    case LANE_WAITING:
        return;
    case LANE_ACQUIRING:
    case LANE_RELEASING:
    case LANE_VERIFYING:
    case LANE_CATCHING_UP:
    case LANE_CHECKING_LEASE:
        other.kind = FAULT_DB_SLOW;
        break;
    case LANE_CLOSING: /* a statement that takes long is waited for there */
        other.kind = FAULT_DB_LATE_REQUEST;
        other.state = LANE_RUNNING;
        put(sim, other);
        other.kind = FAULT_KAFKA_ERROR;
        break;
    default:
        other.kind = FAULT_BROKER_DOWN;
        break;
    }
    put(sim, other);
}

static struct fault draw(struct sim *sim, uint64_t *random, enum fault_kind kind, int64_t duration)
{
    struct fault fault = {.kind = kind, .relay = ANY, .state = ANY, .what = ANY, .dice = random_next(random)};

    fault.at = random_one_in(random, 4) ? random_between(random, 0, 200 * MS) : random_between(random, 0, duration);
    if (random_one_in(random, 2))
        fault.relay = (int)random_below(random, (uint64_t)sim->relay_count);
    if (random_one_in(random, 2)) {
        do {
            fault.state = (int)random_below(random, FAULT_STATES);
        } while (fault_unreachable(kind, fault.state));
    } else if (fault_class(kind) == FAULT_OF_KAFKA && random_one_in(random, 2)) {
        fault.what = (int)random_between(random, KAFKA_ADD_PARTITIONS, KAFKA_END);
    } else if (fault_class(kind) == FAULT_OF_DB && random_one_in(random, 2)) {
        fault.what = random_one_in(random, 3) ? LANE_DO_READ : LANE_DO_ACKNOWLEDGE;
    }
    return fault;
}

/* By which a lane gets more than one owner before its map ends. */
static const enum fault_kind upsetting[] = {FAULT_CLOCK_STEP, FAULT_RENEWAL_SLOW, FAULT_STOP, FAULT_LANE_MOVE,
                                            FAULT_PAUSE};
#define UPSETTING (sizeof(upsetting) / sizeof(upsetting[0]))

/* The map changes once or more, and something happens meanwhile. */
static void draw_changes(struct sim *sim, uint64_t *random, int64_t duration)
{
    int count = random_one_in(random, 3) ? 1 + (int)random_below(random, 3) : 0;

    for (int i = 0; i < count; i++) {
        struct fault fault = {.kind = FAULT_LANE_SET, .at = random_between(random, 0, duration), .relay = ANY,
                              .state = ANY, .what = ANY, .dice = random_next(random)};

        put(sim, fault);
        fault.state = FAULT_CHANGING;
        fault.at = 0;
        for (int more = (int)random_below(random, 4); more > 0; more--) {
            fault.kind = random_one_in(random, 3) ? upsetting[random_below(random, UPSETTING)]
                                                  : (enum fault_kind)random_below(random, FAULT_MARKER_LOST);
            fault.dice = random_next(random);
            put(sim, fault);
        }
    }
}

static void wait_for_it(struct sim *sim, const struct moment *moment);

void faults_draw(struct sim *sim, uint64_t seed, int64_t duration)
{
    uint64_t random = seed ^ 0x6661756c7473u;
    int count = 1 + (int)random_below(&random, 10);

    draw_changes(sim, &random, duration);
    for (int i = 0; i < count; i++) {
        enum fault_kind kind = (enum fault_kind)random_below(&random, FAULT_MARKER_LOST);
        struct fault fault = draw(sim, &random, kind, duration);

        if (is_takeover(fault.state) &&
            (fault_class(fault.kind) == FAULT_OF_RENEWAL || fault_class(fault.kind) == FAULT_OF_HTTP ||
             fault_class(fault.kind) == FAULT_OF_WEBHOOK_DB))
            prolong(sim, &fault, &random);
        if (fault.kind == FAULT_STOP && fault.state == LANE_RELEASING) /* not by a stop, but by a halt */
            put(sim, (struct fault){.kind = FAULT_OTHER_SERVER, .relay = ANY, .state = ANY, .what = ANY});
        put(sim, fault);
    }
    if (random_one_in(&random, 12))
        put(sim, draw(sim, &random,
                      (enum fault_kind)random_between(&random, FAULT_MARKER_LOST, FAULT_COUNT - 1),
                      duration));
    for (int i = 0; i < sim->faults.count; i++) {
        struct fault *fault = &sim->faults.list[i];

        if (sim->faults.left_out >> i & 1)
            continue;
        world_add(&sim->world, (struct moment){.at = fault->at, .run = wait_for_it, .data = fault});
    }
}

/* --- striking --- */

static bool ready(const struct sim *sim, const struct fault *fault)
{
    return !fault->struck && !sim->healed && fault->at <= sim->world.now &&
           !(sim->faults.left_out >> (fault - sim->faults.list) & 1);
}

/* Is one of these lanes in the fault's state?  A fault of any state needs no lane. */
static bool meets(const struct sim *sim, const struct fault *fault, int relay, unsigned lanes, int what)
{
    if ((fault->what != ANY && fault->what != what) || (fault->relay != ANY && fault->relay != relay) ||
        !sim->relays[relay].alive)
        return false;
    if (fault->state == ANY)
        return true;
    if (fault->state == FAULT_CHANGING)
        return pg_map_changes(sim);
    for (int i = 0; i < PG_LANES; i++) {
        if ((lanes >> i & 1) && runner_state(&sim->relays[relay].runners[i]) == fault->state)
            return true;
    }
    return false;
}

static void record(struct sim *sim, const struct fault *fault, int relay, unsigned lanes)
{
    if (!sim->table)
        return;
    if (pg_map_changes(sim))
        sim->table->cell[FAULT_CHANGING][fault->kind]++;
    for (int i = 0; i < PG_LANES; i++) {
        int state = runner_state(&sim->relays[relay].runners[i]);

        if ((lanes >> i & 1) && state >= 0)
            sim->table->cell[state][fault->kind]++;
    }
}

void faults_record_loss(struct sim *sim, int relay, int lane)
{
    if (sim->oracle.loss && sim->table)
        sim->table->cell[runner_state(&sim->relays[relay].runners[lane])][sim->oracle.loss->kind]++;
}

static void told(const struct sim *sim, const struct fault *fault)
{
    if (sim->verbose)
        sim_tell(sim, "FAULT %d: %s", (int)(fault - sim->faults.list), fault_name(fault->kind));
}

const struct fault *faults_take(struct sim *sim, enum fault_class class, int relay, unsigned lanes, int what)
{
    for (int i = 0; i < sim->faults.count; i++) {
        struct fault *fault = &sim->faults.list[i];

        if (fault_class(fault->kind) != class || !ready(sim, fault) || !meets(sim, fault, relay, lanes, what))
            continue;
        fault->struck = true;
        sim->faults.strikes++;
        record(sim, fault, relay, lanes);
        told(sim, fault);
        return fault;
    }
    return NULL;
}

/* Of one relay, or of all. */
static bool is_global(enum fault_kind kind)
{
    return kind != FAULT_CRASH && kind != FAULT_PAUSE && kind != FAULT_STOP && kind != FAULT_RELOAD;
}

/* The states as they were before it. */
static void strike_now(struct sim *sim, const struct moment *moment)
{
    struct fault *fault = moment->data;
    struct fault_table before = {0}, *table = sim->table;

    if (sim->healed)
        return;
    sim->table = &before;
    for (int i = 0; i < sim->relay_count && fault_class(fault->kind) == FAULT_AT_ONCE; i++) {
        if (sim->relays[i].alive && (i == moment->relay || is_global(fault->kind)))
            record(sim, fault, i, ALL_LANES);
    }
    sim->table = table;
    told(sim, fault);
    if (!strike(sim, fault, moment->relay))
        return;
    sim->faults.strikes++;
    for (int state = 0; table && state < FAULT_STATES; state++)
        table->cell[state][fault->kind] += before.cell[state][fault->kind];
}

static void strike_soon(struct sim *sim, struct fault *fault, int relay)
{
    uint64_t dice = fault->dice >> 40;

    fault->struck = true;
    world_add(&sim->world, (struct moment){.at = sim->world.now + (dice & 1 ? 0 : (int64_t)(dice % (4 * MS))),
                                           .run = strike_now, .relay = relay, .data = fault});
}

static bool is_step(enum fault_kind kind)
{
    return fault_class(kind) == FAULT_AT_ONCE || fault_class(kind) == FAULT_OF_DATA;
}

static void watch(struct sim *sim, int relay, unsigned lanes)
{
    for (int i = 0; i < sim->faults.count; i++) {
        struct fault *fault = &sim->faults.list[i];

        if (is_step(fault->kind) && ready(sim, fault) && meets(sim, fault, relay, lanes, ANY))
            strike_soon(sim, fault, relay);
    }
}

void faults_watch(struct sim *sim, int relay, int lane)
{
    watch(sim, relay, 1u << lane);
}

void faults_watch_change(struct sim *sim)
{
    int first = (int)random_below(&sim->world.random, (uint64_t)sim->relay_count);

    for (int i = 0; i < sim->relay_count; i++)
        watch(sim, (first + i) % sim->relay_count, ALL_LANES);
}

static void wait_for_it(struct sim *sim, const struct moment *moment)
{
    int first = (int)(((struct fault *)moment->data)->dice % (uint64_t)sim->relay_count);

    for (int i = 0; i < sim->relay_count; i++)
        watch(sim, (first + i) % sim->relay_count, ALL_LANES);
}

void faults_print(const struct fault *fault, int index, FILE *out)
{
    fprintf(out, "#   fault %2d: %-20s from %lld.%03lld s on", index, fault_name(fault->kind),
            (long long)(fault->at / SEC), (long long)(fault->at % SEC / MS));
    if (fault->relay != ANY)
        fprintf(out, ", relay %d", fault->relay);
    if (fault->state != ANY)
        fprintf(out, ", while %s", fault_state_name(fault->state));
    fprintf(out, "%s\n", fault->struck ? "" : " (did not strike)");
}
