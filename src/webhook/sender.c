#include "webhook/sender.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct change {
    struct address_rules *rules;
    mono_us connect_timeout;
};

struct sender {
    pthread_t thread;
    struct mailbox *given;
    struct http *http; /* the thread's alone, but for http_wake() */
    _Atomic(struct change *) change; /* to be made; NULL: none */
    atomic_bool abandon;
    atomic_bool stop;
};

static void make_change(struct sender *sender)
{
    struct change *change = atomic_exchange(&sender->change, NULL);

    if (change)
        http_change(sender->http, change->rules, change->connect_timeout);
    free(change);
}

static void drop_change(struct change *change)
{
    if (change)
        address_rules_free(change->rules);
    free(change);
}

static void *run(void *argument)
{
    struct sender *sender = argument;

    while (!atomic_load(&sender->stop)) {
        struct message *message;

        make_change(sender);
        while ((message = mailbox_take(sender->given, 0)) != NULL)
            http_begin(sender->http, (struct http_exchange *)(void *)message);
        if (atomic_exchange(&sender->abandon, false))
            http_abandon(sender->http);
        http_work(sender->http, clock_now() + SECONDS(1));
    }
    return NULL;
}

static void free_sender(struct sender *sender)
{
    drop_change(atomic_load(&sender->change));
    http_free(sender->http);
    mailbox_free(sender->given);
    free(sender);
}

struct sender *sender_start(const struct http_settings *settings, struct mailbox *done, outbox_error **reterr)
{
    struct sender *sender = calloc(1, sizeof(*sender));

    if (!sender) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    sender->given = mailbox_new();
    if (!sender->given) {
        outbox__fail_memory(reterr);
        goto fail;
    }
    sender->http = http_new(settings, done, reterr);
    if (!sender->http)
        goto fail;
    if (pthread_create(&sender->thread, NULL, run, sender) != 0) {
        outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "cannot start the thread that sends webhooks");
        goto fail;
    }
    return sender;

fail:
    free_sender(sender);
    return NULL;
}

void sender_give(struct sender *sender, struct http_exchange *exchange)
{
    mailbox_put(sender->given, &exchange->message);
}

void sender_wake(struct sender *sender)
{
    http_wake(sender->http);
}

int sender_change(struct sender *sender, const char *allowed_addresses, mono_us connect_timeout,
                  outbox_error **reterr)
{
    struct change *change = calloc(1, sizeof(*change));

    if (!change)
        return outbox__fail_memory(reterr);
    change->connect_timeout = connect_timeout;
    change->rules = address_rules_new(allowed_addresses, reterr);
    if (!change->rules) {
        free(change);
        return OUTBOX_EINVAL;
    }
    drop_change(atomic_exchange(&sender->change, change));
    http_wake(sender->http);
    return OUTBOX_OK;
}

void sender_abandon(struct sender *sender)
{
    atomic_store(&sender->abandon, true);
    http_wake(sender->http);
}

bool sender_stop(struct sender *sender, mono_us deadline)
{
    if (!sender)
        return true;
    atomic_store(&sender->stop, true);
    http_wake(sender->http);
    if (!clock_join(sender->thread, deadline)) {
        pthread_detach(sender->thread);
        return false;
    }
    free_sender(sender);
    return true;
}
