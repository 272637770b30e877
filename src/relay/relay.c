#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "relay/relay.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "pg/conn.h"
#include "relay/admin.h"
#include "relay/follower.h"
#include "relay/lanes.h"
#include "relay/maintenance.h"
#include "relay/settings.h"
#include "relay/signals.h"
#include "relay/supervisor.h"
#include "relay/tick_thread.h"
#include "relay/vitals.h"
#include "runtime/log.h"
#include "runtime/watchdog.h"
#include "webhook/dispatcher.h"

struct relay {
    const struct config_sources *sources;
    struct settings *settings;
    struct settings_view view;
    const struct relay_config *config; /* in force */
    struct vitals vitals;
    struct supervisor supervisor;
    struct admin *admin;
    struct mailbox *mailbox;
    struct kafka *kafka;
    struct lanes *lanes;
    struct lanes_view seen;
    struct tick_memory *ticks;
    struct tick_thread *ticker;
    struct follower *follower;
    struct maintenance *maintenance;
    struct dispatcher *dispatcher;
    pthread_t dispatcher_stopper;
    bool dispatcher_stopping;
    bool stopping;
    mono_us stop_deadline;
    enum relay_exit result;
};

/* The main loop waits for nobody; what it does takes milliseconds. */
#define TURN SECONDS(5)

static void want_tick(void *context, bool forced)
{
    struct relay *relay = context;

    tick_thread_want(relay->ticker, forced); /* the one of the two that is active hears it */
    follower_want(relay->follower, forced);
}

static struct kafka *make_kafka(const struct relay_config *config, outbox_error **reterr)
{
    struct kafka_property *properties = calloc(config->kafka_count + 1, sizeof(*properties));
    struct kafka_settings settings = {
        .properties = properties,
        .property_count = config->kafka_count,
        .prefix = config->topic_prefix,
        .create_topics = config->create_topics,
        .topic_partitions = config->topic_partitions,
        .topic_replication = config->topic_replication,
        .transaction_timeout = config->transaction_timeout,
        .insecure = config->insecure,
    };
    struct kafka *kafka = NULL;

    if (!properties) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    for (size_t i = 0; i < config->kafka_count; i++)
        properties[i] = (struct kafka_property){config->kafka[i].name, config->kafka[i].value};
    kafka = kafka_new(&settings, reterr);
    free(properties);
    return kafka;
}

static bool start_dispatcher(struct relay *relay, outbox_error **reterr)
{
    const struct relay_config *config = relay->config;
    struct dispatcher_settings settings = {
        .dsn = config->dsn,
        .worker = config->name,
        .allowed_addresses = config->webhook_allow,
        .ca_file = config->webhook_ca_file,
        .insecure = config->insecure,
        .max_in_flight = config->webhook_max_in_flight,
        .lease_margin = SECONDS(10),
        .poll_interval = SECONDS(2),
        .connect_timeout = config->connect_timeout,
    };

    if (!config->webhooks)
        return true;
    relay->dispatcher = dispatcher_start(&settings, reterr);
    return relay->dispatcher != NULL;
}

/* Each webhook on its way needs a descriptor, and the usual soft limit is there for
 * programs that use select(2). */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warning("descriptor_limit", LOG_NUMBER("limit", limit.rlim_cur));
}

static bool start(struct relay *relay, outbox_error **reterr)
{
    static const struct pg_watch watch = {watchdog_expect_name, watchdog_expect, watchdog_met};
    struct lanes_settings lanes = {.settings = relay->settings, .config = relay->config, .vitals = &relay->vitals,
                                   .want_tick = want_tick, .context = relay};
    struct maintenance_settings maintenance = {relay->settings, &relay->vitals, want_tick, relay};
    const char *other_dsn = relay->config->maintenance_dsn;

    if (pg_check_dsn(relay->config->dsn, NULL, reterr) < 0 ||
        (other_dsn && pg_check_dsn(other_dsn, NULL, reterr) < 0))
        return false;
    pg_set_watch(&watch);
    relay->mailbox = mailbox_new();
    relay->ticks = tick_memory_new();
    relay->admin = admin_new(relay->settings, &relay->vitals);
    if (!relay->mailbox || !relay->ticks || !relay->admin || !signals_start(relay->mailbox) || !watchdog_start()) {
        outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "cannot start the threads");
        return false;
    }
    relay->kafka = make_kafka(relay->config, reterr);
    if (!relay->kafka)
        return false;
    relay->ticker = tick_thread_start(relay->settings, relay->mailbox, relay->ticks);
    relay->follower = follower_start(relay->settings, relay->mailbox, relay->ticks);
    lanes.kafka = relay->kafka;
    lanes.answers = relay->mailbox;
    lanes.ticks = relay->ticks;
    relay->lanes = lanes_start(&lanes);
    relay->maintenance = maintenance_start(&maintenance);
    if (!relay->ticker || !relay->follower || !relay->lanes || !relay->maintenance) {
        outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "cannot start the threads");
        return false;
    }
    return true;
}

