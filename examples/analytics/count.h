/* What is done with each event: it is counted in its bucket, by its own time; orders become features. */
#ifndef ANALYTICS_COUNT_H
#define ANALYTICS_COUNT_H

#include <libpq-fe.h>
#include <outbox/consumer.h>

/* Creates the tables; width_ms is that of a bucket, for ever.  Returns the exit status. */
int count_set_up(PGconn *conn, long width_ms);

/* Prints the counts of the last buckets, and the alerts.  Returns the exit status. */
int count_report(PGconn *conn, long buckets);

/* Reads the width.  Returns it, or -1. */
int64_t count_width_us(PGconn *conn);

/* The handler; context is the width in microseconds, an int64_t. */
int count_apply(struct pg_conn *conn, outbox_record *const records[], size_t count, void *context);

#endif
