/* Records the results of webhooks, on a thread and a connection of its own: so that claims
 * do not wait for results, nor results for claims. */
#ifndef WEBHOOK_RECORDER_H
#define WEBHOOK_RECORDER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "runtime/clock.h"
#include "runtime/mailbox.h"
#include "webhook/task.h"

struct recorder;

/* done: where tasks go when their fate is known; stop_at: nothing takes longer than until
 * then.  Borrows what it is given.  NULL on failure. */
struct recorder *recorder_start(const char *dsn, const char *worker, const _Atomic mono_us *stop_at,
                                struct mailbox *done, outbox_error **reterr);
/* A concluded task.  It comes back through the mailbox with its fate, unless the recorder
 * is stopped before. */
void recorder_give(struct recorder *recorder, struct task *task);
/* Ends the thread and frees the recorder.  False if it is stuck in a call beyond the
 * deadline: then its memory, and what it borrowed, must stay.  NULL: true. */
bool recorder_stop(struct recorder *recorder, mono_us deadline);

#endif
