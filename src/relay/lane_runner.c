#include "relay/lane_runner.h"

#include <stdlib.h>
#include <string.h>

#include "core/flight.h"
#include "relay/executor.h"
#include "relay/lane_db.h"
#include "relay/lane_kafka.h"
#include "runtime/die.h"
#include "runtime/log.h"
#include "runtime/metrics.h"

/* Those in flight, one read ahead, one on its way, one of parked events. */
#define PAGES_MAX (FLIGHT_PAGES + 3)

struct held_page {
    uint64_t id;
    struct page *page;
};

struct lane_runner {
    struct lane_runner_settings settings;
    struct lane *lane;
    struct lane_db *db_context;
    struct lane_kafka *kafka_context;
    struct executor *db;
    struct executor *kafka;
    int map;
    struct lane_identity identity;
    struct held_page pages[PAGES_MAX];
    uint64_t last_page;
    char *faults; /* what is to be parked */
    enum lane_state logged;
    int64_t logged_losses;
};

static void lane_settings_from(const struct relay_config *config, struct lane_settings *ret)
{
    *ret = (struct lane_settings){
        .lease = config->lease,
        .lease_renew = config->lease_renew,
        .lease_margin = config->lease / 5,
        .acknowledge_interval = SECONDS(1),
        .marker_interval = SECONDS(30),
        .commit_timeout = config->transaction_timeout,
        .backoff_min = MILLISECONDS(100),
        .backoff_max = SECONDS(5),
        .release_interval = SECONDS(1),
        .batch_events = config->batch_events,
        .seed = random_u64(),
    };
    if (strcmp(config->publish, "at_least_once") != 0)
        return;
    /* What is begun must have ended, one way or the other, when the lease does. */
    ret->at_least_once = true;
    ret->delivery_timeout = config->lease * 2 / 5;
    ret->lease_margin = config->lease * 13 / 30;
    ret->flight_pages = FLIGHT_PAGES;
    ret->flight_bytes = 2 * config->batch_bytes;
}

static bool start_executors(struct lane_runner *runner)
{
    struct mailbox *answers = runner->settings.answers;
    const struct executor_settings db = {
        .name = "lane-db", .lane = runner->settings.lane, .run = lane_db_run, .end = lane_db_end,
        .context = runner->db_context};
    const struct executor_settings kafka = {.name = "lane-kafka", .lane = runner->settings.lane,
                                            .run = lane_kafka_run,
                                            .serve = lane_kafka_serve, .end = lane_kafka_end,
                                            .context = runner->kafka_context,
                                            .wake_fd = lane_kafka_wake_fd(runner->kafka_context)};

    runner->db = executor_start(&db, answers);
    runner->kafka = executor_start(&kafka, answers);
    return runner->db && runner->kafka;
}

struct lane_runner *lane_runner_start(const struct lane_runner_settings *settings)
{
    struct lane_runner *runner = calloc(1, sizeof(*runner));
    struct lane_settings lane_settings;

    if (!runner)
        return NULL;
    runner->settings = *settings;
    lane_settings_from(settings->config, &lane_settings);
    runner->lane = lane_new(&lane_settings);
    runner->db_context = lane_db_new(settings->settings, settings->ticks, settings->lane);
    runner->kafka_context = lane_kafka_new(settings->settings, settings->kafka, settings->lane);
    if (!runner->lane || !runner->db_context || !runner->kafka_context)
        goto fail;
    if (!start_executors(runner))
        goto fail;
    return runner;

fail:
    lane_runner_end(runner, clock_now() + SECONDS(1));
    return NULL;
}

static struct held_page *find_page(struct lane_runner *runner, uint64_t id)
{
    for (int i = 0; i < PAGES_MAX; i++) {
        if (runner->pages[i].id == id)
            return &runner->pages[i];
    }
    runtime_die("page_lost", "main"); /* the lane and its runner disagree about what is held */
}

static void hold_page(struct lane_runner *runner, struct relay_message *message)
{
    struct held_page *slot = find_page(runner, 0);

    slot->id = ++runner->last_page;
    slot->page = message->page;
    message->event.page = slot->id;
}

static void free_page(struct lane_runner *runner, uint64_t id)
{
    struct held_page *slot = find_page(runner, id);

    page_free(slot->page);
    *slot = (struct held_page){0};
}

static struct executor *executor_of(const struct lane_runner *runner, enum lane_action_kind kind)
{
    switch (kind) {
    case LANE_DO_READ_MARKER:
    case LANE_DO_OPEN_PRODUCER:
    case LANE_DO_OPEN_PIPELINE:
    case LANE_DO_PUBLISH:
    case LANE_DO_COMMIT:
    case LANE_DO_CLOSE_PRODUCER:
        return runner->kafka;
    default:
        return runner->db;
    }
}

