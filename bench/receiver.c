/* receiver: answers every HTTP request with 200 and an empty body, on one thread, and does
 * as little else as it can.  Prints its port; when its standard input ends, the number of
 * requests that it answered.  A request has a Content-Length, as those of libcurl do. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM 65536 /* of a request */
#define EVENTS 256

struct peer {
    int fd;
    size_t size;
    char data[ROOM];
};

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
static uint64_t answered;

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void hang_up(struct peer *peer)
{
    close(peer->fd);
    free(peer);
}

/* The size of the request that data begins with; 0 if it is not all there. */
static size_t request_size(const char *data, size_t size)
{
    static const char name[] = "\r\ncontent-length:";
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    size_t whole;

    if (!end)
        return 0;
    whole = (size_t)(end - data) + 4;
    for (const char *line = memchr(data, '\r', size); line && line < end;
         line = memchr(line + 1, '\r', (size_t)(end - line))) {
        if (strncasecmp(line, name, sizeof(name) - 1) == 0) {
            whole += strtoul(line + sizeof(name) - 1, NULL, 10);
            break;
        }
    }
    return whole <= size ? whole : 0;
}

/* False if the connection is of no use any more. */
static bool serve(struct peer *peer)
{
    ssize_t got = recv(peer->fd, peer->data + peer->size, ROOM - peer->size, 0);
    size_t size;

    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    peer->size += (size_t)got;
    while ((size = request_size(peer->data, peer->size)) > 0) {
        if (send(peer->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(answer) - 1)
            return false;
        answered++;
        peer->size -= size;
        memmove(peer->data, peer->data + size, peer->size);
    }
    return peer->size < ROOM;
}

static void welcome(int listener, int poller)
{
    const int yes = 1;
    struct peer *peer;
    struct epoll_event event = {.events = EPOLLIN};
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    peer = malloc(sizeof(*peer));
    if (!peer)
        die("receiver");
    peer->fd = fd;
    peer->size = 0;
    event.data.ptr = peer;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static int listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        die("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void watch(int poller, int fd, void *tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = tag}};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

int main(void)
{
    static int listener_tag, end_tag;
    struct epoll_event events[EVENTS];
    int poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_anywhere();

    if (poller < 0)
        die("epoll_create1");
    watch(poller, listener, &listener_tag);
    watch(poller, STDIN_FILENO, &end_tag);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS, -1);

        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &end_tag) {
                printf("%llu\n", (unsigned long long)answered);
                return 0;
            }
            if (events[i].data.ptr == &listener_tag)
                welcome(listener, poller);
            else if (!serve(events[i].data.ptr))
                hang_up(events[i].data.ptr);
        }
    }
}
