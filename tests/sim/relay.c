/* The process: its life and death, and what its main thread does. */
#include "sim/sim.h"

struct moment relay_moment(struct sim *sim, int relay, int64_t delay, moment_run *run, void *data)
{
    return (struct moment){.at = sim->world.now + delay, .run = run, .relay = relay,
                           .life = sim->relays[relay].life, .data = data};
}

bool relay_ready(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct moment again = *moment;

    if (!relay->alive || relay->life != moment->life)
        return false;
    if (relay->paused_until <= sim->world.now)
        return true;
    again.at = relay->paused_until;
    world_add(&sim->world, again);
    return false;
}

/* It exits; a supervisor starts it again, also after a halt: it must halt again then. */
static void end(struct sim *sim, const struct moment *moment)
{
    if (!relay_ready(sim, moment))
        return;
    relay_kill(sim, moment->relay);
    relay_restart_later(sim, moment->relay, random_between(&sim->world.random, 100 * MS, 2 * SEC));
}

static bool has_left(const struct relay *relay)
{
    const struct roster *roster = &relay->roster;

    return roster->left || roster->failing || (!roster->answered && !roster->asking);
}

void relay_look(struct sim *sim, struct relay *relay)
{
    const struct roster *roster = &relay->roster;
    int running = 0, going = 0, halted = 0;
    bool ticks, follows;

    for (int i = 0; i < PG_LANES; i++) {
        const struct runner *runner = &relay->runners[i];

        going += runner_goes(runner);
        running += runner_state(runner) == LANE_RUNNING;
        halted += runner->lane && lane_state(runner->lane) == LANE_HALTED;
    }
    if (running > 0 && !relay->stopping)
        relay_webhooks_start(sim, relay);
    ticks = running > 0 && !relay->stopping && roster->ticking_until > sim->world.now;
    follows = running > 0 && !relay->stopping && !ticks && roster->picture.ticker >= 0 && !roster->picture.ticking;
    relay_tick_set_active(sim, relay, ticks);
    relay_follow_set_active(sim, relay, follows);
    if (going == 0 && (relay->stopping ? has_left(relay) : halted > 0))
        world_add(&sim->world, relay_moment(sim, relay->id, 0, end, NULL));
}

void relay_tell_tick(struct sim *sim, struct relay *relay, const struct tick_id *tick)
{
    int life = relay->life;

    for (int i = 0; i < PG_LANES && relay->alive && relay->life == life; i++) {
        if (runner_goes(&relay->runners[i]))
            runner_handle(sim, &relay->runners[i], (struct lane_event){.kind = LANE_EVENT_TICK, .tick = *tick});
    }
}

static void start(struct sim *sim, const struct moment *moment)
{
    if (sim->relays[moment->relay].life == moment->life && !sim->relays[moment->relay].alive)
        relay_start(sim, moment->relay);
}

void relay_restart_later(struct sim *sim, int relay, int64_t delay)
{
    world_add(&sim->world, relay_moment(sim, relay, delay, start, NULL));
}

static bool publishes_at_least_once(struct sim *sim)
{
    return sim->publish == PUBLISH_AT_LEAST_ONCE ||
           (sim->publish == PUBLISH_CHANGING && random_one_in(&sim->world.random, 2));
}

void relay_start(struct sim *sim, int index)
{
    struct relay *relay = &sim->relays[index];
    int life = relay->life;

    *relay = (struct relay){.id = index, .life = life + 1, .alive = true, .started_at = sim->world.now,
                            .at_least_once = publishes_at_least_once(sim)};
    for (int i = 0; i < PG_LANES; i++) {
        relay->runners[i].relay = index;
        relay->runners[i].number = i;
    }
    relay_tick_init(relay);
    TELL(sim, "relay %d starts", index);
    relay_lanes_start(sim, relay);
}

void relay_kill(struct sim *sim, int index)
{
    struct relay *relay = &sim->relays[index];

    if (!relay->alive)
        return;
    TELL(sim, "relay %d ends", index);
    relay_tick_disconnect(sim, relay);
    relay->alive = false;
    relay->life++;
    for (int i = 0; i < PG_LANES; i++)
        runner_free(&relay->runners[i]);
}

static void resume(struct sim *sim, const struct moment *moment)
{
    if (relay_ready(sim, moment))
        TELL(sim, "relay %d goes on", moment->relay);
}

void relay_pause(struct sim *sim, int index, int64_t duration)
{
    struct relay *relay = &sim->relays[index];

    relay->paused_at = sim->world.now;
    relay->paused_until = sim->world.now + duration;
    relay->stale_stamp = random_one_in(&sim->world.random, 2);
    world_add(&sim->world, relay_moment(sim, index, duration, resume, NULL));
}

static void stop(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (!relay_ready(sim, moment) || relay->stopping)
        return;
    relay->stopping = true;
    relay_webhooks_stop(sim, relay);
    relay_lanes_leave(sim, relay);
    relay_look(sim, relay);
}

void relay_reload(struct sim *sim, int index, int batch_events)
{
    for (int i = 0; i < PG_LANES; i++) {
        if (sim->relays[index].runners[i].lane)
            lane_set_batch_events(sim->relays[index].runners[i].lane, batch_events);
    }
}

/* A stop that takes too long is a kill. */
static void lose_patience(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (!relay->alive || relay->life != moment->life)
        return;
    relay_kill(sim, moment->relay);
    relay_restart_later(sim, moment->relay, 100 * MS);
}

void relay_stop(struct sim *sim, int index)
{
    world_add(&sim->world, relay_moment(sim, index, 0, stop, NULL));
    world_add(&sim->world, relay_moment(sim, index, 27 * SEC, lose_patience, NULL));
}

void relays_free(struct sim *sim)
{
    for (int i = 0; i < sim->relay_count; i++) {
        for (int lane = 0; sim->relays[i].alive && lane < PG_LANES; lane++)
            runner_free(&sim->relays[i].runners[lane]);
        sim->relays[i].alive = false;
    }
}