/* In-flight requests get the whole time that there is to stop in. */
static void *stop_dispatcher(void *argument)
{
    struct relay *relay = argument;

    if (!dispatcher_stop(relay->dispatcher, relay->stop_deadline))
        log_warning("webhooks_abandoned", LOG_TEXT("consequence", "their deliveries will be recovered"));
    return NULL;
}

static void begin_stop(struct relay *relay, enum relay_exit result)
{
    if (relay->stopping)
        return;
    relay->stopping = true;
    relay->result = result;
    atomic_store(&relay->vitals.stopping, true);
    supervisor_stopping(&relay->supervisor);
    /* The rest of the time is for the exit itself. */
    relay->stop_deadline = clock_now() + relay->config->shutdown_timeout * 9 / 10;
    if (relay->dispatcher)
        relay->dispatcher_stopping =
            pthread_create(&relay->dispatcher_stopper, NULL, stop_dispatcher, relay) == 0;
    lanes_leave(relay->lanes);
}

/* Hands on what the threads do not see for themselves. */
static void apply_settings(struct relay *relay)
{
    const struct relay_config *config = relay->config = settings_read(&relay->view);
    outbox_error *err = NULL;

    kafka_set_topics(relay->kafka, config->create_topics, config->topic_partitions, config->topic_replication);
    lanes_reload(relay->lanes, config);
    tick_thread_want(relay->ticker, false); /* it may be in a sleep of the former length */
    if (relay->dispatcher && !relay->stopping &&
        dispatcher_change(relay->dispatcher, config->webhook_allow, config->connect_timeout, &err) < 0)
        log_error("webhook_change_failed", LOG_TEXT("error", err ? outbox_error_message(err) : "unknown"));
    outbox_error_free(err);
}

static void on_hangup(struct relay *relay)
{
    supervisor_reloading(&relay->supervisor);
    if (reload(relay->settings, relay->view.held, relay->sources))
        apply_settings(relay);
    supervisor_reloaded(&relay->supervisor);
}

