#include "config/nearest.h"

#include <stdint.h>
#include <string.h>

#define NAME_MAX_COMPARED 63

static size_t least(size_t a, size_t b, size_t c)
{
    size_t d = a < b ? a : b;

    return d < c ? d : c;
}

/* Three rows of the matrix of prefixes are enough: this one and two before. */
size_t name_distance(const char *a, const char *b)
{
    size_t rows[3][NAME_MAX_COMPARED + 1];
    size_t a_size = strlen(a), b_size = strlen(b);
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    if (a_size > NAME_MAX_COMPARED || b_size > NAME_MAX_COMPARED)
        return SIZE_MAX;
    memset(rows, 0, sizeof(rows));
    for (size_t j = 0; j <= b_size; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *oldest = before;

        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] = least(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_size];
}

void nearest_try(struct nearest *nearest, const char *candidate)
{
    size_t distance = name_distance(nearest->wanted, candidate);
    size_t size = strlen(nearest->wanted);

    /* A third of a name wrong is a misspelling; more is another name. */
    if (distance == SIZE_MAX || distance > (size < 3 ? 1 : size / 3))
        return;
    if (!nearest->name || distance < nearest->distance) {
        nearest->name = candidate;
        nearest->distance = distance;
    }
}
