#include "relay/executor.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/die.h"
#include "runtime/wakeup.h"

struct executor {
    struct executor_settings settings;
    pthread_t thread;
    struct mailbox *jobs;
    struct mailbox *answers;
};

/* Should a wake-up get lost, news waits no longer than this. */
#define LOOK_ANYWAY_MS 1000

/* A job that cannot be answered would leave the lane waiting for ever. */
static struct relay_message *new_answer(const struct executor *executor)
{
    struct relay_message *answer = calloc(1, sizeof(*answer));

    if (!answer)
        runtime_die("out_of_memory", executor->settings.name);
    answer->kind = RELAY_LANE_EVENT;
    answer->lane = executor->settings.lane;
    return answer;
}

/* NULL: look again. */
static struct lane_job *next_job(const struct executor *executor)
{
    const struct executor_settings *settings = &executor->settings;
    struct pollfd fd = {.fd = settings->wake_fd, .events = POLLIN};
    struct lane_job *job;

    if (!settings->serve)
        return (struct lane_job *)mailbox_take(executor->jobs, clock_now() + SECONDS(3600));
    job = (struct lane_job *)mailbox_take(executor->jobs, 0);
    if (job)
        return job;
    if (poll(&fd, 1, LOOK_ANYWAY_MS) > 0)
        wakeup_clear(settings->wake_fd);
    settings->serve(settings->context, executor->answers);
    return NULL;
}

static void *executor_main(void *argument)
{
    struct executor *executor = argument;
    char name[16];

    snprintf(name, sizeof(name), "%s %d", executor->settings.name, executor->settings.lane);
    pthread_setname_np(pthread_self(), name);
    for (;;) {
        struct lane_job *job = next_job(executor);
        struct relay_message *answer;

        if (!job)
            continue;
        if (job->quit) {
            free(job);
            break;
        }
        answer = new_answer(executor);
        executor->settings.run(executor->settings.context, job, answer);
        answer->event.now = clock_now();
        mailbox_put(executor->answers, &answer->head);
        if (executor->settings.serve)
            executor->settings.serve(executor->settings.context, executor->answers);
        free(job);
    }
    if (executor->settings.end)
        executor->settings.end(executor->settings.context);
    return NULL;
}

struct executor *executor_start(const struct executor_settings *settings, struct mailbox *answers)
{
    struct executor *executor = calloc(1, sizeof(*executor));

    if (!executor)
        return NULL;
    executor->settings = *settings;
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
    if (executor->settings.serve)
        wakeup_send(executor->settings.wake_fd);
    return true;
}

bool executor_stop(struct executor *executor, mono_us deadline)
{
    struct lane_job quit = {.quit = true};

    if (!executor)
        return true;
    if (!executor_submit(executor, &quit))
        return false;
    if (!clock_join(executor->thread, deadline))
        return false;
    mailbox_free(executor->jobs);
    free(executor);
    return true;
}
