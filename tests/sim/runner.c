/* One lane of one process: its struct lane, its timer, its pages. */
#include "sim/sim.h"

#include <stdlib.h>

#define LANE_BATCH 3
#define SPINS_MAX 20 /* timers of one moment */

struct runner *runner_of(struct sim *sim, const struct moment *moment)
{
    return &sim->relays[moment->relay].runners[moment->lane];
}

struct moment runner_moment(struct sim *sim, const struct runner *runner, int64_t delay, moment_run *run, void *data)
{
    struct moment moment = relay_moment(sim, runner->relay, delay, run, data);

    moment.lane = runner->number;
    return moment;
}

bool runner_goes(const struct runner *runner)
{
    return runner->lane && lane_state(runner->lane) != LANE_STOPPED && lane_state(runner->lane) != LANE_HALTED;
}

int runner_state(const struct runner *runner)
{
    return runner_goes(runner) ? (int)lane_state(runner->lane) : -1;
}

struct page_copy *runner_page(struct sim *sim, struct runner *runner, uint64_t id)
{
    for (int i = 0; i < PAGES; i++) {
        if (runner->pages[i].id == id)
            return &runner->pages[i];
    }
    oracle_fail(sim, "relay %d: no page %llu", runner->relay, (unsigned long long)id);
    return &runner->pages[0];
}

static void free_page(struct sim *sim, struct runner *runner, uint64_t id)
{
    runner_page(sim, runner, id)->id = 0;
}

int runner_blame(struct sim *sim, struct runner *runner, const struct page_copy *page, enum nature nature)
{
    runner->fault_count = 0;
    for (int i = 0; i < page->count; i++) {
        if (sim->nature[page->records[i].event] == nature)
            runner->faults[runner->fault_count++] = page->records[i].event;
    }
    return runner->fault_count;
}

/* Whoever ticks for this process. */
static void want_tick(struct sim *sim, struct relay *relay, bool forced)
{
    relay_tick_want(sim, relay, forced);
    relay_follow_want(sim, relay, forced);
}

/* One statement renews all; one that is under way will do. */
static void want_renewal(struct sim *sim, struct relay *relay, const struct runner *runner)
{
    if (!relay->roster.asking || !runner->asked)
        relay_lanes_ask_soon(sim, relay);
}

static void carry_out(struct sim *sim, struct runner *runner, const struct lane_action *action)
{
    struct relay *relay = &sim->relays[runner->relay];

    switch (action->kind) {
    case LANE_DO_FREE_PAGE:
        free_page(sim, runner, action->page);
        return;
    case LANE_DO_WANT_TICK:
        want_tick(sim, relay, action->force);
        return;
    case LANE_DO_READ_MARKER:
    case LANE_DO_OPEN_PRODUCER:
    case LANE_DO_OPEN_PIPELINE:
    case LANE_DO_PUBLISH:
    case LANE_DO_COMMIT:
    case LANE_DO_CLOSE_PRODUCER:
        runner_kafka_submit(sim, runner, action);
        return;
    case LANE_DO_RENEW:
        want_renewal(sim, relay, runner);
        return;
    default:
        runner_db_submit(sim, runner, action);
        return;
    }
}

static void tell_state(struct sim *sim, struct runner *runner)
{
    enum lane_state state = lane_state(runner->lane);

    if (state == runner->told)
        return;
    TELL(sim, "relay %d, lane %d/%d: %s, epoch %lld", runner->relay, runner->map, runner->number,
         lane_state_name(state), (long long)lane_epoch(runner->lane));
    runner->told = state;
    if (runner_goes(runner))
        faults_watch(sim, runner->relay, runner->number);
}

static void on_timer(struct sim *sim, const struct moment *moment);

static void set_timer(struct sim *sim, struct runner *runner)
{
    int64_t timer = lane_next_timer(runner->lane);
    struct moment moment;

    if (timer == INT64_MAX || (runner->timer > sim->world.now && runner->timer <= timer))
        return;
    runner->timer = timer > sim->world.now ? timer : sim->world.now;
    moment = runner_moment(sim, runner, runner->timer - sim->world.now, on_timer, NULL);
    moment.number = runner->timer;
    world_add(&sim->world, moment);
}

/* What a thread had stamped just before the process was stopped. */
static int64_t stamp(struct sim *sim, struct relay *relay)
{
    bool stale = relay->stale_stamp && relay->paused_at < sim->world.now;

    relay->stale_stamp = false;
    return stale ? relay->paused_at : sim->world.now;
}

