#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which partition a moment is about. */
enum {
    EVENTS,
    MARKERS
};

static void give_up(const char *what)
{
    fprintf(stderr, "sim-run: %s: enlarge it in tests/sim/kafka.h\n", what);
    abort();
}

struct kafka_id *kafka_id_of(struct kafka *kafka, int map, int lane)
{
    for (int i = 0; i < KAFKA_IDS; i++) {
        struct kafka_id *id = &kafka->ids[i];

        if (id->map == 0) {
            id->map = map;
            id->lane = lane;
        }
        if (id->map == map && id->lane == lane)
            return id;
    }
    give_up("too many transactional ids");
    return NULL;
}

bool kafka_sees(const struct kafka *kafka, const struct kafka_marker *marker)
{
    return marker->fate == KAFKA_COMMITTED && marker - kafka->markers < kafka->markers_stable[marker->lane];
}

const struct kafka_marker *kafka_last_marker(const struct kafka *kafka, int map, int lane)
{
    for (int i = kafka->marker_count - 1; i >= 0; i--) {
        const struct kafka_marker *marker = &kafka->markers[i];

        if (marker->map == map && marker->lane == lane && kafka_sees(kafka, marker))
            return marker;
    }
    return NULL;
}

static bool is_decided(const struct kafka *kafka, const struct kafka_marker *marker)
{
    const struct kafka_id *id = &kafka->ids[marker->id];

    return marker->fate == KAFKA_COMMITTED ||
           (marker->fate == KAFKA_OPEN && id->state == KAFKA_PREPARED && id->committed);
}

const struct kafka_marker *kafka_decided_marker(const struct kafka *kafka, int map, int lane)
{
    for (int i = kafka->marker_count - 1; i >= 0; i--) {
        const struct kafka_marker *marker = &kafka->markers[i];

        if (marker->map == map && marker->lane == lane && is_decided(kafka, marker))
            return marker;
    }
    return NULL;
}

void kafka_lose_markers(struct kafka *kafka)
{
    kafka->marker_count = 0;
    memset(kafka->markers_stable, 0, sizeof(kafka->markers_stable));
}

bool kafka_is_busy(const struct kafka *kafka)
{
    for (int i = 0; i < KAFKA_IDS; i++) {
        if (kafka->ids[i].state == KAFKA_ONGOING || kafka->ids[i].state == KAFKA_PREPARED)
            return true;
    }
    return false;
}

/* Consumers see what lies before the first record whose fate is open. */
static void show(struct sim *sim)
{
    struct kafka *kafka = &sim->kafka;

    for (; kafka->stable < kafka->log_count; kafka->stable++) {
        const struct kafka_entry *entry = &kafka->log[kafka->stable];

        if (entry->fate == KAFKA_OPEN)
            return;
        if (entry->fate == KAFKA_ABORTED)
            continue;
        kafka->visible++;
        oracle_published(sim, &entry->record);
    }
}

static void append(struct kafka *kafka, const struct kafka_record *record, int id)
{
    if (kafka->log_count >= KAFKA_LOG)
        give_up("the log is full");
    kafka->log[kafka->log_count++] =
        (struct kafka_entry){*record, (short)id, id < 0 ? KAFKA_COMMITTED : KAFKA_OPEN};
}

static void settle(struct sim *sim, int index)
{
    struct kafka *kafka = &sim->kafka;
    struct kafka_id *id = &kafka->ids[index];

    for (int i = kafka->log_count - 1; i >= kafka->stable; i--) {
        if (kafka->log[i].id == index && kafka->log[i].fate == KAFKA_OPEN)
            kafka->log[i].fate = id->committed ? KAFKA_COMMITTED : KAFKA_ABORTED;
    }
    show(sim);
}

static void append_marker(struct kafka *kafka, const struct kafka_marker *marker, int id)
{
    struct kafka_marker *kept = &kafka->markers[kafka->marker_count];

    if (kafka->marker_count >= KAFKA_MARKERS)
        give_up("too many markers");
    *kept = *marker;
    kept->id = (short)id;
    kept->fate = KAFKA_OPEN;
    kafka->marker_count++;
}

