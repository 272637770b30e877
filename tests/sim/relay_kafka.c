/* The executor of Kafka: a client that sends again what got no answer, as librdkafka does. */
#include "sim/sim.h"

#include <string.h>

#define BACKOFF (20 * MS)

/* One request on the wire; it may arrive although its client has given it up. */
struct wire {
    struct kafka_request request;
    struct kafka_answer answer;
    struct producer *producer;
    uint64_t job;
    int step;
    bool answer_lost;
    bool answered;
    bool refused, failed, bad;
    bool fails_after; /* carried out, and an error all the same */
};

static void next(struct sim *sim, struct relay *relay);

static void finish(struct sim *sim, struct relay *relay, struct lane_event event)
{
    relay->kafka.serial++;
    relay->kafka.action.kind = LANE_DO_FREE_PAGE; /* none of ours */
    relay_answer(sim, relay, EXECUTOR_KAFKA, event);
}

static void fail(struct sim *sim, struct relay *relay, bool refused)
{
    relay->kafka_committing = false;
    finish(sim, relay, (struct lane_event){.kind = LANE_EVENT_KAFKA_FAILED, .refused = refused});
}

/* The broker does not say which record it was: only of one that stood alone it is known. */
static void fail_batch(struct sim *sim, struct relay *relay)
{
    bool alone = relay->kafka.page.count == 1 && relay_blame(sim, relay, &relay->kafka.page, NATURE_BAD) == 1;

    finish(sim, relay, (struct lane_event){.kind = LANE_EVENT_KAFKA_FAILED, .refused = true, .at_fault = alone});
}

/* Before anything is begun. */
static void refuse(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (relay_ready(sim, moment) && relay->kafka.serial == (uint64_t)moment->number)
        finish(sim, relay, (struct lane_event){.kind = LANE_EVENT_REFUSED, .refused = true, .at_fault = true});
}

static bool is_bad(const struct sim *sim, const struct kafka_request *request)
{
    for (int i = 0; i < request->count; i++) {
        if (sim->nature[request->records[i].event] == NATURE_BAD)
            return true;
    }
    return false;
}

/* A marker as a worse design would have kept it. */
static void spoil(struct sim *sim, struct relay *relay, struct lane_event *event)
{
    struct position *position = &event->position;

    if (sim->bug == BUG_MISSING_IS_NEW && !event->found && !event->foreign) {
        event->found = true;
        event->position = relay->acked;
        event->published = 0;
    }
    if (!event->found || position_same_batch(position, &relay->acked) || position->done)
        return;
    if (sim->bug == BUG_NO_FROM_TICK)
        position->from = relay->acked.to;
    if (sim->bug == BUG_NO_TO_TICK)
        position->to = sim->pg.ticks[sim->pg.tick_count - 1].id;
}

static void finish_marker(struct sim *sim, struct relay *relay, const struct kafka_answer *answer)
{
    struct kafka_answer use = *answer;
    struct lane_event event = {.kind = LANE_EVENT_MARKER};
    bool comparing = lane_state(relay->lane) == LANE_COMPARING;

    if (sim->bug == BUG_MARKER_BEFORE_FENCE && !comparing && relay->has_compared)
        use = (struct kafka_answer){.found = true, .marker = relay->compared};
    relay->has_compared = comparing && use.found;
    relay->compared = use.marker;
    relay->acked = sim->pg.position;
    event.found = use.found && use.marker.incarnation == relay->incarnation;
    event.foreign = use.found && !event.found;
    if (event.found) {
        event.position = use.marker.position;
        event.published = use.marker.published;
        event.release = use.marker.release;
    }
    spoil(sim, relay, &event);
    if (sim->bug == BUG_MARKER_TOO_SOON && comparing && sim->pg.started &&
        (!event.found || position_compare(&relay->acked, &event.position) == POSITION_AFTER))
        event = (struct lane_event){.kind = LANE_EVENT_MARKER, .foreign = true};
    finish(sim, relay, event);
}

static void finish_commit(struct sim *sim, struct relay *relay)
{
    struct producer *producer = relay->kafka.producer;
    bool tainted = producer->lost || producer->ends > 1;

    relay->kafka_committing = false;
    if (tainted)
        TELL(sim, "relay %d: the producer is tainted", relay->id);
    finish(sim, relay, (struct lane_event){.kind = LANE_EVENT_COMMITTED,
                                           .tainted = tainted && sim->bug != BUG_RECYCLE_OFF});
}

static void advance(struct sim *sim, struct relay *relay, const struct wire *wire)
{
    struct producer *producer = wire->producer;

    switch (wire->request.api) {
    case KAFKA_READ_MARKER:
        finish_marker(sim, relay, &wire->answer);
        return;
    case KAFKA_CONNECT:
        relay_pipe_open(sim, relay);
        finish(sim, relay, (struct lane_event){.kind = LANE_EVENT_PRODUCER_OPEN});
        return;
    case KAFKA_INIT:
        producer->epoch = wire->answer.epoch;
        finish(sim, relay, (struct lane_event){.kind = LANE_EVENT_PRODUCER_OPEN});
        return;
    case KAFKA_PRODUCE_MARKER:
        producer->sequence[1]++;
        finish(sim, relay, (struct lane_event){.kind = LANE_EVENT_PUBLISHED});
        return;
    case KAFKA_END:
        finish_commit(sim, relay);
        return;
    case KAFKA_PRODUCE:
        producer->sequence[0] += wire->request.count;
        break;
    default:
        break;
    }
    relay->kafka.step++;
    next(sim, relay);
}

