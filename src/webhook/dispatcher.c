#include "webhook/dispatcher.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/fault.h"
#include "runtime/log.h"
#include "runtime/mailbox.h"
#include "runtime/metrics.h"
#include "webhook/link.h"
#include "webhook/recorder.h"
#include "webhook/sender.h"
#include "webhook/slots.h"
#include "webhook/store.h"
#include "webhook/task.h"

#define REFRESH_INTERVAL SECONDS(1)
#define REFRESH_WITHOUT_ENDPOINTS SECONDS(5) /* the first one's deliveries wake us */
#define REFRESH_AFTER_WAKE MILLISECONDS(200)
#define RECOVER_INTERVAL SECONDS(5)
#define FAILURES_LOGGED 20 /* lines a second */
#define NEVER INT64_MAX

/* The keeper's thread claims, and owns everything but what is marked; the other threads are
 * the sender's and the recorder's, and they talk by mailboxes.  A task goes from the keeper
 * to the sender and back, then to the recorder and back. */
struct dispatcher {
    char *dsn;
    char *worker;
    mono_us lease_margin;
    mono_us poll_interval;

    pthread_t thread;
    struct mailbox *inbox;               /* any thread */
    struct message wake;                 /* in the inbox while wake_pending */
    atomic_bool wake_pending;            /* any thread */
    atomic_int company;                  /* any thread: relays that do the same */
    _Atomic mono_us abandon_at, stop_at; /* any thread; NEVER until it stops */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended; /* under lock */

    struct sender *sender;
    struct recorder *recorder;
    struct slots *slots;
    struct link link;
    mono_us refreshed_at, refresh_at, recover_at, poll_at, due_at;
    struct store_want *wants;
    size_t wants_room;
    int claimed;       /* by the claim that is being made */
    mono_us claim_asked;
    struct task tasks; /* head of the ring of all tasks */
    size_t task_count;
    size_t most_tasks; /* what waits to be recorded must not pile up */
    bool abandoned;
    mono_us logged_since;
    int logged;
};

/* ---- Tasks ---- */

static void link_task(struct dispatcher *d, struct task *task)
{
    task->right = &d->tasks;
    task->left = d->tasks.left;
    task->left->right = task;
    d->tasks.left = task;
    d->task_count++;
}

static void drop_task(struct dispatcher *d, struct task *task)
{
    task->left->right = task->right;
    task->right->left = task->left;
    d->task_count--;
    task_free(task);
}

/* ---- What comes back ---- */

static void count_request(const struct http_evidence *evidence)
{
    int class = evidence->reached.status / 100;

    metric_add(METRIC_WEBHOOK_REQUESTS + (class >= 2 && class <= 5 ? class - 2 : METRIC_NO_STATUS), 1);
    if (evidence->total_us >= 0)
        metric_observe_time(METRIC_WEBHOOK_SECONDS, evidence->total_us, 1);
}

static void take_back(struct dispatcher *d, struct task *task)
{
    slots_returned(d->slots, &task->endpoint->id);
    metric_set(METRIC_WEBHOOKS_IN_FLIGHT, slots_in_flight(d->slots));
    if (!task->hopeless) {
        count_request(&task->exchange.evidence);
        task_conclude(task, random_u64());
    }
    recorder_give(d->recorder, task);
}

/* A receiver that is down must not fill the disk with log lines. */
static bool may_log(struct dispatcher *d)
{
    mono_us now = clock_now();

    if (now - d->logged_since >= SECONDS(1)) {
        if (d->logged > FAILURES_LOGGED)
            log_info("delivery_failures_not_logged", LOG_NUMBER("count", d->logged - FAILURES_LOGGED));
        d->logged_since = now;
        d->logged = 0;
    }
    return ++d->logged <= FAILURES_LOGGED;
}

static void log_result(struct dispatcher *d, const struct task *task)
{
    const struct http_evidence *evidence = &task->exchange.evidence;
    bool final = task->step.state != DELIVERY_STATE_FAILED;

    if (task->fate == TASK_DROPPED) {
        log_warning("delivery_result_dropped", LOG_NUMBER("delivery", task->delivery),
                    LOG_TEXT("endpoint", task->endpoint->label), LOG_NUMBER("token", task->token),
                    LOG_TEXT("outcome", delivery_outcome_name(task->outcome)));
        return;
    }
    /* the recorder has said what the server refused */
    if (task->fate == TASK_REFUSED || task->step.state == DELIVERY_STATE_DELIVERED || !may_log(d))
        return;
    log_write(final ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "delivery_failed",
              LOG_NUMBER("delivery", task->delivery), LOG_TEXT("endpoint", task->endpoint->label),
              LOG_NUMBER("send", task->send), LOG_TEXT("outcome", delivery_outcome_name(task->outcome)),
              LOG_NUMBER("status", evidence->reached.status),
              LOG_TEXT("state", delivery_state_name(task->step.state)),
              LOG_NUMBER("retry_ms", task->step.retry_in / 1000), LOG_TEXT("error", evidence->error));
}

