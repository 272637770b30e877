/* How threads talk: a queue of messages, any number of writers, one reader. */
#ifndef RUNTIME_MAILBOX_H
#define RUNTIME_MAILBOX_H

#include <stdbool.h>

#include "runtime/clock.h"

/* The head of every message; the rest belongs to sender and receiver. */
struct message {
    struct message *next;
};

struct mailbox;

/* NULL if there is no memory. */
struct mailbox *mailbox_new(void);
/* The queue must be empty. */
void mailbox_free(struct mailbox *mailbox);
/* The reader owns the message afterwards.  Any thread. */
void mailbox_put(struct mailbox *mailbox, struct message *message);
/* The oldest message, waiting for one until the deadline; NULL when that passes. */
struct message *mailbox_take(struct mailbox *mailbox, mono_us deadline);

#endif
