/* The thread that ticks: struct ticker with a connection that can be lost. */
#include "sim/sim.h"

#include <string.h>

#define NOTHING (-1)
#define PACE (10 * MS)

static void act(struct sim *sim, struct relay *relay, struct ticker_action action);
static void connect(struct sim *sim, const struct moment *moment);

static bool current(struct sim *sim, const struct moment *moment)
{
    const struct relay *relay = &sim->relays[moment->relay];

    return relay_ready(sim, moment) && relay->tick.session == moment->number;
}

static struct moment tick_moment(struct sim *sim, struct relay *relay, int64_t delay, moment_run *run)
{
    struct moment moment = relay_moment(sim, relay->id, delay, run, NULL);

    moment.number = relay->tick.session;
    return moment;
}

static void handle(struct sim *sim, struct relay *relay, enum ticker_event event)
{
    relay->tick.pause = 0;
    act(sim, relay, ticker_handle(&relay->tick.ticker, event));
}

static void release_bell(struct sim *sim, int relay)
{
    if (sim->pg.bell_relay == relay)
        sim->pg.bell_relay = -1;
}

void relay_tick_disconnect(struct sim *sim, struct relay *relay)
{
    relay->tick.session++;
    relay->tick.connected = false;
    relay->tick.sleeping = false;
    relay->tick.notified = false;
    relay->tick.open = NULL;
    release_bell(sim, relay->id);
}

static void connect_later(struct sim *sim, struct relay *relay, int64_t delay)
{
    relay->tick.ticker.forced = true;
    world_add(&sim->world, tick_moment(sim, relay, delay, connect));
}

static void lose(struct sim *sim, struct relay *relay)
{
    struct tick_worker *tick = &relay->tick;

    relay_tick_disconnect(sim, relay);
    tick->pause = tick->pause == 0 ? 100 * MS : tick->pause * 2;
    if (tick->pause > 5 * SEC)
        tick->pause = 5 * SEC;
    if (tick->active)
        connect_later(sim, relay, tick->pause);
}

static bool lost_boot(struct sim *sim, const struct relay *relay)
{
    return !sim->pg.up || relay->tick.boot != sim->pg.boot;
}

/* A new ticker ends the connection of whoever holds the bell: it may hang. */
static void end_holder(struct sim *sim)
{
    int holder = sim->pg.bell_relay;

    if (holder < 0)
        return;
    release_bell(sim, holder);
    sim->relays[holder].tick.boot = NOTHING; /* it finds out */
    relay_tick_notify(sim, &sim->relays[holder]);
}

static void connect(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (!current(sim, moment) || !relay->tick.active)
        return;
    if (!sim->pg.up) {
        lose(sim, relay);
        return;
    }
    relay->tick.boot = sim->pg.boot;
    relay->tick.connected = true;
    end_holder(sim);
    act(sim, relay, ticker_start(&relay->tick.ticker));
}

static void wake(struct sim *sim, struct relay *relay)
{
    struct tick_worker *tick = &relay->tick;

    if (!tick->sleeping || !tick->connected)
        return;
    if (tick->boot == NOTHING || lost_boot(sim, relay)) {
        tick->sleeping = false;
        lose(sim, relay);
    } else if (tick->wanted) {
        enum ticker_event event = tick->forced ? TICKER_WISHED_FORCED : TICKER_WISHED;

        tick->sleeping = false;
        tick->wanted = false;
        tick->forced = false;
        handle(sim, relay, event);
    } else if (tick->notified) {
        tick->sleeping = false;
        tick->notified = false;
        handle(sim, relay, TICKER_NOTIFIED);
    }
}

static void wake_up(struct sim *sim, const struct moment *moment)
{
    if (current(sim, moment))
        wake(sim, &sim->relays[moment->relay]);
}

/* To the process: it may be paused. */
static void wake_soon(struct sim *sim, struct relay *relay)
{
    world_add(&sim->world, tick_moment(sim, relay, random_between(&sim->world.random, 10, 300), wake_up));
}

