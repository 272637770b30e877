/* Median and MAD: what is usual, told so that what is not does not change it. */
#ifndef ANALYTICS_ROBUST_H
#define ANALYTICS_ROBUST_H

#include <stddef.h>
#include <stdint.h>

struct usual {
    double median;
    double scale; /* as a standard deviation */
};

/* Of count > 0 values, which are reordered. */
struct usual robust_usual(int64_t *values, size_t count);

/* How many scales the value lies above the median. */
double robust_z(const struct usual *usual, int64_t value);

#endif
