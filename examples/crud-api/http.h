/* HTTP for the users: routes, methods, headers, bodies, and the status of each outcome. */
#ifndef CRUD_API_HTTP_H
#define CRUD_API_HTTP_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "pool.h"

struct server {
    struct pool *pool;
    long pool_wait_ms;
    atomic_uint requests; /* under way */
    atomic_bool stopping; /* each answer is the last one of its connection */
};

/* For MHD_start_daemon() and MHD_OPTION_NOTIFY_COMPLETED, both with a struct server.  Any number of threads
 * may call them. */
enum MHD_Result http_handle(void *server, struct MHD_Connection *connection, const char *path, const char *method,
                            const char *version, const char *data, size_t *size, void **state);
void http_completed(void *server, struct MHD_Connection *connection, void **state,
                    enum MHD_RequestTerminationCode code);

#endif
