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
    struct request_fate fate;
    bool answered, bad;
};

static void next(struct sim *sim, struct runner *runner);

static void finish(struct sim *sim, struct runner *runner, struct lane_event event)
{
    runner->kafka.serial++;
    runner->kafka.action.kind = LANE_DO_FREE_PAGE; /* none of ours */
    runner_answer(sim, runner, event);
}

static void fail(struct sim *sim, struct runner *runner, bool refused)
{
    runner->kafka_committing = false;
    finish(sim, runner, (struct lane_event){.kind = LANE_EVENT_KAFKA_FAILED, .refused = refused});
}

/* The broker does not say which record it was: only of one that stood alone it is known. */
static void fail_batch(struct sim *sim, struct runner *runner)
{
    bool alone = runner->kafka.page.count == 1 && runner_blame(sim, runner, &runner->kafka.page, NATURE_BAD) == 1;

    finish(sim, runner, (struct lane_event){.kind = LANE_EVENT_KAFKA_FAILED, .refused = true, .at_fault = alone});
}

/* Before anything is begun. */
static void refuse(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);

    if (relay_ready(sim, moment) && runner->kafka.serial == (uint64_t)moment->number)
        finish(sim, runner, (struct lane_event){.kind = LANE_EVENT_REFUSED, .refused = true, .at_fault = true});
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
static void spoil(struct sim *sim, struct runner *runner, struct lane_event *event)
{
    struct position *position = &event->position;

    if (sim->bug == BUG_MISSING_IS_NEW && !event->found && !event->foreign) {
        event->found = true;
        event->position = runner->acked;
        event->published = 0;
    }
    if (!event->found || position_same_batch(position, &runner->acked) || position->done)
        return;
    if (sim->bug == BUG_NO_FROM_TICK)
        position->from = runner->acked.to;
    if (sim->bug == BUG_NO_TO_TICK)
        position->to = sim->pg.ticks[sim->pg.tick_count - 1].id;
}

/* What the database has of the lane; of a former map nothing any more. */
static const struct pg_lane *row_of(struct sim *sim, const struct runner *runner)
{
    static const struct pg_lane none;
    const struct pg_lane *lane = pg_lane_find(&sim->pg, runner->map, runner->number);

    return lane ? lane : &none;
}

static void finish_marker(struct sim *sim, struct runner *runner, const struct kafka_answer *answer)
{
    struct kafka_answer use = *answer;
    struct lane_event event = {.kind = LANE_EVENT_MARKER};
    bool comparing = lane_state(runner->lane) == LANE_COMPARING;

    if (sim->bug == BUG_MARKER_BEFORE_FENCE && !comparing && runner->has_compared)
        use = (struct kafka_answer){.found = true, .marker = runner->compared};
    runner->has_compared = comparing && use.found;
    runner->compared = use.marker;
    runner->acked = row_of(sim, runner)->position;
    event.found = use.found;
    event.foreign = use.foreign;
    event.outdated = use.outdated;
    if (event.found) {
        event.position = use.marker.position;
        event.published = use.marker.published;
        event.release = use.marker.release;
    }
    spoil(sim, runner, &event);
    if (sim->bug == BUG_MARKER_TOO_SOON && comparing && row_of(sim, runner)->started &&
        (!event.found || position_compare(&runner->acked, &event.position) == POSITION_AFTER))
        event = (struct lane_event){.kind = LANE_EVENT_MARKER, .foreign = true};
    finish(sim, runner, event);
}

static void finish_commit(struct sim *sim, struct runner *runner)
{
    const struct producer *producer = runner->kafka.producer;
    bool tainted = producer->lost || producer->ends > 1;

    runner->kafka_committing = false;
    if (tainted)
        TELL(sim, "relay %d: the producer is tainted", runner->relay);
    finish(sim, runner, (struct lane_event){.kind = LANE_EVENT_COMMITTED,
                                           .tainted = tainted && sim->bug != BUG_RECYCLE_OFF});
}

static void advance(struct sim *sim, struct runner *runner, const struct wire *wire)
{
    struct producer *producer = wire->producer;

    switch (wire->request.api) {
    case KAFKA_READ_MARKER:
        finish_marker(sim, runner, &wire->answer);
        return;
    case KAFKA_CONNECT:
        runner_pipe_open(sim, runner);
        finish(sim, runner, (struct lane_event){.kind = LANE_EVENT_PRODUCER_OPEN});
        return;
    case KAFKA_INIT:
        producer->epoch = wire->answer.epoch;
        finish(sim, runner, (struct lane_event){.kind = LANE_EVENT_PRODUCER_OPEN});
        return;
    case KAFKA_PRODUCE_MARKER:
        producer->sequence[1]++;
        finish(sim, runner, (struct lane_event){.kind = LANE_EVENT_PUBLISHED});
        return;
    case KAFKA_END:
        finish_commit(sim, runner);
        return;
    case KAFKA_PRODUCE:
        producer->sequence[0] += wire->request.count;
        break;
    default:
        break;
    }
    runner->kafka.step++;
    next(sim, runner);
}

