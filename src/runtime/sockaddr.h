/* "127.0.0.1:9464" and "[::1]:9464": a numeric address with a port. */
#ifndef RUNTIME_SOCKADDR_H
#define RUNTIME_SOCKADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* False if it is none; names are not looked up. */
bool sockaddr_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_size);
void sockaddr_text(const struct sockaddr_storage *address, char *ret, size_t room);

#endif
