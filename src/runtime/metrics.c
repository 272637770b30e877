#include "runtime/metrics.h"

#include <stdatomic.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* A gauge's value is kept with its sign bit turned over: then 0 means that it is not set. */
#define GAUGE_BIAS INT64_MIN

static _Atomic int64_t cells[METRIC_ALL_CELLS];

/* Labels. */
static const char *const parts[] = {"lane", "lease", "ticker", "webhooks", "watch"};
static const char *const results[] = {"ok", "again", "timeout", "failed", "fenced", "topic_missing", "refused"};
static const char *const backlog[] = {"due", "later", "unknown", "parked", "dead"};
static const char *const deliveries[] = {"delivered", "failed", "unknown", "parked", "dead"};
static const char *const statuses[] = {"2xx", "3xx", "4xx", "5xx", "none"};
static const char *const reloads[] = {"applied", "refused"};
static const char *const levels[] = {"error", "warning", "info", "debug"};
/* As enum lane_state. */
static const char *const lane_states[] = {
    "waiting",  "acquiring",     "comparing",     "fencing", "locating", "verifying", "catching_up",
    "checking_lease", "marking_start", "recording", "opening", "running", "closing", "releasing", "stopped", "halted",
    NULL};

/* Powers of about 2.5, from 500 us to 5 minutes. */
static const int64_t times[] = {500,     1000,    2500,    5000,    10000,    25000,    50000,    100000,   250000,
                                500000,  1000000, 2500000, 5000000, 10000000, 25000000, 50000000, 100000000, 300000000};
static const int64_t sizes[] = {0, 1, 5, 10, 50, 100, 500, 1000, 2500, 5000, 10000, 100000};

_Static_assert(COUNT(parts) == METRIC_CELLS_PART && COUNT(results) == METRIC_CELLS_RESULT &&
                   COUNT(backlog) == METRIC_CELLS_BACKLOG && COUNT(deliveries) == METRIC_CELLS_DELIVERY &&
                   COUNT(statuses) == METRIC_CELLS_STATUS && COUNT(reloads) == METRIC_CELLS_RELOAD &&
                   COUNT(levels) == METRIC_CELLS_LEVEL,
               "a label has as many values as cells");
_Static_assert(COUNT(times) + 2 == METRIC_CELLS_TIMES && COUNT(sizes) + 2 == METRIC_CELLS_SIZES,
               "a histogram has a cell for each bound, one beyond, and one for the sum");

#define LABEL_NONE .label = NULL
#define LABEL_LANE .label = "lane"
#define LABEL_PART .label = "part", .values = parts
#define LABEL_RESULT .label = "result", .values = results
#define LABEL_BACKLOG .label = "state", .values = backlog
#define LABEL_DELIVERY .label = "state", .values = deliveries
#define LABEL_STATUS .label = "status", .values = statuses
#define LABEL_RELOAD .label = "result", .values = reloads
#define LABEL_LEVEL .label = "level", .values = levels
#define LABEL_TIMES .bounds = times, .bound_count = COUNT(times), .times = true
#define LABEL_SIZES .bounds = sizes, .bound_count = COUNT(sizes)

const struct metric_row metric_rows[] = {
#define METRIC_ROW(constant, text, kind, divided, explanation)                                               \
    {.name = (text),                                                                                         \
     .help = (explanation),                                                                                  \
     .type = METRIC_##kind,                                                                                  \
     .first = METRIC_##constant,                                                                             \
     .cells = METRIC_CELLS_##divided,                                                                        \
     .states = lane_states,                                                                                  \
     LABEL_##divided},
    METRIC_MAP(METRIC_ROW)
#undef METRIC_ROW
};
const size_t metric_row_count = COUNT(metric_rows);

void metric_add(int cell, int64_t count)
{
    atomic_fetch_add_explicit(&cells[cell], count, memory_order_relaxed);
}

void metric_set(int cell, int64_t value)
{
    atomic_store_explicit(&cells[cell], value ^ GAUGE_BIAS, memory_order_relaxed);
}

void metric_clear(int cell)
{
    atomic_store_explicit(&cells[cell], 0, memory_order_relaxed);
}

static void observe(int first, const int64_t *bounds, size_t count, int64_t value, int64_t observations)
{
    size_t bucket = 0;

    if (value < 0)
        value = 0; /* a clock was set back, or two clocks differ */
    while (bucket < count && value > bounds[bucket])
        bucket++;
    metric_add(first + (int)bucket, observations);
    metric_add(first + (int)count + 1, value * observations);
}

void metric_observe_time(int first, mono_us value, int64_t count)
{
    observe(first, times, COUNT(times), value, count);
}

void metric_observe_size(int first, int64_t value, int64_t count)
{
    observe(first, sizes, COUNT(sizes), value, count);
}

int64_t metric_count(int cell)
{
    return atomic_load_explicit(&cells[cell], memory_order_relaxed);
}

bool metric_value(int cell, int64_t *ret)
{
    int64_t kept = metric_count(cell);

    *ret = kept ^ GAUGE_BIAS;
    return kept != 0;
}
