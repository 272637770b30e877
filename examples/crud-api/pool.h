/* A bounded number of database connections, for any number of threads. */
#ifndef CRUD_API_POOL_H
#define CRUD_API_POOL_H

#include <libpq-fe.h>
#include <stddef.h>

struct pool;

/* At most size connections, opened when they are needed, on which a statement, and its wait for a lock, takes
 * statement_ms at most.  dsn may be "": the PG* variables.  Returns NULL without memory. */
struct pool *pool_new(const char *dsn, size_t size, long statement_ms);

/* All connections must have been given back. */
void pool_free(struct pool *pool);

/* A connection without a transaction, for the calling thread alone until pool_give().  Returns NULL if none
 * became free within wait_ms, or the database cannot be reached. */
PGconn *pool_take(struct pool *pool, long wait_ms);

/* In whatever state it is: one that is broken, or still in a transaction, is closed. */
void pool_give(struct pool *pool, PGconn *conn);

#endif
