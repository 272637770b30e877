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
    bool answer_lost, refused, failed, fails_after, bad;
};

static void send(struct sim *sim, struct relay *relay, int slot);

static bool concerns(const struct relay *relay, const struct wire *wire)
{
    const struct pipe_page *page = &wire->pipe->pages[wire->slot % PIPE_PAGES];

    return relay->pipe == wire->pipe && !wire->pipe->failed && wire->slot >= wire->pipe->confirmed &&
           page->slot == wire->slot && !page->arrived && page->tries == wire->try;
}

static void tell_failure(struct sim *sim, struct relay *relay, bool refused, bool at_fault)
{
    relay->pipe->failed = true;
    if (!relay->pipe->closing)
        relay_handle(sim, relay, (struct lane_event){.kind = LANE_EVENT_DELIVERY_FAILED, .refused = refused,
                                                     .at_fault = at_fault});
}

static void fail(struct sim *sim, struct relay *relay, bool refused)
{
    tell_failure(sim, relay, refused, false);
}

/* Of several records, or pages, it is not known who is at fault. */
static void fail_batch(struct sim *sim, struct relay *relay, const struct page_copy *page)
{
    bool alone = page->count == 1 && relay->pipe->count - relay->pipe->confirmed == 1 && !relay->pipe->closing &&
                 relay_blame(sim, relay, page, NATURE_BAD) == 1;

    tell_failure(sim, relay, true, alone);
}

static void confirm(struct sim *sim, struct relay *relay)
{
    struct pipe *pipe = relay->pipe;
    uint64_t last = 0;

    while (pipe->confirmed < pipe->count && pipe->pages[pipe->confirmed % PIPE_PAGES].arrived)
        last = pipe->pages[pipe->confirmed++ % PIPE_PAGES].copy.id;
    if (last != 0)
        relay_handle(sim, relay, (struct lane_event){.kind = LANE_EVENT_CONFIRMED, .page = last});
}

static void try_again(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct wire *wire = moment->data;

    if (!relay_ready(sim, moment) || !concerns(relay, wire))
        return;
    if (sim->world.now >= wire->pipe->pages[wire->slot % PIPE_PAGES].begun_at + LEASE / 3)
        fail(sim, relay, false);
    else
        send(sim, relay, wire->slot);
}

