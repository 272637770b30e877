/* A lane's executor of the database. */
#include "sim/sim.h"

#include <string.h>

static void survey(const struct sim *sim, const struct call *call, struct parking *parking)
{
    *parking = (struct parking){0};
    for (int i = 0; i < sim->pg.row_count; i++) {
        const struct pg_row *row = &sim->pg.rows[i];

        if (row->bucket < call->low || row->bucket > call->high)
            continue;
        parking->open = parking->open || (pg_is_parked(row) && row->map == call->owner.map);
        if (row->parked != PG_NOT_PARKED && row->seq > parking->last)
            parking->last = row->seq;
    }
}

static void fill_acquired(struct sim *sim, struct call *call, const struct pg_grant *grant)
{
    const struct pg_lane *lane = pg_lane_find(&sim->pg, call->owner.map, call->owner.lane);
    struct lane_event *event = &call->answer;

    call->low = lane->low;
    call->high = lane->high;
    event->epoch = grant->epoch;
    event->lease_until = call->asked_at + LEASE;
    event->position = lane->position;
    event->started = lane->started;
    event->published = lane->published;
    event->at_least_once = lane->at_least_once;
    event->standing = sim->pg.other_server ? LANE_HALT_WRONG_SERVER : LANE_HALT_NONE;
    event->endpoints = pg_endpoints(&sim->pg);
    survey(sim, call, &call->parking);
    event->parked = call->parking.open;
}

static void acquire(struct sim *sim, struct call *call, int relay)
{
    struct pg_grant grant = pg_lane_acquire(sim, &call->owner, relay, LEASE);

    call->answer.kind = grant.raised    ? LANE_EVENT_DB_FAILED
                        : grant.granted ? LANE_EVENT_ACQUIRED
                                        : LANE_EVENT_NOT_ACQUIRED;
    call->answer.retry_after = grant.retry_after;
    if (grant.granted)
        fill_acquired(sim, call, &grant);
}

/* What is parked is looked at only if something may be. */
static bool filter(struct sim *sim, struct call *call, const int *rows, int count)
{
    int64_t tick = call->action.position.from.id;

    if (count == 0 || (!call->parking.open && sim->pg.rows[rows[0]].seq > call->parking.last))
        return true;
    if (!pg_park_behind(sim, &call->owner, tick, rows, count))
        return false;
    for (int i = 0; i < count; i++) {
        const struct pg_row *row = &sim->pg.rows[rows[i]];

        if (row->parked != PG_NOT_PARKED && row->seq > call->parking.last)
            call->parking.last = row->seq;
    }
    return true;
}

static void add_record(struct call *call, const struct pg_row *row, int64_t tick)
{
    call->page.records[call->page.count++] = (struct kafka_record){row->event, row->key, row->seq, tick};
    call->answer.count++;
    call->answer.bytes += EVENT_BYTES;
}

static void read_page(struct sim *sim, struct call *call)
{
    const struct lane_action *action = &call->action;
    const struct pg_interval interval = {&action->position, INT64_MAX, call->low, call->high};
    int rows[PAGE_ROWS];
    int count = pg_batch(sim, &interval, action->limit, rows);

    if (count < 0 || !filter(sim, call, rows, count)) { /* a tick is not there, or the lane is another's */
        call->answer.kind = LANE_EVENT_DB_FAILED;
        return;
    }
    call->answer.kind = LANE_EVENT_PAGE;
    call->answer.parked = call->parking.open;
    call->answer.found = count < action->limit;
    for (int i = 0; i < count; i++) {
        const struct pg_row *row = &sim->pg.rows[rows[i]];

        if (row->parked == PG_NOT_PARKED)
            add_record(call, row, action->position.from.id);
        call->answer.position.seq = row->seq;
    }
}

static void park(struct sim *sim, struct call *call)
{
    bool parked = pg_park(sim, &call->owner, call->action.position.from.id, call->faults, call->fault_count);

    call->answer.kind = parked ? LANE_EVENT_PARKED : LANE_EVENT_DB_FAILED;
    survey(sim, call, &call->parking);
    call->parking.open = true;
}

static void take_release(struct sim *sim, struct call *call)
{
    int rows[PAGE_ROWS];
    int count = pg_take_release(sim, &call->owner, call->action.limit, rows, &call->answer.release);

    if (count < 0) {
        call->answer.kind = LANE_EVENT_DB_FAILED;
        return;
    }
    call->answer.kind = LANE_EVENT_RELEASE;
    for (int i = 0; i < count; i++)
        add_record(call, &sim->pg.rows[rows[i]], sim->pg.rows[rows[i]].tick);
    if (count == 0)
        survey(sim, call, &call->parking);
    call->answer.parked = count > 0 || call->parking.open;
}

static void acknowledge(struct sim *sim, struct call *call)
{
    switch (pg_lane_acknowledge(sim, &call->owner, &call->action)) {
    case PG_RAISED:
        if (!sim->oracle.data_lost)
            oracle_fail(sim, "an acknowledgement raised: its position cannot be");
        call->answer.kind = LANE_EVENT_DB_FAILED;
        return;
    case PG_ACCEPTED:
        call->answer.found = true;
        break;
    default:
        break;
    }
    call->answer.kind = LANE_EVENT_ACKNOWLEDGED;
    call->answer.endpoints = pg_endpoints(&sim->pg);
}

