#include "relay/maintenance.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "relay/upkeep.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/repeat.h"
#include "runtime/wakeup.h"
#include "source/maintain.h"
#include "source/tick.h"

#define PAUSE_AFTER_FAILURE SECONDS(5)
#define PAUSE_IN_BETWEEN SECONDS(1)
/* Idle, it looks so often whether the configuration has another interval. */
#define NAP SECONDS(1)

struct maintenance {
    struct maintenance_settings given;
    pthread_t thread;
    int stop_fd; /* readable: give up what is under way */
    atomic_bool quit; /* the present round, or for good */
    atomic_bool active;
    atomic_bool ended;
    /* of the thread itself */
    struct settings_view settings;
    struct pg *pg;
    struct upkeep upkeep;
    struct repeat repeat;
};

static const char *dsn_of(const struct relay_config *config)
{
    return config->maintenance_dsn && config->maintenance_dsn[0] ? config->maintenance_dsn : config->dsn;
}

static bool needs_right(const struct relay_config *config)
{
    return config->retention != CONFIG_FOREVER || config->delivery_retention != CONFIG_FOREVER ||
           config->id_retention != CONFIG_FOREVER || config->inbox_retention != CONFIG_FOREVER ||
           config->audit_retention != CONFIG_FOREVER;
}

/* Partitions are added and entered all the same. */
static void note_right(struct maintenance *maintenance, const struct relay_config *config)
{
    struct vitals *vitals = maintenance->given.vitals;
    bool missing = !maintenance->upkeep.may_remove && needs_right(config);

    if (missing && !vitals->grant[0])
        snprintf(vitals->grant, sizeof(vitals->grant), "GRANT outbox_maintenance TO \"%s\"%s",
                 PQuser(pg_raw(maintenance->pg)),
                 pg_version(maintenance->pg) >= 160000 ? " WITH INHERIT FALSE"
                                                       : " (or to another role, and set maintenance_dsn)");
    if (atomic_exchange(&vitals->grant_missing, missing) != missing && missing)
        log_warning("maintenance_right_missing", LOG_TEXT("remedy", vitals->grant),
                    LOG_TEXT("consequence", "nothing that has expired is removed"));
}

static int connect(struct maintenance *maintenance, const struct relay_config *config, outbox_error **reterr)
{
    struct pg_conn_settings settings = {dsn_of(config), "outbox-relay maintenance", config->connect_timeout};
    bool direct = false;
    int status;

    if (pg_usable(maintenance->pg))
        return OUTBOX_OK;
    pg_close(maintenance->pg);
    maintenance->pg = pg_open(&settings, reterr);
    if (!maintenance->pg)
        return OUTBOX_ECONNECTION;
    metric_add(METRIC_DATABASE_CONNECTIONS + METRIC_PART_MAINTENANCE, 1);
    pg_set_interrupt(maintenance->pg, maintenance->stop_fd);
    status = bell_check_direct(maintenance->pg, clock_now() + config->statement_timeout, &direct, reterr);
    if (status == OUTBOX_OK && !direct)
        status = outbox__fail(reterr, OUTBOX_ESTATE, NULL,
                              "there is a pooler in between: set maintenance_dsn to a direct connection");
    if (status == OUTBOX_OK)
        status = maintain_begin(maintenance->pg, clock_now() + config->statement_timeout,
                                &maintenance->upkeep.may_remove, reterr);
    if (status == OUTBOX_OK)
        note_right(maintenance, config);
    return status;
}

static void disconnect(struct maintenance *maintenance)
{
    pg_close(maintenance->pg);
    maintenance->pg = NULL;
}

static void note_failure(struct maintenance *maintenance, const outbox_error *err)
{
    const char *why = err ? outbox_error_message(err) : "unknown";
    bool again = repeat_seen(&maintenance->repeat, why, clock_now());

    metric_add(METRIC_DATABASE_FAILURES + METRIC_PART_MAINTENANCE, 1);
    log_write(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "maintenance_failed",
              LOG_TEXT("sqlstate", err && outbox_error_sqlstate(err) ? outbox_error_sqlstate(err) : ""),
              LOG_TEXT("error", why));
}

