#include "robust.h"

#include <math.h>
#include <stdlib.h>

/* The MAD of normally distributed values is this part of their standard deviation. */
#define MAD_TO_SIGMA 1.4826

static int compare(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

/* Twice the median, which is a whole number; sorts. */
static int64_t twice_median(int64_t *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[(count - 1) / 2] + values[count / 2];
}

struct usual robust_usual(int64_t *values, size_t count)
{
    int64_t twice = twice_median(values, count);
    struct usual usual = {.median = (double)twice / 2};

    for (size_t i = 0; i < count; i++)
        values[i] = llabs(2 * values[i] - twice);
    usual.scale = MAD_TO_SIGMA * (double)twice_median(values, count) / 4;
    /* Where most values are equal the MAD is 0.  But counts of what happens by chance vary by the root of their
     * mean, so no less is taken for unusual. */
    usual.scale = fmax(usual.scale, fmax(1, sqrt(usual.median)));
    return usual;
}

double robust_z(const struct usual *usual, int64_t value)
{
    return ((double)value - usual->median) / usual->scale;
}
