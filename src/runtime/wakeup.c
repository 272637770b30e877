#include "runtime/wakeup.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int wakeup_open(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void wakeup_send(int fd)
{
    uint64_t one = 1;
    int saved = errno;

    /* Fails only when 2^64-2 wake-ups are pending: then the reader is woken anyway. */
    if (write(fd, &one, sizeof(one)) < 0)
        errno = saved;
}

void wakeup_clear(int fd)
{
    uint64_t count;
    int saved = errno;

    if (read(fd, &count, sizeof(count)) < 0)
        errno = saved; /* nothing was pending */
}