static void come_back(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct wire *wire = moment->data;
    struct moment again = *moment;

    if (!relay_ready(sim, moment) || !concerns(relay, wire))
        return;
    if (wire->bad) {
        fail_batch(sim, relay, &wire->pipe->pages[wire->slot % PIPE_PAGES].copy);
    } else if (wire->refused) {
        fail(sim, relay, true);
    } else if (wire->failed || wire->answer.error != KAFKA_OK) {
        again.at = sim->world.now + 10 * MS;
        again.run = try_again;
        world_add(&sim->world, again);
    } else {
        wire->pipe->pages[wire->slot % PIPE_PAGES].arrived = true;
        confirm(sim, relay);
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
    if (!wire->bad && !wire->refused && (!wire->failed || wire->fails_after))
        kafka_serve(sim, &wire->request, &wire->answer);
    if (wire->answer_lost)
        return;
    back.at = sim->world.now + world_latency(&sim->world);
    back.run = come_back;
    world_add(&sim->world, back);
}

static void apply(const struct fault *fault, struct wire *wire, struct moment *moment)
{
    switch (fault->kind) {
    case FAULT_KAFKA_LOST_ANSWER:
        wire->answer_lost = true;
        break;
    case FAULT_KAFKA_LATE_REQUEST:
        wire->answer_lost = true;
        moment->at += SOCKET_TIMEOUT + (int64_t)(fault->dice % (6 * SEC));
        break;
    case FAULT_KAFKA_SLOW:
        moment->at += (int64_t)(fault->dice % (600 * MS));
        break;
    case FAULT_KAFKA_REFUSED:
        wire->refused = true;
        break;
    default:
        wire->failed = true;
        wire->fails_after = fault->dice & 1;
        break;
    }
}

static void send(struct sim *sim, struct relay *relay, int slot)
{
    struct pipe_page *page = &relay->pipe->pages[slot % PIPE_PAGES];
    const struct fault *fault = faults_take(sim, FAULT_OF_KAFKA, relay->id, KAFKA_PRODUCE);
    struct wire *wire = world_alloc(&sim->world, sizeof(*wire));
    struct moment moment = relay_moment(sim, relay->id, SOCKET_TIMEOUT, try_again, wire);

    wire->pipe = relay->pipe;
    wire->slot = slot;
    wire->try = ++page->tries;
    wire->request = (struct kafka_request){.api = KAFKA_PIPE, .pipe = relay->pipe->id, .sequence = slot,
                                           .count = page->copy.count, .started_at = relay->started_at};
    for (int i = 0; i < page->copy.count; i++)
        wire->request.records[i] = page->copy.records[i];
    world_add(&sim->world, moment);
    moment.at = sim->world.now + world_latency(&sim->world);
    moment.run = arrive;
    if (fault)
        apply(fault, wire, &moment);
    if (!fault || fault->kind != FAULT_KAFKA_LOST_REQUEST)
        world_add(&sim->world, moment);
}

void relay_pipe_open(struct sim *sim, struct relay *relay)
{
    relay->pipe = world_alloc(&sim->world, sizeof(*relay->pipe));
    relay->pipe->id = ++sim->kafka.pipes;
}

/* For a planted bug. */
static void confirm_all(struct sim *sim, struct relay *relay)
{
    for (int i = 0; i < PIPE_PAGES; i++)
        relay->pipe->pages[i].arrived = true;
    confirm(sim, relay);
}

static void published(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (!relay_ready(sim, moment) || relay->pipe != moment->data)
        return;
    relay_answer(sim, relay, EXECUTOR_KAFKA, (struct lane_event){.kind = LANE_EVENT_PUBLISHED});
    if (sim->bug == BUG_CONFIRM_EARLY && relay->pipe)
        confirm_all(sim, relay);
}

/* Nothing of it was handed over. */
static void refuse(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (relay_ready(sim, moment) && relay->pipe == moment->data)
        relay_answer(sim, relay, EXECUTOR_KAFKA, (struct lane_event){.kind = LANE_EVENT_REFUSED, .refused = true,
                                                                     .at_fault = true});
}

void relay_pipe_publish(struct sim *sim, struct relay *relay, uint64_t id)
{
    struct pipe *pipe = relay->pipe;
    struct pipe_page *page = &pipe->pages[pipe->count % PIPE_PAGES];

    if (relay_blame(sim, relay, relay_page(sim, relay, id), NATURE_TOO_LARGE) > 0) {
        world_add(&sim->world, relay_moment(sim, relay->id, random_between(&sim->world.random, 10, 500), refuse, pipe));
        return;
    }
    *page = (struct pipe_page){.slot = pipe->count, .begun_at = sim->world.now,
                               .copy = *relay_page(sim, relay, id)};
    page->arrived = false;
    pipe->count++;
    world_add(&sim->world, relay_moment(sim, relay->id, random_between(&sim->world.random, 10, 500), published, pipe));
    if (!pipe->failed)
        send(sim, relay, page->slot);
}

static void closed(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct pipe *pipe = moment->data;
    struct moment again = *moment;

    if (!relay_ready(sim, moment) || relay->pipe != pipe)
        return;
    if (pipe->drains && !pipe->failed && pipe->confirmed < pipe->count && sim->world.now < moment->number) {
        again.at = sim->world.now + CLOSE_LOOK;
        world_add(&sim->world, again);
        return;
    }
    relay->pipe = NULL;
    relay_answer(sim, relay, EXECUTOR_KAFKA, (struct lane_event){.kind = LANE_EVENT_PRODUCER_CLOSED});
}

void relay_pipe_close(struct sim *sim, struct relay *relay, bool drain)
{
    struct moment moment = relay_moment(sim, relay->id, world_latency(&sim->world), closed, relay->pipe);

    relay->pipe->closing = true;
    relay->pipe->drains = drain;
    moment.number = sim->world.now + LEASE / 3;
    world_add(&sim->world, moment);
}
