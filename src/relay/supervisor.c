#include "relay/supervisor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/log.h"
#include "runtime/watchdog.h"

void supervisor_open(struct supervisor *supervisor)
{
    *supervisor = (struct supervisor){.ready = false};
    if (!notify_open(&supervisor->notify, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID")))
        log_warning("supervisor_unusable",
                    LOG_TEXT("remedy", "NOTIFY_SOCKET must be a path, or a name that begins with @"));
}

void supervisor_close(struct supervisor *supervisor)
{
    notify_close(&supervisor->notify);
}

/* A message that is lost is sent again only if it matters: READY and signs of life do. */
static bool tell(const struct supervisor *supervisor, const char *state)
{
    return notify_send(&supervisor->notify, state);
}

static void describe_one(const struct lanes_view *view, char *ret, size_t room)
{
    enum lane_state state = view->state;

    if (state == LANE_HALTED)
        snprintf(ret, room, "STATUS=lane 0 is halted: %s", lane_halt_name(view->halt));
    else if (state == LANE_RUNNING)
        snprintf(ret, room, "STATUS=lane 0 is running, epoch %" PRId64, view->epoch);
    else if (view->standing_by)
        snprintf(ret, room, "STATUS=standing by for lane 0");
    else
        snprintf(ret, room, "STATUS=lane 0 is %s",
                 state == LANE_ACQUIRING ? lane_state_name(LANE_WAITING) : lane_state_name(state));
}

static void describe(const struct lanes_view *view, char *ret, size_t room)
{
    if (view->total <= 1)
        describe_one(view, ret, room);
    else if (view->state == LANE_HALTED)
        snprintf(ret, room, "STATUS=running %d of %d lanes; lane %d is halted: %s", view->running, view->total,
                 view->lane, lane_halt_name(view->halt));
    else if (view->standing_by)
        snprintf(ret, room, "STATUS=standing by for %d lanes", view->total);
    else
        snprintf(ret, room, "STATUS=running %d of %d lanes", view->running, view->total);
}

mono_us supervisor_tell(struct supervisor *supervisor, const struct vitals *vitals, const struct lanes_view *view,
                        mono_us now)
{
    mono_us period = supervisor->notify.watchdog / 2;
    char status[sizeof(supervisor->status)];

    if (supervisor->notify.fd < 0)
        return INT64_MAX;
    describe(view, status, sizeof(status));
    if (strcmp(status, supervisor->status) != 0) {
        tell(supervisor, status);
        snprintf(supervisor->status, sizeof(supervisor->status), "%s", status);
    }
    if (!supervisor->ready && atomic_load(&vitals->ready))
        supervisor->ready = tell(supervisor, "READY=1");
    if (period <= 0)
        return INT64_MAX;
    if (now >= supervisor->alive_at) {
        struct watchdog_view waits;

        watchdog_look(now, &waits);
        if (waits.hung == 0)
            tell(supervisor, "WATCHDOG=1");
        supervisor->alive_at = now + period;
    }
    return supervisor->alive_at;
}

void supervisor_reloading(struct supervisor *supervisor)
{
    if (supervisor->ready)
        notify_reloading(&supervisor->notify);
}

void supervisor_reloaded(struct supervisor *supervisor)
{
    if (supervisor->ready)
        supervisor->ready = tell(supervisor, "READY=1");
}

void supervisor_stopping(struct supervisor *supervisor)
{
    tell(supervisor, "STOPPING=1\nSTATUS=stopping");
    snprintf(supervisor->status, sizeof(supervisor->status), "STATUS=stopping");
}
