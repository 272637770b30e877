/* The judge: looks, all the while, whether the counts of a bucket are unlike those before it. */
#ifndef ANALYTICS_JUDGE_H
#define ANALYTICS_JUDGE_H

#include <libpq-fe.h>
#include <stdint.h>

struct judge {
    PGconn *conn;
    const char *consumer; /* whose progress counts */
    const char *topic;    /* of alert_raised */
    int64_t width_us;
    int64_t lateness_us;  /* how much older than the newest an event may be and still be judged */
    long idle_ms;         /* after so long without a record a partition is not waited for */
    long window;          /* buckets that tell what is usual */
    long history;         /* as many of them must be there, at least */
    long least;           /* fewer events are no spike */
    double threshold;     /* of |z| */
};

/* Judges what has come since.  Returns 1 if there may be more, 0 if not, -1 if the database failed. */
int judge_pass(const struct judge *judge);

#endif
