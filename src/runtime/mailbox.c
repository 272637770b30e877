#include "runtime/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct message *first;
    struct message **last;
};

struct mailbox *mailbox_new(void)
{
    struct mailbox *mailbox = calloc(1, sizeof(*mailbox));
    pthread_condattr_t attributes;

    if (!mailbox)
        return NULL;
    mailbox->last = &mailbox->first;
    pthread_mutex_init(&mailbox->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&mailbox->filled, &attributes);
    pthread_condattr_destroy(&attributes);
    return mailbox;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (!mailbox)
        return;
    pthread_cond_destroy(&mailbox->filled);
    pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
}

void mailbox_put(struct mailbox *mailbox, struct message *message)
{
    message->next = NULL;
    pthread_mutex_lock(&mailbox->lock);
    *mailbox->last = message;
    mailbox->last = &message->next;
    pthread_cond_signal(&mailbox->filled);
    pthread_mutex_unlock(&mailbox->lock);
}

struct message *mailbox_take(struct mailbox *mailbox, mono_us deadline)
{
    struct timespec until = {deadline / 1000000, deadline % 1000000 * 1000};
    struct message *message;

    pthread_mutex_lock(&mailbox->lock);
    while (!mailbox->first && deadline > 0) {
        if (pthread_cond_timedwait(&mailbox->filled, &mailbox->lock, &until) == ETIMEDOUT)
            break;
    }
    message = mailbox->first;
    if (message) {
        mailbox->first = message->next;
        if (!mailbox->first)
            mailbox->last = &mailbox->first;
    }
    pthread_mutex_unlock(&mailbox->lock);
    return message;
}
