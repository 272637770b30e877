/* One seed, from its beginning until everything is quiet or has failed; and the smallest part
 * of its schedule that fails still. */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/bugs.h"
#include "sim/faults.h"

struct sim;

struct run {
    uint64_t seed;
    enum bug bug;
    bool verbose;
    uint32_t faults_left_out;
    uint64_t writers_left_out;
    struct fault_table *table; /* or NULL */
};

struct run_result {
    bool failed;
    char failure[200];
    int64_t steps;
    int faults; /* that struck */
    int64_t simulated;
};

/* Memory for one run after the other. */
struct sim *sim_new(void);
void sim_free(struct sim *sim);

void run_seed(struct sim *sim, const struct run *run, struct run_result *ret);
/* Leaves out what the failure does not need. */
void run_shrink(struct sim *sim, struct run *run);

#endif