static bool concerns(const struct runner *runner, const struct wire *wire)
{
    return runner->kafka.serial == wire->job && runner->kafka.step == wire->step;
}

static void go_on(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);

    if (relay_ready(sim, moment) && concerns(runner, moment->data))
        next(sim, runner);
}

static void come_back(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);
    struct wire *wire = moment->data;
    struct moment again = *moment;

    if (!relay_ready(sim, moment) || !concerns(runner, wire))
        return;
    wire->answered = true;
    if (wire->bad) {
        fail_batch(sim, runner);
    } else if (wire->fate.refused || wire->fate.failed) {
        fail(sim, runner, wire->fate.refused);
    } else if (wire->answer.error == KAFKA_CONCURRENT) {
        again.at = sim->world.now + BACKOFF;
        again.run = go_on;
        world_add(&sim->world, again);
    } else if (wire->answer.error != KAFKA_OK) {
        TELL(sim, "relay %d: Kafka says %s", runner->relay,
             wire->answer.error == KAFKA_FENCED ? "fenced" : "invalid state");
        fail(sim, runner, false);
    } else {
        advance(sim, runner, wire);
    }
}

static void arrive(struct sim *sim, const struct moment *moment)
{
    struct wire *wire = moment->data;
    struct moment back = *moment;

    if (sim->kafka.down_until > sim->world.now)
        return; /* lost */
    wire->bad = wire->request.api == KAFKA_PRODUCE && is_bad(sim, &wire->request);
    if (!wire->bad && !wire->fate.refused && (!wire->fate.failed || wire->fate.fails_after))
        kafka_serve(sim, &wire->request, &wire->answer);
    if (wire->fate.answer_lost)
        return;
    back.at = sim->world.now + world_latency(&sim->world);
    back.run = come_back;
    world_add(&sim->world, back);
}

/* Nothing came: sent again, on a new connection, which the first one may still overtake. */
static void time_out(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);
    const struct wire *wire = moment->data;

    if (!relay_ready(sim, moment) || !concerns(runner, wire) || wire->answered)
        return;
    if (wire->request.api != KAFKA_PRODUCE && wire->request.api != KAFKA_PRODUCE_MARKER && wire->producer)
        wire->producer->lost = true;
    next(sim, runner);
}

static void send(struct sim *sim, struct runner *runner, struct wire *wire)
{
    const struct fault *fault =
        faults_take(sim, FAULT_OF_KAFKA, runner->relay, 1u << runner->number, (int)wire->request.api);
    struct moment moment = runner_moment(sim, runner, SOCKET_TIMEOUT, time_out, wire);

    wire->job = runner->kafka.serial;
    wire->step = runner->kafka.step;
    wire->producer = runner->kafka.producer;
    wire->request.lane_epoch = runner->kafka.action.epoch;
    wire->request.relay = runner->relay;
    wire->request.map = runner->map;
    wire->request.lane = runner->number + (wire->producer ? wire->producer->stray : 0);
    wire->request.incarnation = runner->incarnation;
    wire->request.started_at = runner->started_at;
    if (wire->producer)
        wire->request.epoch = wire->producer->epoch;
    world_add(&sim->world, moment);
    moment.at = sim->world.now + world_latency(&sim->world);
    moment.run = arrive;
    if (fault) /* from just after its retry to seconds later */
        runner_strike_request(fault, fault->dice & (1 << 20) ? 6 * SEC : 60 * MS, &wire->fate, &moment);
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

static void publish(struct sim *sim, struct runner *runner, struct wire *wire)
{
    struct kafka_job *job = &runner->kafka;

    if (job->step == 0) {
        wire->request.api = KAFKA_ADD_PARTITIONS;
    } else if (job->step <= 2 && job->page.count > job->step - 1) {
        add_records(job, &wire->request, job->step - 1);
    } else {
        job->step = 3;
        wire->request.api = KAFKA_PRODUCE_MARKER;
        wire->request.sequence = job->producer->sequence[1];
        wire->request.marker = (struct kafka_marker){
            .map = runner->map, .lane = runner->number, .position = job->action.position,
            .published = job->action.published, .incarnation = runner->incarnation,
            .release = sim->bug == BUG_RELEASE_UNMARKED ? 0 : job->action.release};
    }
    send(sim, runner, wire);
}

/* The request that the job has come to, for the first time or again. */
static void next(struct sim *sim, struct runner *runner)
{
    struct kafka_job *job = &runner->kafka;
    struct wire *wire;

    if (job->action.kind != LANE_DO_COMMIT && sim->world.now >= job->deadline) {
        fail(sim, runner, false);
        return;
    }
    wire = world_alloc(&sim->world, sizeof(*wire));
    switch (job->action.kind) {
    case LANE_DO_READ_MARKER:
        wire->request.api = KAFKA_READ_MARKER;
        wire->request.fenced = runner->producer != NULL;
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
        publish(sim, runner, wire);
        return;
    }
    send(sim, runner, wire);
}

/* A commit is waited for in slices; in between it goes on by itself. */
static void slice_ends(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);

    if (!relay_ready(sim, moment) || runner->kafka.serial != (uint64_t)moment->number || !runner->kafka_committing)
        return;
    runner_answer(sim, runner, (struct lane_event){.kind = LANE_EVENT_COMMIT_AGAIN});
}

