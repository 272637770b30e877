#include "webhook/recorder.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/fault.h"
#include "runtime/log.h"
#include "webhook/link.h"
#include "webhook/store.h"

#define IDLE SECONDS(3600)

struct recorder {
    pthread_t thread;
    struct mailbox *given; /* any thread */
    struct mailbox *done;
    struct message stop; /* in the mailbox when it is to end */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended; /* under lock */

    /* The thread's alone. */
    struct link link;
    struct task *first; /* to be recorded, oldest first */
    struct task **last;
    size_t batch;
    bool stopping;
};

/* ---- The queue ---- */

static void push(struct recorder *recorder, struct task *task)
{
    task->next = NULL;
    *recorder->last = task;
    recorder->last = &task->next;
}

/* The oldest one goes back. */
static void settle(struct recorder *recorder, enum task_fate fate)
{
    struct task *task = recorder->first;

    recorder->first = task->next;
    if (!recorder->first)
        recorder->last = &recorder->first;
    task->fate = fate;
    mailbox_put(recorder->done, &task->exchange.message);
}

static void take_given(struct recorder *recorder, mono_us until)
{
    struct message *message = mailbox_take(recorder->given, until);

    for (; message; message = mailbox_take(recorder->given, 0)) {
        if (message == &recorder->stop)
            recorder->stopping = true;
        else
            push(recorder, (struct task *)(void *)message);
    }
}

/* ---- Recording ---- */

/* The server refused a batch.  One result that it cannot take must not hold up the
 * others: they go one by one then, and it alone is left to its lease. */
static void refused_batch(struct recorder *recorder, size_t count, outbox_error *error)
{
    const char *sqlstate = outbox_error_sqlstate(error);
    bool data = strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0;

    if (!data) {
        link_lose(&recorder->link, "record", error);
        return;
    }
    if (count == 1) {
        log_error("delivery_not_recorded", LOG_NUMBER("delivery", recorder->first->delivery),
                  LOG_TEXT("error", outbox_error_message(error)));
        settle(recorder, TASK_REFUSED);
    }
    recorder->batch = 1;
    outbox_error_free(error);
}

static void record_batch(struct recorder *recorder)
{
    struct task *tasks[STORE_BATCH];
    bool accepted[STORE_BATCH];
    outbox_error *error = NULL;
    size_t count = 0;
    int status;

    for (struct task *task = recorder->first; task && count < recorder->batch; task = task->next)
        tasks[count++] = task;
    status = store_finish(recorder->link.store, tasks, count, link_deadline(&recorder->link), accepted, &error);
    if (status == OUTBOX_OK) {
        FAULT("webhook_after_record");
        link_proved(&recorder->link);
        for (size_t i = 0; i < count; i++)
            settle(recorder, accepted[i] ? TASK_RECORDED : TASK_DROPPED);
    } else if (status == OUTBOX_ESERVER) {
        refused_batch(recorder, count, error);
    } else {
        link_lose(&recorder->link, "record", error);
    }
}

static void *run(void *argument)
{
    struct recorder *recorder = argument;

    for (;;) {
        mono_us until;

        link_connect(&recorder->link, clock_now());
        until = recorder->link.store ? clock_now() + IDLE : recorder->link.connect_at;
        take_given(recorder, recorder->first && recorder->link.store ? 0 : until);
        if (recorder->stopping)
            break;
        if (recorder->link.store && recorder->first)
            record_batch(recorder);
        if (!recorder->first)
            recorder->batch = STORE_BATCH;
    }
    link_close(&recorder->link);
    pthread_mutex_lock(&recorder->lock);
    recorder->ended = true;
    pthread_cond_signal(&recorder->changed);
    pthread_mutex_unlock(&recorder->lock);
    return NULL;
}

/* ---- Life ---- */

static void free_recorder(struct recorder *recorder)
{
    mailbox_free(recorder->given);
    pthread_mutex_destroy(&recorder->lock);
    pthread_cond_destroy(&recorder->changed);
    free(recorder);
}

struct recorder *recorder_start(const char *dsn, const char *worker, const _Atomic mono_us *stop_at,
                                struct mailbox *done, outbox_error **reterr)
{
    struct recorder *recorder = calloc(1, sizeof(*recorder));
    pthread_condattr_t attributes;

    if (!recorder) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    pthread_mutex_init(&recorder->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&recorder->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    link_init(&recorder->link, dsn, worker, "outbox-webhooks-results", stop_at);
    recorder->done = done;
    recorder->last = &recorder->first;
    recorder->batch = STORE_BATCH;
    recorder->given = mailbox_new();
    if (!recorder->given)
        outbox__fail_memory(reterr);
    else if (pthread_create(&recorder->thread, NULL, run, recorder) != 0)
        outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "cannot start the thread that records webhooks");
    else
        return recorder;
    free_recorder(recorder);
    return NULL;
}

void recorder_give(struct recorder *recorder, struct task *task)
{
    mailbox_put(recorder->given, &task->exchange.message);
}

bool recorder_stop(struct recorder *recorder, mono_us deadline)
{
    const struct timespec until = {deadline / 1000000, deadline % 1000000 * 1000};
    bool ended;

    if (!recorder)
        return true;
    mailbox_put(recorder->given, &recorder->stop);
    pthread_mutex_lock(&recorder->lock);
    while (!recorder->ended && pthread_cond_timedwait(&recorder->changed, &recorder->lock, &until) == 0) {
    }
    ended = recorder->ended;
    pthread_mutex_unlock(&recorder->lock);
    if (!ended) {
        pthread_detach(recorder->thread);
        return false;
    }
    pthread_join(recorder->thread, NULL);
    free_recorder(recorder);
    return true;
}
