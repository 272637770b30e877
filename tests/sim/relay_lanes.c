/* The lanes of a process: what src/relay/lanes.c and roster.c do.  Whose turn it is decides
 * core/share. */
#include "sim/sim.h"

/* A check-in under way. */
struct asking {
    struct check_in what;
    struct picture picture;
    uintptr_t serial;
    int boot;
    bool answer_lost;
};

static void tend(struct sim *sim, const struct moment *moment);

static bool any_goes(const struct relay *relay)
{
    for (int i = 0; i < PG_LANES; i++) {
        if (runner_goes(&relay->runners[i]))
            return true;
    }
    return false;
}

static void tend_at(struct sim *sim, struct relay *relay, int64_t at)
{
    struct roster *roster = &relay->roster;
    struct moment moment = relay_moment(sim, relay->id, 0, tend, NULL);

    if (at < sim->world.now)
        at = sim->world.now;
    if (roster->timer >= sim->world.now && roster->timer <= at)
        return;
    roster->timer = at;
    moment.at = at;
    moment.number = at;
    world_add(&sim->world, moment);
}

void relay_lanes_ask_soon(struct sim *sim, struct relay *relay)
{
    relay->roster.ask_at = 0;
    tend_at(sim, relay, 0);
}

static void poked(struct sim *sim, const struct moment *moment)
{
    if (relay_ready(sim, moment))
        relay_lanes_ask_soon(sim, &sim->relays[moment->relay]);
}

void relays_poke(struct sim *sim)
{
    for (int i = 0; i < sim->relay_count; i++) {
        if (sim->relays[i].alive)
            world_add(&sim->world, relay_moment(sim, i, world_latency(&sim->world), poked, NULL));
    }
}

/* --- what follows from a picture --- */

static void tell(struct sim *sim, struct runner *runner, enum lane_event_kind kind)
{
    runner_handle(sim, runner, (struct lane_event){.kind = kind});
}

static void begin_or_end(struct sim *sim, struct relay *relay, int number)
{
    struct runner *runner = &relay->runners[number];
    const struct picture *picture = &relay->roster.picture;
    int holder = picture->share.lanes[number].holder;
    bool to_be_had = picture->lanes[number].holder < 0 || holder == picture->self;
    bool goes = runner_goes(runner);

    if (!runner->wanted && goes)
        tell(sim, runner, LANE_EVENT_STOP);
    else if (runner->wanted && !goes && to_be_had && (!runner->lane || relay->roster.asked_at > runner->ended_at))
        runner_begin(sim, runner, relay->roster.map);
    if (!runner->lane)
        return;
    lane_drain(runner->lane, &picture->stop);
    tell(sim, runner, LANE_EVENT_TIMER);
}

/* The lanes of another map are others: those of the former one must have ended. */
static bool settle_map(struct sim *sim, struct relay *relay)
{
    struct roster *roster = &relay->roster;

    if (roster->map == roster->picture.map)
        return true;
    for (int i = 0; i < PG_LANES; i++) {
        relay->runners[i].wanted = false;
        if (runner_goes(&relay->runners[i]))
            tell(sim, &relay->runners[i], LANE_EVENT_STOP);
    }
    if (any_goes(relay))
        return false;
    roster->map = roster->picture.map;
    return true;
}

/* A lease of a relay that is gone ends before the next look would be due. */
static void look_at_end(struct relay *relay, int number)
{
    struct roster *roster = &relay->roster;
    int64_t end = roster->picture.asked_at + roster->picture.lanes[number].lease_left + 20 * MS;

    if (roster->picture.lanes[number].holder >= 0 && roster->picture.share.lanes[number].holder == SHARE_NOBODY &&
        end < roster->ask_at)
        roster->ask_at = end;
}

