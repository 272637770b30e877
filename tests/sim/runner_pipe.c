/* At least once: an idempotent producer with several pages in flight, and no transaction. */
#include "sim/sim.h"

#define CLOSE_LOOK (20 * MS)

/* One request on the wire. */
struct wire {
    struct kafka_request request;
    struct kafka_answer answer;
    struct pipe *pipe;
    int slot;
    int try;
    struct request_fate fate;
    bool bad;
};

static void send(struct sim *sim, struct runner *runner, int slot);

static bool concerns(const struct runner *runner, const struct wire *wire)
{
    const struct pipe_page *page = &wire->pipe->pages[wire->slot % PIPE_PAGES];

    return runner->pipe == wire->pipe && !wire->pipe->failed && wire->slot >= wire->pipe->confirmed &&
           page->slot == wire->slot && !page->arrived && page->tries == wire->try;
}

static void tell_failure(struct sim *sim, struct runner *runner, bool refused, bool at_fault)
{
    runner->pipe->failed = true;
    if (!runner->pipe->closing)
        runner_handle(sim, runner, (struct lane_event){.kind = LANE_EVENT_DELIVERY_FAILED, .refused = refused,
                                                     .at_fault = at_fault});
}

static void fail(struct sim *sim, struct runner *runner, bool refused)
{
    tell_failure(sim, runner, refused, false);
}

/* Of several records, or pages, it is not known who is at fault. */
static void fail_batch(struct sim *sim, struct runner *runner, const struct page_copy *page)
{
    bool alone = page->count == 1 && runner->pipe->count - runner->pipe->confirmed == 1 && !runner->pipe->closing &&
                 runner_blame(sim, runner, page, NATURE_BAD) == 1;

    tell_failure(sim, runner, true, alone);
}

static void confirm(struct sim *sim, struct runner *runner)
{
    struct pipe *pipe = runner->pipe;
    uint64_t last = 0;

    while (pipe->confirmed < pipe->count && pipe->pages[pipe->confirmed % PIPE_PAGES].arrived)
        last = pipe->pages[pipe->confirmed++ % PIPE_PAGES].copy.id;
    if (last != 0)
        runner_handle(sim, runner, (struct lane_event){.kind = LANE_EVENT_CONFIRMED, .page = last});
}

static void try_again(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);
    struct wire *wire = moment->data;

    if (!relay_ready(sim, moment) || !concerns(runner, wire))
        return;
    if (sim->world.now >= wire->pipe->pages[wire->slot % PIPE_PAGES].begun_at + LEASE / 3)
        fail(sim, runner, false);
    else
        send(sim, runner, wire->slot);
}

static void come_back(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);
    struct wire *wire = moment->data;
    struct moment again = *moment;

    if (!relay_ready(sim, moment) || !concerns(runner, wire))
        return;
    if (wire->bad) {
        fail_batch(sim, runner, &wire->pipe->pages[wire->slot % PIPE_PAGES].copy);
    } else if (wire->fate.refused) {
        fail(sim, runner, true);
    } else if (wire->fate.failed || wire->answer.error != KAFKA_OK) {
        again.at = sim->world.now + 10 * MS;
        again.run = try_again;
        world_add(&sim->world, again);
    } else {
        wire->pipe->pages[wire->slot % PIPE_PAGES].arrived = true;
        confirm(sim, runner);
    }
}

static void arrive(struct sim *sim, const struct moment *moment)
{
    struct wire *wire = moment->data;
    struct moment back = *moment;

    if (sim->kafka.down_until > sim->world.now)
        return;
    for (int i = 0; i < wire->request.count; i++)
        wire->bad = wire->bad || sim->nature[wire->request.records[i].event] == NATURE_BAD;
    if (!wire->bad && !wire->fate.refused && (!wire->fate.failed || wire->fate.fails_after))
        kafka_serve(sim, &wire->request, &wire->answer);
    if (wire->fate.answer_lost)
        return;
    back.at = sim->world.now + world_latency(&sim->world);
    back.run = come_back;
    world_add(&sim->world, back);
}