static void settle(struct dispatcher *d, struct task *task)
{
    mono_us due_at = clock_now() + task->step.retry_in;

    log_result(d, task);
    if (task->fate == TASK_RECORDED)
        metric_add(METRIC_DELIVERY_RESULTS + (int)task->step.state, 1);
    if (task->fate == TASK_RECORDED && task->step.state == DELIVERY_STATE_FAILED && due_at < d->due_at)
        d->due_at = due_at;
    drop_task(d, task);
}

static void take_message(struct dispatcher *d, struct message *message)
{
    if (message != &d->wake) {
        struct task *task = (struct task *)(void *)message;

        if (task->fate == TASK_OPEN)
            take_back(d, task);
        else
            settle(d, task);
        return;
    }
    /* Before the claim that follows: a wake during it counts for the next one. */
    atomic_store(&d->wake_pending, false);
    slots_make_hungry(d->slots);
    if (d->refresh_at > d->refreshed_at + REFRESH_AFTER_WAKE)
        d->refresh_at = d->refreshed_at + REFRESH_AFTER_WAKE;
}

static void take_messages(struct dispatcher *d, mono_us until)
{
    struct message *message = mailbox_take(d->inbox, until);

    while (message) {
        take_message(d, message);
        message = mailbox_take(d->inbox, 0);
    }
}

/* ---- PostgreSQL, lost and found ---- */

/* Undoes claims of senders that vanished.  mine: with those of this worker's name that
 * are not among our tasks; that is after connecting, when an earlier process may have
 * left some, or a claim of ours whose answer was lost. */
static bool recover(struct dispatcher *d, bool mine)
{
    int64_t *held = calloc(d->task_count + 1, sizeof(*held));
    outbox_error *error = NULL;
    int64_t recovered = 0;
    size_t count = 0;
    int status;

    if (!held)
        return true; /* at the next turn */
    for (const struct task *task = d->tasks.right; task != &d->tasks; task = task->right)
        held[count++] = task->token;
    status = store_recover(d->link.store, mine, held, count, link_deadline(&d->link), &recovered, &error);
    free(held);
    if (status < 0) {
        link_lose(&d->link, "recover", error);
        return false;
    }
    if (recovered > 0) {
        metric_add(METRIC_DELIVERIES_RECOVERED, recovered);
        log_warning("webhook_recovered", LOG_NUMBER("deliveries", recovered));
        slots_make_hungry(d->slots);
    }
    d->recover_at = clock_now() + RECOVER_INTERVAL * atomic_load(&d->company);
    return true;
}

static void connect_store(struct dispatcher *d, mono_us now)
{
    if (!link_connect(&d->link, now))
        return;
    d->refresh_at = d->poll_at = 0;
    if (recover(d, true)) {
        link_proved(&d->link);
        log_info("webhook_connected", LOG_TEXT("worker", d->worker));
    }
}

/* ---- Claiming ---- */

static void see_endpoint(void *argument, const struct endpoint_row *row)
{
    struct dispatcher *d = argument;

    slots_see(d->slots, row);
}

static void refresh(struct dispatcher *d)
{
    outbox_error *error = NULL;

    slots_begin(d->slots);
    if (store_endpoints(d->link.store, link_deadline(&d->link), see_endpoint, d, &error) < 0) {
        link_lose(&d->link, "read the endpoints", error);
        return;
    }
    slots_end(d->slots);
    d->refreshed_at = clock_now();
    d->refresh_at = d->refreshed_at + (slots_count(d->slots) > 0 ? REFRESH_INTERVAL : REFRESH_WITHOUT_ENDPOINTS) *
                                          atomic_load(&d->company);
}

static void take_claim(void *argument, const struct claim *claim)
{
    struct dispatcher *d = argument;
    struct slot *slot = slots_claimed(d->slots, &claim->endpoint);
    struct task *task;

    d->claimed++;
    if (!slot)
        return; /* not asked for: its lease will end */
    task = task_new(claim, slot->endpoint, d->claim_asked, d->lease_margin);
    if (!task) {
        slots_returned(d->slots, &claim->endpoint);
        log_error("delivery_not_sent", LOG_NUMBER("delivery", claim->delivery),
                  LOG_TEXT("error", "out of memory"));
        return;
    }
    link_task(d, task);
    if (task->hopeless)
        take_back(d, task);
    else
        sender_give(d->sender, &task->exchange);
}

