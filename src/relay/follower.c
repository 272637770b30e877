#include "relay/follower.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pg/conn.h"
#include "relay/message.h"
#include "runtime/die.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/repeat.h"
#include "runtime/wakeup.h"
#include "source/tick.h"

#define PAUSE_AFTER_FAILURE SECONDS(1)
#define LONGEST_SLEEP SECONDS(60)

struct follower {
    struct mailbox *answers;
    struct tick_memory *ticks;
    pthread_t thread;
    int wake_fd;
    atomic_bool quit;
    atomic_bool active;
    atomic_bool wanted;
    atomic_bool forced;
    _Atomic int64_t newest; /* there is, by hearsay */
    /* of the thread itself */
    struct settings_view settings;
    const struct relay_config *config; /* in force for the present action */
    struct pg *pg;
    int64_t last;   /* reported */
    bool outstanding; /* a lane wants a tick */
    bool news;      /* there may be one after the last */
    struct repeat repeat;
};

static bool interrupted(const struct follower *follower)
{
    return atomic_load(&follower->quit) || !atomic_load(&follower->active);
}

static mono_us statement_deadline(const struct follower *follower)
{
    return clock_now() + follower->config->statement_timeout;
}

static bool listens(const struct follower *follower)
{
    return strcmp(follower->config->wake, "listen") == 0;
}

static void report(const struct follower *follower, const struct tick_id *tick)
{
    struct relay_message *message = calloc(1, sizeof(*message));

    if (!message)
        runtime_die("out_of_memory", "follower"); /* a tick that is not reported would never be published */
    message->kind = RELAY_LANE_EVENT;
    message->lane = -1;
    message->event = (struct lane_event){.kind = LANE_EVENT_TICK, .now = clock_now(), .tick = *tick};
    mailbox_put(follower->answers, &message->head);
}

/* As for the ticker: behind a pooler nothing would be heard. */
static int prepare_to_listen(struct follower *follower, outbox_error **reterr)
{
    struct relay_message *message;
    bool direct = false;
    int status = bell_check_direct(follower->pg, statement_deadline(follower), &direct, reterr);

    if (status < 0)
        return status;
    if (direct)
        return tick_listen(follower->pg, statement_deadline(follower), reterr);
    log_error("pooler_detected", LOG_TEXT("remedy", "LISTEN needs a direct connection: connect without the pooler, "
                                                    "or set wake=poll"));
    message = calloc(1, sizeof(*message));
    if (!message)
        runtime_die("out_of_memory", "follower");
    message->kind = RELAY_FATAL;
    mailbox_put(follower->answers, &message->head);
    return outbox__fail(reterr, OUTBOX_ESTATE, NULL, "not a direct connection");
}

static int connect(struct follower *follower, outbox_error **reterr)
{
    struct pg_conn_settings settings = {follower->config->dsn, "outbox-relay ticker",
                                        follower->config->connect_timeout};

    follower->pg = pg_open(&settings, reterr);
    if (!follower->pg)
        return OUTBOX_ECONNECTION;
    metric_add(METRIC_DATABASE_CONNECTIONS + METRIC_PART_TICKER, 1);
    return listens(follower) ? prepare_to_listen(follower, reterr) : OUTBOX_OK;
}

static int ask(struct follower *follower, bool forced, outbox_error **reterr)
{
    struct tick tick;
    struct tick_id id;
    bool found = false;
    int status;

    follower->news = false;
    status = tick_newest(follower->pg, forced ? 0 : follower->last, statement_deadline(follower), &found, &tick,
                         reterr);
    if (status < 0 || !found)
        return status;
    id = tick.id;
    follower->last = id.id;
    follower->outstanding = false;
    tick_memory_put(follower->ticks, &tick);
    report(follower, &id);
    return OUTBOX_OK;
}

static int sleep_on(struct follower *follower, outbox_error **reterr)
{
    mono_us pause = !listens(follower) && follower->outstanding ? follower->config->poll_interval : LONGEST_SLEEP;

    switch (pg_wait(follower->pg, follower->wake_fd, clock_now() + pause)) {
    case PG_WAIT_LOST:
        return outbox__fail(reterr, OUTBOX_ECONNECTION, NULL, "connection lost");
    case PG_WAIT_WOKEN:
        wakeup_clear(follower->wake_fd);
        return OUTBOX_OK;
    default:
        follower->news = true;
        return OUTBOX_OK;
    }
}

