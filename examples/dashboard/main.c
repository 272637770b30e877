/* A page that shows what analytics counts, as it happens: one HTML file, and a stream of events to it. */
#include <arpa/inet.h>
#include <getopt.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "feed.h"
#include "page.h"
#include "stream.h"

#define CLIENT_TIMEOUT_S 30U
#define CLIENT_MEMORY (64UL * 1024)
#define CLIENT_STACK (256UL * 1024)

struct server {
    struct feed *feed;
    struct page page;
};

struct options {
    const char *listen;
    const char *page;
    long port;
    long clients;
    long window;
};

static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned int status,
                                     struct MHD_Response *response)
{
    enum MHD_Result queued;

    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned int status, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);

    if (response && status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    return send_response(connection, status, response);
}

static enum MHD_Result send_page(const struct server *server, struct MHD_Connection *connection)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(server->page.size, server->page.text, MHD_RESPMEM_PERSISTENT);

    if (response) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/html; charset=utf-8");
        MHD_add_response_header(response, "Content-Security-Policy", server->page.policy);
        MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
    }
    return send_response(connection, MHD_HTTP_OK, response);
}

/* What the browser has seen: it tells by itself when it connects again, the page by ?last= when it had to. */
static int64_t last_seen(struct MHD_Connection *connection)
{
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Last-Event-ID");
    const char *query = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "last");
    const char *text = header ? header : query ? query : "";
    char *end;
    long long id = strtoll(text, &end, 10);

    return end != text && *end == '\0' && id > 0 ? id : 0;
}

static enum MHD_Result handle(void *argument, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *data, size_t *size, void **state)
{
    struct server *server = argument;

    (void)version;
    (void)data;
    if (!*state) {
        *state = server; /* the headers are there; to be called again */
        return MHD_YES;
    }
    if (*size > 0) {
        *size = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return send_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET only\n");
    if (strcmp(path, "/") == 0)
        return send_page(server, connection);
    if (strcmp(path, "/events") == 0)
        return send_response(connection, MHD_HTTP_OK, stream_response(server->feed, last_seen(connection)));
    return send_text(connection, MHD_HTTP_NOT_FOUND, "no such page\n");
}

/* A stream sends all the while, so its own timeout never comes: who is gone without a word, and does not acknowledge
 * what is sent, would keep his place for the quarter of an hour that the kernel tries.  Clients inherit it. */
static void bound_silence(struct MHD_Daemon *daemon)
{
    const union MHD_DaemonInfo *listener = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_LISTEN_FD);
    unsigned int milliseconds = CLIENT_TIMEOUT_S * 1000;

    if (!listener || setsockopt(listener->listen_fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds,
                                sizeof(milliseconds)) != 0)
        fputs("dashboard: clients that vanish are noticed late\n", stderr);
}

/* Serves until SIGTERM or SIGINT.  TLS, and who may look, are the business of the proxy in front of it. */
static int serve(struct server *server, const struct options *options)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
    const union MHD_DaemonInfo *bound;
    struct MHD_Daemon *daemon;
    sigset_t signals;
    int number;

    if (inet_pton(AF_INET, options->listen, &address.sin_addr) != 1) {
        fprintf(stderr, "dashboard: --listen needs an IPv4 address, such as 127.0.0.1\n");
        return 2;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    /* A thread for each client, which waits for news; the limit bounds the threads, too. */
    daemon = MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC, 0, NULL,
                              NULL, handle, server, MHD_OPTION_SOCK_ADDR, (const struct sockaddr *)&address,
                              MHD_OPTION_CONNECTION_LIMIT, (unsigned int)options->clients,
                              MHD_OPTION_CONNECTION_TIMEOUT, CLIENT_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                              (size_t)CLIENT_MEMORY, MHD_OPTION_THREAD_STACK_SIZE, (size_t)CLIENT_STACK,
                              MHD_OPTION_END);
    if (!daemon) {
        fprintf(stderr, "dashboard: cannot listen on %s:%ld\n", options->listen, options->port);
        return 1;
    }
    bound_silence(daemon);
    bound = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
    printf("listening on http://%s:%u\n", options->listen,
           bound ? (unsigned int)bound->port : (unsigned int)options->port);
    sigwait(&signals, &number);
    feed_stop(server->feed); /* ends the streams, so that their threads end */
    MHD_stop_daemon(daemon);
    return 0;
}

static int run(const struct options *options)
{
    /* From the environment: everybody on the machine can read a command line.  Without it, PGHOST and its like. */
    const char *dsn = getenv("OUTBOX_DSN");
    struct server server = {0};
    sigset_t signals;
    int status;

    if (!page_read(options->page, &server.page))
        return 1;
    /* Before there are threads, so that they inherit it. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    server.feed = feed_new(dsn ? dsn : "", options->window, 250);
    if (!server.feed)
        return 1;
    status = serve(&server, options);
    feed_stop(server.feed);
    feed_free(server.feed);
    page_free(&server.page);
    return status;
}

static bool parse_number(const char *text, long min, long max, long *ret_number)
{
    char *end;

    *ret_number = strtol(text, &end, 10);
    return end != text && *end == '\0' && *ret_number >= min && *ret_number <= max;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        {"listen", required_argument, NULL, 'l'},  {"port", required_argument, NULL, 'p'},
        {"clients", required_argument, NULL, 'c'}, {"window", required_argument, NULL, 'w'},
        {"page", required_argument, NULL, 'P'},    {NULL, 0, NULL, 0},
    };
    bool good = true;
    int option;

    while (good && (option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'l')
            options->listen = optarg;
        else if (option == 'P')
            options->page = optarg;
        else if (option == 'p')
            good = parse_number(optarg, 0, 65535, &options->port);
        else if (option == 'c')
            good = parse_number(optarg, 1, 1000, &options->clients);
        else if (option == 'w')
            good = parse_number(optarg, 10, 600, &options->window);
        else
            good = false;
    }
    return good && optind == argc;
}

int main(int argc, char **argv)
{
    struct options options = {
        .listen = "127.0.0.1", .page = "dashboard.html", .port = 8090, .clients = 100, .window = 60};

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!parse_options(argc, argv, &options)) {
        fputs("usage: dashboard [--page FILE] [--listen ADDRESS] [--port N] [--clients 1..1000] [--window 10..600]\n"
              "The DSN is taken from OUTBOX_DSN, or its parts from PGHOST, PGDATABASE, ...\n",
              stderr);
        return 2;
    }
    return run(&options);
}