void relay_tick_notify(struct sim *sim, struct relay *relay)
{
    if (!relay->alive || !relay->tick.connected)
        return;
    relay->tick.notified = true;
    wake_soon(sim, relay);
}

void relay_tick_want(struct sim *sim, struct relay *relay, bool forced)
{
    relay->tick.wanted = true;
    relay->tick.forced = relay->tick.forced || forced;
    if (relay->tick.active)
        wake_soon(sim, relay);
}

static void slept(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (!current(sim, moment) || !relay->tick.sleeping || (uintptr_t)moment->data != relay->tick.naps)
        return;
    relay->tick.sleeping = false;
    if (lost_boot(sim, relay))
        lose(sim, relay);
    else
        handle(sim, relay, TICKER_SLEPT);
}

static void tried_bell(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    bool granted;

    if (!current(sim, moment))
        return;
    if (lost_boot(sim, relay)) {
        lose(sim, relay);
        return;
    }
    granted = sim->pg.bell_relay == relay->id || (sim->pg.bell_relay < 0 && sim->pg.bell_shared == 0);
    if (granted)
        sim->pg.bell_relay = relay->id;
    if (granted && sim->bug == BUG_BELL_WITHOUT_LOOK) {
        ticker_handle(&relay->tick.ticker, TICKER_BELL_GRANTED);
        handle(sim, relay, TICKER_NOTHING_NEW);
        return;
    }
    handle(sim, relay, granted ? TICKER_BELL_GRANTED : TICKER_BELL_REFUSED);
}

static void released_bell(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (!current(sim, moment))
        return;
    if (lost_boot(sim, relay)) {
        lose(sim, relay);
        return;
    }
    release_bell(sim, relay->id);
    handle(sim, relay, TICKER_BELL_RELEASED);
}

/* The answer to a tick; data is the call, which knows the relay and its connection. */
struct tick_call {
    struct call call; /* first */
    int relay, life;
    int session;
    const struct fault *fault;
};

/* NOTIFY outbox_ticks, if there is company. */
static void tell_others(struct sim *sim, struct relay *relay)
{
    bool company = relay->roster.picture.share.relay_count > 1;

    ticker_set_pace(&relay->tick.ticker, company ? PACE : 0);
    for (int i = 0; company && i < sim->relay_count; i++) {
        if (i != relay->id)
            relay_follow_notify(sim, &sim->relays[i]);
    }
}

void relay_tick_answer(struct sim *sim, const struct moment *moment)
{
    struct tick_call *call = moment->data;
    struct relay *relay = &sim->relays[call->relay];
    struct moment own = *moment;

    own.relay = call->relay;
    own.life = call->life;
    own.number = call->session;
    own.run = relay_tick_answer;
    if (!current(sim, &own) || relay->tick.open != &call->call)
        return;
    relay->tick.open = NULL;
    if (call->call.answer.kind == LANE_EVENT_DB_FAILED) {
        lose(sim, relay);
        return;
    }
    if (!call->call.answer.found) {
        handle(sim, relay, TICKER_NOTHING_NEW);
        return;
    }
    relay->tick.last_tick = call->call.answer.tick.id;
    tell_others(sim, relay);
    relay_tell_tick(sim, relay, &call->call.answer.tick);
    if (relay->alive && relay->life == call->life && relay->tick.session == call->session)
        handle(sim, relay, TICKER_TICKED);
}

static void tick_timeout(struct sim *sim, const struct moment *moment)
{
    struct tick_call *call = moment->data;
    struct relay *relay = &sim->relays[moment->relay];

    if (current(sim, moment) && relay->tick.open == &call->call)
        lose(sim, relay);
}

