/* Writers: services that emit events, in transactions of all kinds. */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

struct sim;

#define WRITERS_MAX 40
#define KEYS 4

/* Of an event: what Kafka says to it. */
enum nature {
    NATURE_GOOD,
    NATURE_TOO_LARGE, /* known before anything is begun */
    NATURE_BAD        /* the broker refuses it, with all of its batch */
};

struct writer {
    int64_t begin;
    int64_t pause;    /* between its steps */
    int emits;        /* 0: a transaction of something else, with an id all the same */
    bool keyed;
    bool rolls_back;
    bool savepoint;   /* takes its first event back */
    bool synchronous;
    /* as it goes */
    int step;
    int txn;          /* or -1 */
    int64_t xid;
    int boot;
};

struct workload {
    struct writer writers[WRITERS_MAX];
    int count;
    uint64_t left_out; /* bits: by the shrinker */
    uint64_t random;
    int open;
    int key_holder[KEYS]; /* 1 + a writer */
};

void workload_draw(struct sim *sim, uint64_t seed, int64_t duration);
/* One more writer, from now on; long: it stays open for seconds. */
void workload_add(struct sim *sim, bool is_long);

#endif
