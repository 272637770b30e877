#include "relay/executor.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/log.h"

struct executor {
    char name[16];
    pthread_t thread;
    struct mailbox *jobs;
    struct mailbox *answers;
    executor_run *run;
    executor_end *end;
    void *context;
};

/* A job that cannot be answered would leave the lane waiting for ever. */
static struct relay_message *new_answer(const struct executor *executor)
{
    struct relay_message *answer = calloc(1, sizeof(*answer));

    if (!answer) {
        log_error("out_of_memory", LOG_TEXT("thread", executor->name));
        abort();
    }
    answer->kind = RELAY_LANE_EVENT;
    return answer;
}

static void *executor_main(void *argument)
{
    struct executor *executor = argument;

    pthread_setname_np(pthread_self(), executor->name);
    for (;;) {
        struct lane_job *job = (struct lane_job *)mailbox_take(executor->jobs, clock_now() + SECONDS(3600));
        struct relay_message *answer;

        if (!job)
            continue;
        if (job->quit) {
            free(job);
            break;
        }
        answer = new_answer(executor);
        executor->run(executor->context, job, answer);
        answer->event.now = clock_now();
        mailbox_put(executor->answers, &answer->head);
        free(job);
    }
    if (executor->end)
        executor->end(executor->context);
    return NULL;
}

struct executor *executor_start(const char *name, executor_run *run, executor_end *end, void *context,
                                struct mailbox *answers)
{
    struct executor *executor = calloc(1, sizeof(*executor));

    if (!executor)
        return NULL;
    snprintf(executor->name, sizeof(executor->name), "%s", name);
    executor->run = run;
    executor->end = end;
    executor->context = context;
    executor->answers = answers;
    executor->jobs = mailbox_new();
    if (!executor->jobs || pthread_create(&executor->thread, NULL, executor_main, executor) != 0) {
        mailbox_free(executor->jobs);
        free(executor);
        return NULL;
    }
    return executor;
}

bool executor_submit(struct executor *executor, const struct lane_job *job)
{
    struct lane_job *copy = malloc(sizeof(*copy));

    if (!copy)
        return false;
    *copy = *job;
    mailbox_put(executor->jobs, &copy->head);
    return true;
}

bool executor_stop(struct executor *executor, mono_us deadline)
{
    struct lane_job quit = {.quit = true};
    int left = clock_until_ms(deadline);
    struct timespec until;

    if (!executor)
        return true;
    if (!executor_submit(executor, &quit))
        return false;
    clock_gettime(CLOCK_REALTIME, &until); /* the clock that pthread_timedjoin_np goes by */
    until.tv_sec += left / 1000;
    until.tv_nsec += (long)(left % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    if (pthread_timedjoin_np(executor->thread, NULL, &until) != 0)
        return false;
    mailbox_free(executor->jobs);
    free(executor);
    return true;
}
