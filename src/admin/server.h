/* A small HTTP server for operators: GET and HEAD of a few pages, on a thread of its own.
 * Few connections, short timeouts, no keep-alive beyond them. */
#ifndef ADMIN_SERVER_H
#define ADMIN_SERVER_H

#include "base/buf.h"

struct admin_route {
    const char *path;
    const char *type; /* of its content */
    /* Writes the page, on the server's thread; returns the HTTP status. */
    unsigned (*render)(void *context, struct outbox__buf *out);
};

struct admin_server;

/* Serves on fd, a listening socket, which is the server's from here on, also on failure.
 * routes (a row without path at their end) and context must outlive it.  NULL on failure. */
struct admin_server *admin_server_start(int fd, const struct admin_route *routes, void *context);
/* Waits for the page that is being written.  NULL is allowed. */
void admin_server_stop(struct admin_server *server);

#endif
