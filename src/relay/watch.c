#include "relay/watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/lane.h"
#include "runtime/log.h"
#include "runtime/metrics.h"

#define INTERVAL SECONDS(5)
#define LONGEST_INTERVAL SECONDS(15)
#define FRESH SECONDS(1)
#define STATEMENT_TIMEOUT SECONDS(5)

struct watch {
    struct settings_view settings; /* the thread's, as is pg */
    struct pg *pg;
    bool failed; /* the last look; logged once */
    struct outlook_lane former[OUTLOOK_LANES];
    mono_us stalled_since[OUTLOOK_LANES];
    atomic_int company; /* any thread */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    pthread_cond_t changed;
    /* under lock */
    struct watch_view view;
    mono_us looked_at; /* whatever came of it */
    bool wanted;
    bool quit;
};

static mono_us shorter(mono_us a, mono_us b)
{
    return a < b ? a : b;
}

static int look(struct watch *watch, struct outlook *ret, outbox_error **reterr)
{
    const struct relay_config *config = settings_read(&watch->settings);
    struct pg_conn_settings settings = {config->dsn, "outbox-relay watch",
                                        shorter(config->connect_timeout, STATEMENT_TIMEOUT)};

    if (!pg_usable(watch->pg)) {
        pg_close(watch->pg);
        watch->pg = pg_open(&settings, reterr);
        if (!watch->pg)
            return OUTBOX_ECONNECTION;
        metric_add(METRIC_DATABASE_CONNECTIONS + METRIC_PART_WATCH, 1);
    }
    return outlook_read(watch->pg, clock_now() + shorter(config->statement_timeout, STATEMENT_TIMEOUT), ret, reterr);
}

static void show(const struct outlook *outlook)
{
    for (int i = 0; i < METRIC_LANES; i++) {
        metric_clear(METRIC_LAG_EVENTS + i);
        metric_clear(METRIC_LAG_SECONDS + i);
        metric_clear(METRIC_LANE_HALTED + i);
    }
    for (int i = 0; i < outlook->lane_count; i++) {
        const struct outlook_lane *lane = &outlook->lanes[i];

        metric_set(METRIC_LAG_EVENTS + lane->lane, lane->events);
        metric_set(METRIC_LAG_SECONDS + lane->lane, lane->age);
        metric_set(METRIC_LANE_HALTED + lane->lane, lane->halt[0] != '\0');
    }
    metric_set(METRIC_PARTITIONS_AHEAD, outlook->partitions_ahead);
    metric_set(METRIC_OLDEST_PARTITION, outlook->oldest_partition);
    metric_set(METRIC_DELIVERIES + METRIC_DUE, outlook->due);
    metric_set(METRIC_DELIVERIES + METRIC_LATER, outlook->later);
    metric_set(METRIC_DELIVERIES + METRIC_UNKNOWN, outlook->unknown);
    metric_set(METRIC_DELIVERIES + METRIC_PARKED, outlook->parked);
    metric_set(METRIC_DELIVERIES + METRIC_DEAD, outlook->dead);
    metric_set(METRIC_PARKED_EVENTS, outlook->parked_events);
    metric_set(METRIC_PARKED_SECONDS, outlook->parked_age);
}

static bool runs_here(int lane)
{
    int64_t state;

    return metric_value(METRIC_LANE_STATE + lane, &state) && state == LANE_RUNNING;
}

/* Since when the lane has had a backlog and has not moved, though it runs here. */
static mono_us judge_progress(struct watch *watch, const struct outlook_lane *lane, mono_us now)
{
    struct outlook_lane *former = &watch->former[lane->lane];
    mono_us *since = &watch->stalled_since[lane->lane];
    bool moved = lane->published != former->published || lane->to_tick != former->to_tick || lane->seq != former->seq;

    if (lane->events == 0 || !runs_here(lane->lane))
        *since = 0;
    else if (moved || *since == 0)
        *since = now;
    *former = *lane;
    return *since;
}