static void apply(struct call *call, struct pg_ticking *ticking, const struct fault *fault)
{
    switch (fault->kind) {
    case FAULT_TICK_FAILS:
        ticking->fails = true;
        break;
    case FAULT_TICK_ANSWER_LOST:
        call->answer_lost = true;
        break;
    case FAULT_TICK_UNREPLICATED:
        ticking->unreplicated = true;
        break;
    default:
        ticking->pause = (int64_t)(fault->dice % (3 * SEC));
        break;
    }
}

static void arrive(struct sim *sim, const struct moment *moment)
{
    struct tick_call *call = moment->data;
    struct pg_ticking ticking = {.forced = call->call.slow, .call = &call->call};

    if (!sim->pg.up || call->call.boot != sim->pg.boot) {
        call->call.answer.kind = LANE_EVENT_DB_FAILED;
        world_add(&sim->world, (struct moment){.at = sim->world.now + world_latency(&sim->world),
                                               .run = relay_tick_answer, .data = call});
        return;
    }
    if (call->fault)
        apply(&call->call, &ticking, call->fault);
    pg_tick_begin(sim, ticking, call->call.last);
}

/* The lanes for which it ticks. */
static unsigned running(const struct relay *relay)
{
    unsigned lanes = 0;

    for (int i = 0; i < PG_LANES; i++)
        lanes |= (unsigned)(runner_state(&relay->runners[i]) == LANE_RUNNING) << i;
    return lanes;
}

static void take(struct sim *sim, struct relay *relay, bool forced)
{
    struct tick_call *call = world_alloc(&sim->world, sizeof(*call));
    struct moment moment = relay_moment(sim, relay->id, STATEMENT_TIMEOUT, tick_timeout, call);

    call->call.last = relay->tick.last_tick;
    call->call.boot = relay->tick.boot;
    call->call.slow = forced;
    call->relay = relay->id;
    call->life = relay->life;
    call->session = relay->tick.session;
    call->fault = faults_take(sim, FAULT_OF_TICK, relay->id, running(relay), ANY);
    relay->tick.open = &call->call;
    moment.number = relay->tick.session;
    world_add(&sim->world, moment);
    moment.at = sim->world.now + world_latency(&sim->world);
    moment.run = arrive;
    world_add(&sim->world, moment);
}

static void fall_asleep(struct sim *sim, struct relay *relay, int64_t duration)
{
    struct moment moment = tick_moment(sim, relay, duration, slept);

    moment.data = (void *)++relay->tick.naps; /* so that it ends no other sleep */
    relay->tick.sleeping = true;
    world_add(&sim->world, moment);
    if (relay->tick.wanted || relay->tick.notified)
        wake_soon(sim, relay);
}

static void act(struct sim *sim, struct relay *relay, struct ticker_action action)
{
    static const char *const words[] = {"tick", "try bell", "release bell", "sleep"};

    TELL(sim, "relay %d ticker: %s %d", relay->id, words[action.kind], (int)(action.duration / MS));
    switch (action.kind) {
    case TICKER_TICK:
        take(sim, relay, action.forced);
        return;
    case TICKER_TRY_BELL:
        world_add(&sim->world, tick_moment(sim, relay, world_latency(&sim->world), tried_bell));
        return;
    case TICKER_RELEASE_BELL:
        world_add(&sim->world, tick_moment(sim, relay, world_latency(&sim->world), released_bell));
        return;
    default:
        fall_asleep(sim, relay, action.duration);
        return;
    }
}

void relay_tick_init(struct relay *relay)
{
    const struct ticker_settings settings = {.bell = true, .poll_interval = 200 * MS, .fallback_poll = 3600 * SEC,
                                             .refused_min = 5 * MS, .refused_max = 50 * MS};

    ticker_init(&relay->tick.ticker, &settings);
}

void relay_tick_set_active(struct sim *sim, struct relay *relay, bool active)
{
    if (relay->tick.active == active)
        return;
    relay->tick.active = active;
    relay->tick.pause = 0;
    if (active) {
        relay->tick.session++;
        connect_later(sim, relay, world_latency(&sim->world));
    } else {
        relay_tick_disconnect(sim, relay);
    }
}
