/* The public calls, and what the threads share. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "consumer/state.h"
#include "sink/client.h"

/* Beyond the drain timeout: for workers to end, and for the group to be left. */
#define JOIN_PATIENCE SECONDS(10)
#define CLOSE_PATIENCE SECONDS(10)
#define DESTROY_PATIENCE SECONDS(5)

void consumer_log(const outbox_consumer *consumer, int level, const char *event, const char *format, ...)
{
    char text[600];
    va_list args;

    if (!consumer->options->log)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    consumer->options->log(level, event, text, consumer->options->log_context);
}

void consumer_fail(outbox_consumer *consumer, outbox_error *err)
{
    pthread_mutex_lock(&consumer->lock);
    if (!consumer->fatal) {
        consumer->fatal = err;
        err = NULL;
    }
    atomic_store(&consumer->stopping, true);
    pthread_cond_broadcast(&consumer->work);
    pthread_mutex_unlock(&consumer->lock);
    outbox_error_free(err);
    rd_kafka_queue_yield(consumer->queue);
}

void consumer_count(outbox_consumer *consumer, enum outbox_consumer_count count, int64_t add)
{
    atomic_fetch_add(&consumer->counts[count], add);
}

void consumer_wait(outbox_consumer *consumer, pthread_cond_t *condition, mono_us deadline)
{
    const struct timespec until = {.tv_sec = deadline / 1000000, .tv_nsec = deadline % 1000000 * 1000};

    pthread_cond_timedwait(condition, &consumer->lock, &until);
}

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* Host and process: for people who look at outbox.consumer_position. */
static void name_owner(outbox_consumer *consumer)
{
    char host[40] = "";

    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    snprintf(consumer->owner, sizeof(consumer->owner), "%s:%ld", host, (long)getpid());
}

int outbox_consumer_new(const outbox_consumer_options *options, outbox_consumer **ret, outbox_error **reterr)
{
    outbox_error *err = NULL;
    outbox_consumer *consumer;
    int code;

    if (!ret)
        return outbox__fail(reterr, OUTBOX_EINVAL, "ret", "ret: is NULL");
    consumer = calloc(1, sizeof(*consumer));
    if (!consumer)
        return outbox__fail_memory(reterr);
    pthread_mutex_init(&consumer->lock, NULL);
    init_condition(&consumer->work);
    init_condition(&consumer->settled);
    name_owner(consumer);
    consumer->options = options_copy(options, &err);
    if (consumer->options && handle_open(consumer, &err)) {
        *ret = consumer;
        return OUTBOX_OK;
    }
    code = outbox_error_code(err);
    if (reterr) {
        outbox_error_free(*reterr);
        *reterr = err;
    } else {
        outbox_error_free(err);
    }
    outbox_consumer_free(consumer);
    return code;
}

/* Why it ended, to the caller. */
static int report(outbox_consumer *consumer, bool left_behind, outbox_error **reterr)
{
    int code;

    if (left_behind)
        return outbox__fail(reterr, OUTBOX_ETIMEOUT, "handler",
                            "a handler does not return: its transaction is cut off, end the process");
    if (!consumer->fatal)
        return OUTBOX_OK;
    code = outbox_error_code(consumer->fatal);
    if (reterr) {
        outbox_error_free(*reterr);
        *reterr = consumer->fatal;
        consumer->fatal = NULL;
    }
    return code;
}

int outbox_consumer_run(outbox_consumer *consumer, outbox_error **reterr)
{
    bool left_behind;

    if (!consumer)
        return outbox__fail(reterr, OUTBOX_EINVAL, "consumer", "consumer: is NULL");
    if (consumer->ran)
        return outbox__fail(reterr, OUTBOX_ESTATE, NULL, "a consumer runs once; make another");
    consumer->ran = true;
    if (workers_start(consumer))
        group_poll(consumer);
    atomic_store(&consumer->stopping, true);
    left_behind = !group_drain(consumer);
    group_mirror(consumer);
    handle_close(consumer, clock_now() + CLOSE_PATIENCE);
    left_behind = !workers_join(consumer, clock_now() + (left_behind ? 0 : JOIN_PATIENCE)) || left_behind;
    return report(consumer, left_behind, reterr);
}

void outbox_consumer_stop(outbox_consumer *consumer)
{
    if (consumer)
        atomic_store(&consumer->stop, true);
}

void outbox_consumer_pause(outbox_consumer *consumer)
{
    if (consumer)
        atomic_store(&consumer->paused, true);
}

void outbox_consumer_resume(outbox_consumer *consumer)
{
    if (!consumer)
        return;
    pthread_mutex_lock(&consumer->lock);
    atomic_store(&consumer->paused, false);
    pthread_cond_broadcast(&consumer->work);
    pthread_mutex_unlock(&consumer->lock);
}

int64_t outbox_consumer_get(const outbox_consumer *consumer, enum outbox_consumer_count count)
{
    if (!consumer || (int)count < 0 || (int)count >= COUNTS)
        return -1;
    return atomic_load(&consumer->counts[count]);
}

/* When librdkafka has ended, whenever that is: its threads use all of this. */
static void release(void *owner)
{
    outbox_consumer *consumer = owner;

    free(consumer->cluster);
    outbox_error_free(consumer->fatal);
    outbox_consumer_options_free(consumer->options);
    pthread_cond_destroy(&consumer->work);
    pthread_cond_destroy(&consumer->settled);
    pthread_mutex_destroy(&consumer->lock);
    free(consumer);
}

void outbox_consumer_free(outbox_consumer *consumer)
{
    rd_kafka_t *handle;

    if (!consumer || !workers_join(consumer, clock_now()))
        return; /* a handler still uses it, as run() has told */
    workers_free(consumer);
    group_free_partitions(consumer);
    handle = consumer->handle;
    if (!handle) {
        release(consumer);
        return;
    }
    rd_kafka_queue_destroy(consumer->queue);
    if (!handle_may_be_destroyed(consumer))
        return; /* it has left the group and does nothing: rather some memory than the process */
    (void)client_destroy(handle, release, consumer, clock_now() + DESTROY_PATIENCE);
}
