/* "Did you mean ...?" */
#ifndef CONFIG_NEAREST_H
#define CONFIG_NEAREST_H

#include <stddef.h>

/* How many characters have to be added, removed, changed, or swapped with their
 * neighbour, to get from one name to the other; names longer than 63 characters are far. */
size_t name_distance(const char *a, const char *b);

/* Remembers the nearest of the candidates it is shown. */
struct nearest {
    const char *wanted;
    const char *name; /* NULL: none is near enough to be meant */
    size_t distance;
};

#define NEAREST_INIT(text)                                                                                   \
    {                                                                                                        \
        (text), NULL, 0                                                                                      \
    }

void nearest_try(struct nearest *nearest, const char *candidate);

#endif