/* Under lock. */
static void note_success(struct watch *watch, const struct outlook *outlook, mono_us now)
{
    struct watch_view *view = &watch->view;

    view->sampled_at = now;
    view->failing_since = 0;
    view->partitions_ahead = outlook->partitions_ahead;
    view->stalled_since = 0;
    view->halt[0] = '\0';
    for (int i = 0; i < outlook->lane_count; i++) {
        const struct outlook_lane *lane = &outlook->lanes[i];
        mono_us since = judge_progress(watch, lane, now);

        if (since != 0 && (view->stalled_since == 0 || since < view->stalled_since))
            view->stalled_since = since;
        if (!view->halt[0])
            snprintf(view->halt, sizeof(view->halt), "%s", lane->halt);
    }
}

static void look_and_note(struct watch *watch)
{
    struct outlook outlook;
    outbox_error *err = NULL;
    bool good = look(watch, &outlook, &err) == OUTBOX_OK;
    mono_us now = clock_now();

    if (good) {
        show(&outlook);
    } else {
        metric_add(METRIC_DATABASE_FAILURES + METRIC_PART_WATCH, 1);
        if (!watch->failed)
            log_warning("watch_failed", LOG_TEXT("error", err ? outbox_error_message(err) : "unknown"));
        pg_close(watch->pg);
        watch->pg = NULL;
    }
    watch->failed = !good;
    outbox_error_free(err);
    pthread_mutex_lock(&watch->lock);
    if (good)
        note_success(watch, &outlook, now);
    else if (watch->view.failing_since == 0)
        watch->view.failing_since = now;
    watch->looked_at = now;
    watch->wanted = false;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
}

/* Waits for the next look.  False at the end. */
static bool wait_for_turn(struct watch *watch)
{
    bool quit;

    pthread_mutex_lock(&watch->lock);
    for (;;) {
        mono_us pause = shorter(INTERVAL * atomic_load(&watch->company), LONGEST_INTERVAL);
        mono_us due = watch->looked_at == 0 ? 0 : watch->looked_at + (watch->wanted ? FRESH : pause);
        struct timespec until = {due / 1000000, due % 1000000 * 1000};

        if (watch->quit || clock_now() >= due)
            break;
        pthread_cond_timedwait(&watch->asked, &watch->lock, &until);
    }
    quit = watch->quit;
    pthread_mutex_unlock(&watch->lock);
    return !quit;
}

static void *watch_main(void *argument)
{
    struct watch *watch = argument;

    pthread_setname_np(pthread_self(), "watch");
    while (wait_for_turn(watch))
        look_and_note(watch);
    pg_close(watch->pg);
    settings_close(&watch->settings);
    return NULL;
}

static void init_locks(struct watch *watch)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->asked, &attributes);
    pthread_cond_init(&watch->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void free_watch(struct watch *watch)
{
    pthread_cond_destroy(&watch->asked);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

struct watch *watch_start(struct settings *settings)
{
    struct watch *watch = calloc(1, sizeof(*watch));

    if (!watch)
        return NULL;
    watch->settings = (struct settings_view)SETTINGS_VIEW_INIT(settings);
    watch->view.partitions_ahead = -1;
    atomic_store(&watch->company, 1);
    init_locks(watch);
    if (pthread_create(&watch->thread, NULL, watch_main, watch) != 0) {
        free_watch(watch);
        return NULL;
    }
    return watch;
}

void watch_look(struct watch *watch, mono_us deadline, struct watch_view *ret)
{
    const struct timespec until = {deadline / 1000000, deadline % 1000000 * 1000};

    pthread_mutex_lock(&watch->lock);
    while (clock_now() - watch->looked_at >= FRESH && clock_now() < deadline) {
        watch->wanted = true;
        pthread_cond_signal(&watch->asked);
        pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
    }
    *ret = watch->view;
    pthread_mutex_unlock(&watch->lock);
}

void watch_set_company(struct watch *watch, int relays)
{
    atomic_store(&watch->company, relays > 0 ? relays : 1);
}

bool watch_stop(struct watch *watch, mono_us deadline)
{
    if (!watch)
        return true;
    pthread_mutex_lock(&watch->lock);
    watch->quit = true;
    pthread_cond_signal(&watch->asked);
    pthread_mutex_unlock(&watch->lock);
    if (!clock_join(watch->thread, deadline))
        return false;
    free_watch(watch);
    return true;
}
