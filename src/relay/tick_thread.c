#include "relay/tick_thread.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/ticker.h"
#include "relay/message.h"
#include "runtime/die.h"
#include "runtime/fault.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/repeat.h"
#include "runtime/wakeup.h"
#include "source/tick.h"

/* Between two ticks while other relays publish as well. */
#define PACE MILLISECONDS(10)
#define RECONNECT_PAUSE_MIN MILLISECONDS(100)
#define RECONNECT_PAUSE_MAX SECONDS(5)

struct tick_thread {
    struct mailbox *answers;
    struct tick_memory *ticks;
    pthread_t thread;
    int wake_fd;
    atomic_bool quit;
    atomic_bool active;
    atomic_bool wanted;
    atomic_bool forced;
    atomic_bool company;
    /* of the thread itself */
    struct settings_view settings;
    const struct relay_config *config; /* in force for the present action */
    struct pg *pg;
    struct ticker ticker;
    int64_t last_tick; /* reported */
    mono_us reconnect_pause;
    struct repeat repeat;
};

static bool interrupted(const struct tick_thread *thread)
{
    return atomic_load(&thread->quit) || !atomic_load(&thread->active);
}

static mono_us statement_deadline(const struct tick_thread *thread)
{
    return clock_now() + thread->config->statement_timeout;
}

static bool bell_wanted(const struct tick_thread *thread)
{
    return strcmp(thread->config->wake, "listen") == 0;
}

static void report(const struct tick_thread *thread, enum relay_message_kind kind, const struct tick_id *tick)
{
    struct relay_message *message = calloc(1, sizeof(*message));

    if (!message)
        runtime_die("out_of_memory", "tick"); /* a tick that is not reported would never be published */
    message->kind = kind;
    message->lane = -1;
    message->event.kind = LANE_EVENT_TICK;
    message->event.now = clock_now();
    if (tick)
        message->event.tick = *tick;
    mailbox_put(thread->answers, &message->head);
}

/* Waits for a wake-up, up to the time given. */
static void pause_for(const struct tick_thread *thread, mono_us duration)
{
    struct pollfd fd = {thread->wake_fd, POLLIN, 0};

    if (poll(&fd, 1, clock_until_ms(clock_now() + duration)) > 0)
        wakeup_clear(thread->wake_fd);
}

static int prepare_bell(struct tick_thread *thread, outbox_error **reterr)
{
    bool direct = false;
    int ended = 0;
    int status = bell_check_direct(thread->pg, statement_deadline(thread), &direct, reterr);

    if (status < 0)
        return status;
    if (!direct) {
        log_error("pooler_detected", LOG_TEXT("remedy", "LISTEN and the doorbell need a direct connection: "
                                                        "connect without the pooler, or set wake=poll"));
        report(thread, RELAY_FATAL, NULL);
        atomic_store(&thread->quit, true);
        return outbox__fail(reterr, OUTBOX_ESTATE, NULL, "not a direct connection");
    }
    status = bell_listen(thread->pg, statement_deadline(thread), reterr);
    if (status < 0)
        return status;
    status = bell_end_holder(thread->pg, statement_deadline(thread), &ended, reterr);
    if (status == OUTBOX_ESERVER) { /* another role's: then the bell is refused, and we poll */
        log_warning("former_ticker_stays",
                    LOG_TEXT("error", reterr && *reterr ? outbox_error_message(*reterr) : "unknown"));
        outbox_error_free(*reterr);
        *reterr = NULL;
        return OUTBOX_OK;
    }
    if (status == OUTBOX_OK && ended != 0)
        log_warning("former_ticker_ended", LOG_NUMBER("pid", ended));
    return status;
}

static int connect(struct tick_thread *thread, outbox_error **reterr)
{
    struct pg_conn_settings settings = {thread->config->dsn, "outbox-relay ticker",
                                        thread->config->connect_timeout};

    thread->pg = pg_open(&settings, reterr);
    if (!thread->pg)
        return OUTBOX_ECONNECTION;
    metric_add(METRIC_DATABASE_CONNECTIONS + METRIC_PART_TICKER, 1);
    return bell_wanted(thread) ? prepare_bell(thread, reterr) : OUTBOX_OK;
}

