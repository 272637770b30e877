/* How many requests each endpoint may have in flight, and which endpoints may have
 * something due.  A slow endpoint fills its own slots and nobody else's. */
#ifndef WEBHOOK_SLOTS_H
#define WEBHOOK_SLOTS_H

#include <stdbool.h>
#include <stddef.h>

#include "webhook/endpoint.h"
#include "webhook/store.h"

struct slot {
    struct outbox__uuid id;
    struct endpoint *endpoint; /* NULL: disabled, or unusable */
    char *problem;             /* why it is unusable; NULL: it is not */
    int in_flight;
    int asked; /* in the claim that is being made */
    int got;
    bool hungry; /* there may be more due than was claimed */
    bool seen;   /* in the listing that is being read */
};

struct slots;

/* most: in flight at once over all endpoints; one of them gets at most half of it.  NULL
 * without memory. */
struct slots *slots_new(int most);
void slots_free(struct slots *slots);

/* Reading the endpoints anew: slots_see() each one, between these two. */
void slots_begin(struct slots *slots);
void slots_see(struct slots *slots, const struct endpoint_row *row);
void slots_end(struct slots *slots);

/* Something may be due anywhere. */
void slots_make_hungry(struct slots *slots);
bool slots_any_hungry(const struct slots *slots);

/* What to claim now.  ret_wants has room for slots_count().  Returns how many wants. */
size_t slots_count(const struct slots *slots);
size_t slots_wants(struct slots *slots, struct store_want *ret_wants);
int slots_in_flight(const struct slots *slots);
/* Free over all endpoints. */
int slots_free_total(const struct slots *slots);

/* A delivery was claimed for the endpoint.  NULL if that endpoint is not known. */
struct slot *slots_claimed(struct slots *slots, const struct outbox__uuid *id);
/* The claim is complete; full: it hit its limit, so nobody is known to be sated. */
void slots_settle(struct slots *slots, bool full);
/* A request for the endpoint has come back. */
void slots_returned(struct slots *slots, const struct outbox__uuid *id);

#endif
