#include "sim/run.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim.h"

#define LOOK_INTERVAL (100 * MS)
#define LEAST_STEPS 50
#define QUIET_WITHIN (150 * SEC)

void sim_tell(const struct sim *sim, const char *format, ...)
{
    va_list args;

    printf("# %4lld.%06lld  ", (long long)(sim->world.now / SEC), (long long)(sim->world.now % SEC));
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

struct sim *sim_new(void)
{
    return calloc(1, sizeof(struct sim));
}

void sim_free(struct sim *sim)
{
    if (!sim)
        return;
    free(sim->world.arena);
    free(sim);
}

/* All but the moments and the arena, which need no clearing. */
static void begin(struct sim *sim, const struct run *run)
{
    char *arena = sim->world.arena;

    memset((char *)sim + sizeof(sim->world), 0, sizeof(*sim) - sizeof(sim->world));
    sim->world.now = 0;
    sim->world.order = 0;
    sim->world.count = 0;
    sim->world.used = 0;
    sim->world.steps = 0;
    sim->world.arena = arena;
    sim->world.random = run->seed * 0x9e3779b97f4a7c15u + 1;
    sim->table = run->table;
    sim->bug = run->bug;
    sim->verbose = run->verbose;
    sim->faults.left_out = run->faults_left_out;
    sim->workload.left_out = run->writers_left_out;
}

static void back_up(struct sim *sim, const struct moment *moment)
{
    (void)moment;
    if (pg_map_has_ended(sim)) /* what Kafka has of the next map would be another's */
        return;
    sim->backup = world_alloc(&sim->world, sizeof(*sim->backup));
    *sim->backup = sim->pg;
}

static void plan_backup(struct sim *sim)
{
    for (int i = 0; i < sim->faults.count; i++) {
        const struct fault *fault = &sim->faults.list[i];

        if (fault->kind == FAULT_DB_BACK)
            world_add(&sim->world, (struct moment){.at = (int64_t)(fault->dice % (uint64_t)(fault->at + 1)),
                                                   .run = back_up});
        /* A marker does not tell what was parked or released since. */
        sim->spoilt = sim->spoilt && fault->kind != FAULT_DB_BACK;
    }
}

static void start_relay(struct sim *sim, const struct moment *moment)
{
    if (sim->relays[moment->number].life == 0) /* else it is held down, see strike.c */
        relay_start(sim, (int)moment->number);
}

static void enable_endpoint(struct sim *sim, const struct moment *moment)
{
    sim->pg.endpoints[moment->number].enabled = true;
}

/* From the beginning, from some time on, or never. */
static void add_endpoint(struct sim *sim, int endpoint, uint64_t *random, int64_t duration)
{
    uint64_t when = random_below(random, 4);

    sim->pg.endpoints[endpoint].enabled = when == 0;
    sim->pg.endpoints[endpoint].policy = (enum delivery_policy)random_below(random, 3);
    if (when == 1)
        world_add(&sim->world, (struct moment){.at = random_between(random, 0, duration), .run = enable_endpoint,
                                               .number = endpoint});
}

/* How long there are faults. */
static int64_t set_up(struct sim *sim, uint64_t seed)
{
    uint64_t random = seed ^ 0x7365747570u;
    int64_t duration = random_between(&random, 2 * SEC, 10 * SEC);

    pg_init(sim);
    sim->publish = random_one_in(&random, 4)   ? PUBLISH_AT_LEAST_ONCE
                   : random_one_in(&random, 6) ? PUBLISH_CHANGING
                                               : PUBLISH_EXACTLY_ONCE;
    sim->relay_count = 1 + (int)random_below(&random, RELAYS_MAX);
    sim->spoilt = random_one_in(&random, 3);
    for (int i = 0; i < PG_ENDPOINTS; i++)
        add_endpoint(sim, i, &random, duration);
    workload_draw(sim, seed, duration);
    faults_draw(sim, seed, duration);
    plan_backup(sim);
    if (sim->spoilt)
        pg_operate_later(sim);
    for (int i = 0; i < sim->relay_count; i++)
        world_add(&sim->world, (struct moment){.at = random_between(&random, 0, 500 * MS), .run = start_relay,
                                               .number = i});
    return duration + random_between(&random, 0, 10 * SEC);
}

static void heal(struct sim *sim)
{
    if (sim->faults.strikes == 0 && sim->relays[0].alive) { /* none found what it waited for */
        relay_kill(sim, 0);
        relay_restart_later(sim, 0, SEC);
        sim->faults.strikes++;
    }
    sim->healed = true;
    sim->kafka.down_until = 0;
    TELL(sim, "no more faults from here on");
    for (int i = 0; i < sim->relay_count; i++) {
        struct relay *relay = &sim->relays[i];

        if (relay->paused_until > sim->world.now)
            relay->paused_until = sim->world.now;
    }
}

/* Until the time has come, or it failed. */
static bool go_until(struct sim *sim, int64_t until)
{
    struct moment moment;

    while (!oracle_failed(sim) && sim->world.count > 0 && sim->world.heap[0].at <= until) {
        world_next(&sim->world, &moment);
        moment.run(sim, &moment);
    }
    sim->world.now = until;
    return !oracle_failed(sim);
}

static bool until_quiet(struct sim *sim)
{
    int64_t deadline = sim->world.now + QUIET_WITHIN;

    do {
        if (!go_until(sim, sim->world.now + LOOK_INTERVAL))
            return false;
        if (oracle_quiet(sim) && sim->world.steps >= LEAST_STEPS)
            return true;
    } while (sim->world.now < deadline);
    oracle_overdue(sim);
    return false;
}

/* Faults; then peace, until all is done; then one more writer, which must wake who sleeps. */
void run_seed(struct sim *sim, const struct run *run, struct run_result *ret)
{
    int64_t trouble;

    begin(sim, run);
    trouble = set_up(sim, run->seed);
    if (go_until(sim, trouble)) {
        heal(sim);
        if (until_quiet(sim) && !sim->oracle.must_halt && go_until(sim, sim->world.now + 2 * SEC)) {
            workload_add(sim, false);
            go_until(sim, sim->world.now + 10 * MS);
            until_quiet(sim);
        }
    }
    relays_free(sim);
    *ret = (struct run_result){.failed = oracle_failed(sim), .steps = sim->world.steps,
                               .faults = sim->faults.strikes, .simulated = sim->world.now};
    snprintf(ret->failure, sizeof(ret->failure), "%s", sim->oracle.failure);
}

static bool fails_without(struct sim *sim, const struct run *run, uint32_t faults, uint64_t writers)
{
    struct run smaller = *run;
    struct run_result result;

    smaller.faults_left_out |= faults;
    smaller.writers_left_out |= writers;
    smaller.verbose = false;
    smaller.table = NULL;
    run_seed(sim, &smaller, &result);
    return result.failed;
}

void run_shrink(struct sim *sim, struct run *run)
{
    bool smaller = true;

    while (smaller) {
        smaller = false;
        for (int i = 0; i < FAULTS_MAX; i++) {
            if (!(run->faults_left_out >> i & 1) && fails_without(sim, run, 1u << i, 0)) {
                run->faults_left_out |= 1u << i;
                smaller = smaller || i < sim->faults.count;
            }
        }
        for (int i = 0; i < WRITERS_MAX; i++) {
            if (!(run->writers_left_out >> i & 1) && fails_without(sim, run, 0, UINT64_C(1) << i)) {
                run->writers_left_out |= UINT64_C(1) << i;
                smaller = smaller || i < sim->workload.count;
            }
        }
    }
}
