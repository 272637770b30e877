/* Is it this machine?  Only there may be spoken without TLS, unless insecure=yes. */
#ifndef RUNTIME_LOOPBACK_H
#define RUNTIME_LOOPBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* "localhost", or an address of 127.0.0.0/8 or ::1.  A name that merely resolves to one
 * does not count: what it resolves to may change. */
bool loopback_name(const char *host, size_t size);
bool loopback_address(const struct sockaddr *address);

#endif