static void apply(struct sim *sim, struct relay *relay)
{
    const struct picture *picture = &relay->roster.picture;
    int owner[SHARE_LANES];

    if (relay->stopping || !settle_map(sim, relay))
        return;
    share_lanes(&picture->share, owner);
    for (int i = 0; i < (int)picture->share.lane_count; i++) {
        relay->runners[i].wanted = picture->self >= 0 && owner[i] == picture->self;
        begin_or_end(sim, relay, i);
        look_at_end(relay, i);
    }
}

static void look(struct sim *sim, const struct moment *moment)
{
    if (relay_ready(sim, moment))
        relay_look(sim, &sim->relays[moment->relay]);
}

static void tell_renewed(struct sim *sim, struct runner *runner, const struct picture *picture)
{
    struct lane_event event = {.kind = LANE_EVENT_RENEW_FAILED, .epoch = runner->asked_epoch};

    if (picture) {
        event.kind = LANE_EVENT_RENEWED;
        event.lease_until = picture->asked_at + LEASE;
        event.found = runner->number < (int)picture->share.lane_count && picture->lanes[runner->number].renewed;
    }
    runner->asked = false;
    runner_handle(sim, runner, event);
}

static void on_picture(struct sim *sim, struct relay *relay, const struct picture *picture)
{
    struct roster *roster = &relay->roster;
    bool may_have_left = roster->asking_to_leave;

    roster->asking = false;
    roster->failing = !picture;
    roster->answered = roster->answered || picture;
    roster->left = roster->left || (may_have_left && picture);
    if (picture) {
        roster->picture = *picture;
        roster->ticking_until = picture->ticking ? picture->asked_at + LEASE : 0;
        if (picture->ticking && roster->ticking_until > sim->world.now)
            world_add(&sim->world, relay_moment(sim, relay->id, roster->ticking_until - sim->world.now, look, NULL));
        relay_follow_hint(sim, relay, picture->newest_tick);
    }
    for (int i = 0; i < PG_LANES; i++) {
        if (relay->runners[i].asked)
            tell_renewed(sim, &relay->runners[i], picture);
    }
    if (picture)
        apply(sim, relay);
    relay_look(sim, relay);
    tend_at(sim, relay, roster->ask_at);
}

/* --- checking in --- */

static bool is_awaited(struct sim *sim, const struct moment *moment)
{
    const struct roster *roster = &sim->relays[moment->relay].roster;
    const struct asking *asking = moment->data;

    return relay_ready(sim, moment) && roster->asking && roster->serial == asking->serial;
}

static void come_back(struct sim *sim, const struct moment *moment)
{
    struct asking *asking = moment->data;

    if (is_awaited(sim, moment))
        on_picture(sim, &sim->relays[moment->relay], &asking->picture);
}

/* No answer: the connection is given up, whatever the server does yet. */
static void fail(struct sim *sim, const struct moment *moment)
{
    if (is_awaited(sim, moment))
        on_picture(sim, &sim->relays[moment->relay], NULL);
}

static void arrive(struct sim *sim, const struct moment *moment)
{
    struct asking *asking = moment->data;
    struct moment back = *moment;
    bool dead = !sim->pg.up || asking->boot != sim->pg.boot;

    back.at = sim->world.now + world_latency(&sim->world);
    back.run = dead || asking->answer_lost ? fail : come_back;
    if (!dead)
        pg_check_in(sim, &asking->what, LEASE, &asking->picture);
    world_add(&sim->world, back);
}

static void send(struct sim *sim, struct relay *relay, struct asking *asking, unsigned lanes)
{
    const struct fault *fault = faults_take(sim, FAULT_OF_RENEWAL, relay->id, lanes, ANY);
    struct moment moment = relay_moment(sim, relay->id, LEASE, fail, asking);

    world_add(&sim->world, moment);
    moment.at = sim->world.now + world_latency(&sim->world);
    moment.run = arrive;
    if (fault && fault->kind == FAULT_RENEWAL_SLOW)
        moment.at += (int64_t)(fault->dice % (6 * SEC));
    if (fault && fault->kind == FAULT_RENEWAL_LOST) {
        asking->answer_lost = fault->dice & 2;
        if (!asking->answer_lost && (fault->dice & 1))
            return; /* it hangs until the timeout */
        moment.run = asking->answer_lost ? arrive : fail;
    }
    world_add(&sim->world, moment);
}

