#include "webhook/slots.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/log.h"

struct slots {
    struct slot *slot; /* ordered by id */
    size_t count;
    size_t allocated;
    size_t first; /* whose turn it is to be served first */
    int most;
    int in_flight;
};

struct slots *slots_new(int most)
{
    struct slots *slots = calloc(1, sizeof(*slots));

    if (slots)
        slots->most = most;
    return slots;
}

static void clear_slot(struct slot *slot)
{
    endpoint_unref(slot->endpoint);
    free(slot->problem);
}

void slots_free(struct slots *slots)
{
    if (!slots)
        return;
    for (size_t i = 0; i < slots->count; i++)
        clear_slot(&slots->slot[i]);
    free(slots->slot);
    free(slots);
}

/* The place of id, or where it belongs. */
static size_t place_of(const struct slots *slots, const struct outbox__uuid *id)
{
    size_t low = 0;
    size_t high = slots->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (memcmp(slots->slot[middle].id.bytes, id->bytes, sizeof(id->bytes)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct slot *find(struct slots *slots, const struct outbox__uuid *id)
{
    size_t place = place_of(slots, id);

    if (place < slots->count && outbox__uuid_equal(&slots->slot[place].id, id))
        return &slots->slot[place];
    return NULL;
}

static struct slot *find_or_add(struct slots *slots, const struct outbox__uuid *id)
{
    struct slot *slot = find(slots, id);
    size_t place;

    if (slot)
        return slot;
    if (slots->count == slots->allocated) {
        size_t wanted = slots->allocated ? slots->allocated * 2 : 16;
        struct slot *grown = realloc(slots->slot, wanted * sizeof(*grown));

        if (!grown)
            return NULL;
        slots->slot = grown;
        slots->allocated = wanted;
    }
    place = place_of(slots, id);
    slot = &slots->slot[place];
    memmove(slot + 1, slot, (slots->count - place) * sizeof(*slot));
    slots->count++;
    memset(slot, 0, sizeof(*slot));
    slot->id = *id;
    slot->hungry = true;
    return slot;
}

void slots_begin(struct slots *slots)
{
    for (size_t i = 0; i < slots->count; i++)
        slots->slot[i].seen = false;
}

/* Says what is wrong with an endpoint once, not with every listing. */
static void set_problem(struct slot *slot, const char *label, const char *problem)
{
    if (problem && (!slot->problem || strcmp(slot->problem, problem) != 0))
        log_warning("endpoint_unusable", LOG_TEXT("endpoint", label), LOG_TEXT("error", problem));
    if (!problem && slot->problem)
        log_info("endpoint_usable", LOG_TEXT("endpoint", label));
    free(slot->problem);
    slot->problem = problem ? strdup(problem) : NULL;
}

void slots_see(struct slots *slots, const struct endpoint_row *row)
{
    outbox_error *error = NULL;
    struct endpoint *endpoint = endpoint_new(row, &error);
    struct outbox__uuid id;
    struct slot *slot;

    if (!outbox__uuid_parse(row->id, &id) || !(slot = find_or_add(slots, &id))) {
        endpoint_unref(endpoint);
        outbox_error_free(error);
        return;
    }
    slot->seen = true;
    set_problem(slot, row->name ? row->name : row->id, error ? outbox_error_message(error) : NULL);
    outbox_error_free(error);
    if (endpoint && !slot->endpoint)
        slot->hungry = true; /* it may have waited while it was disabled */
    endpoint_unref(slot->endpoint);
    slot->endpoint = endpoint;
}

void slots_end(struct slots *slots)
{
    size_t kept = 0;

    for (size_t i = 0; i < slots->count; i++) {
        struct slot *slot = &slots->slot[i];

        if (!slot->seen) {
            endpoint_unref(slot->endpoint);
            slot->endpoint = NULL;
            slot->hungry = false;
            if (slot->in_flight == 0) {
                clear_slot(slot);
                continue;
            }
        }
        slots->slot[kept++] = *slot;
    }
    slots->count = kept;
}

void slots_make_hungry(struct slots *slots)
{
    for (size_t i = 0; i < slots->count; i++)
        slots->slot[i].hungry = slots->slot[i].endpoint != NULL;
}

/* No endpoint may take more than half of all, even when it is the only one: another may
 * be added while its requests hang. */
static int room_of(const struct slots *slots, const struct slot *slot)
{
    int most = slots->most > 1 ? slots->most / 2 : 1;

    if (!slot->endpoint)
        return 0;
    if (most > slot->endpoint->concurrency)
        most = slot->endpoint->concurrency;
    return slot->in_flight < most ? most - slot->in_flight : 0;
}

bool slots_any_hungry(const struct slots *slots)
{
    if (slots_free_total(slots) == 0)
        return false;
    for (size_t i = 0; i < slots->count; i++) {
        if (slots->slot[i].hungry && room_of(slots, &slots->slot[i]) > 0)
            return true;
    }
    return false;
}

size_t slots_count(const struct slots *slots)
{
    return slots->count;
}

int slots_in_flight(const struct slots *slots)
{
    return slots->in_flight;
}

int slots_free_total(const struct slots *slots)
{
    return slots->in_flight < slots->most ? slots->most - slots->in_flight : 0;
}

size_t slots_wants(struct slots *slots, struct store_want *ret_wants)
{
    size_t wants = 0;

    /* In turns, since the limit over all cuts off who comes last. */
    for (size_t i = 0; i < slots->count; i++) {
        struct slot *slot = &slots->slot[(slots->first + i) % slots->count];

        slot->asked = slot->hungry ? room_of(slots, slot) : 0;
        slot->got = 0;
        if (slot->asked > 0)
            ret_wants[wants++] = (struct store_want){&slot->id, slot->asked};
    }
    slots->first++;
    return wants;
}

struct slot *slots_claimed(struct slots *slots, const struct outbox__uuid *id)
{
    struct slot *slot = find(slots, id);

    if (!slot || !slot->endpoint)
        return NULL;
    slot->got++;
    slot->in_flight++;
    slots->in_flight++;
    return slot;
}

void slots_settle(struct slots *slots, bool full)
{
    for (size_t i = 0; i < slots->count; i++) {
        struct slot *slot = &slots->slot[i];

        if (slot->asked > 0 && slot->got < slot->asked && !full)
            slot->hungry = false;
        slot->asked = 0;
    }
}

void slots_returned(struct slots *slots, const struct outbox__uuid *id)
{
    struct slot *slot = find(slots, id);

    slots->in_flight--;
    if (slot)
        slot->in_flight--;
}
