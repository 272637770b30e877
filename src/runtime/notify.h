/* Tells the supervisor how things are: the protocol of sd_notify(3), one datagram to the
 * socket that NOTIFY_SOCKET names.  Without a supervisor that listens nothing happens. */
#ifndef RUNTIME_NOTIFY_H
#define RUNTIME_NOTIFY_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "runtime/clock.h"

struct notify {
    int fd; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_size;
    mono_us watchdog; /* a sign of life is due so often; 0: none is expected */
};

/* Where to and how often: the values of NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, each
 * of which may be NULL.  False if the first one is there and cannot be used. */
bool notify_open(struct notify *notify, const char *socket_name, const char *watchdog_usec,
                 const char *watchdog_pid);
void notify_close(struct notify *notify);

/* "READY=1", "STATUS=..."; several are separated by newlines.  False if it could not be
 * sent, which is no reason to stop. */
bool notify_send(const struct notify *notify, const char *state);
/* With the time that the protocol asks for. */
bool notify_reloading(const struct notify *notify);

#endif
