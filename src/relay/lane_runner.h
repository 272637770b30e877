/* Drives one lane: carries its decisions (core/lane.h) to the executors and their
 * answers back, and owns the pages in between.  Belongs to the main loop's thread. */
#ifndef RELAY_LANE_RUNNER_H
#define RELAY_LANE_RUNNER_H

#include "relay/message.h"
#include "relay/settings.h"
#include "sink/kafka.h"
#include "source/tick_memory.h"

struct lane_runner;

struct lane_runner_settings {
    struct settings *settings;
    const struct relay_config *config; /* as of the start */
    const struct kafka *kafka;
    struct mailbox *answers; /* of the main loop */
    struct tick_memory *ticks; /* where the ticker puts them; outlives the runner */
    int lane;
    /* The lane has read everything it knows of. */
    void (*want_tick)(void *context, bool forced);
    /* Its lease is to be renewed; the answer is LANE_EVENT_RENEWED or _RENEW_FAILED. */
    void (*want_renewal)(void *context);
    void *context;
};

/* Starts the executors; NULL on failure. */
struct lane_runner *lane_runner_start(const struct lane_runner_settings *settings);

/* Lets it go for the lane, as it is in that map; at first, and when it has stopped or halted. */
void lane_runner_begin(struct lane_runner *runner, int map);
/* As lane_drain(). */
void lane_runner_drain(struct lane_runner *runner, const struct tick_id *tick);
/* One of LANE_EVENT_STOP, _TIMER, or _TICK with its tick. */
void lane_runner_tell(struct lane_runner *runner, enum lane_event_kind kind, const struct tick_id *tick);
/* What a reload may change of the decisions. */
void lane_runner_reload(struct lane_runner *runner, const struct relay_config *config);
/* An executor's answer, or that of the roster. */
void lane_runner_answer(struct lane_runner *runner, struct relay_message *message);

mono_us lane_runner_timer(const struct lane_runner *runner);
enum lane_state lane_runner_state(const struct lane_runner *runner);
enum lane_halt lane_runner_halt(const struct lane_runner *runner);
int64_t lane_runner_epoch(const struct lane_runner *runner);
bool lane_runner_holds(const struct lane_runner *runner);

/* False if a thread did not end by the deadline; then the process must exit. */
bool lane_runner_end(struct lane_runner *runner, mono_us deadline);

#endif
