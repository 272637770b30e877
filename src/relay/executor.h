/* A thread that does one lane action after the other and reports each by a message. */
#ifndef RELAY_EXECUTOR_H
#define RELAY_EXECUTOR_H

#include "relay/message.h"

struct lane_job {
    struct message head;
    bool quit;
    int map;
    struct lane_action action;
    struct page *page; /* borrowed; with LANE_DO_PUBLISH */
    char *faults; /* with LANE_DO_PARK; whoever does it frees it */
    struct lane_identity identity;
};

/* Does the action and fills in *answer (which comes zeroed, with event.now set afterwards). */
typedef void executor_run(void *context, const struct lane_job *job, struct relay_message *answer);
/* After each action, and whenever wake_fd was written to: puts what it has to tell unasked
 * into `answers`, and returns. */
typedef void executor_serve(void *context, struct mailbox *answers);
/* Called on the thread before it ends. */
typedef void executor_end(void *context);

struct executor;

struct executor_settings {
    const char *name;
    int lane; /* in the answers */
    executor_run *run;
    executor_serve *serve; /* NULL: it tells nothing unasked */
    executor_end *end;     /* NULL: nothing to end */
    void *context;
    int wake_fd; /* with serve: an eventfd, of the context */
};

/* Starts the thread.  Answers go to `answers`.  NULL on failure. */
struct executor *executor_start(const struct executor_settings *settings, struct mailbox *answers);
/* Queues a job (a copy of it).  False without memory. */
bool executor_submit(struct executor *executor, const struct lane_job *job);
/* Waits for the present job until the deadline.  False if it did not end by then: then
 * nothing that the thread uses may be freed.  NULL is allowed. */
bool executor_stop(struct executor *executor, mono_us deadline);

#endif
