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
#include "webhook/sender.h"
#include "webhook/slots.h"
#include "webhook/store.h"
#include "webhook/task.h"

#define STATEMENT_TIMEOUT SECONDS(5)
#define CONNECT_TIMEOUT SECONDS(5)
#define REFRESH_INTERVAL SECONDS(1)
#define REFRESH_AFTER_WAKE MILLISECONDS(200)
#define RECOVER_INTERVAL SECONDS(5)
#define BACKOFF_FIRST MILLISECONDS(100)
#define BACKOFF_LAST SECONDS(5)
#define FAILURES_LOGGED 20 /* lines a second */
#define NEVER INT64_MAX

/* The keeper's thread owns everything but what is marked; the other thread is the
 * sender's, and the two talk by mailboxes. */
struct dispatcher {
    char *dsn;
    char *worker;
    mono_us lease_margin;
    mono_us poll_interval;

    pthread_t thread;
    struct mailbox *inbox;               /* any thread */
    struct message wake;                 /* in the inbox while wake_pending */
    atomic_bool wake_pending;            /* any thread */
    _Atomic mono_us abandon_at, stop_at; /* any thread; NEVER until it stops */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended; /* under lock */

    struct sender *sender;
    struct slots *slots;
    struct store *store; /* NULL: no connection */
    mono_us connect_at, backoff;
    mono_us refreshed_at, refresh_at, recover_at, poll_at, due_at;
    struct store_want *wants;
    size_t wants_room;
    int claimed;       /* by the claim that is being made */
    struct task tasks; /* head of the ring of all tasks */
    size_t task_count;
    struct task *finished; /* to be recorded, oldest first */
    struct task **finished_last;
    size_t finished_count;
    size_t batch;
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

static void push_finished(struct dispatcher *d, struct task *task)
{
    task->next = NULL;
    *d->finished_last = task;
    d->finished_last = &task->next;
    d->finished_count++;
}

static void pop_finished(struct dispatcher *d)
{
    d->finished = d->finished->next;
    if (!d->finished)
        d->finished_last = &d->finished;
    d->finished_count--;
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
    push_finished(d, task);
}

static void take_message(struct dispatcher *d, struct message *message)
{
    if (message != &d->wake) {
        take_back(d, (struct task *)(void *)message);
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

static mono_us statement_deadline(struct dispatcher *d)
{
    mono_us deadline = clock_now() + STATEMENT_TIMEOUT;
    mono_us stop_at = atomic_load(&d->stop_at);

    return deadline < stop_at ? deadline : stop_at;
}

/* From 50 to 150 % of wait. */
static mono_us jitter(mono_us wait)
{
    return wait / 2 + (mono_us)(random_u64() % (uint64_t)wait);
}

static void back_off(struct dispatcher *d)
{
    d->connect_at = clock_now() + jitter(d->backoff);
    d->backoff = d->backoff * 2 < BACKOFF_LAST ? d->backoff * 2 : BACKOFF_LAST;
}

/* Every failure ends in a new connection: after most of them this one is of no use, and
 * after the others a pause is. */
static void lose_store(struct dispatcher *d, const char *what, outbox_error *error)
{
    log_warning("webhook_database", LOG_TEXT("doing", what), LOG_TEXT("error", outbox_error_message(error)),
                LOG_TEXT("sqlstate", outbox_error_sqlstate(error)));
    outbox_error_free(error);
    metric_add(METRIC_DATABASE_FAILURES + METRIC_PART_WEBHOOKS, 1);
    store_close(d->store);
    d->store = NULL;
    back_off(d);
}

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
    status = store_recover(d->store, mine, held, count, statement_deadline(d), &recovered, &error);
    free(held);
    if (status < 0) {
        lose_store(d, "recover", error);
        return false;
    }
    if (recovered > 0) {
        metric_add(METRIC_DELIVERIES_RECOVERED, recovered);
        log_warning("webhook_recovered", LOG_NUMBER("deliveries", recovered));
        slots_make_hungry(d->slots);
    }
    d->recover_at = clock_now() + RECOVER_INTERVAL;
    return true;
}

static void connect_store(struct dispatcher *d)
{
    mono_us deadline = clock_now() + CONNECT_TIMEOUT;
    mono_us stop_at = atomic_load(&d->stop_at);
    outbox_error *error = NULL;

    d->store = store_open(d->dsn, d->worker, deadline < stop_at ? deadline : stop_at, &error);
    if (!d->store) {
        log_warning("webhook_database", LOG_TEXT("doing", "connect"),
                    LOG_TEXT("error", outbox_error_message(error)));
        metric_add(METRIC_DATABASE_FAILURES + METRIC_PART_WEBHOOKS, 1);
        outbox_error_free(error);
        back_off(d);
        return;
    }
    metric_add(METRIC_DATABASE_CONNECTIONS + METRIC_PART_WEBHOOKS, 1);
    d->refresh_at = d->poll_at = 0;
    if (recover(d, true)) {
        d->backoff = BACKOFF_FIRST;
        log_info("webhook_connected", LOG_TEXT("worker", d->worker));
    }
}

/* ---- Recording ---- */

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

static void log_result(struct dispatcher *d, const struct task *task, bool accepted)
{
    const struct http_evidence *evidence = &task->exchange.evidence;
    bool final = task->step.state != DELIVERY_STATE_FAILED;

    if (!accepted) {
        log_warning("delivery_result_dropped", LOG_NUMBER("delivery", task->delivery),
                    LOG_TEXT("endpoint", task->endpoint->label), LOG_NUMBER("token", task->token),
                    LOG_TEXT("outcome", delivery_outcome_name(task->outcome)));
        return;
    }
    if (task->step.state == DELIVERY_STATE_DELIVERED || !may_log(d))
        return;
    log_write(final ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "delivery_failed",
              LOG_NUMBER("delivery", task->delivery), LOG_TEXT("endpoint", task->endpoint->label),
              LOG_NUMBER("send", task->send), LOG_TEXT("outcome", delivery_outcome_name(task->outcome)),
              LOG_NUMBER("status", evidence->reached.status),
              LOG_TEXT("state", delivery_state_name(task->step.state)),
              LOG_NUMBER("retry_ms", task->step.retry_in / 1000), LOG_TEXT("error", evidence->error));
}

/* The oldest count results stand in PostgreSQL. */
static void settle_batch(struct dispatcher *d, struct task *const *tasks, const bool *accepted, size_t count)
{
    mono_us now = clock_now();

    for (size_t i = 0; i < count; i++) {
        struct task *task = tasks[i];

        log_result(d, task, accepted[i]);
        if (accepted[i])
            metric_add(METRIC_DELIVERY_RESULTS + (int)task->step.state, 1);
        if (accepted[i] && task->step.state == DELIVERY_STATE_FAILED && now + task->step.retry_in < d->due_at)
            d->due_at = now + task->step.retry_in;
        pop_finished(d);
        drop_task(d, task);
    }
}

/* The server refused a batch.  One result that it cannot take must not hold up the
 * others: they go one by one then, and it alone is left to its lease. */
static void refused_batch(struct dispatcher *d, size_t count, outbox_error *error)
{
    const char *sqlstate = outbox_error_sqlstate(error);
    bool data = strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0;

    if (!data) {
        lose_store(d, "record", error);
        return;
    }
    if (count == 1) {
        struct task *task = d->finished;

        log_error("delivery_not_recorded", LOG_NUMBER("delivery", task->delivery),
                  LOG_TEXT("error", outbox_error_message(error)));
        pop_finished(d);
        drop_task(d, task);
    }
    d->batch = 1;
    outbox_error_free(error);
}

static void record_batch(struct dispatcher *d)
{
    struct task *tasks[STORE_BATCH];
    bool accepted[STORE_BATCH];
    outbox_error *error = NULL;
    size_t count = 0;
    int status;

    for (struct task *task = d->finished; task && count < d->batch; task = task->next)
        tasks[count++] = task;
    status = store_finish(d->store, tasks, count, statement_deadline(d), accepted, &error);
    if (status == OUTBOX_OK) {
        FAULT("webhook_after_record");
        settle_batch(d, tasks, accepted, count);
    } else if (status == OUTBOX_ESERVER) {
        refused_batch(d, count, error);
    } else {
        lose_store(d, "record", error);
    }
}

static void record(struct dispatcher *d)
{
    while (d->store && d->finished)
        record_batch(d);
    if (!d->finished)
        d->batch = STORE_BATCH;
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
    if (store_endpoints(d->store, statement_deadline(d), see_endpoint, d, &error) < 0) {
        lose_store(d, "read the endpoints", error);
        return;
    }
    slots_end(d->slots);
    d->refreshed_at = clock_now();
    d->refresh_at = d->refreshed_at + REFRESH_INTERVAL;
}

static void take_claim(void *argument, const struct claim *claim)
{
    struct dispatcher *d = argument;
    struct slot *slot = slots_claimed(d->slots, &claim->endpoint);
    struct task *task;

    d->claimed++;
    if (!slot)
        return; /* not asked for: its lease will end */
    task = task_new(claim, slot->endpoint, d->lease_margin);
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

static void claim(struct dispatcher *d)
{
    int room = slots_free_total(d->slots);
    struct store_claim request = {
        .limit = room < STORE_BATCH ? room : STORE_BATCH,
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
    if (store_claim(d->store, &request, statement_deadline(d), &error) < 0) {
        lose_store(d, "claim", error);
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
    if (!d->store && now >= d->connect_at)
        connect_store(d);
    if (d->store)
        record(d);
    if (stopping)
        return;
    if (d->store && now >= d->recover_at)
        recover(d, false);
    if (d->store && now >= d->refresh_at)
        refresh(d);
    if (now >= d->poll_at || now >= d->due_at) {
        if (now >= d->poll_at)
            d->poll_at = now + d->poll_interval;
        d->due_at = NEVER;
        slots_make_hungry(d->slots);
    }
    if (d->store && slots_any_hungry(d->slots))
        claim(d);
}

static mono_us earliest(mono_us a, mono_us b)
{
    return a < b ? a : b;
}

/* When there is something to do even if no message comes. */
static mono_us next_moment(struct dispatcher *d, bool stopping)
{
    mono_us moment;

    if (stopping) {
        moment = d->abandoned ? atomic_load(&d->stop_at) : atomic_load(&d->abandon_at);
        return d->store ? moment : earliest(moment, d->connect_at);
    }
    if (!d->store)
        return d->connect_at;
    if (slots_any_hungry(d->slots))
        return 0;
    moment = earliest(earliest(d->recover_at, d->refresh_at), earliest(d->poll_at, d->due_at));
    return moment;
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
    store_close(d->store);
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
    d->backoff = BACKOFF_FIRST;
    d->due_at = NEVER;
    d->batch = STORE_BATCH;
    d->finished_last = &d->finished;
    d->tasks.left = d->tasks.right = &d->tasks;
    d->inbox = mailbox_new();
    d->slots = slots_new(settings->max_in_flight);
    if (!d->dsn || !d->worker || !d->inbox || !d->slots) {
        free_dispatcher(d);
        return NULL;
    }
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
    if (pthread_create(&d->thread, NULL, keep, d) != 0) {
        outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "cannot start the thread that records webhooks");
        goto fail;
    }
    return d;

fail:
    sender_stop(d->sender);
    free_dispatcher(d);
    return NULL;
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
    complete = d->task_count == 0;
    if (!complete)
        log_warning("webhook_stop_incomplete", LOG_NUMBER("deliveries", d->task_count));
    sender_stop(d->sender);
    while (d->tasks.right != &d->tasks)
        drop_task(d, d->tasks.right);
    free_dispatcher(d);
    return complete;
}
