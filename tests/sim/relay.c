/* The process: its lane, what its main thread does, its life and death. */
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANE_BATCH 3
#define SPINS_MAX 20 /* timers of one moment */

int relay_state(const struct relay *relay)
{
    return relay->alive ? (int)lane_state(relay->lane) : -1;
}

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

struct page_copy *relay_page(struct sim *sim, struct relay *relay, uint64_t id)
{
    for (int i = 0; i < PAGES; i++) {
        if (relay->pages[i].id == id)
            return &relay->pages[i];
    }
    oracle_fail(sim, "relay %d: no page %llu", relay->id, (unsigned long long)id);
    return &relay->pages[0];
}

static void free_page(struct sim *sim, struct relay *relay, uint64_t id)
{
    relay_page(sim, relay, id)->id = 0;
}

int relay_blame(struct sim *sim, struct relay *relay, const struct page_copy *page, enum nature nature)
{
    relay->fault_count = 0;
    for (int i = 0; i < page->count; i++) {
        if (sim->nature[page->records[i].event] == nature)
            relay->faults[relay->fault_count++] = page->records[i].event;
    }
    return relay->fault_count;
}

static void carry_out(struct sim *sim, struct relay *relay, const struct lane_action *action)
{
    switch (action->kind) {
    case LANE_DO_FREE_PAGE:
        free_page(sim, relay, action->page);
        return;
    case LANE_DO_WANT_TICK:
        relay_tick_want(sim, relay, action->force);
        return;
    case LANE_DO_READ_MARKER:
    case LANE_DO_OPEN_PRODUCER:
    case LANE_DO_OPEN_PIPELINE:
    case LANE_DO_PUBLISH:
    case LANE_DO_COMMIT:
    case LANE_DO_CLOSE_PRODUCER:
        relay_kafka_submit(sim, relay, action);
        return;
    case LANE_DO_RENEW:
        relay_keeper_submit(sim, relay, action);
        return;
    default:
        relay_db_submit(sim, relay, action);
        return;
    }
}

/* It exits; a supervisor starts it again, also after a halt: it must halt again then. */
static void end(struct sim *sim, struct relay *relay)
{
    if (lane_state(relay->lane) == LANE_HALTED)
        oracle_halted(sim, relay->id, lane_halt(relay->lane));
    relay_kill(sim, relay->id);
    relay_restart_later(sim, relay->id, random_between(&sim->world.random, 100 * MS, 2 * SEC));
}

static void look_at_lane(struct sim *sim, struct relay *relay)
{
    enum lane_state state = lane_state(relay->lane);

    if (state != relay->told) {
        TELL(sim, "relay %d: %s, epoch %lld", relay->id, lane_state_name(state),
             (long long)lane_epoch(relay->lane));
        relay->told = state;
        faults_watch(sim, relay->id);
    }
    if (state == LANE_RUNNING && !relay->stopping)
        relay_webhooks_start(sim, relay);
    relay_tick_set_active(sim, relay, state == LANE_RUNNING && !relay->stopping);
    if (state == LANE_STOPPED || state == LANE_HALTED)
        end(sim, relay);
}

static void on_timer(struct sim *sim, const struct moment *moment);

static void set_timer(struct sim *sim, struct relay *relay)
{
    int64_t timer = lane_next_timer(relay->lane);
    struct moment moment;

    if (timer == INT64_MAX || (relay->timer > sim->world.now && relay->timer <= timer))
        return;
    relay->timer = timer > sim->world.now ? timer : sim->world.now;
    moment = relay_moment(sim, relay->id, relay->timer - sim->world.now, on_timer, NULL);
    moment.number = relay->timer;
    world_add(&sim->world, moment);
}

void relay_handle(struct sim *sim, struct relay *relay, struct lane_event event)
{
    struct lane_actions actions;
    int life = relay->life;

    event.now = sim->world.now;
    /* What a thread had stamped just before the process was stopped. */
    if (relay->stale_stamp && relay->paused_at < event.now)
        event.now = relay->paused_at;
    relay->stale_stamp = false;
    lane_handle(relay->lane, &event, &actions);
    for (size_t i = 0; i < actions.count && relay->alive && relay->life == life; i++)
        carry_out(sim, relay, &actions.list[i]);
    look_at_lane(sim, relay);
    if (relay->alive && relay->life == life)
        set_timer(sim, relay);
}

static void on_timer(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (!relay_ready(sim, moment) || relay->timer != moment->number)
        return;
    relay->timer = 0;
    relay->spins = relay->spun_at == sim->world.now ? relay->spins + 1 : 0;
    relay->spun_at = sim->world.now;
    if (relay->spins > SPINS_MAX) {
        oracle_fail(sim, "relay %d spins: a timer is due and nothing follows", relay->id);
        return;
    }
    if (lane_next_timer(relay->lane) <= sim->world.now)
        relay_handle(sim, relay, (struct lane_event){.kind = LANE_EVENT_TIMER});
    else
        set_timer(sim, relay);
}

void relay_answer(struct sim *sim, struct relay *relay, enum executor executor, struct lane_event event)
{
    if ((event.kind == LANE_EVENT_PAGE || event.kind == LANE_EVENT_RELEASE) && event.count > 0) {
        struct page_copy *slot = relay_page(sim, relay, 0);

        *slot = relay->calls[executor]->page;
        slot->id = ++relay->last_page;
        event.page = slot->id;
    }
    if (event.kind == LANE_EVENT_ACKNOWLEDGED && event.found)
        relay_webhooks_wake(sim, relay);
    if (executor != EXECUTOR_KAFKA)
        relay->calls[executor] = NULL;
    relay_handle(sim, relay, event);
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
    struct lane_settings settings = {
        .lease = LEASE, .lease_renew = LEASE_RENEW, .lease_margin = LEASE_MARGIN,
        .acknowledge_interval = 1 * SEC, .marker_interval = 30 * SEC, .commit_timeout = TRANSACTION_TIMEOUT,
        .release_interval = 1 * SEC, .backoff_min = 100 * MS, .backoff_max = 5 * SEC, .batch_events = LANE_BATCH,
        .seed = random_next(&sim->world.random)};
    struct relay *relay = &sim->relays[index];
    int life = relay->life;

    *relay = (struct relay){.id = index, .life = life + 1, .alive = true, .started_at = sim->world.now,
                            .told = LANE_STOPPED};
    if (publishes_at_least_once(sim)) {
        settings.at_least_once = true;
        settings.delivery_timeout = LEASE * 2 / 5;
        settings.lease_margin = LEASE * 13 / 30;
        settings.flight_pages = 8;
        settings.flight_bytes = 12 * EVENT_BYTES;
    }
    relay->lane = lane_new(&settings);
    if (!relay->lane)
        abort();
    relay_tick_init(relay);
    TELL(sim, "relay %d starts", index);
    relay_handle(sim, relay, (struct lane_event){.kind = LANE_EVENT_START});
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
    lane_free(relay->lane);
    relay->lane = NULL;
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
    relay_handle(sim, relay, (struct lane_event){.kind = LANE_EVENT_STOP});
}

void relay_reload(struct sim *sim, int index, int batch_events)
{
    lane_set_batch_events(sim->relays[index].lane, batch_events);
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
        if (sim->relays[i].alive)
            lane_free(sim->relays[i].lane);
        sim->relays[i].alive = false;
    }
}