void runner_handle(struct sim *sim, struct runner *runner, struct lane_event event)
{
    struct relay *relay = &sim->relays[runner->relay];
    struct lane_actions actions;
    int life = relay->life;

    event.now = stamp(sim, relay);
    lane_handle(runner->lane, &event, &actions);
    for (size_t i = 0; i < actions.count && relay->alive && relay->life == life; i++)
        carry_out(sim, runner, &actions.list[i]);
    if (!relay->alive || relay->life != life)
        return;
    tell_state(sim, runner);
    set_timer(sim, runner);
    relay_lanes_note(sim, runner);
}

static void on_timer(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);

    if (!relay_ready(sim, moment) || runner->timer != moment->number)
        return;
    runner->timer = 0;
    runner->spins = runner->spun_at == sim->world.now ? runner->spins + 1 : 0;
    runner->spun_at = sim->world.now;
    if (runner->spins > SPINS_MAX) {
        oracle_fail(sim, "relay %d spins: a timer is due and nothing follows", runner->relay);
        return;
    }
    if (lane_next_timer(runner->lane) <= sim->world.now)
        runner_handle(sim, runner, (struct lane_event){.kind = LANE_EVENT_TIMER});
    else
        set_timer(sim, runner);
}

static bool is_of_kafka(enum lane_event_kind kind)
{
    return kind == LANE_EVENT_MARKER || kind == LANE_EVENT_PRODUCER_OPEN || kind == LANE_EVENT_PUBLISHED ||
           kind == LANE_EVENT_REFUSED || kind == LANE_EVENT_COMMITTED || kind == LANE_EVENT_COMMIT_AGAIN ||
           kind == LANE_EVENT_PRODUCER_CLOSED || kind == LANE_EVENT_KAFKA_FAILED;
}

void runner_answer(struct sim *sim, struct runner *runner, struct lane_event event)
{
    struct relay *relay = &sim->relays[runner->relay];

    if ((event.kind == LANE_EVENT_PAGE || event.kind == LANE_EVENT_RELEASE) && event.count > 0) {
        struct page_copy *slot = runner_page(sim, runner, 0);

        *slot = runner->call->page;
        slot->id = ++runner->last_page;
        event.page = slot->id;
    }
    if (event.kind == LANE_EVENT_ACKNOWLEDGED && event.found)
        relay_webhooks_wake(sim, relay);
    if (is_of_kafka(event.kind))
        relay_lanes_note_kafka(sim, runner, event.kind);
    else
        runner->call = NULL;
    runner_handle(sim, runner, event);
}

static struct lane *make_lane(struct sim *sim, const struct relay *relay)
{
    struct lane_settings settings = {
        .lease = LEASE, .lease_renew = LEASE_RENEW, .lease_margin = LEASE_MARGIN,
        .acknowledge_interval = 1 * SEC, .marker_interval = 30 * SEC, .commit_timeout = TRANSACTION_TIMEOUT,
        .release_interval = 1 * SEC, .backoff_min = 100 * MS, .backoff_max = 5 * SEC, .batch_events = LANE_BATCH,
        .seed = random_next(&sim->world.random)};
    struct lane *lane;

    if (relay->at_least_once) {
        settings.at_least_once = true;
        settings.delivery_timeout = LEASE * 2 / 5;
        settings.lease_margin = LEASE * 13 / 30;
        settings.flight_pages = 8;
        settings.flight_bytes = 12 * EVENT_BYTES;
    }
    lane = lane_new(&settings);
    if (!lane)
        abort();
    return lane;
}

void runner_begin(struct sim *sim, struct runner *runner, int map)
{
    struct relay *relay = &sim->relays[runner->relay];

    if (!runner->lane) {
        runner->lane = make_lane(sim, relay);
        runner->started_at = relay->started_at;
        runner->told = LANE_STOPPED;
        runner->seen = LANE_STOPPED;
    }
    runner->map = map;
    runner_handle(sim, runner, (struct lane_event){.kind = LANE_EVENT_START});
    if (runner_state(runner) == LANE_ACQUIRING)
        faults_record_loss(sim, runner->relay, runner->number);
}

void runner_free(struct runner *runner)
{
    lane_free(runner->lane);
    runner->lane = NULL;
}

void runner_strike_request(const struct fault *fault, int64_t range, struct request_fate *fate,
                           struct moment *arrival)
{
    switch (fault->kind) {
    case FAULT_KAFKA_LOST_ANSWER:
        fate->answer_lost = true;
        break;
    case FAULT_KAFKA_LATE_REQUEST:
        fate->answer_lost = true;
        arrival->at += SOCKET_TIMEOUT + (int64_t)(fault->dice % (uint64_t)range);
        break;
    case FAULT_KAFKA_SLOW:
        arrival->at += (int64_t)(fault->dice % (600 * MS));
        break;
    case FAULT_KAFKA_REFUSED:
        fate->refused = true;
        break;
    default:
        fate->failed = true;
        fate->fails_after = fault->dice & 1;
        break;
    }
}
