#include "source/tick_memory.h"

#include <pthread.h>
#include <stdlib.h>

/* A lane that works on one tick has been told of the next few at most. */
#define TICKS 8

struct tick_memory {
    pthread_mutex_t lock;
    struct tick ticks[TICKS]; /* under lock, as is the rest; no snapshot: a free place */
    unsigned next;
};

struct tick_memory *tick_memory_new(void)
{
    struct tick_memory *memory = calloc(1, sizeof(*memory));

    if (memory)
        pthread_mutex_init(&memory->lock, NULL);
    return memory;
}

void tick_memory_free(struct tick_memory *memory)
{
    if (!memory)
        return;
    for (unsigned i = 0; i < TICKS; i++)
        tick_clear(&memory->ticks[i]);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

void tick_memory_put(struct tick_memory *memory, struct tick *tick)
{
    struct tick former;

    pthread_mutex_lock(&memory->lock);
    former = memory->ticks[memory->next];
    memory->ticks[memory->next] = *tick;
    memory->next = (memory->next + 1) % TICKS;
    pthread_mutex_unlock(&memory->lock);
    tick_clear(&former);
    *tick = (struct tick){0};
}

bool tick_memory_get(struct tick_memory *memory, const struct tick_id *id, struct tick *ret)
{
    bool found = false;

    pthread_mutex_lock(&memory->lock);
    for (unsigned i = 0; i < TICKS && !found; i++)
        found = tick_is(&memory->ticks[i], id) && tick_copy(ret, &memory->ticks[i]);
    pthread_mutex_unlock(&memory->lock);
    return found;
}