/* Until it is told to stop or the connection fails. */
static int follow_on(struct follower *follower, outbox_error **reterr)
{
    int status = OUTBOX_OK;
    bool forced = follower->outstanding; /* what a lane waits for may be lost with the last connection */

    follower->news = true;
    while (status == OUTBOX_OK && !interrupted(follower)) {
        follower->config = settings_read(&follower->settings);
        if (atomic_exchange(&follower->wanted, false))
            follower->outstanding = true;
        forced = atomic_exchange(&follower->forced, false) || forced;
        if (atomic_load(&follower->newest) > follower->last)
            follower->news = true;
        if (follower->outstanding && (forced || follower->news)) {
            status = ask(follower, forced, reterr);
            forced = false;
        } else {
            status = sleep_on(follower, reterr);
        }
    }
    return status;
}

static void pause_for(const struct follower *follower, mono_us duration)
{
    struct pollfd fd = {follower->wake_fd, POLLIN, 0};

    if (poll(&fd, 1, clock_until_ms(clock_now() + duration)) > 0)
        wakeup_clear(follower->wake_fd);
}

static void note_failure(struct follower *follower, const outbox_error *err)
{
    const char *why = err ? outbox_error_message(err) : "unknown";
    bool again = repeat_seen(&follower->repeat, why, clock_now());

    metric_add(METRIC_DATABASE_FAILURES + METRIC_PART_TICKER, 1);
    log_write(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "ticker_failed", LOG_TEXT("error", why));
}

static void *follower_main(void *argument)
{
    struct follower *follower = argument;

    pthread_setname_np(pthread_self(), "follower");
    while (!atomic_load(&follower->quit)) {
        outbox_error *err = NULL;

        if (!atomic_load(&follower->active)) {
            pause_for(follower, SECONDS(3600));
            continue;
        }
        follower->outstanding = true;
        follower->config = settings_read(&follower->settings);
        if (connect(follower, &err) < 0 || follow_on(follower, &err) < 0) {
            note_failure(follower, err);
            pause_for(follower, PAUSE_AFTER_FAILURE / 2 + (mono_us)(random_u64() % (PAUSE_AFTER_FAILURE / 2)));
        }
        pg_close(follower->pg);
        follower->pg = NULL;
        outbox_error_free(err);
    }
    settings_close(&follower->settings);
    return NULL;
}

struct follower *follower_start(struct settings *settings, struct mailbox *answers, struct tick_memory *ticks)
{
    struct follower *follower = calloc(1, sizeof(*follower));

    if (!follower)
        return NULL;
    follower->settings = (struct settings_view)SETTINGS_VIEW_INIT(settings);
    follower->answers = answers;
    follower->ticks = ticks;
    follower->wake_fd = wakeup_open();
    if (follower->wake_fd < 0 || pthread_create(&follower->thread, NULL, follower_main, follower) != 0) {
        if (follower->wake_fd >= 0)
            close(follower->wake_fd);
        free(follower);
        return NULL;
    }
    return follower;
}

void follower_set_active(struct follower *follower, bool active)
{
    if (atomic_exchange(&follower->active, active) != active)
        wakeup_send(follower->wake_fd);
}

void follower_want(struct follower *follower, bool forced)
{
    if (forced)
        atomic_store(&follower->forced, true);
    atomic_store(&follower->wanted, true);
    if (atomic_load(&follower->active))
        wakeup_send(follower->wake_fd);
}

void follower_hint(struct follower *follower, int64_t newest)
{
    if (atomic_exchange(&follower->newest, newest) < newest && atomic_load(&follower->active))
        wakeup_send(follower->wake_fd);
}

bool follower_stop(struct follower *follower, mono_us deadline)
{
    if (!follower)
        return true;
    atomic_store(&follower->quit, true);
    wakeup_send(follower->wake_fd);
    if (!clock_join(follower->thread, deadline))
        return false;
    close(follower->wake_fd);
    free(follower);
    return true;
}
