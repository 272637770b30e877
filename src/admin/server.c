#include "admin/server.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


#define CONNECTIONS 16
#define IDLE_SECONDS 10
#define CONNECTION_MEMORY 16384
#define PAGE_MAX (1 << 20)
#define TEXT_TYPE "text/plain; charset=utf-8"

struct admin_server {
    struct MHD_Daemon *daemon;
    const struct admin_route *routes;
    void *context;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              const char *body, size_t size)
{
    union {
        const void *constant;
        void *plain;
    } copied = {body}; /* MHD_RESPMEM_MUST_COPY does not change it */
    struct MHD_Response *response = MHD_create_response_from_buffer(size, copied.plain, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_NO;

    if (!response)
        return MHD_NO;
    if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES &&
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES &&
        (status != MHD_HTTP_METHOD_NOT_ALLOWED ||
         MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES))
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status, const char *text)
{
    return answer(connection, status, TEXT_TYPE, text, strlen(text));
}

static enum MHD_Result answer_not_found(const struct admin_server *server, struct MHD_Connection *connection)
{
    struct outbox__buf out = OUTBOX__BUF_INIT(PAGE_MAX);
    enum MHD_Result result;

    outbox__buf_puts(&out, "not found; there is:\n");
    for (const struct admin_route *route = server->routes; route->path; route++)
        outbox__buf_printf(&out, "  %s\n", route->path);
    result = answer_text(connection, MHD_HTTP_NOT_FOUND, out.failed ? "not found\n" : outbox__buf_text(&out));
    outbox__buf_free(&out);
    return result;
}

static enum MHD_Result answer_page(const struct admin_server *server, const struct admin_route *route,
                                   struct MHD_Connection *connection)
{
    struct outbox__buf out = OUTBOX__BUF_INIT(PAGE_MAX);
    unsigned status = route->render(server->context, &out);
    enum MHD_Result result;

    if (out.failed)
        result = answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
    else
        result = answer(connection, status, route->type, outbox__buf_text(&out), out.size);
    outbox__buf_free(&out);
    return result;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload, size_t *upload_size,
                              void **request)
{
    static char seen;
    const struct admin_server *server = context;

    (void)version;
    (void)upload;
    if (!*request) { /* the headers alone: an answer now would close the connection */
        *request = &seen;
        return MHD_YES;
    }
    if (*upload_size != 0) { /* of no use to us */
        *upload_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    for (const struct admin_route *route = server->routes; route->path; route++) {
        if (strcmp(route->path, url) == 0)
            return answer_page(server, route, connection);
    }
    return answer_not_found(server, connection);
}

/* What clients do wrong is theirs to look at. */
static void ignore_log(void *context, const char *format, va_list arguments)
{
    (void)context;
    (void)format;
    (void)arguments;
}

struct admin_server *admin_server_start(int fd, const struct admin_route *routes, void *context)
{
    struct admin_server *server = calloc(1, sizeof(*server));

    if (!server) {
        close(fd);
        return NULL;
    }
    server->routes = routes;
    server->context = context;
    server->daemon = MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, server,
        MHD_OPTION_EXTERNAL_LOGGER, ignore_log, NULL, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
    if (!server->daemon) {
        free(server); /* the library may have closed the socket already */
        return NULL;
    }
    return server;
}

void admin_server_stop(struct admin_server *server)
{
    if (!server)
        return;
    MHD_stop_daemon(server->daemon); /* closes the socket, too */
    free(server);
}