static bool concerns(const struct relay *relay, const struct wire *wire)
{
    return relay->kafka.serial == wire->job && relay->kafka.step == wire->step;
}

static void go_on(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (relay_ready(sim, moment) && concerns(relay, moment->data))
        next(sim, relay);
}

static void come_back(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct wire *wire = moment->data;
    struct moment again = *moment;

    if (!relay_ready(sim, moment) || !concerns(relay, wire))
        return;
    wire->answered = true;
    if (wire->bad) {
        fail_batch(sim, relay);
    } else if (wire->refused || wire->failed) {
        fail(sim, relay, wire->refused);
    } else if (wire->answer.error == KAFKA_CONCURRENT) {
        again.at = sim->world.now + BACKOFF;
        again.run = go_on;
        world_add(&sim->world, again);
    } else if (wire->answer.error != KAFKA_OK) {
        TELL(sim, "relay %d: Kafka says %s", relay->id,
             wire->answer.error == KAFKA_FENCED ? "fenced" : "invalid state");
        fail(sim, relay, false);
    } else {
        advance(sim, relay, wire);
    }
}

static void arrive(struct sim *sim, const struct moment *moment)
{
    struct wire *wire = moment->data;
    struct moment back = *moment;

    if (sim->kafka.down_until > sim->world.now)
        return; /* lost */
    wire->bad = wire->request.api == KAFKA_PRODUCE && is_bad(sim, &wire->request);
    if (!wire->bad && !wire->refused && (!wire->failed || wire->fails_after))
        kafka_serve(sim, &wire->request, &wire->answer);
    if (wire->answer_lost)
        return;
    back.at = sim->world.now + world_latency(&sim->world);
    back.run = come_back;
    world_add(&sim->world, back);
}

/* Nothing came: sent again, on a new connection, which the first one may still overtake. */
static void time_out(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    const struct wire *wire = moment->data;

    if (!relay_ready(sim, moment) || !concerns(relay, wire) || wire->answered)
        return;
    if (wire->request.api != KAFKA_PRODUCE && wire->request.api != KAFKA_PRODUCE_MARKER && wire->producer)
        wire->producer->lost = true;
    next(sim, relay);
}