/* Other lanes' markers are in other partitions. */
static void show_markers(struct kafka *kafka, int lane)
{
    int *stable = &kafka->markers_stable[lane];

    while (*stable < kafka->marker_count &&
           (kafka->markers[*stable].lane != lane || kafka->markers[*stable].fate != KAFKA_OPEN))
        ++*stable;
}

static void settle_markers(struct kafka *kafka, int index)
{
    for (int i = kafka->marker_count - 1; i >= 0; i--) {
        struct kafka_marker *marker = &kafka->markers[i];

        if (marker->id == index && marker->fate == KAFKA_OPEN)
            marker->fate = kafka->ids[index].committed ? KAFKA_COMMITTED : KAFKA_ABORTED;
    }
    for (int lane = 0; lane < KAFKA_PARTITIONS; lane++)
        show_markers(kafka, lane);
}

/* The control record of the transaction arrives at one partition. */
static void end_at_partition(struct sim *sim, const struct moment *moment)
{
    struct kafka *kafka = &sim->kafka;
    struct kafka_id *id = &kafka->ids[moment->lane];

    if (moment->number == EVENTS)
        settle(sim, moment->lane);
    else
        settle_markers(kafka, moment->lane);
    if (--id->pending == 0)
        id->state = KAFKA_COMPLETE;
}

static void decide(struct sim *sim, struct kafka_id *id, bool commit)
{
    int index = (int)(id - sim->kafka.ids);

    id->state = KAFKA_PREPARED;
    id->committed = commit;
    id->pending = 2;
    TELL(sim, "broker %s the transaction of lane %d/%d, epoch %d: %d events%s", commit ? "commits" : "aborts",
         id->map, id->lane, id->epoch, id->open_count, id->open_marked ? ", marker" : "");
    if (commit)
        id->records += id->open_count;
    if (commit)
        oracle_commit_decided(sim, index);
    for (int partition = EVENTS; partition <= MARKERS; partition++)
        world_add(&sim->world, (struct moment){.at = sim->world.now + world_latency(&sim->world),
                                               .run = end_at_partition, .lane = index, .number = partition});
}

/* A transaction that nobody ends is aborted, and its producer fenced. */
static void time_out(struct sim *sim, const struct moment *moment)
{
    struct kafka_id *id = &sim->kafka.ids[moment->lane];

    if (id->state != KAFKA_ONGOING || id->serial != moment->number)
        return;
    id->epoch++;
    decide(sim, id, false);
}

static enum kafka_error init(struct sim *sim, struct kafka_id *id, const struct kafka_request *request,
                             struct kafka_answer *ret)
{
    if (id->state == KAFKA_ONGOING) {
        id->epoch++; /* from here on the predecessor can do nothing */
        decide(sim, id, false);
        return KAFKA_CONCURRENT;
    }
    if (id->state == KAFKA_PREPARED)
        return KAFKA_CONCURRENT;
    ret->epoch = ++id->epoch;
    id->sequence[EVENTS] = 0;
    id->sequence[MARKERS] = 0;
    id->state = KAFKA_EMPTY;
    TELL(sim, "broker gives out epoch %d of lane %d/%d", id->epoch, id->map, id->lane);
    oracle_init(sim, id, request->started_at);
    return KAFKA_OK;
}

static enum kafka_error add_partitions(struct sim *sim, struct kafka_id *id, const struct kafka_request *request)
{
    if (id->state == KAFKA_PREPARED)
        return KAFKA_CONCURRENT;
    if (id->state == KAFKA_ONGOING)
        return KAFKA_OK;
    id->state = KAFKA_ONGOING;
    id->serial++;
    id->open_count = 0;
    id->open_marked = false;
    id->lane_epoch = request->lane_epoch;
    id->started_at = request->started_at;
    world_add(&sim->world, (struct moment){.at = sim->world.now + TRANSACTION_TIMEOUT, .run = time_out,
                                           .lane = (int)(id - sim->kafka.ids), .number = id->serial});
    return KAFKA_OK;
}

