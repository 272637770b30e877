/* All of a simulated run. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "sim/bugs.h"
#include "sim/faults.h"
#include "sim/kafka.h"
#include "sim/oracle.h"
#include "sim/pg.h"
#include "sim/relay.h"
#include "sim/workload.h"
#include "sim/world.h"

enum publish {
    PUBLISH_EXACTLY_ONCE,
    PUBLISH_AT_LEAST_ONCE,
    PUBLISH_CHANGING /* one or the other, by each process */
};

struct sim {
    struct world world; /* first */
    struct faults faults;
    struct fault_table *table;
    struct pg pg;
    struct kafka kafka;
    struct relay relays[RELAYS_MAX];
    int relay_count;
    struct workload workload;
    struct oracle oracle;
    enum publish publish;
    bool spoilt;    /* some events are not good */
    enum nature nature[ORACLE_EVENTS];
    enum bug bug;
    struct pg *backup; /* of the database, or NULL */
    bool healed;  /* no more faults */
    bool verbose;
};

/* A line of the story, when it is told. */
#define TELL(sim, ...)                                                                                       \
    do {                                                                                                     \
        if ((sim)->verbose)                                                                                  \
            sim_tell(sim, __VA_ARGS__);                                                                      \
    } while (0)

void sim_tell(const struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
