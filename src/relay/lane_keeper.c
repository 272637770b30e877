#include "relay/lane_keeper.h"

#include <stdlib.h>

#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/repeat.h"
#include "source/lease.h"

struct lane_keeper {
    struct settings_view settings;
    const struct relay_config *config; /* in force for the present job */
    int map;
    int lane;
    struct pg *pg;
    struct repeat repeat;
};

struct lane_keeper *lane_keeper_new(struct settings *settings, int map, int lane)
{
    struct lane_keeper *keeper = calloc(1, sizeof(*keeper));

    if (keeper)
        *keeper = (struct lane_keeper){.settings = SETTINGS_VIEW_INIT(settings), .map = map, .lane = lane};
    return keeper;
}

void lane_keeper_free(struct lane_keeper *keeper)
{
    free(keeper);
}

void lane_keeper_end(void *context)
{
    struct lane_keeper *keeper = context;

    pg_close(keeper->pg);
    settings_close(&keeper->settings);
    keeper->pg = NULL;
}

static int renew(struct lane_keeper *keeper, int64_t epoch, struct lane_event *event, outbox_error **reterr)
{
    struct lease_request request = {keeper->map, keeper->lane, keeper->config->name, keeper->config->lease};
    /* An answer that comes after the lease's end is worth nothing. */
    mono_us timeout = keeper->config->lease;
    struct pg_conn_settings settings = {keeper->config->dsn, "outbox-relay lease", timeout};

    if (!pg_usable(keeper->pg)) {
        pg_close(keeper->pg);
        keeper->pg = pg_open(&settings, reterr);
        if (!keeper->pg)
            return OUTBOX_ECONNECTION;
        metric_add(METRIC_DATABASE_CONNECTIONS + METRIC_PART_LEASE, 1);
    }
    return lease_renew(keeper->pg, &request, epoch, clock_now() + timeout, &event->found, &event->lease_until,
                       reterr);
}

void lane_keeper_run(void *context, const struct lane_job *job, struct relay_message *answer)
{
    struct lane_keeper *keeper = context;
    outbox_error *err = NULL;

    keeper->config = settings_read(&keeper->settings);
    answer->event.kind = LANE_EVENT_RENEWED;
    answer->event.epoch = job->action.epoch;
    if (renew(keeper, job->action.epoch, &answer->event, &err) < 0) {
        const char *why = err ? outbox_error_message(err) : "unknown";
        bool again = repeat_seen(&keeper->repeat, why, clock_now());

        log_write(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "lease_renewal_failed", LOG_NUMBER("lane", keeper->lane),
                    LOG_TEXT("error", why));
        metric_add(METRIC_DATABASE_FAILURES + METRIC_PART_LEASE, 1);
        pg_close(keeper->pg);
        keeper->pg = NULL;
        answer->event.kind = LANE_EVENT_RENEW_FAILED;
    }
    outbox_error_free(err);
}
