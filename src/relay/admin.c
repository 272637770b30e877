#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "relay/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "admin/exposition.h"
#include "admin/health.h"
#include "admin/listen.h"
#include "admin/server.h"
#include "relay/watch.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/watchdog.h"

#define RETRY SECONDS(10)
/* A page is worth waiting so long for news from the database. */
#define PATIENCE_FOR_NEWS SECONDS(1)
#define TEXT_TYPE "text/plain; charset=utf-8"

struct admin {
    const struct vitals *vitals;
    struct settings *settings;
    char *address; /* "": nowhere */
    mono_us patience;
    mono_us retry_at;
    bool complained;
    struct watch *watch;
    struct admin_server *server;
};

/* ---- pages; on the server's thread ---- */

static const char *describe(const struct vitals *vitals)
{
    enum lane_state state = (enum lane_state)atomic_load(&vitals->state);

    if (atomic_load(&vitals->standing_by) && (state == LANE_WAITING || state == LANE_ACQUIRING))
        return "standing by";
    return lane_state_name(state);
}

static void gather(const struct admin *admin, const struct watch_view *seen, const struct watchdog_view *waits,
                   struct health_facts *ret)
{
    const struct vitals *vitals = admin->vitals;
    mono_us failing = atomic_load(&vitals->database_failing_since);
    enum lane_state state = (enum lane_state)atomic_load(&vitals->state);

    *ret = (struct health_facts){
        .now = clock_now(),
        .patience = admin->patience,
        .stopping = atomic_load(&vitals->stopping),
        .ready = atomic_load(&vitals->ready),
        .state = describe(vitals),
        .idle_since = atomic_load(&vitals->idle_since),
        .kafka_failing_since = atomic_load(&vitals->kafka_failing_since),
        .database_failing_since = failing ? failing : seen->failing_since,
        .stalled_since = seen->stalled_since,
        .partitions_ahead = seen->partitions_ahead,
        .overdue = waits->overdue,
        .overdue_thread = waits->thread,
        .overdue_for = waits->what,
        .overdue_since = waits->since,
        .grant = atomic_load(&vitals->grant_missing) ? vitals->grant : NULL,
    };
    if (state == LANE_HALTED)
        ret->halt = lane_halt_name((enum lane_halt)atomic_load(&vitals->halt));
    else if (seen->halt[0])
        ret->halt = seen->halt;
}

static unsigned show_health(void *context, struct outbox__buf *out)
{
    struct admin *admin = context;
    struct health_facts facts;
    struct watchdog_view waits;
    struct watch_view seen;

    watch_look(admin->watch, clock_now() + PATIENCE_FOR_NEWS, &seen);
    watchdog_look(clock_now(), &waits);
    gather(admin, &seen, &waits, &facts);
    return health_judge(&facts, out) ? 200 : 503;
}

/* Has it ever come so far, and does it go on? */
static unsigned show_ready(void *context, struct outbox__buf *out)
{
    const struct vitals *vitals = ((struct admin *)context)->vitals;
    bool ready = atomic_load(&vitals->ready) && !atomic_load(&vitals->stopping);

    outbox__buf_printf(out, "%s: %s\n", ready ? "ready" : "not ready", describe(vitals));
    return ready ? 200 : 503;
}

static unsigned show_metrics(void *context, struct outbox__buf *out)
{
    struct admin *admin = context;
    struct watch_view seen;

    watch_look(admin->watch, clock_now() + PATIENCE_FOR_NEWS, &seen);
    if (seen.sampled_at != 0)
        metric_set(METRIC_SAMPLE_AGE, clock_now() - seen.sampled_at);
    exposition_write(out);
    exposition_write_process(out, PACKAGE_VERSION);
    return 200;
}

static const struct admin_route routes[] = {
    {"/metrics", EXPOSITION_TYPE, show_metrics},
    {"/healthz", TEXT_TYPE, show_health},
    {"/readyz", TEXT_TYPE, show_ready},
    {NULL, NULL, NULL},
};

/* ---- life; on the main thread ---- */

struct admin *admin_new(struct settings *settings, const struct vitals *vitals)
{
    struct settings_view view = SETTINGS_VIEW_INIT(settings);
    const struct relay_config *config = settings_read(&view);
    struct admin *admin = calloc(1, sizeof(*admin));

    if (admin) {
        admin->vitals = vitals;
        admin->settings = settings;
        admin->patience = 2 * (config->lease + config->transaction_timeout);
        admin->address = strdup(config->admin_listen);
    }
    settings_close(&view);
    if (admin && !admin->address) {
        free(admin);
        return NULL;
    }
    return admin;
}

static void complain(struct admin *admin, const char *error)
{
    if (!admin->complained)
        log_warning("admin_unavailable", LOG_TEXT("address", admin->address), LOG_TEXT("error", error),
                    LOG_TEXT("remedy", "free the address, or set admin_listen; trying again"));
    admin->complained = true;
}

static void serve(struct admin *admin, int fd, bool loopback)
{
    char room[128];
    const char *address = room;

    listen_name(fd, room, sizeof(room));
    admin->server = admin_server_start(fd, routes, admin);
    if (!admin->server) {
        complain(admin, "cannot start the server");
        return;
    }
    log_info("admin_listening", LOG_TEXT("address", address));
    if (!loopback)
        log_warning("admin_exposed", LOG_TEXT("address", address),
                    LOG_TEXT("note", "other machines may read the metrics, without encryption or passwords"));
}

mono_us admin_tend(struct admin *admin, mono_us now)
{
    bool loopback = false;
    int fd;

    if (admin->server || !admin->address[0])
        return INT64_MAX;
    if (now < admin->retry_at)
        return admin->retry_at;
    admin->retry_at = now + RETRY;
    if (!admin->watch)
        admin->watch = watch_start(admin->settings);
    fd = admin->watch ? listen_open(admin->address, &loopback) : -1;
    if (fd < 0)
        complain(admin, admin->watch ? strerror(errno) : "cannot start a thread");
    else
        serve(admin, fd, loopback);
    return admin->server ? INT64_MAX : admin->retry_at;
}

void admin_set_company(struct admin *admin, int relays)
{
    if (admin->watch)
        watch_set_company(admin->watch, relays);
}

bool admin_free(struct admin *admin, mono_us deadline)
{
    if (!admin)
        return true;
    admin_server_stop(admin->server);
    admin->server = NULL;
    if (!watch_stop(admin->watch, deadline))
        return false;
    free(admin->address);
    free(admin);
    return true;
}
