#include "runtime/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool read_number(const char *text, int64_t *ret)
{
    char *end;

    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* A name that begins with "@" is in the abstract namespace, where a zero byte comes first. */
static bool set_address(struct notify *notify, const char *name)
{
    size_t size = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || size < 2 || size >= sizeof(notify->address.sun_path))
        return false;
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, name, size);
    if (name[0] == '@')
        notify->address.sun_path[0] = '\0';
    notify->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] == '/'));
    return true;
}

bool notify_open(struct notify *notify, const char *socket_name, const char *watchdog_usec,
                 const char *watchdog_pid)
{
    int64_t usec, pid;

    *notify = (struct notify){.fd = -1};
    if (!socket_name || !*socket_name)
        return true;
    if (!set_address(notify, socket_name))
        return false;
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->fd < 0)
        return false;
    if (read_number(watchdog_usec, &usec) &&
        (!watchdog_pid || (read_number(watchdog_pid, &pid) && pid == getpid())))
        notify->watchdog = usec;
    return true;
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}

bool notify_send(const struct notify *notify, const char *state)
{
    ssize_t sent;

    if (notify->fd < 0)
        return true;
    do
        /* A supervisor that does not read must not hold us up. */
        sent = sendto(notify->fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
                      (const struct sockaddr *)&notify->address, notify->address_size);
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

bool notify_reloading(const struct notify *notify)
{
    char state[64];

    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_now());
    return notify_send(notify, state);
}
