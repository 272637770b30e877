/* What the programs count: one table, and a cell for each number.
 *
 * Any thread counts at any time, without a lock: a cell is an atomic that nothing else
 * depends on.  The names, types and labels are an interface to operators, described in
 * docs/monitoring.md; tests/docs/monitoring.py holds the two together. */
#ifndef RUNTIME_METRICS_H
#define RUNTIME_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/clock.h"

enum metric_type {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_DURATION, /* a gauge: microseconds, shown as seconds */
    METRIC_STATE,    /* for each state a gauge that is 0 or 1; the cell has its number */
    METRIC_HISTOGRAM
};

#define METRIC_LANES 16

/* Cells of a metric, by what it is divided by. */
enum metric_cells {
    METRIC_CELLS_NONE = 1,
    METRIC_CELLS_LANE = METRIC_LANES,
    METRIC_CELLS_PART = 6,
    METRIC_CELLS_RESULT = 7,   /* of a call to Kafka, as enum sink_result */
    METRIC_CELLS_BACKLOG = 5,
    METRIC_CELLS_DELIVERY = 5, /* as enum delivery_state */
    METRIC_CELLS_STATUS = 5,
    METRIC_CELLS_RELOAD = 2,
    METRIC_CELLS_LEVEL = 4,    /* as enum log_level */
    METRIC_CELLS_TIMES = 20,   /* buckets, the last without bound, and the sum */
    METRIC_CELLS_SIZES = 14
};

enum metric_part {
    METRIC_PART_LANE,
    METRIC_PART_LEASE,
    METRIC_PART_TICKER,
    METRIC_PART_WEBHOOKS,
    METRIC_PART_WATCH,
    METRIC_PART_MAINTENANCE
};
enum metric_backlog { METRIC_DUE, METRIC_LATER, METRIC_UNKNOWN, METRIC_PARKED, METRIC_DEAD };
enum metric_status { METRIC_2XX, METRIC_3XX, METRIC_4XX, METRIC_5XX, METRIC_NO_STATUS };
enum metric_reload { METRIC_APPLIED, METRIC_REFUSED };

