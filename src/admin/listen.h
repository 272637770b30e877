/* The address on which the admin server listens: "127.0.0.1:9464", "[::1]:9464". */
#ifndef ADMIN_LISTEN_H
#define ADMIN_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Of a listening socket: -1 with errno.  *ret_loopback: nobody but this machine can reach it. */
int listen_open(const char *address, bool *ret_loopback);
/* Where it really listens: port 0 asks for any. */
void listen_name(int fd, char *ret, size_t room);

#endif