static bool is_able(const struct sim *sim, const struct roster *roster)
{
    return sim->world.now >= roster->unable_until;
}

static void ask(struct sim *sim, struct relay *relay)
{
    struct asking *asking = world_alloc(&sim->world, sizeof(*asking));
    struct roster *roster = &relay->roster;
    unsigned lanes = 0;

    asking->what = (struct check_in){.relay = relay->id, .first = !roster->answered, .leaving = relay->stopping,
                                     .able = is_able(sim, roster), .map = roster->map};
    for (int i = 0; i < PG_LANES; i++) {
        struct runner *runner = &relay->runners[i];

        asking->what.may_tick |= !relay->stopping && runner_state(runner) == LANE_RUNNING;
        runner->asked = runner->lane && lane_holds(runner->lane);
        if (!runner->asked)
            continue;
        lanes |= 1u << i;
        runner->asked_epoch = lane_epoch(runner->lane);
        asking->what.lanes[asking->what.count] = i;
        asking->what.epochs[asking->what.count++] = runner->asked_epoch;
    }
    asking->picture.asked_at = sim->world.now;
    asking->boot = sim->pg.boot;
    asking->serial = ++roster->serial;
    roster->asking = true;
    roster->asking_to_leave = relay->stopping;
    roster->asked_at = sim->world.now;
    roster->ask_at = sim->world.now + LEASE_RENEW;
    send(sim, relay, asking, lanes);
}

static void tend(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct roster *roster = &relay->roster;

    if (!relay_ready(sim, moment) || roster->timer != moment->number)
        return;
    roster->timer = -1;
    if (roster->asking || (roster->left && !any_goes(relay)))
        return; /* the answer looks again */
    if (sim->world.now >= roster->ask_at)
        ask(sim, relay);
    else
        tend_at(sim, relay, roster->ask_at);
}

/* --- what happens --- */

void relay_lanes_start(struct sim *sim, struct relay *relay)
{
    relay->roster.timer = -1;
    relay->roster.picture.ticker = -1;
    relay_lanes_ask_soon(sim, relay);
}

void relay_lanes_leave(struct sim *sim, struct relay *relay)
{
    relay_lanes_ask_soon(sim, relay);
    for (int i = 0; i < PG_LANES; i++) {
        relay->runners[i].wanted = false;
        if (runner_goes(&relay->runners[i]))
            tell(sim, &relay->runners[i], LANE_EVENT_STOP);
    }
}

void relay_lanes_note(struct sim *sim, struct runner *runner)
{
    struct relay *relay = &sim->relays[runner->relay];
    enum lane_state state = lane_state(runner->lane), before = runner->seen;
    bool ended = state == LANE_STOPPED || state == LANE_HALTED;

    if (state == before)
        return;
    runner->seen = state;
    if (ended)
        runner->ended_at = sim->world.now;
    if (state == LANE_HALTED)
        oracle_halted(sim, runner, lane_halt(runner->lane));
    /* It may tick now, or must not any more, or the others may have the lane. */
    if (state == LANE_RUNNING || before == LANE_RUNNING || ended)
        relay_lanes_ask_soon(sim, relay);
    relay_look(sim, relay);
}

void relay_lanes_note_kafka(struct sim *sim, struct runner *runner, enum lane_event_kind kind)
{
    struct roster *roster = &sim->relays[runner->relay].roster;

    if (kind == LANE_EVENT_COMMITTED || kind == LANE_EVENT_PRODUCER_OPEN) {
        roster->failing_since = 0;
        roster->unable_until = 0;
    } else if (kind == LANE_EVENT_KAFKA_FAILED) {
        if (roster->failing_since == 0)
            roster->failing_since = sim->world.now;
        if (sim->world.now - roster->failing_since > LEASE)
            roster->unable_until = sim->world.now + UNABLE_FOR;
    }
}
