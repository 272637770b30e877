/* A lane's lease and position in the database.  Every function blocks until its
 * deadline at most and returns an OUTBOX_* status (see pg/conn.h). */
#ifndef SOURCE_LEASE_H
#define SOURCE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/position.h"
#include "pg/conn.h"

struct lease_request {
    int map;
    int lane;
    const char *holder;
    mono_us ttl;
    const char *host; /* this machine's name: a local server's address */
};

struct lease_grant {
    bool granted;
    mono_us retry_after;     /* !granted: when the present lease may end */
    int64_t epoch;
    mono_us until;           /* of the local clock, counted from before the request */
    char former_holder[128];
    /* the lane */
    struct position position;
    bool started;
    bool at_least_once; /* how it was published last */
    int64_t published;
    int bucket_low;
    int bucket_high;
    /* the database */
    int64_t system_identifier; /* of the cluster where the incarnation began, as in its markers */
    char standing[32];         /* empty, or the state in which nothing may be published */
    char standing_detail[256];
    uint8_t incarnation[16];
    int endpoints; /* that want deliveries */
};

int lease_acquire(struct pg *pg, const struct lease_request *request, mono_us deadline, struct lease_grant *ret,
                  outbox_error **reterr);

/* Renews by a synchronous commit; OUTBOX_ESERVER also when that was not waited for.
 * *ret_until is set only if *ret_ours. */
int lease_renew(struct pg *pg, const struct lease_request *request, int64_t epoch, mono_us deadline,
                bool *ret_ours, mono_us *ret_until, outbox_error **reterr);

/* Records how the lane is published from now on, by a synchronous commit. */
int lease_record_publish(struct pg *pg, int map, int lane, int64_t epoch, bool at_least_once, mono_us deadline,
                         bool *ret_ours, outbox_error **reterr);

struct lease_end {
    int map;
    int lane;
    int64_t epoch;
    bool fenced; /* whoever had the lane before can publish no more */
};
int lease_release(struct pg *pg, const struct lease_end *end, mono_us deadline, outbox_error **reterr);

/* Records why the lane stands still, for operators; kept until it is acquired again. */
int lease_note_halt(struct pg *pg, int map, int lane, int64_t epoch, const char *state, const char *detail,
                    mono_us deadline, outbox_error **reterr);

#endif
