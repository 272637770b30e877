/* A thread that does one lane action after the other and reports each by a message. */
#ifndef RELAY_EXECUTOR_H
#define RELAY_EXECUTOR_H

#include "relay/message.h"

struct lane_job {
    struct message head;
    bool quit;
    struct lane_action action;
    struct page *page; /* borrowed; with LANE_DO_PUBLISH */
    struct lane_identity identity;
};

/* Does the action and fills in *answer (which comes zeroed, with event.now set afterwards). */
typedef void executor_run(void *context, const struct lane_job *job, struct relay_message *answer);
/* Called on the thread before it ends. */
typedef void executor_end(void *context);

struct executor;

/* Starts the thread.  Answers go to `answers`.  NULL on failure. */
struct executor *executor_start(const char *name, executor_run *run, executor_end *end, void *context,
                                struct mailbox *answers);
/* Queues a job (a copy of it).  False without memory. */
bool executor_submit(struct executor *executor, const struct lane_job *job);
/* Waits for the present job until the deadline.  False if it did not end by then: then
 * nothing that the thread uses may be freed.  NULL is allowed. */
bool executor_stop(struct executor *executor, mono_us deadline);

#endif
