/* Faults that are steps of their own: what they do. */
#ifndef SIM_STRIKE_H
#define SIM_STRIKE_H

#include "sim/faults.h"

struct sim;

/* Returns false if there was nothing to strike. */
bool strike(struct sim *sim, struct fault *fault, int relay);

#endif