static void disconnect(struct tick_thread *thread)
{
    pg_close(thread->pg); /* gives the bell back, too */
    thread->pg = NULL;
}

static int take(struct tick_thread *thread, bool forced, enum ticker_event *ret, outbox_error **reterr)
{
    struct tick_id id;
    struct tick tick;
    bool made = false;
    int status;

    FAULT("tick_before");
    status = tick_take(thread->pg, forced, thread->last_tick, statement_deadline(thread), &made, &tick, reterr);
    if (status < 0)
        return status;
    if (made) {
        FAULT("tick_after");
        metric_add(METRIC_TICKS, 1);
        id = tick.id;
        thread->last_tick = id.id;
        tick_memory_put(thread->ticks, &tick);
        report(thread, RELAY_LANE_EVENT, &id);
    }
    *ret = made ? TICKER_TICKED : TICKER_NOTHING_NEW;
    if (made && atomic_load(&thread->company))
        return tick_tell(thread->pg, statement_deadline(thread), reterr);
    return OUTBOX_OK;
}

static int try_bell(struct tick_thread *thread, enum ticker_event *ret, outbox_error **reterr)
{
    bool granted = false;
    int status = bell_try(thread->pg, statement_deadline(thread), &granted, reterr);

    *ret = granted ? TICKER_BELL_GRANTED : TICKER_BELL_REFUSED;
    return status;
}

static bool take_wish(struct tick_thread *thread, enum ticker_event *ret)
{
    if (!atomic_exchange(&thread->wanted, false))
        return false;
    *ret = atomic_exchange(&thread->forced, false) ? TICKER_WISHED_FORCED : TICKER_WISHED;
    return true;
}

static int sleep_until(struct tick_thread *thread, mono_us duration, enum ticker_event *ret,
                       outbox_error **reterr)
{
    mono_us deadline = clock_now() + duration;

    for (;;) {
        if (take_wish(thread, ret))
            return OUTBOX_OK;
        switch (pg_wait(thread->pg, thread->wake_fd, deadline)) {
        case PG_WAIT_NOTIFIED:
            *ret = TICKER_NOTIFIED;
            return OUTBOX_OK;
        case PG_WAIT_TIMEOUT:
            *ret = TICKER_SLEPT;
            return OUTBOX_OK;
        case PG_WAIT_LOST:
            return outbox__fail(reterr, OUTBOX_ECONNECTION, NULL, "connection lost");
        case PG_WAIT_WOKEN:
            wakeup_clear(thread->wake_fd);
            if (interrupted(thread)) {
                *ret = TICKER_SLEPT;
                return OUTBOX_OK;
            }
            break;
        }
    }
}

static int do_action(struct tick_thread *thread, const struct ticker_action *action, enum ticker_event *ret,
                     outbox_error **reterr)
{
    switch (action->kind) {
    case TICKER_TICK:
        return take(thread, action->forced, ret, reterr);
    case TICKER_TRY_BELL:
        return try_bell(thread, ret, reterr);
    case TICKER_RELEASE_BELL:
        *ret = TICKER_BELL_RELEASED;
        return bell_release(thread->pg, statement_deadline(thread), reterr);
    default:
        return sleep_until(thread, action->duration, ret, reterr);
    }
}

static void apply_settings(struct tick_thread *thread)
{
    thread->config = settings_read(&thread->settings);
    ticker_set_polls(&thread->ticker, thread->config->poll_interval, thread->config->fallback_poll);
    ticker_set_pace(&thread->ticker, atomic_load(&thread->company) ? PACE : 0);
}

/* Ticks until it is told to stop or the connection fails. */
static int tick_on(struct tick_thread *thread, outbox_error **reterr)
{
    enum ticker_event event = TICKER_RECONNECTED;
    struct ticker_action action;
    int status;

    if (take_wish(thread, &event) && event == TICKER_WISHED_FORCED)
        thread->ticker.forced = true;
    action = ticker_start(&thread->ticker);
    while (!interrupted(thread)) {
        status = do_action(thread, &action, &event, reterr);
        if (status < 0)
            return status;
        thread->reconnect_pause = 0;
        apply_settings(thread);
        action = ticker_handle(&thread->ticker, event);
    }
    return OUTBOX_OK;
}