static void apply(const struct fault *fault, struct wire *wire, struct moment *moment)
{
    switch (fault->kind) {
    case FAULT_KAFKA_LOST_ANSWER:
        wire->answer_lost = true;
        break;
    case FAULT_KAFKA_LATE_REQUEST: /* from just after its retry to seconds later */
        wire->answer_lost = true;
        moment->at += SOCKET_TIMEOUT + (int64_t)(fault->dice % (fault->dice & (1 << 20) ? 6 * SEC : 60 * MS));
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

static void send(struct sim *sim, struct relay *relay, struct wire *wire)
{
    const struct fault *fault = faults_take(sim, FAULT_OF_KAFKA, relay->id, (int)wire->request.api);
    struct moment moment = relay_moment(sim, relay->id, SOCKET_TIMEOUT, time_out, wire);

    wire->job = relay->kafka.serial;
    wire->step = relay->kafka.step;
    wire->producer = relay->kafka.producer;
    wire->request.lane_epoch = relay->kafka.action.epoch;
    wire->request.relay = relay->id;
    wire->request.started_at = relay->started_at;
    if (wire->producer)
        wire->request.epoch = wire->producer->epoch;
    world_add(&sim->world, moment);
    moment.at = sim->world.now + world_latency(&sim->world);
    moment.run = arrive;
    if (fault)
        apply(fault, wire, &moment);
    if (!fault || fault->kind != FAULT_KAFKA_LOST_REQUEST)
        world_add(&sim->world, moment);
}

/* Records in two requests, so that something can come between them. */
static void add_records(const struct kafka_job *job, struct kafka_request *request, int half)
{
    int middle = (job->page.count + 1) / 2;
    int first = half == 0 ? 0 : middle;
    int last = half == 0 ? middle : job->page.count;

    request->api = KAFKA_PRODUCE;
    request->sequence = job->producer->sequence[0];
    for (int i = first; i < last; i++)
        request->records[request->count++] = job->page.records[i];
}

static void publish(struct sim *sim, struct relay *relay, struct wire *wire)
{
    struct kafka_job *job = &relay->kafka;

    if (job->step == 0) {
        wire->request.api = KAFKA_ADD_PARTITIONS;
    } else if (job->step <= 2 && job->page.count > job->step - 1) {
        add_records(job, &wire->request, job->step - 1);
    } else {
        job->step = 3;
        wire->request.api = KAFKA_PRODUCE_MARKER;
        wire->request.sequence = job->producer->sequence[1];
        wire->request.marker = (struct kafka_marker){
            .position = job->action.position, .published = job->action.published, .incarnation = relay->incarnation,
            .release = sim->bug == BUG_RELEASE_UNMARKED ? 0 : job->action.release};
    }
    send(sim, relay, wire);
}

/* The request that the job has come to, for the first time or again. */
static void next(struct sim *sim, struct relay *relay)
{
    struct kafka_job *job = &relay->kafka;
    struct wire *wire;

    if (job->action.kind != LANE_DO_COMMIT && sim->world.now >= job->deadline) {
        fail(sim, relay, false);
        return;
    }
    wire = world_alloc(&sim->world, sizeof(*wire));
    switch (job->action.kind) {
    case LANE_DO_READ_MARKER:
        wire->request.api = KAFKA_READ_MARKER;
        break;
    case LANE_DO_OPEN_PRODUCER:
        wire->request.api = KAFKA_INIT;
        break;
    case LANE_DO_OPEN_PIPELINE:
        wire->request.api = KAFKA_CONNECT;
        break;
    case LANE_DO_COMMIT:
        wire->request.api = KAFKA_END;
        wire->request.commit = true;
        job->producer->ends++;
        break;
    default:
        publish(sim, relay, wire);
        return;
    }
    send(sim, relay, wire);
}

/* A commit is waited for in slices; in between it goes on by itself. */
static void slice_ends(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (!relay_ready(sim, moment) || relay->kafka.serial != (uint64_t)moment->number || !relay->kafka_committing)
        return;
    relay_answer(sim, relay, EXECUTOR_KAFKA, (struct lane_event){.kind = LANE_EVENT_COMMIT_AGAIN});
}

/* For a planted bug. */
static void pretend(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (relay_ready(sim, moment) && relay->kafka.serial == (uint64_t)moment->number && relay->kafka_committing)
        finish_commit(sim, relay);
}

static void commit(struct sim *sim, struct relay *relay, const struct lane_action *action)
{
    struct moment slice = relay_moment(sim, relay->id, COMMIT_SLICE, slice_ends, NULL);
    bool resumed = relay->kafka_committing;

    relay->kafka.action = *action;
    slice.number = (int64_t)relay->kafka.serial;
    world_add(&sim->world, slice);
    if (resumed)
        return;
    relay->kafka_committing = true;
    relay->kafka.step = 0;
    next(sim, relay);
    slice.at = sim->world.now;
    slice.run = pretend;
    if (sim->bug == BUG_ACK_BEFORE_COMMIT)
        world_add(&sim->world, slice);
}

static void closed(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];

    if (relay_ready(sim, moment) && relay->kafka.serial == (uint64_t)moment->number)
        finish(sim, relay, (struct lane_event){.kind = LANE_EVENT_PRODUCER_CLOSED});
}

static void close_producer(struct sim *sim, struct relay *relay)
{
    struct moment moment = relay_moment(sim, relay->id, world_latency(&sim->world), closed, NULL);

    relay->kafka.serial++; /* what is on the wire is nobody's any more */
    relay->producer = NULL;
    relay->kafka_committing = false;
    moment.number = (int64_t)relay->kafka.serial;
    world_add(&sim->world, moment);
}

void relay_kafka_submit(struct sim *sim, struct relay *relay, const struct lane_action *action)
{
    struct kafka_job *job = &relay->kafka;

    switch (action->kind) {
    case LANE_DO_COMMIT:
        commit(sim, relay, action);
        return;
    case LANE_DO_CLOSE_PRODUCER:
        if (relay->pipe)
            relay_pipe_close(sim, relay, action->drain);
        else
            close_producer(sim, relay);
        return;
    case LANE_DO_OPEN_PRODUCER:
        relay->producer = world_alloc(&sim->world, sizeof(*relay->producer));
        break;
    case LANE_DO_OPEN_PIPELINE:
        relay->producer = NULL;
        relay->pipe = NULL;
        break;
    case LANE_DO_PUBLISH:
        if (relay->pipe) {
            relay_pipe_publish(sim, relay, action->page);
            return;
        }
        relay->producer->lost = false;
        relay->producer->ends = 0;
        break;
    default:
        relay->incarnation = sim->pg.incarnation;
        break;
    }
    job->action = *action;
    job->producer = action->kind == LANE_DO_READ_MARKER ? NULL : relay->producer;
    job->step = 0;
    job->page.count = 0;
    job->deadline = sim->world.now + TRANSACTION_TIMEOUT * (action->kind == LANE_DO_OPEN_PRODUCER ? 2 : 1);
    if (action->page != 0)
        job->page = *relay_page(sim, relay, action->page);
    if (action->kind == LANE_DO_PUBLISH && relay_blame(sim, relay, &job->page, NATURE_TOO_LARGE) > 0) {
        struct moment moment = relay_moment(sim, relay->id, world_latency(&sim->world), refuse, NULL);

        moment.number = (int64_t)job->serial;
        world_add(&sim->world, moment);
        return;
    }
    next(sim, relay);
}
