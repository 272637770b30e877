/* Whether emission is prepared on a connection: known by libpq's instance data, so that the
 * caller's connection stays the only object there is. */
#ifndef API_PREPARED_H
#define API_PREPARED_H

#include <libpq-fe.h>
#include <stdbool.h>

bool outbox__is_prepared(const PGconn *conn);

#endif
