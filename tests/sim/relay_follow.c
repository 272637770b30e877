/* The thread that learns of the ticks of another relay: what src/relay/follower.c does. */
#include "sim/sim.h"

#define PAUSE_AFTER_FAILURE (1 * SEC)

/* outbox.tick_newest() under way. */
struct look {
    bool forced;
    int64_t last;
    bool found;
    struct tick_id tick;
};

static void step(struct sim *sim, struct relay *relay);
static void connect(struct sim *sim, const struct moment *moment);

static bool current(struct sim *sim, const struct moment *moment)
{
    return relay_ready(sim, moment) && sim->relays[moment->relay].follower.session == moment->number;
}

static void later(struct sim *sim, struct relay *relay, int64_t delay, moment_run *run, void *data)
{
    struct moment moment = relay_moment(sim, relay->id, delay, run, data);

    moment.number = relay->follower.session;
    world_add(&sim->world, moment);
}

static void lose(struct sim *sim, struct relay *relay)
{
    struct follower *follower = &relay->follower;

    follower->session++;
    follower->connected = false;
    follower->asking = false;
    follower->outstanding = true;
    if (follower->active)
        later(sim, relay, random_between(&sim->world.random, PAUSE_AFTER_FAILURE / 2, PAUSE_AFTER_FAILURE), connect,
              NULL);
}

static bool is_cut_off(const struct sim *sim, const struct relay *relay)
{
    return !sim->pg.up || relay->follower.boot != sim->pg.boot;
}

static void connect(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct follower *follower = &relay->follower;

    if (!current(sim, moment))
        return;
    follower->boot = sim->pg.boot;
    if (!sim->pg.up) {
        lose(sim, relay);
        return;
    }
    follower->connected = true;
    follower->outstanding = true;
    follower->forced = true; /* what a lane waits for may be lost with the last connection */
    follower->news = true;
    step(sim, relay);
}

static void answered(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct follower *follower = &relay->follower;
    const struct look *look = moment->data;

    if (!current(sim, moment))
        return;
    follower->asking = false;
    if (look->found) {
        follower->last = look->tick.id;
        follower->outstanding = false;
        relay_tell_tick(sim, relay, &look->tick);
    }
    if (current(sim, moment))
        step(sim, relay);
}

static void arrive(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct look *look = moment->data;
    const struct pg_tick *newest;

    if (!current(sim, moment))
        return;
    if (is_cut_off(sim, relay)) {
        lose(sim, relay);
        return;
    }
    newest = pg_tick_newest(sim, look->forced ? 0 : look->last);
    look->found = newest != NULL;
    if (newest)
        look->tick = newest->id;
    later(sim, relay, world_latency(&sim->world), answered, look);
}

static void step(struct sim *sim, struct relay *relay)
{
    struct follower *follower = &relay->follower;
    struct look *look;

    if (!follower->connected || follower->asking)
        return;
    if (is_cut_off(sim, relay)) {
        lose(sim, relay);
        return;
    }
    follower->news = follower->news || follower->newest > follower->last;
    if (!follower->outstanding || (!follower->forced && !follower->news))
        return;
    look = world_alloc(&sim->world, sizeof(*look));
    *look = (struct look){.forced = follower->forced, .last = follower->last};
    follower->asking = true;
    follower->forced = false;
    follower->news = false;
    later(sim, relay, world_latency(&sim->world), arrive, look);
}

static void notified(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (!current(sim, moment))
        return;
    relay->follower.news = true;
    step(sim, relay);
}

void relay_follow_notify(struct sim *sim, struct relay *relay)
{
    if (relay->alive && relay->follower.connected)
        later(sim, relay, random_between(&sim->world.random, 10, 300), notified, NULL);
}

static void woken(struct sim *sim, const struct moment *moment)
{
    if (current(sim, moment))
        step(sim, &sim->relays[moment->relay]);
}

void relay_follow_want(struct sim *sim, struct relay *relay, bool forced)
{
    relay->follower.outstanding = true;
    relay->follower.forced = relay->follower.forced || forced;
    if (relay->follower.connected)
        later(sim, relay, random_between(&sim->world.random, 10, 300), woken, NULL);
}

void relay_follow_hint(struct sim *sim, struct relay *relay, int64_t newest)
{
    bool news = newest > relay->follower.newest;

    relay->follower.newest = newest;
    if (news && relay->follower.connected)
        later(sim, relay, random_between(&sim->world.random, 10, 300), woken, NULL);
}

void relay_follow_set_active(struct sim *sim, struct relay *relay, bool active)
{
    struct follower *follower = &relay->follower;

    if (follower->active == active)
        return;
    follower->active = active;
    follower->session++;
    follower->connected = false;
    follower->asking = false;
    if (active)
        later(sim, relay, world_latency(&sim->world), connect, NULL);
}
