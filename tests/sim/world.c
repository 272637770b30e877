#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA ((size_t)32 * 1024 * 1024)

/* splitmix64 */
uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return random_next(state) % limit;
}

int64_t random_between(uint64_t *state, int64_t low, int64_t high)
{
    return low + (int64_t)random_below(state, (uint64_t)(high - low + 1));
}

bool random_one_in(uint64_t *state, uint64_t n)
{
    return random_below(state, n) == 0;
}

static void give_up(const char *what)
{
    fprintf(stderr, "sim-run: %s: enlarge it in tests/sim/world\n", what);
    abort();
}

void *world_alloc(struct world *world, size_t size)
{
    void *made;

    if (!world->arena && !(world->arena = malloc(ARENA)))
        give_up("no memory for the arena");
    size = (size + 15) & ~(size_t)15;
    if (size > ARENA - world->used)
        give_up("the arena is full");
    made = world->arena + world->used;
    world->used += size;
    return memset(made, 0, size);
}

static bool before(const struct moment *a, const struct moment *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void world_add(struct world *world, struct moment moment)
{
    size_t i = world->count++;

    if (i >= WORLD_MOMENTS)
        give_up("too many moments");
    if (moment.at < world->now)
        moment.at = world->now;
    moment.order = ++world->order;
    while (i > 0 && before(&moment, &world->heap[(i - 1) / 2])) {
        world->heap[i] = world->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    world->heap[i] = moment;
}

bool world_next(struct world *world, struct moment *ret)
{
    struct moment last;
    size_t i = 0;

    if (world->count == 0)
        return false;
    *ret = world->heap[0];
    last = world->heap[--world->count];
    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= world->count)
            break;
        if (child + 1 < world->count && before(&world->heap[child + 1], &world->heap[child]))
            child++;
        if (!before(&world->heap[child], &last))
            break;
        world->heap[i] = world->heap[child];
        i = child;
    }
    world->heap[i] = last;
    world->now = ret->at;
    world->steps++;
    return true;
}

/* Mostly a fraction of a millisecond, now and then many. */
int64_t world_latency(struct world *world)
{
    if (random_one_in(&world->random, 16))
        return random_between(&world->random, 2 * MS, 40 * MS);
    return random_between(&world->random, 50, 2 * MS);
}