/* Without a right the connection is not kept: a GRANT is noticed by the next one. */
static bool work(struct maintenance *maintenance)
{
    const struct relay_config *config = settings_read(&maintenance->settings);
    outbox_error *err = NULL;
    int status = connect(maintenance, config, &err);

    maintenance->upkeep.config = config;
    maintenance->upkeep.pg = maintenance->pg;
    maintenance->upkeep.quit = &maintenance->quit;
    if (status == OUTBOX_OK)
        status = upkeep_round(&maintenance->upkeep, &err);
    if (status < 0 && !atomic_load(&maintenance->quit))
        note_failure(maintenance, err);
    if (status == OUTBOX_OK)
        metric_set(METRIC_MAINTENANCE_SUCCESS, clock_wall());
    if (status == OUTBOX_OK && maintenance->upkeep.want_tick)
        maintenance->given.want_tick(maintenance->given.context, true);
    if (status < 0 || !maintenance->upkeep.may_remove)
        disconnect(maintenance);
    outbox_error_free(err);
    return status == OUTBOX_OK;
}

/* Waits until the next round is due, or there is none any more. */
static void rest(struct maintenance *maintenance, bool good)
{
    mono_us since = clock_now();
    /* several relays that were started together must not go on together */
    uint64_t jitter = random_u64() % 40;

    for (;;) {
        mono_us pause = settings_read(&maintenance->settings)->maintenance_interval;
        mono_us most = good ? PAUSE_IN_BETWEEN : PAUSE_AFTER_FAILURE;
        struct pollfd fd = {maintenance->stop_fd, POLLIN, 0};
        mono_us due;

        if ((!good || maintenance->upkeep.more) && pause > most)
            pause = most;
        due = since + pause * (mono_us)(80 + jitter) / 100;
        if (clock_now() >= due)
            return;
        if (poll(&fd, 1, clock_until_ms(due < clock_now() + NAP ? due : clock_now() + NAP)) > 0)
            return;
    }
}

static void *maintenance_main(void *argument)
{
    struct maintenance *maintenance = argument;

    pthread_setname_np(pthread_self(), "maintenance");
    while (!atomic_load(&maintenance->ended)) {
        struct pollfd fd = {maintenance->stop_fd, POLLIN, 0};

        wakeup_clear(maintenance->stop_fd);
        /* in this order: whoever stops sets first, and wakes then */
        atomic_store(&maintenance->quit, atomic_load(&maintenance->ended) || !atomic_load(&maintenance->active));
        if (atomic_load(&maintenance->quit)) {
            disconnect(maintenance);
            if (!atomic_load(&maintenance->ended))
                poll(&fd, 1, 60000);
            continue;
        }
        rest(maintenance, work(maintenance));
    }
    disconnect(maintenance);
    settings_close(&maintenance->settings);
    return NULL;
}

struct maintenance *maintenance_start(const struct maintenance_settings *settings)
{
    struct maintenance *maintenance = calloc(1, sizeof(*maintenance));

    if (!maintenance)
        return NULL;
    maintenance->given = *settings;
    maintenance->upkeep.held_number = -1;
    maintenance->settings = (struct settings_view)SETTINGS_VIEW_INIT(settings->settings);
    maintenance->stop_fd = wakeup_open();
    if (maintenance->stop_fd < 0 ||
        pthread_create(&maintenance->thread, NULL, maintenance_main, maintenance) != 0) {
        if (maintenance->stop_fd >= 0)
            close(maintenance->stop_fd);
        free(maintenance);
        return NULL;
    }
    return maintenance;
}

void maintenance_set_active(struct maintenance *maintenance, bool active)
{
    if (atomic_exchange(&maintenance->active, active) == active)
        return;
    if (!active)
        atomic_store(&maintenance->quit, true);
    wakeup_send(maintenance->stop_fd);
}

bool maintenance_stop(struct maintenance *maintenance, mono_us deadline)
{
    if (!maintenance)
        return true;
    atomic_store(&maintenance->ended, true);
    atomic_store(&maintenance->quit, true);
    wakeup_send(maintenance->stop_fd);
    if (!clock_join(maintenance->thread, deadline))
        return false;
    close(maintenance->stop_fd);
    free(maintenance);
    return true;
}
