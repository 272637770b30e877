#include "consumer/keyset.h"

#include <stdlib.h>
#include <string.h>

size_t keyset_size(size_t key_size)
{
    return key_size < KEYSET_KEY_SIZE ? key_size : KEYSET_KEY_SIZE;
}

static int compare(const struct keyset_key *entry, const void *key, size_t size)
{
    size_t common = entry->size < size ? entry->size : size;
    int order = common > 0 ? memcmp(entry->data, key, common) : 0;

    if (order != 0)
        return order;
    return (entry->size > size) - (entry->size < size);
}

/* The first entry that does not come before the key. */
static size_t place_of(const struct keyset *set, const void *key, size_t size)
{
    size_t low = 0;
    size_t high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(&set->keys[middle], key, size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct keyset *set, size_t place, const void *key, size_t size)
{
    return place < set->count && compare(&set->keys[place], key, size) == 0;
}

static bool grow(struct keyset *set)
{
    size_t wanted = set->allocated ? 2 * set->allocated : 16;
    struct keyset_key *keys;

    if (set->count < set->allocated)
        return true;
    keys = reallocarray(set->keys, wanted, sizeof(*keys));
    if (!keys)
        return false;
    set->keys = keys;
    set->allocated = wanted;
    return true;
}

bool keyset_add(struct keyset *set, const void *key, size_t size)
{
    size_t place;
    void *copy;

    size = keyset_size(size);
    place = place_of(set, key, size);
    if (is_at(set, place, key, size))
        return true;
    copy = malloc(size + 1);
    if (!copy || !grow(set)) {
        free(copy);
        return false;
    }
    memcpy(copy, key, size);
    memmove(&set->keys[place + 1], &set->keys[place], (set->count - place) * sizeof(*set->keys));
    set->keys[place] = (struct keyset_key){copy, size};
    set->count++;
    return true;
}

bool keyset_has(const struct keyset *set, const void *key, size_t size)
{
    size = keyset_size(size);
    return set->count > 0 && is_at(set, place_of(set, key, size), key, size);
}

void keyset_remove(struct keyset *set, const void *key, size_t size)
{
    size_t place;

    size = keyset_size(size);
    place = place_of(set, key, size);
    if (!is_at(set, place, key, size))
        return;
    free(set->keys[place].data);
    set->count--;
    memmove(&set->keys[place], &set->keys[place + 1], (set->count - place) * sizeof(*set->keys));
}

void keyset_free(struct keyset *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->keys[i].data);
    free(set->keys);
    *set = (struct keyset){0};
}