static void back_off(struct tick_thread *thread, const outbox_error *err)
{
    const char *why = err ? outbox_error_message(err) : "unknown";
    bool again = repeat_seen(&thread->repeat, why, clock_now());
    mono_us pause = thread->reconnect_pause * 2;

    if (pause < RECONNECT_PAUSE_MIN)
        pause = RECONNECT_PAUSE_MIN;
    if (pause > RECONNECT_PAUSE_MAX)
        pause = RECONNECT_PAUSE_MAX;
    thread->reconnect_pause = pause;
    metric_add(METRIC_DATABASE_FAILURES + METRIC_PART_TICKER, 1);
    log_write(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "ticker_failed", LOG_TEXT("error", why));
    pause_for(thread, pause / 2 + (mono_us)(random_u64() % (uint64_t)(pause / 2 + 1)));
}

static void *tick_main(void *argument)
{
    struct tick_thread *thread = argument;

    pthread_setname_np(pthread_self(), "ticker");
    while (!atomic_load(&thread->quit)) {
        outbox_error *err = NULL;

        if (!atomic_load(&thread->active)) {
            pause_for(thread, SECONDS(3600));
            continue;
        }
        /* What the lane waits for may be lost with the last connection: tick anyhow. */
        thread->ticker.forced = true;
        apply_settings(thread);
        if (connect(thread, &err) < 0 || tick_on(thread, &err) < 0)
            back_off(thread, err);
        disconnect(thread);
        outbox_error_free(err);
    }
    settings_close(&thread->settings);
    return NULL;
}

static void init_ticker(struct tick_thread *thread)
{
    const struct relay_config *config = thread->config = settings_read(&thread->settings);
    struct ticker_settings settings = {
        .bell = bell_wanted(thread),
        .poll_interval = config->poll_interval,
        .fallback_poll = config->fallback_poll,
        .refused_min = MILLISECONDS(2),
        .refused_max = MILLISECONDS(50),
    };

    ticker_init(&thread->ticker, &settings);
}

struct tick_thread *tick_thread_start(struct settings *settings, struct mailbox *answers, struct tick_memory *ticks)
{
    struct tick_thread *thread = calloc(1, sizeof(*thread));

    if (!thread)
        return NULL;
    thread->settings = (struct settings_view)SETTINGS_VIEW_INIT(settings);
    thread->answers = answers;
    thread->ticks = ticks;
    init_ticker(thread);
    thread->wake_fd = wakeup_open();
    if (thread->wake_fd < 0 || pthread_create(&thread->thread, NULL, tick_main, thread) != 0) {
        if (thread->wake_fd >= 0)
            close(thread->wake_fd);
        settings_close(&thread->settings);
        free(thread);
        return NULL;
    }
    return thread;
}

void tick_thread_set_active(struct tick_thread *thread, bool active)
{
    if (atomic_exchange(&thread->active, active) != active)
        wakeup_send(thread->wake_fd);
}

void tick_thread_set_company(struct tick_thread *thread, bool company)
{
    if (atomic_exchange(&thread->company, company) != company)
        wakeup_send(thread->wake_fd);
}

void tick_thread_want(struct tick_thread *thread, bool forced)
{
    if (forced)
        atomic_store(&thread->forced, true);
    atomic_store(&thread->wanted, true);
    if (atomic_load(&thread->active)) /* else there is a tick as soon as it is */
        wakeup_send(thread->wake_fd);
}

bool tick_thread_stop(struct tick_thread *thread, mono_us deadline)
{
    if (!thread)
        return true;
    atomic_store(&thread->quit, true);
    wakeup_send(thread->wake_fd);
    if (!clock_join(thread->thread, deadline))
        return false;
    close(thread->wake_fd);
    free(thread);
    return true;
}
