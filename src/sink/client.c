#include "sink/client.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct closing {
    rd_kafka_t *handle;
    void (*release)(void *owner);
    void *owner;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
    bool abandoned; /* nobody waits: the thread frees this */
};

static void closing_free(struct closing *closing)
{
    pthread_cond_destroy(&closing->changed);
    pthread_mutex_destroy(&closing->lock);
    free(closing);
}

static void *run_closing(void *argument)
{
    struct closing *closing = argument;
    bool abandoned;

    rd_kafka_destroy(closing->handle);
    closing->release(closing->owner);
    pthread_mutex_lock(&closing->lock);
    closing->done = true;
    abandoned = closing->abandoned;
    pthread_cond_signal(&closing->changed);
    pthread_mutex_unlock(&closing->lock);
    if (abandoned)
        closing_free(closing);
    return NULL;
}

static struct closing *closing_new(rd_kafka_t *handle, void (*release)(void *owner), void *owner)
{
    struct closing *closing = calloc(1, sizeof(*closing));
    pthread_condattr_t attributes;

    if (!closing)
        return NULL;
    *closing = (struct closing){.handle = handle, .release = release, .owner = owner};
    pthread_mutex_init(&closing->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&closing->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return closing;
}

static bool wait_closed(struct closing *closing, mono_us deadline)
{
    const struct timespec until = {.tv_sec = deadline / 1000000, .tv_nsec = deadline % 1000000 * 1000};
    bool done;

    pthread_mutex_lock(&closing->lock);
    while (!closing->done && pthread_cond_timedwait(&closing->changed, &closing->lock, &until) == 0)
        ;
    done = closing->done;
    closing->abandoned = !done;
    pthread_mutex_unlock(&closing->lock);
    if (done)
        closing_free(closing);
    return done;
}

bool client_destroy(struct rd_kafka_s *handle, void (*release)(void *owner), void *owner, mono_us deadline)
{
    struct closing *closing = closing_new(handle, release, owner);
    pthread_attr_t attributes;
    pthread_t thread;
    int failed = -1;

    if (closing && pthread_attr_init(&attributes) == 0) {
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        failed = pthread_create(&thread, &attributes, run_closing, closing);
        pthread_attr_destroy(&attributes);
    }
    if (failed) { /* then at the price of waiting */
        if (closing)
            closing_free(closing);
        rd_kafka_destroy(handle);
        release(owner);
        return true;
    }
    return wait_closed(closing, deadline);
}