static void on_signal(struct relay *relay, int number)
{
    if (number == SIGHUP) {
        on_hangup(relay);
        return;
    }
    log_info("stopping", LOG_TEXT("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
    begin_stop(relay, RELAY_EXIT_STOPPED);
}

static void on_message(struct relay *relay, struct relay_message *message)
{
    switch (message->kind) {
    case RELAY_SIGNAL:
        on_signal(relay, message->number);
        return;
    case RELAY_FATAL:
        begin_stop(relay, RELAY_EXIT_FAILED);
        return;
    default:
        break;
    }
    if (message->kind == RELAY_PICTURE)
        message->event.kind = message->picture ? LANE_EVENT_RENEWED : LANE_EVENT_RENEW_FAILED;
    if (message->event.kind == LANE_EVENT_ACKNOWLEDGED && message->deliveries > 0 && relay->dispatcher &&
        !relay->stopping)
        dispatcher_wake(relay->dispatcher);
    vitals_note_event(&relay->vitals, &message->event);
    lanes_answer(relay->lanes, message);
}

/* A lane that runs has proven that this database is the one that publishes.  A restored
 * or cloned one must not send the deliveries that it finds in itself, either. */
static void allow_webhooks(struct relay *relay)
{
    outbox_error *err = NULL;

    if (relay->dispatcher || start_dispatcher(relay, &err))
        return;
    log_error("cannot_start", LOG_TEXT("error", err ? outbox_error_message(err) : "unknown"));
    outbox_error_free(err);
    begin_stop(relay, RELAY_EXIT_FAILED);
}

/* The codes follow the states. */
static enum relay_exit exit_of(enum lane_halt halt)
{
    _Static_assert(RELAY_EXIT_XIDS_AHEAD - RELAY_EXIT_MARKER_MISSING == LANE_HALT_XIDS_AHEAD - LANE_HALT_MARKER_MISSING,
                   "each state of a halt has its exit code");
    return (enum relay_exit)(RELAY_EXIT_MARKER_MISSING + (int)halt - (int)LANE_HALT_MARKER_MISSING);
}

static void look_at_lanes(struct relay *relay)
{
    struct lanes_view *seen = &relay->seen;
    bool at_work;

    lanes_look(relay->lanes, seen);
    at_work = seen->running > 0 && !relay->stopping;
    vitals_note_state(&relay->vitals, seen->state, seen->halt, seen->standing_by, clock_now());
    if (at_work)
        allow_webhooks(relay);
    if (!relay->stopping)
        admin_set_company(relay->admin, seen->relays);
    if (!relay->stopping && relay->dispatcher)
        dispatcher_set_company(relay->dispatcher, seen->relays);
    tick_thread_set_company(relay->ticker, seen->relays > 1);
    tick_thread_set_active(relay->ticker, seen->ticking && at_work);
    follower_hint(relay->follower, seen->newest_tick);
    follower_set_active(relay->follower, seen->following && at_work);
    maintenance_set_active(relay->maintenance, seen->ticking && at_work);
    if (seen->halted && !relay->stopping)
        begin_stop(relay, exit_of(seen->halt));
}

/* Pages and supervisor.  When they want to be looked after again. */
static mono_us look_after_others(struct relay *relay)
{
    mono_us now = clock_now();
    mono_us admin = relay->stopping ? INT64_MAX : admin_tend(relay->admin, now);
    mono_us supervisor = relay->stopping ? INT64_MAX
                                         : supervisor_tell(&relay->supervisor, &relay->vitals, &relay->seen, now);

    return admin < supervisor ? admin : supervisor;
}

static mono_us earliest(mono_us a, mono_us b)
{
    return a < b ? a : b;
}

static void loop(struct relay *relay)
{
    while (!relay->stopping || !lanes_left(relay->lanes)) {
        mono_us timer = lanes_timer(relay->lanes);
        mono_us deadline = relay->stopping ? relay->stop_deadline : clock_now() + SECONDS(60);
        struct relay_message *message;

        deadline = earliest(deadline, look_after_others(relay));
        message = (struct relay_message *)mailbox_take(relay->mailbox, earliest(timer, deadline));
        watchdog_expect("the main loop, a turn", clock_now() + TURN);
        if (message)
            on_message(relay, message);
        free(message);
        lanes_tend(relay->lanes);
        look_at_lanes(relay);
        watchdog_met();
        if (relay->stopping && clock_now() >= relay->stop_deadline)
            return;
    }
}

/* Ends the threads.  What does not end in time is left to the kernel: nothing is lost by
 * that, a successor finds out by the marker. */
static void finish(struct relay *relay)
{
    bool ended = lanes_left(relay->lanes);

    watchdog_expect("the end of the threads", relay->stop_deadline);
    ended = admin_free(relay->admin, relay->stop_deadline) && ended;
    ended = tick_thread_stop(relay->ticker, relay->stop_deadline) && ended;
    ended = follower_stop(relay->follower, relay->stop_deadline) && ended;
    ended = maintenance_stop(relay->maintenance, relay->stop_deadline) && ended;
    ended = ended && lanes_end(relay->lanes, relay->stop_deadline);
    if (relay->dispatcher_stopping)
        pthread_join(relay->dispatcher_stopper, NULL);
    if (!ended) {
        log_warning("stop_incomplete", LOG_TEXT("consequence", "a successor waits for the lease to expire"));
        _exit(relay->result);
    }
    watchdog_met();
    watchdog_stop();
    tick_memory_free(relay->ticks);
    kafka_free(relay->kafka);
    supervisor_close(&relay->supervisor);
    settings_close(&relay->view);
    settings_free(relay->settings);
}

/* What every other part needs. */
static bool prepare(struct relay *relay, struct config *config)
{
    relay->settings = settings_new(config_reference(config));
    if (!relay->settings)
        return false;
    relay->view = (struct settings_view)SETTINGS_VIEW_INIT(relay->settings);
    relay->config = settings_read(&relay->view);
    vitals_start(&relay->vitals, clock_now());
    supervisor_open(&relay->supervisor);
    return true;
}

enum relay_exit relay_run(struct config *loaded, const struct config_sources *sources)
{
    const struct relay_config *config = config_relay(loaded);
    struct relay relay = {.sources = sources, .result = RELAY_EXIT_FAILED};
    outbox_error *err = NULL;

    log_info("starting", LOG_TEXT("version", PACKAGE_VERSION), LOG_TEXT("name", config->name),
             LOG_TEXT("wake", config->wake), LOG_TEXT("publish", config->publish));
#ifdef OUTBOX_FAULT_POINTS
    log_warning("fault_points", LOG_TEXT("note", "this build can be told to kill itself; never use it in production"));
#endif
    raise_descriptor_limit();
    if (!prepare(&relay, loaded) || !start(&relay, &err)) {
        log_error("cannot_start", LOG_TEXT("error", err ? outbox_error_message(err) : "unknown"));
        outbox_error_free(err);
        return RELAY_EXIT_FAILED;
    }
    loop(&relay);
    finish(&relay);
    log_info("stopped", LOG_NUMBER("exit", relay.result));
    return relay.result;
}