/* constant, name, type, divided by, help */
#define METRIC_MAP(X)                                                                                        \
    X(EVENTS_PUBLISHED, "outbox_events_published_total", COUNTER, NONE,                                      \
      "Events that this process has committed to Kafka.")                                                    \
    X(EVENTS_PARKED, "outbox_events_parked_total", COUNTER, NONE,                                            \
      "Events that this process has parked, since they or others of their key cannot be published.")         \
    X(TRANSACTIONS, "outbox_transactions_total", COUNTER, NONE,                                              \
      "Kafka transactions that this process has committed.")                                                 \
    X(TRANSACTION_EVENTS, "outbox_transaction_events", HISTOGRAM, SIZES, "Events of a Kafka transaction.")   \
    X(TRANSACTION_SECONDS, "outbox_transaction_seconds", HISTOGRAM, TIMES,                                   \
      "From the begin of a Kafka transaction to the end of its commit.")                                     \
    X(COMMIT_SECONDS, "outbox_commit_seconds", HISTOGRAM, TIMES, "Commit of a Kafka transaction.")           \
    X(EVENT_LATENCY, "outbox_event_latency_seconds", HISTOGRAM, TIMES,                                       \
      "From the moment at which an event occurred to its commit in Kafka.")                                  \
    X(KAFKA_FAILURES, "outbox_kafka_failures_total", COUNTER, RESULT,                                        \
      "Steps of publishing that failed in Kafka.")                                                           \
    X(KAFKA_ERRORS, "outbox_kafka_errors_total", COUNTER, NONE,                                              \
      "Errors that librdkafka has reported, of connections above all.")                                      \
    X(DATABASE_CONNECTIONS, "outbox_database_connections_total", COUNTER, PART,                              \
      "Connections opened to PostgreSQL.")                                                                   \
    X(DATABASE_FAILURES, "outbox_database_failures_total", COUNTER, PART,                                    \
      "Steps that failed in PostgreSQL, each of which ends a connection.")                                   \
    X(TICKS, "outbox_ticks_total", COUNTER, NONE, "Ticks that this process has taken.")                      \
    X(TAKEOVERS, "outbox_takeovers_total", COUNTER, NONE,                                                    \
      "Times that a lane began to run here, after a takeover.")                                              \
    X(LEASES_LOST, "outbox_leases_lost_total", COUNTER, NONE,                                                \
      "Times that a lane's lease ended, or was another's, while it ran here.")                               \
    X(RECYCLES, "outbox_producer_recycles_total", COUNTER, NONE,                                             \
      "Producers replaced because a request of a transaction may still have been on its way.")               \
    X(LANE_STATE, "outbox_lane_state", STATE, LANE, "What this process does with the lane.")                 \
    X(LANE_EPOCH, "outbox_lane_epoch", GAUGE, LANE, "Epoch of the lease that this process has, or had.")     \
    X(LANE_HALTED, "outbox_lane_halted", GAUGE, LANE, "1: the lane waits for an operator.")                  \
    X(LAG_EVENTS, "outbox_lag_events", GAUGE, LANE,                                                          \
      "Committed events that the database does not know to be published; estimated above 1000.")             \
    X(LAG_SECONDS, "outbox_lag_seconds", DURATION, LANE, "Age of the oldest of them.")                       \
    X(PARKED_EVENTS, "outbox_parked_events", GAUGE, NONE,                                                    \
      "Events that are parked; counted up to 50000.")                                                        \
    X(PARKED_SECONDS, "outbox_parked_seconds", DURATION, NONE, "Age of the oldest of them.")                 \
    X(PARTITIONS_AHEAD, "outbox_partitions_ahead", GAUGE, NONE,                                              \
      "Partitions of outbox.event after the one in use.")                                                    \
    X(OLDEST_PARTITION, "outbox_oldest_partition_seconds", DURATION, NONE,                                   \
      "Since writers left the oldest partition; 0: it is the one in use.")                                   \
    X(PARTITIONS_ENTERED, "outbox_partitions_entered_total", COUNTER, NONE,                                  \
      "Partitions that this process has let writers enter.")                                                 \
    X(PARTITIONS_DROPPED, "outbox_partitions_dropped_total", COUNTER, NONE,                                  \
      "Partitions that this process has dropped.")                                                           \
    X(ROWS_EXPIRED, "outbox_rows_expired_total", COUNTER, NONE,                                              \
      "Deliveries, ids, copies and rows of the audit that this process has deleted.")                        \
    X(MAINTENANCE_SUCCESS, "outbox_maintenance_success_timestamp_seconds", DURATION, NONE,                   \
      "When the last round of maintenance ended well here, in seconds since 1970.")                          \
    X(DELIVERIES, "outbox_deliveries", GAUGE, BACKLOG,                                                       \
      "Webhook deliveries that are not delivered; counted up to 50000 a state.")                             \
    X(DELIVERY_RESULTS, "outbox_delivery_results_total", COUNTER, DELIVERY,                                  \
      "Attempts that this process has recorded, by the state in which they left the delivery.")              \
    X(WEBHOOK_REQUESTS, "outbox_webhook_requests_total", COUNTER, STATUS,                                    \
      "Webhook requests that have ended, by the class of the answer.")                                       \
    X(WEBHOOK_SECONDS, "outbox_webhook_request_seconds", HISTOGRAM, TIMES,                                   \
      "Webhook requests, from the look-up of the name to the end of the answer.")                            \
    X(WEBHOOKS_IN_FLIGHT, "outbox_webhook_requests_in_flight", GAUGE, NONE,                                  \
      "Deliveries that are claimed and being sent.")                                                         \
    X(DELIVERIES_RECOVERED, "outbox_deliveries_recovered_total", COUNTER, NONE,                              \
      "Deliveries taken back from senders that vanished.")                                                   \
    X(SAMPLE_AGE, "outbox_sample_age_seconds", DURATION, NONE,                                               \
      "Age of what was read from the database: lag, halts, partitions, deliveries.")                         \
    X(WAITS_OVERDUE, "outbox_waits_overdue", GAUGE, NONE,                                                    \
      "Threads whose wait has passed its deadline: a library or the kernel does not come back.")             \
    X(RELOADS, "outbox_reloads_total", COUNTER, RELOAD, "Times that the configuration was read again.")      \
    X(LOG_LINES, "outbox_log_lines_total", COUNTER, LEVEL, "Lines logged.")

/* METRIC_<constant> is the first cell of that metric; the others follow. */
enum metric {
#define METRIC_CELL(constant, name, type, cells, help)                                                       \
    METRIC_##constant, METRIC_LAST_##constant = METRIC_##constant + METRIC_CELLS_##cells - 1,
    METRIC_MAP(METRIC_CELL)
#undef METRIC_CELL
        METRIC_ALL_CELLS
};

/* Counters; the cell is METRIC_X, or METRIC_X plus the number of what it is divided by. */
void metric_add(int cell, int64_t count);
/* Gauges.  One that was never set, or was cleared, is not shown. */
void metric_set(int cell, int64_t value);
void metric_clear(int cell);
/* Histograms: `count` observations of the same value. */
void metric_observe_time(int first, mono_us value, int64_t count);
void metric_observe_size(int first, int64_t value, int64_t count);

/* For the one who shows them. -------------------------------------------------------- */

struct metric_row {
    const char *name;
    const char *help;
    enum metric_type type;
    int first; /* cell */
    enum metric_cells cells;
    const char *label;         /* NULL: none */
    const char *const *values; /* of the label, one for each cell; NULL: numbers */
    const char *const *states; /* of METRIC_STATE, NULL after the last */
    const int64_t *bounds;     /* of a histogram: upper bounds of all buckets but the last */
    size_t bound_count;
    bool times; /* microseconds, to be shown as seconds */
};

extern const struct metric_row metric_rows[];
extern const size_t metric_row_count;

/* What a counter or a bucket has. */
int64_t metric_count(int cell);
/* False if the gauge is not set. */
bool metric_value(int cell, int64_t *ret);

#endif
