/* A set of keys: those of a partition that are parked. */
#ifndef CONSUMER_KEYSET_H
#define CONSUMER_KEYSET_H

#include <stdbool.h>
#include <stddef.h>

/* A longer key counts by its beginning: what two such keys have in common is parked together. */
#define KEYSET_KEY_SIZE ((size_t)1024)

struct keyset_key {
    void *data;
    size_t size;
};

/* Zeroed is empty. */
struct keyset {
    struct keyset_key *keys; /* sorted */
    size_t count;
    size_t allocated;
};

/* How much of the key counts. */
size_t keyset_size(size_t key_size);
/* False without memory.  A key that is there already is no failure. */
bool keyset_add(struct keyset *set, const void *key, size_t size);
bool keyset_has(const struct keyset *set, const void *key, size_t size);
void keyset_remove(struct keyset *set, const void *key, size_t size);
/* Empties it. */
void keyset_free(struct keyset *set);

#endif