/* For a planted bug. */
static void pretend(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);

    if (relay_ready(sim, moment) && runner->kafka.serial == (uint64_t)moment->number && runner->kafka_committing)
        finish_commit(sim, runner);
}

static void commit(struct sim *sim, struct runner *runner, const struct lane_action *action)
{
    struct moment slice = runner_moment(sim, runner, COMMIT_SLICE, slice_ends, NULL);
    bool resumed = runner->kafka_committing;

    runner->kafka.action = *action;
    slice.number = (int64_t)runner->kafka.serial;
    world_add(&sim->world, slice);
    if (resumed)
        return;
    runner->kafka_committing = true;
    runner->kafka.step = 0;
    next(sim, runner);
    slice.at = sim->world.now;
    slice.run = pretend;
    if (sim->bug == BUG_ACK_BEFORE_COMMIT)
        world_add(&sim->world, slice);
}

static void closed(struct sim *sim, const struct moment *moment)
{
    struct runner *runner = runner_of(sim, moment);

    if (relay_ready(sim, moment) && runner->kafka.serial == (uint64_t)moment->number)
        finish(sim, runner, (struct lane_event){.kind = LANE_EVENT_PRODUCER_CLOSED});
}

static void close_producer(struct sim *sim, struct runner *runner)
{
    struct moment moment = runner_moment(sim, runner, world_latency(&sim->world), closed, NULL);

    runner->kafka.serial++; /* what is on the wire is nobody's any more */
    runner->producer = NULL;
    runner->kafka_committing = false;
    moment.number = (int64_t)runner->kafka.serial;
    world_add(&sim->world, moment);
}

void runner_kafka_submit(struct sim *sim, struct runner *runner, const struct lane_action *action)
{
    struct kafka_job *job = &runner->kafka;

    switch (action->kind) {
    case LANE_DO_COMMIT:
        commit(sim, runner, action);
        return;
    case LANE_DO_CLOSE_PRODUCER:
        if (runner->pipe)
            runner_pipe_close(sim, runner, action->drain);
        else
            close_producer(sim, runner);
        return;
    case LANE_DO_OPEN_PRODUCER:
        runner->producer = world_alloc(&sim->world, sizeof(*runner->producer));
        if (sim->bug == BUG_UNFENCED_AT_THE_END && pg_map_changes(sim))
            runner->producer->stray = PG_LANES * (1 + runner->relay);
        break;
    case LANE_DO_OPEN_PIPELINE:
        runner->producer = NULL;
        runner->pipe = NULL;
        break;
    case LANE_DO_PUBLISH:
        if (runner->pipe) {
            runner_pipe_publish(sim, runner, action->page);
            return;
        }
        runner->producer->lost = false;
        runner->producer->ends = 0;
        break;
    default:
        runner->incarnation = sim->pg.incarnation;
        break;
    }
    job->action = *action;
    job->producer = action->kind == LANE_DO_READ_MARKER ? NULL : runner->producer;
    job->step = 0;
    job->page.count = 0;
    job->deadline = sim->world.now + TRANSACTION_TIMEOUT * (action->kind == LANE_DO_OPEN_PRODUCER ? 2 : 1);
    if (action->page != 0)
        job->page = *runner_page(sim, runner, action->page);
    if (action->kind == LANE_DO_PUBLISH && runner_blame(sim, runner, &job->page, NATURE_TOO_LARGE) > 0) {
        struct moment moment = runner_moment(sim, runner, world_latency(&sim->world), refuse, NULL);

        moment.number = (int64_t)job->serial;
        world_add(&sim->world, moment);
        return;
    }
    next(sim, runner);
}