static bool make_room_for_wants(struct dispatcher *d)
{
    struct store_want *grown;

    if (slots_count(d->slots) <= d->wants_room)
        return true;
    grown = realloc(d->wants, slots_count(d->slots) * sizeof(*grown));
    if (!grown)
        return false;
    d->wants = grown;
    d->wants_room = slots_count(d->slots);
    return true;
}

static bool may_claim(const struct dispatcher *d)
{
    return d->link.store && d->task_count < d->most_tasks && slots_any_hungry(d->slots);
}

static void claim(struct dispatcher *d)
{
    int room = slots_free_total(d->slots);
    int left = (int)(d->most_tasks - d->task_count);
    int limit = room < left ? room : left;
    struct store_claim request = {
        .limit = limit < STORE_BATCH ? limit : STORE_BATCH,
        .margin = d->lease_margin,
        .take = take_claim,
        .argument = d,
    };
    outbox_error *error = NULL;

    if (!make_room_for_wants(d))
        return;
    request.wants = d->wants;
    request.count = slots_wants(d->slots, d->wants);
    d->claimed = 0;
    d->claim_asked = clock_now();
    if (store_claim(d->link.store, &request, link_deadline(&d->link), &error) < 0) {
        link_lose(&d->link, "claim", error);
        return;
    }
    slots_settle(d->slots, d->claimed >= request.limit);
    metric_set(METRIC_WEBHOOKS_IN_FLIGHT, slots_in_flight(d->slots));
    if (d->claimed > 0) {
        FAULT("webhook_after_claim");
        sender_wake(d->sender);
    }
}

/* ---- The keeper's thread ---- */

static void keep_up(struct dispatcher *d, mono_us now, bool stopping)
{
    if (stopping)
        return;
    connect_store(d, now);
    if (d->link.store && now >= d->recover_at)
        recover(d, false);
    if (d->link.store && now >= d->refresh_at)
        refresh(d);
    if (now >= d->poll_at || now >= d->due_at) {
        if (now >= d->poll_at)
            d->poll_at = now + d->poll_interval * atomic_load(&d->company);
        d->due_at = NEVER;
        slots_make_hungry(d->slots);
    }
    if (may_claim(d))
        claim(d);
}

static mono_us earliest(mono_us a, mono_us b)
{
    return a < b ? a : b;
}

/* When there is something to do even if no message comes. */
static mono_us next_moment(struct dispatcher *d, bool stopping)
{
    if (stopping)
        return d->abandoned ? atomic_load(&d->stop_at) : atomic_load(&d->abandon_at);
    if (!d->link.store)
        return d->link.connect_at;
    if (may_claim(d))
        return 0;
    return earliest(earliest(d->recover_at, d->refresh_at), earliest(d->poll_at, d->due_at));
}

/* True when everything is done, or there is no time left. */
static bool stopped(struct dispatcher *d, mono_us now)
{
    if (now >= atomic_load(&d->abandon_at) && !d->abandoned) {
        d->abandoned = true;
        sender_abandon(d->sender);
    }
    return d->task_count == 0 || now >= atomic_load(&d->stop_at);
}

static void *keep(void *argument)
{
    struct dispatcher *d = argument;

    for (;;) {
        mono_us now = clock_now();
        bool stopping = atomic_load(&d->stop_at) != NEVER;

        if (stopping && stopped(d, now))
            break;
        keep_up(d, now, stopping);
        if (stopping && d->task_count == 0)
            break;
        take_messages(d, next_moment(d, stopping));
    }
    pthread_mutex_lock(&d->lock);
    d->ended = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* ---- Life ---- */

static void free_dispatcher(struct dispatcher *d)
{
    link_close(&d->link);
    slots_free(d->slots);
    mailbox_free(d->inbox);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->changed);
    free(d->wants);
    free(d->dsn);
    free(d->worker);
    free(d);
}

static struct dispatcher *new_dispatcher(const struct dispatcher_settings *settings)
{
    struct dispatcher *d = calloc(1, sizeof(*d));
    pthread_condattr_t attributes;

