/* The statements that emit one event. */
#ifndef API_STATEMENT_H
#define API_STATEMENT_H

#include <stdbool.h>

#include "event/wire.h"

struct outbox__statement {
    const char *sql;
    const char *name;  /* where it is prepared; NULL: it never is */
    bool answers;      /* with a row (id uuid, already_emitted boolean) */
    int count;         /* of its parameters */
    const int *fields; /* ... and which field of the event each one is */
};

/* The fewest that emit this event, whose id was drawn here unless it is claimed: the caller's
 * own, which the server has to look for.  answers: its result is all that is seen of it. */
const struct outbox__statement *outbox__statement_for(const struct outbox__wire *wire, bool claimed, bool answers);

/* Those with a name, by number; NULL after the last. */
const struct outbox__statement *outbox__statement_named(int number);

#endif
