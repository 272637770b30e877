#include "admin/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/sockaddr.h"

static bool is_loopback(const struct sockaddr_storage *address)
{
    const struct sockaddr_in *four = (const void *)address;
    const struct sockaddr_in6 *six = (const void *)address;

    if (address->ss_family == AF_INET)
        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

int listen_open(const char *address, bool *ret_loopback)
{
    struct sockaddr_storage where;
    socklen_t size;
    int one = 1;
    int fd, saved;

    if (!sockaddr_parse(address, &where, &size)) {
        errno = EINVAL;
        return -1;
    }
    *ret_loopback = is_loopback(&where);
    fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
        bind(fd, (const struct sockaddr *)&where, size) == 0 && listen(fd, 16) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

void listen_name(int fd, char *ret, size_t room)
{
    struct sockaddr_storage where = {0};
    socklen_t size = sizeof(where);

    ret[0] = '\0';
    if (getsockname(fd, (struct sockaddr *)&where, &size) == 0)
        sockaddr_text(&where, ret, room);
}