    if (!d)
        return NULL;
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&d->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    atomic_init(&d->stop_at, NEVER);
    atomic_init(&d->abandon_at, NEVER);
    d->dsn = strdup(settings->dsn);
    d->worker = strdup(settings->worker);
    d->lease_margin = settings->lease_margin;
    d->poll_interval = settings->poll_interval;
    atomic_store(&d->company, 1);
    d->due_at = NEVER;
    d->tasks.left = d->tasks.right = &d->tasks;
    d->inbox = mailbox_new();
    d->most_tasks = 2 * (size_t)settings->max_in_flight + STORE_BATCH;
    d->slots = slots_new(settings->max_in_flight);
    if (!d->dsn || !d->worker || !d->inbox || !d->slots) {
        free_dispatcher(d);
        return NULL;
    }
    link_init(&d->link, d->dsn, d->worker, "outbox-webhooks", &d->stop_at);
    return d;
}

static int check_settings(const struct dispatcher_settings *settings, outbox_error **reterr)
{
    if (settings->max_in_flight < 1)
        return outbox__fail(reterr, OUTBOX_EINVAL, "max_in_flight", "max_in_flight: must be at least 1");
    if (settings->lease_margin <= 0 || settings->poll_interval <= 0 ||
        settings->connect_timeout < MILLISECONDS(1))
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL,
                            "lease margin, poll interval and connect timeout of webhooks must be positive");
    return OUTBOX_OK;
}

struct dispatcher *dispatcher_start(const struct dispatcher_settings *settings, outbox_error **reterr)
{
    const struct http_settings http = {
        .allowed_addresses = settings->allowed_addresses,
        .ca_file = settings->ca_file && *settings->ca_file ? settings->ca_file : NULL,
        .insecure = settings->insecure,
        .connect_timeout = settings->connect_timeout,
        .max_connections = settings->max_in_flight,
    };
    struct dispatcher *d;

    if (check_settings(settings, reterr) < 0)
        return NULL;
    d = new_dispatcher(settings);
    if (!d) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    d->sender = sender_start(&http, d->inbox, reterr);
    if (!d->sender)
        goto fail;
    d->recorder = recorder_start(d->dsn, d->worker, &d->stop_at, d->inbox, reterr);
    if (!d->recorder)
        goto fail;
    if (pthread_create(&d->thread, NULL, keep, d) != 0) {
        outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "cannot start the thread that claims webhooks");
        goto fail;
    }
    return d;

fail:
    /* They have had nothing to do but to connect, which has a deadline. */
    if (sender_stop(d->sender, clock_now() + SECONDS(10)) && recorder_stop(d->recorder, clock_now() + SECONDS(10)))
        free_dispatcher(d);
    return NULL;
}

void dispatcher_set_company(struct dispatcher *d, int relays)
{
    atomic_store(&d->company, relays > 0 ? relays : 1);
}

void dispatcher_wake(struct dispatcher *d)
{
    if (!atomic_exchange(&d->wake_pending, true))
        mailbox_put(d->inbox, &d->wake);
}

int dispatcher_change(struct dispatcher *d, const char *allowed_addresses, mono_us connect_timeout,
                      outbox_error **reterr)
{
    return sender_change(d->sender, allowed_addresses, connect_timeout, reterr);
}

static bool wait_for_end(struct dispatcher *d, mono_us deadline)
{
    const struct timespec until = {deadline / 1000000, deadline % 1000000 * 1000};
    bool ended;

    pthread_mutex_lock(&d->lock);
    while (!d->ended && pthread_cond_timedwait(&d->changed, &d->lock, &until) == 0) {
    }
    ended = d->ended;
    pthread_mutex_unlock(&d->lock);
    return ended;
}

bool dispatcher_stop(struct dispatcher *d, mono_us deadline)
{
    mono_us now = clock_now();
    mono_us left = deadline > now ? deadline - now : 0;
    bool complete;

    if (!d)
        return true;
    atomic_store(&d->abandon_at, now + left - (left / 2 < SECONDS(1) ? left / 2 : SECONDS(1)));
    atomic_store(&d->stop_at, now + left - left / 10);
    dispatcher_wake(d);
    if (!wait_for_end(d, deadline)) {
        /* It is stuck in a call that began before the deadline was known: its memory
         * must stay. */
        log_warning("webhook_stop_late", LOG_TEXT("worker", d->worker));
        pthread_detach(d->thread);
        return false;
    }
    pthread_join(d->thread, NULL);
    if (!recorder_stop(d->recorder, deadline)) {
        log_warning("webhook_stop_late", LOG_TEXT("worker", d->worker));
        return false;
    }
    complete = d->task_count == 0;
    if (!complete)
        log_warning("webhook_stop_incomplete", LOG_NUMBER("deliveries", d->task_count));
    if (!sender_stop(d->sender, deadline)) {
        log_warning("webhook_stop_late", LOG_TEXT("worker", d->worker));
        return false;
    }
    while (d->tasks.right != &d->tasks)
        drop_task(d, d->tasks.right);
    free_dispatcher(d);
    return complete;
}
