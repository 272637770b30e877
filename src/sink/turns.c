#include "sink/turns.h"

#include <stdlib.h>

struct turns {
    struct producer *producers[MARKER_TURNS];
    int turn;
};

static struct producer *present(const struct turns *turns)
{
    return turns->producers[turns->turn];
}

static int open_producer(struct turns *turns, int turn, const struct kafka *kafka, const char *prefix,
                         const struct marker *lane, outbox_error **reterr)
{
    char id[512];

    if (!marker_transactional_id(lane, prefix, turn, id, sizeof(id)))
        return outbox__fail(reterr, OUTBOX_EINVAL, "topic_prefix",
                            "topic_prefix: is too long for a transactional id");
    turns->producers[turn] = producer_new(kafka, id, reterr);
    return turns->producers[turn] ? OUTBOX_OK : OUTBOX_ESTATE;
}

struct turns *turns_new(const struct kafka *kafka, const char *prefix, const struct marker *lane, outbox_error **reterr)
{
    struct turns *turns = calloc(1, sizeof(*turns));

    if (!turns) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    for (int turn = 0; turn < MARKER_TURNS; turn++) {
        if (open_producer(turns, turn, kafka, prefix, lane, reterr) < 0) {
            turns_close(turns, clock_now() + SECONDS(5));
            return NULL;
        }
    }
    return turns;
}

enum sink_result turns_init(struct turns *turns, mono_us deadline, outbox_error **reterr)
{
    enum sink_result result = SINK_OK;

    for (int turn = 0; turn < MARKER_TURNS && result == SINK_OK; turn++)
        result = producer_init(turns->producers[turn], deadline, reterr);
    return result;
}

enum sink_result turns_publish(struct turns *turns, const struct sink_record *records, size_t count,
                               const struct marker *marker, mono_us deadline, outbox_error **reterr)
{
    return producer_publish(present(turns), records, count, marker, deadline, reterr);
}

const struct record_fault *turns_faults(const struct turns *turns, size_t *ret_count)
{
    return producer_faults(present(turns), ret_count);
}

/* The others' have been committed, or it would not be this one's turn. */
bool turns_clean(const struct turns *turns)
{
    return producer_clean(present(turns));
}

enum sink_result turns_commit(struct turns *turns, mono_us deadline, bool *ret_tainted, outbox_error **reterr)
{
    enum sink_result result = producer_commit(present(turns), deadline, reterr);

    *ret_tainted = result == SINK_OK && producer_tainted(present(turns));
    if (result == SINK_OK && !*ret_tainted)
        turns->turn = (turns->turn + 1) % MARKER_TURNS;
    return result;
}

bool turns_close(struct turns *turns, mono_us deadline)
{
    bool released = true;

    if (!turns)
        return true;
    for (int turn = 0; turn < MARKER_TURNS; turn++)
        released = producer_close(turns->producers[turn], deadline) && released;
    free(turns);
    return released;
}