static enum kafka_error produce(struct kafka *kafka, struct kafka_id *id, const struct kafka_request *request)
{
    int partition = request->api == KAFKA_PRODUCE ? EVENTS : MARKERS;

    if (request->sequence < id->sequence[partition])
        return KAFKA_OK; /* a duplicate */
    if (id->state != KAFKA_ONGOING || request->sequence > id->sequence[partition])
        return KAFKA_INVALID;
    if (partition == MARKERS) {
        id->open_marked = true;
        id->open_marker = request->marker;
        append_marker(kafka, &request->marker, (int)(id - kafka->ids));
        id->sequence[MARKERS]++;
        return KAFKA_OK;
    }
    for (int i = 0; i < request->count; i++)
        append(kafka, &request->records[i], (int)(id - kafka->ids));
    id->open_count += request->count;
    id->sequence[EVENTS] += request->count;
    return KAFKA_OK;
}

/* The answer comes when the decision is written, not when the partitions know of it. */
static enum kafka_error end(struct sim *sim, struct kafka_id *id, const struct kafka_request *request)
{
    switch (id->state) {
    case KAFKA_ONGOING:
        decide(sim, id, request->commit);
        return KAFKA_OK;
    case KAFKA_PREPARED:
        return id->committed == request->commit ? KAFKA_CONCURRENT : KAFKA_INVALID;
    case KAFKA_COMPLETE:
        return id->committed == request->commit ? KAFKA_OK : KAFKA_INVALID;
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
    oracle_piped(sim, request);
    for (int i = 0; i < request->count; i++)
        append(kafka, &request->records[i], -1);
    show(sim);
    return KAFKA_OK;
}

/* Somebody's open transaction, and what lies behind it. */
static bool hides(const struct kafka *kafka, int lane)
{
    for (int i = kafka->markers_stable[lane]; i < kafka->marker_count; i++) {
        if (kafka->markers[i].lane == lane && kafka->markers[i].fate == KAFKA_OPEN)
            return true;
    }
    return false;
}

/* From the lane's partition: the last of its own, and whether there are strangers. */
static enum kafka_error read_marker(struct sim *sim, const struct kafka_request *request, struct kafka_answer *ret)
{
    const struct kafka *kafka = &sim->kafka;

    if (request->fenced && hides(kafka, request->lane) && sim->bug != BUG_HIDDEN_UNSEEN)
        return KAFKA_CONCURRENT;
    for (int i = kafka->marker_count - 1; i >= 0; i--) {
        const struct kafka_marker *marker = &kafka->markers[i];

        if (!kafka_sees(kafka, marker))
            continue;
        if (marker->incarnation == request->incarnation && marker->map > request->map)
            ret->outdated = sim->bug != BUG_LATER_MAP_UNSEEN;
        if (marker->lane != request->lane || ret->found)
            continue;
        ret->foreign = ret->foreign || marker->incarnation != request->incarnation;
        if (marker->incarnation == request->incarnation && marker->map == request->map) {
            ret->found = true;
            ret->marker = *marker;
        }
    }
    return KAFKA_OK;
}

static enum kafka_error serve_transaction(struct sim *sim, const struct kafka_request *request,
                                          struct kafka_answer *ret)
{
    struct kafka_id *id = kafka_id_of(&sim->kafka, request->map, request->lane);

    if (request->api == KAFKA_INIT)
        return init(sim, id, request, ret);
    if (request->epoch < id->epoch)
        return KAFKA_FENCED;
    if (request->api == KAFKA_ADD_PARTITIONS)
        return add_partitions(sim, id, request);
    if (request->api == KAFKA_END)
        return end(sim, id, request);
    return produce(&sim->kafka, id, request);
}

void kafka_serve(struct sim *sim, const struct kafka_request *request, struct kafka_answer *ret)
{
    if (request->api == KAFKA_READ_MARKER)
        ret->error = read_marker(sim, request, ret);
    else if (request->api == KAFKA_CONNECT)
        ret->error = KAFKA_OK;
    else if (request->api == KAFKA_PIPE)
        ret->error = pipe_records(sim, request);
    else
        ret->error = serve_transaction(sim, request, ret);
}
