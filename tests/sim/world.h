/* Time, chance and what is to happen: one seed is one run, the same on every machine.
 *
 * Nothing here knows what is simulated.  Memory of a run comes from an arena that the next
 * run uses again. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MS INT64_C(1000)
#define SEC INT64_C(1000000)

#define WORLD_MOMENTS 2048

struct sim;
struct moment;
typedef void moment_run(struct sim *sim, const struct moment *moment);

/* Something that happens at a time.  relay and life address one process, lane one of its lanes;
 * what was meant for a process that is dead by then does not happen. */
struct moment {
    int64_t at;
    uint64_t order; /* of what happens at the same time */
    moment_run *run;
    int relay;
    int life;
    int lane;
    int64_t number;
    void *data;
};

struct world {
    int64_t now;
    uint64_t order;
    uint64_t random;
    struct moment heap[WORLD_MOMENTS];
    size_t count;
    char *arena;
    size_t used;
    int64_t steps;
};

uint64_t random_next(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t limit);
int64_t random_between(uint64_t *state, int64_t low, int64_t high);
bool random_one_in(uint64_t *state, uint64_t n);

/* Zeroed, valid until the next run. */
void *world_alloc(struct world *world, size_t size);
void world_add(struct world *world, struct moment moment);
bool world_next(struct world *world, struct moment *ret);
/* How long a message is on its way. */
int64_t world_latency(struct world *world);

#endif
