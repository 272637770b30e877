#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

/* Which partition a moment is about. */
enum {
    EVENTS,
    MARKERS
};

static void give_up(void)
{
    fprintf(stderr, "sim-run: the log is full: enlarge it in tests/sim/kafka.h\n");
    abort();
}

const struct kafka_marker *kafka_last_marker(const struct kafka *kafka)
{
    return kafka->marker_count > 0 ? &kafka->markers[kafka->marker_count - 1] : NULL;
}

/* The control record of the transaction arrives at one partition. */
static void end_at_partition(struct sim *sim, const struct moment *moment)
{
    struct kafka *kafka = &sim->kafka;

    if (kafka->committed && moment->number == EVENTS) {
        if (kafka->log_count + kafka->open_count > KAFKA_LOG)
            give_up();
        for (int i = 0; i < kafka->open_count; i++) {
            kafka->log[kafka->log_count++] = kafka->open[i];
            oracle_published(sim, &kafka->open[i]);
        }
    } else if (kafka->committed && kafka->open_marked) {
        if (kafka->marker_count >= KAFKA_MARKERS)
            give_up();
        kafka->markers[kafka->marker_count++] = kafka->open_marker;
    }
    if (--kafka->pending > 0)
        return;
    kafka->state = KAFKA_COMPLETE;
    if (kafka->committed)
        oracle_transaction(sim);
}

static void decide(struct sim *sim, bool commit)
{
    struct kafka *kafka = &sim->kafka;

    kafka->state = KAFKA_PREPARED;
    kafka->committed = commit;
    kafka->pending = 2;
    TELL(sim, "broker %s the transaction of epoch %d: %d events%s", commit ? "commits" : "aborts", kafka->epoch,
         kafka->open_count, kafka->open_marked ? ", marker" : "");
    if (commit)
        oracle_commit_decided(sim);
    for (int partition = EVENTS; partition <= MARKERS; partition++)
        world_add(&sim->world, (struct moment){.at = sim->world.now + world_latency(&sim->world),
                                               .run = end_at_partition, .number = partition});
}

/* A transaction that nobody ends is aborted, and its producer fenced. */
static void time_out(struct sim *sim, const struct moment *moment)
{
    if (sim->kafka.state != KAFKA_ONGOING || sim->kafka.serial != moment->number)
        return;
    sim->kafka.epoch++;
    decide(sim, false);
}

static enum kafka_error init(struct sim *sim, const struct kafka_request *request, struct kafka_answer *ret)
{
    struct kafka *kafka = &sim->kafka;

    if (kafka->state == KAFKA_ONGOING) {
        kafka->epoch++; /* from here on the predecessor can do nothing */
        decide(sim, false);
        return KAFKA_CONCURRENT;
    }
    if (kafka->state == KAFKA_PREPARED)
        return KAFKA_CONCURRENT;
    ret->epoch = ++kafka->epoch;
    kafka->sequence[EVENTS] = 0;
    kafka->sequence[MARKERS] = 0;
    kafka->state = KAFKA_EMPTY;
    TELL(sim, "broker gives out epoch %d", kafka->epoch);
    oracle_init(sim, request->started_at);
    return KAFKA_OK;
}

static enum kafka_error add_partitions(struct sim *sim, const struct kafka_request *request)
{
    struct kafka *kafka = &sim->kafka;

    if (kafka->state == KAFKA_PREPARED)
        return KAFKA_CONCURRENT;
    if (kafka->state == KAFKA_ONGOING)
        return KAFKA_OK;
    kafka->state = KAFKA_ONGOING;
    kafka->serial++;
    kafka->open_count = 0;
    kafka->open_marked = false;
    kafka->lane_epoch = request->lane_epoch;
    kafka->started_at = request->started_at;
    world_add(&sim->world, (struct moment){.at = sim->world.now + TRANSACTION_TIMEOUT, .run = time_out,
                                           .number = kafka->serial});
    return KAFKA_OK;
}

static enum kafka_error produce(struct kafka *kafka, const struct kafka_request *request)
{
    int partition = request->api == KAFKA_PRODUCE ? EVENTS : MARKERS;

    if (request->sequence < kafka->sequence[partition])
        return KAFKA_OK; /* a duplicate */
    if (kafka->state != KAFKA_ONGOING || request->sequence > kafka->sequence[partition])
        return KAFKA_INVALID;
    if (partition == MARKERS) {
        kafka->open_marked = true;
        kafka->open_marker = request->marker;
        kafka->sequence[MARKERS]++;
        return KAFKA_OK;
    }
    for (int i = 0; i < request->count; i++) {
        if (kafka->open_count >= KAFKA_TXN_ROWS)
            give_up();
        kafka->open[kafka->open_count++] = request->records[i];
    }
    kafka->sequence[EVENTS] += request->count;
    return KAFKA_OK;
}

/* The answer comes when the decision is written, not when the partitions know of it. */
static enum kafka_error end(struct sim *sim, const struct kafka_request *request)
{
    struct kafka *kafka = &sim->kafka;

    switch (kafka->state) {
    case KAFKA_ONGOING:
        decide(sim, request->commit);
        return KAFKA_OK;
    case KAFKA_PREPARED:
        return kafka->committed == request->commit ? KAFKA_CONCURRENT : KAFKA_INVALID;
    case KAFKA_COMPLETE:
        return kafka->committed == request->commit ? KAFKA_OK : KAFKA_INVALID;
    default:
        return KAFKA_INVALID;
    }
}

/* What comes too early comes again, what came already is dropped. */
static enum kafka_error pipe_records(struct sim *sim, const struct kafka_request *request)
{
    struct kafka *kafka = &sim->kafka;
    int *next = &kafka->pipe_next[request->pipe % KAFKA_PIPES];

    if (request->sequence != *next)
        return request->sequence < *next ? KAFKA_OK : KAFKA_INVALID;
    ++*next;
    oracle_piped(sim, request->started_at);
    for (int i = 0; i < request->count; i++) {
        if (kafka->log_count >= KAFKA_LOG)
            give_up();
        kafka->log[kafka->log_count++] = request->records[i];
        oracle_published(sim, &request->records[i]);
    }
    return KAFKA_OK;
}

static enum kafka_error read_marker(struct sim *sim, struct kafka_answer *ret)
{
    const struct kafka_marker *last = kafka_last_marker(&sim->kafka);

    ret->found = last != NULL;
    if (last)
        ret->marker = *last;
    return KAFKA_OK;
}

void kafka_serve(struct sim *sim, const struct kafka_request *request, struct kafka_answer *ret)
{
    if (request->api == KAFKA_READ_MARKER) {
        ret->error = read_marker(sim, ret);
    } else if (request->api == KAFKA_CONNECT) {
        ret->error = KAFKA_OK;
    } else if (request->api == KAFKA_PIPE) {
        ret->error = pipe_records(sim, request);
    } else if (request->api == KAFKA_INIT) {
        ret->error = init(sim, request, ret);
    } else if (request->epoch < sim->kafka.epoch) {
        ret->error = KAFKA_FENCED;
    } else if (request->api == KAFKA_ADD_PARTITIONS) {
        ret->error = add_partitions(sim, request);
    } else if (request->api == KAFKA_END) {
        ret->error = end(sim, request);
    } else {
        ret->error = produce(&sim->kafka, request);
    }
}