static void submit(struct lane_runner *runner, const struct lane_action *action)
{
    struct lane_job job = {.map = runner->map, .action = *action, .identity = runner->identity};

    if (action->page != 0)
        job.page = find_page(runner, action->page)->page;
    if (action->kind == LANE_DO_PARK && runner->faults) {
        job.faults = runner->faults;
        runner->faults = NULL;
    }
    if (!executor_submit(executor_of(runner, action->kind), &job))
        runtime_die("out_of_memory", "main"); /* the lane would wait for ever for an answer */
}

static void carry_out(struct lane_runner *runner, const struct lane_action *action)
{
    switch (action->kind) {
    case LANE_DO_FREE_PAGE:
        free_page(runner, action->page);
        return;
    case LANE_DO_WANT_TICK:
        runner->settings.want_tick(runner->settings.context, action->force);
        return;
    case LANE_DO_RENEW:
        runner->settings.want_renewal(runner->settings.context);
        return;
    default:
        submit(runner, action);
        return;
    }
}

static void log_state(struct lane_runner *runner)
{
    enum lane_state state = lane_state(runner->lane);
    int lane = runner->settings.lane;
    bool landmark = state == LANE_RUNNING || state == LANE_STOPPED || state == LANE_HALTED;

    if (state == runner->logged)
        return;
    if (state == LANE_RUNNING)
        metric_add(METRIC_TAKEOVERS, 1);
    log_write(landmark ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "lane", LOG_NUMBER("lane", lane),
              LOG_TEXT("state", lane_state_name(state)), LOG_NUMBER("epoch", lane_epoch(runner->lane)));
    runner->logged = state;
    if (lane < METRIC_LANES) {
        metric_set(METRIC_LANE_STATE + lane, (int64_t)state);
        metric_set(METRIC_LANE_EPOCH + lane, lane_epoch(runner->lane));
    }
}

static void log_loss(struct lane_runner *runner)
{
    if (lane_leases_lost(runner->lane) == runner->logged_losses)
        return;
    log_warning("lease_lost", LOG_NUMBER("lane", runner->settings.lane),
                LOG_NUMBER("epoch", lane_epoch(runner->lane)));
    metric_add(METRIC_LEASES_LOST, lane_leases_lost(runner->lane) - runner->logged_losses);
    runner->logged_losses = lane_leases_lost(runner->lane);
}

static void handle(struct lane_runner *runner, const struct lane_event *event)
{
    struct lane_actions actions;

    lane_handle(runner->lane, event, &actions);
    log_loss(runner);
    log_state(runner);
    for (size_t i = 0; i < actions.count; i++)
        carry_out(runner, &actions.list[i]);
}

void lane_runner_begin(struct lane_runner *runner, int map)
{
    runner->map = map;
    lane_runner_tell(runner, LANE_EVENT_START, NULL);
}

void lane_runner_drain(struct lane_runner *runner, const struct tick_id *tick)
{
    lane_drain(runner->lane, tick);
    lane_runner_tell(runner, LANE_EVENT_TIMER, NULL);
}

void lane_runner_tell(struct lane_runner *runner, enum lane_event_kind kind, const struct tick_id *tick)
{
    struct lane_event event = {.kind = kind, .now = clock_now()};

    if (tick)
        event.tick = *tick;
    handle(runner, &event);
}

void lane_runner_reload(struct lane_runner *runner, const struct relay_config *config)
{
    lane_set_batch_events(runner->lane, config->batch_events);
}

void lane_runner_answer(struct lane_runner *runner, struct relay_message *message)
{
    if (message->event.kind == LANE_EVENT_ACQUIRED)
        runner->identity = message->identity;
    if (message->faults) {
        free(runner->faults);
        runner->faults = message->faults;
    }
    if (message->page)
        hold_page(runner, message);
    if (message->keep_pages) {
        /* librdkafka still refers to them: better a leak than a crash. */
        for (int i = 0; i < PAGES_MAX; i++)
            runner->pages[i].page = NULL;
    }
    handle(runner, &message->event);
}

mono_us lane_runner_timer(const struct lane_runner *runner)
{
    return lane_next_timer(runner->lane);
}

enum lane_state lane_runner_state(const struct lane_runner *runner)
{
    return lane_state(runner->lane);
}

enum lane_halt lane_runner_halt(const struct lane_runner *runner)
{
    return lane_halt(runner->lane);
}

int64_t lane_runner_epoch(const struct lane_runner *runner)
{
    return lane_epoch(runner->lane);
}

bool lane_runner_holds(const struct lane_runner *runner)
{
    return lane_holds(runner->lane);
}

bool lane_runner_end(struct lane_runner *runner, mono_us deadline)
{
    bool ended;

    ended = executor_stop(runner->kafka, deadline);
    ended = executor_stop(runner->db, deadline) && ended;
    if (!ended)
        return false;
    for (int i = 0; i < PAGES_MAX; i++)
        page_free(runner->pages[i].page);
    free(runner->faults);
    lane_db_free(runner->db_context);
    lane_kafka_free(runner->kafka_context);
    lane_free(runner->lane);
    free(runner);
    return true;
}
