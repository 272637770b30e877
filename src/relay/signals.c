#include "relay/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "relay/message.h"
#include "runtime/die.h"

static sigset_t awaited;

static void *signals_main(void *argument)
{
    struct mailbox *answers = argument;

    pthread_setname_np(pthread_self(), "signals");
    for (;;) {
        struct relay_message *message;
        int number;

        if (sigwait(&awaited, &number) != 0)
            continue;
        message = calloc(1, sizeof(*message));
        if (!message)
            runtime_die("out_of_memory", "signals"); /* who asks it to stop may ask only once */
        message->kind = RELAY_SIGNAL;
        message->number = number;
        mailbox_put(answers, &message->head);
    }
    return NULL;
}

bool signals_start(struct mailbox *answers)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    pthread_t thread;

    sigemptyset(&awaited);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGHUP);
    if (sigaction(SIGPIPE, &ignore, NULL) != 0 || pthread_sigmask(SIG_BLOCK, &awaited, NULL) != 0)
        return false;
    if (pthread_create(&thread, NULL, signals_main, answers) != 0)
        return false;
    pthread_detach(thread);
    return true;
}
