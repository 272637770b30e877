/* The promises, as invariants: looked at as it happens where that is possible, else at the end. */
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lane.h"
#include "core/position.h"
#include "sim/kafka.h"
#include "sim/pg.h"
#include "sim/workload.h"

struct fault;
struct runner;
struct sim;

#define ORACLE_EVENTS 256

struct oracle_event {
    int published;
    bool decided; /* to be published: consumers see it once nothing before it is open */
    bool acknowledged;
    bool discarded;
    bool wanted[PG_ENDPOINTS]; /* a delivery, as of that acknowledgement */
    struct {
        int effects;
        bool recorded; /* a 2xx is */
        bool doubtful; /* a send whose outcome nobody knows */
    } at[PG_ENDPOINTS];
};

struct oracle {
    struct oracle_event events[ORACLE_EVENTS];
    int event_count;
    struct kafka_record last_of_key[KEYS];
    int64_t last_commit_of_key[KEYS];
    int64_t committed_epoch[KAFKA_IDS]; /* of the lane, highest that committed in Kafka */
    bool data_lost;          /* a store lost data: a halt is right */
    const struct fault *loss;
    unsigned must_halt;      /* lanes, as bits */
    unsigned halted;         /* those that did */
    bool may_fence;          /* of a loss in Kafka only who has fenced can be sure */
    bool clock_stepped;
    int64_t lost_at;
    char failure[200];       /* the first, empty: none */
};

void oracle_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool oracle_failed(const struct sim *sim);

void oracle_published(struct sim *sim, const struct kafka_record *record);
void oracle_commit_decided(struct sim *sim, int id);
void oracle_piped(struct sim *sim, const struct kafka_request *request);
void oracle_init(struct sim *sim, const struct kafka_id *id, int64_t process_started);
void oracle_acknowledged(struct sim *sim, int lane, const struct position *position);
/* The next map has begun. */
void oracle_map(struct sim *sim);
void oracle_released(struct sim *sim, const struct pg_row *row);
void oracle_discarded(struct sim *sim, const struct pg_row *row);
void oracle_halted(struct sim *sim, const struct runner *runner, enum lane_halt halt);
void oracle_send_begins(struct sim *sim, const struct pg_delivery *delivery);
void oracle_effect(struct sim *sim, int event, int endpoint);
void oracle_recorded(struct sim *sim, const struct pg_delivery *delivery);

/* Is there nothing left to do? */
bool oracle_quiet(const struct sim *sim);
/* It is not: what is missing, as a failure. */
void oracle_overdue(struct sim *sim);

#endif