static void send(struct sim *sim, struct runner *runner, int slot)
{
    struct pipe_page *page = &runner->pipe->pages[slot % PIPE_PAGES];
    const struct fault *fault = faults_take(sim, FAULT_OF_KAFKA, runner->relay, 1u << runner->number, KAFKA_PRODUCE);
    struct wire *wire = world_alloc(&sim->world, sizeof(*wire));
    struct moment moment = runner_moment(sim, runner, SOCKET_TIMEOUT, try_again, wire);

    wire->pipe = runner->pipe;
    wire->slot = slot;
    wire->try = ++page->tries;
    wire->request = (struct kafka_request){.api = KAFKA_PIPE, .pipe = runner->pipe->id, .sequence = slot,
                                           .count = page->copy.count, .started_at = runner->started_at,
                                           .map = runner->map, .lane = runner->number};
    for (int i = 0; i < page->copy.count; i++)
        wire->request.records[i] = page->copy.records[i];
    world_add(&sim->world, moment);
    moment.at = sim->world.now + world_latency(&sim->world);
    moment.run = arrive;
    if (fault)
        runner_strike_request(fault, 6 * SEC, &wire->fate, &moment);
    if (!fault || fault->kind != FAULT_KAFKA_LOST_REQUEST)
        world_add(&sim->world, moment);
}

void runner_pipe_open(struct sim *sim, struct runner *runner)
{
    runner->pipe = world_alloc(&sim->world, sizeof(*runner->pipe));
    runner->pipe->id = ++sim->kafka.pipes;
}

/* For a planted bug. */
static void confirm_all(struct sim *sim, struct runner *runner)
{
    for (int i = 0; i < PIPE_PAGES; i++)
        runner->pipe->pages[i].arrived = true;
    confirm(sim, runner);
}

static void published(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);

    if (!relay_ready(sim, moment) || runner->pipe != moment->data)
        return;
    runner_answer(sim, runner, (struct lane_event){.kind = LANE_EVENT_PUBLISHED});
    if (sim->bug == BUG_CONFIRM_EARLY && runner->pipe)
        confirm_all(sim, runner);
}

/* Nothing of it was handed over. */
static void refuse(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);

    if (relay_ready(sim, moment) && runner->pipe == moment->data)
        runner_answer(sim, runner, (struct lane_event){.kind = LANE_EVENT_REFUSED, .refused = true,
                                                                     .at_fault = true});
}

void runner_pipe_publish(struct sim *sim, struct runner *runner, uint64_t id)
{
    struct pipe *pipe = runner->pipe;
    struct pipe_page *page = &pipe->pages[pipe->count % PIPE_PAGES];

    if (runner_blame(sim, runner, runner_page(sim, runner, id), NATURE_TOO_LARGE) > 0) {
        world_add(&sim->world, runner_moment(sim, runner, random_between(&sim->world.random, 10, 500), refuse, pipe));
        return;
    }
    *page = (struct pipe_page){.slot = pipe->count, .begun_at = sim->world.now,
                               .copy = *runner_page(sim, runner, id)};
    page->arrived = false;
    pipe->count++;
    world_add(&sim->world, runner_moment(sim, runner, random_between(&sim->world.random, 10, 500), published, pipe));
    if (!pipe->failed)
        send(sim, runner, page->slot);
}

static void closed(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);
    struct pipe *pipe = moment->data;
    struct moment again = *moment;

    if (!relay_ready(sim, moment) || runner->pipe != pipe)
        return;
    if (pipe->drains && !pipe->failed && pipe->confirmed < pipe->count && sim->world.now < moment->number) {
        again.at = sim->world.now + CLOSE_LOOK;
        world_add(&sim->world, again);
        return;
    }
    runner->pipe = NULL;
    runner_answer(sim, runner, (struct lane_event){.kind = LANE_EVENT_PRODUCER_CLOSED});
}

void runner_pipe_close(struct sim *sim, struct runner *runner, bool drain)
{
    struct moment moment = runner_moment(sim, runner, world_latency(&sim->world), closed, runner->pipe);

    runner->pipe->closing = true;
    runner->pipe->drains = drain;
    moment.number = sim->world.now + LEASE / 3;
    world_add(&sim->world, moment);
}