static void carry_out(struct sim *sim, struct call *call, int relay)
{
    const struct lane_action *action = &call->action;
    struct lane_event *event = &call->answer;

    switch (action->kind) {
    case LANE_DO_ACQUIRE:
        acquire(sim, call, relay);
        return;
    case LANE_DO_VERIFY:
        event->kind = LANE_EVENT_VERIFIED;
        event->found = pg_tick_find(sim, &action->position.from) && pg_tick_find(sim, &action->position.to);
        return;
    case LANE_DO_CHECK_LEASE:
        event->kind = LANE_EVENT_LEASE_CHECKED;
        event->found = pg_lane_renew(sim, &call->owner, LEASE);
        event->lease_until = call->asked_at + LEASE;
        return;
    case LANE_DO_RECORD:
        event->kind = LANE_EVENT_RECORDED;
        event->found = pg_lane_record(sim, &call->owner, action->at_least_once);
        return;
    case LANE_DO_READ:
        read_page(sim, call);
        return;
    case LANE_DO_ACKNOWLEDGE:
        acknowledge(sim, call);
        return;
    case LANE_DO_PARK:
        park(sim, call);
        return;
    case LANE_DO_TAKE_RELEASE:
        take_release(sim, call);
        return;
    default:
        if (action->kind != LANE_DO_RELEASE && action->kind != LANE_DO_NOTE_HALT)
            oracle_fail(sim, "relay %d: there is no model of action %d", relay, (int)action->kind);
        event->kind = LANE_EVENT_RELEASED;
        if (action->kind == LANE_DO_NOTE_HALT)
            pg_lane_halt(sim, &call->owner);
        pg_lane_release(sim, &call->owner, action->fenced);
        return;
    }
}

static void come_back(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);
    const struct call *call = moment->data;

    if (!relay_ready(sim, moment) || runner->call != call)
        return;
    runner->parking = call->parking;
    runner->low = call->low;
    runner->high = call->high;
    runner_answer(sim, runner, call->answer);
}

/* No answer: the connection is given up, whatever the server does yet. */
static void fail(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);

    if (relay_ready(sim, moment) && runner->call == moment->data)
        runner_answer(sim, runner, (struct lane_event){.kind = LANE_EVENT_DB_FAILED});
}

static void fail_later(struct sim *sim, struct call *call, struct moment moment, int64_t delay)
{
    moment.at = sim->world.now + delay;
    moment.run = fail;
    moment.data = call;
    world_add(&sim->world, moment);
}

static void arrive(struct sim *sim, const struct moment *moment)
{
    struct call *call = moment->data;
    struct moment back = *moment;

    if (!sim->pg.up || call->boot != sim->pg.boot) {
        fail_later(sim, call, *moment, world_latency(&sim->world));
        return;
    }
    carry_out(sim, call, moment->relay);
    if (call->answer_lost) {
        fail_later(sim, call, *moment, world_latency(&sim->world));
        return;
    }
    back.at = sim->world.now + world_latency(&sim->world);
    if (call->slow)
        back.at += random_between(&sim->world.random, 500 * MS, 3 * SEC);
    back.run = come_back;
    world_add(&sim->world, back);
}

static void send(struct sim *sim, struct runner *runner, struct call *call, const struct fault *fault)
{
    struct moment moment = runner_moment(sim, runner, world_latency(&sim->world), arrive, call);

    fail_later(sim, call, moment, STATEMENT_TIMEOUT);
    if (!fault) {
        world_add(&sim->world, moment);
        return;
    }
    switch (fault->kind) {
    case FAULT_DB_LOST_REQUEST:
        if (fault->dice & 1)
            fail_later(sim, call, moment, moment.at - sim->world.now);
        return; /* or it hangs until the timeout */
    case FAULT_DB_LATE_REQUEST:
        moment.at += STATEMENT_TIMEOUT + (int64_t)(fault->dice % (4 * SEC));
        break;
    case FAULT_DB_LOST_ANSWER:
        call->answer_lost = true;
        break;
    default:
        call->slow = true;
        break;
    }
    world_add(&sim->world, moment);
}

void runner_db_submit(struct sim *sim, struct runner *runner, const struct lane_action *action)
{
    struct call *call = world_alloc(&sim->world, sizeof(*call));

    if (runner->call)
        oracle_fail(sim, "relay %d, lane %d: two statements at once", runner->relay, runner->number);
    runner->call = call;
    *call = (struct call){.action = *action, .owner = {runner->map, runner->number, action->epoch},
                          .low = runner->low, .high = runner->high, .asked_at = sim->world.now,
                          .boot = sim->pg.boot, .parking = runner->parking};
    if (action->kind == LANE_DO_PARK) {
        memcpy(call->faults, runner->faults, sizeof(call->faults));
        call->fault_count = runner->fault_count;
        runner->fault_count = 0;
    }
    send(sim, runner, call, faults_take(sim, FAULT_OF_DB, runner->relay, 1u << runner->number, (int)action->kind));
}
