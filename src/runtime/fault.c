#include "runtime/fault.h"

#ifdef OUTBOX_FAULT_POINTS

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/log.h"

static atomic_int passages;

void fault_point(const char *name)
{
    const char *wanted = getenv("OUTBOX_FAULT");
    size_t size = strlen(name);
    char *rest = NULL;
    long passage = 1;

    if (!wanted || strncmp(wanted, name, size) != 0 || (wanted[size] != '\0' && wanted[size] != ':'))
        return;
    if (wanted[size] == ':')
        passage = strtol(wanted + size + 1, &rest, 10);
    if (atomic_fetch_add(&passages, 1) + 1 == passage) {
        log_error("fault", LOG_TEXT("point", name)); /* a test must know that it was this one */
        kill(getpid(), rest && strcmp(rest, ":stop") == 0 ? SIGSTOP : SIGKILL);
    }
}

bool fault_planted(const char *name)
{
    const char *wanted = getenv("OUTBOX_PLANTED");

    return wanted && strcmp(wanted, name) == 0;
}

#endif
