/* A service with users: POST, GET, PUT and DELETE, each change with its event in one transaction (users.c). */
#include <arpa/inet.h>
#include <getopt.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http.h"
#include "users.h"

#define CLIENT_TIMEOUT_S 15U       /* for the next bytes of a client */
#define CLIENT_MEMORY 16384UL      /* for the headers of a request */
#define CLIENT_STACK (512UL * 1024)
#define STOP_PATIENCE_MS 15000

struct options {
    const char *listen;
    long port;
    long clients;
    long connections;
    long pool_wait_ms;
    long statement_ms;
    bool set_up;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* No new connections; what has been asked is answered; then the rest is closed. */
static void stop(struct server *server, struct MHD_Daemon *daemon)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    int64_t deadline = now_ms() + STOP_PATIENCE_MS;
    MHD_socket listener;

    atomic_store(&server->stopping, true);
    listener = MHD_quiesce_daemon(daemon);
    /* Else the kernel still lets clients in, to wait for nothing.  It may be closed only when all threads are gone. */
    if (listener != MHD_INVALID_SOCKET)
        shutdown(listener, SHUT_RDWR);
    while (atomic_load(&server->requests) > 0 && now_ms() < deadline)
        nanosleep(&pause, NULL);
    MHD_stop_daemon(daemon);
    if (listener != MHD_INVALID_SOCKET)
        close(listener);
}

/* Serves until SIGTERM or SIGINT.  A real service would stand behind a proxy that does TLS and knows who asks. */
static int serve(struct server *server, const struct options *options)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
    const union MHD_DaemonInfo *bound;
    struct MHD_Daemon *daemon;
    sigset_t signals;
    int number;

    if (inet_pton(AF_INET, options->listen, &address.sin_addr) != 1) {
        fprintf(stderr, "crud-api: --listen needs an IPv4 address, such as 127.0.0.1\n");
        return 2;
    }
    /* Before there are threads, so that they inherit it. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* A thread for each client, so that nobody waits while another one's request waits for the database: with
     * MHD_OPTION_THREAD_POOL_SIZE all clients of one thread would.  The limit bounds the threads, too. */
    daemon = MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC, 0, NULL, NULL, http_handle,
        server, MHD_OPTION_SOCK_ADDR, (const struct sockaddr *)&address, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned int)options->clients, MHD_OPTION_CONNECTION_TIMEOUT, CLIENT_TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CLIENT_MEMORY, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)CLIENT_STACK, MHD_OPTION_NOTIFY_COMPLETED, http_completed, server, MHD_OPTION_END);
    if (!daemon) {
        fprintf(stderr, "crud-api: cannot listen on %s:%ld\n", options->listen, options->port);
        return 1;
    }
    bound = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
    printf("listening on http://%s:%u\n", options->listen,
           bound ? (unsigned int)bound->port : (unsigned int)options->port);
    sigwait(&signals, &number);
    stop(server, daemon);
    return 0;
}

static int run(const struct options *options)
{
    /* From the environment: everybody on the machine can read a command line.  Without it, PGHOST and its like. */
    const char *dsn = getenv("OUTBOX_DSN");
    struct server server = {.pool = pool_new(dsn ? dsn : "", (size_t)options->connections, options->statement_ms),
                            .pool_wait_ms = options->pool_wait_ms};
    PGconn *conn;
    int status = 1;

    if (!server.pool)
        return 1;
    /* Whoever starts it should hear at once if the database is not there. */
    conn = pool_take(server.pool, options->pool_wait_ms);
    if (conn) {
        status = options->set_up ? users_set_up(conn) : 0;
        pool_give(server.pool, conn);
        if (!options->set_up)
            status = serve(&server, options);
    }
    pool_free(server.pool);
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
        {"listen", required_argument, NULL, 'l'},
        {"port", required_argument, NULL, 'p'},
        {"clients", required_argument, NULL, 'n'},
        {"connections", required_argument, NULL, 'c'},
        {"pool-wait-ms", required_argument, NULL, 'w'},
        {"statement-timeout-ms", required_argument, NULL, 'm'},
        {"setup", no_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    bool good = true;
    int option;

    while (good && (option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'l')
            options->listen = optarg;
        else if (option == 'p')
            good = parse_number(optarg, 0, 65535, &options->port);
        else if (option == 'n')
            good = parse_number(optarg, 1, 1000, &options->clients);
        else if (option == 'c')
            good = parse_number(optarg, 1, 100, &options->connections);
        else if (option == 'w')
            good = parse_number(optarg, 1, 60000, &options->pool_wait_ms);
        else if (option == 'm')
            good = parse_number(optarg, 1, 60000, &options->statement_ms);
        else if (option == 's')
            options->set_up = true;
        else
            good = false;
    }
    return good && optind == argc;
}

int main(int argc, char **argv)
{
    struct options options = {.listen = "127.0.0.1",
                              .port = 8080,
                              .clients = 100,
                              .connections = 4,
                              .pool_wait_ms = 2000,
                              .statement_ms = 5000};

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!parse_options(argc, argv, &options)) {
        fputs("usage: crud-api --setup\n"
              "       crud-api [--listen ADDRESS] [--port N] [--clients 1..1000] [--connections 1..100]\n"
              "                [--pool-wait-ms N] [--statement-timeout-ms N]\n"
              "The DSN is taken from OUTBOX_DSN, or its parts from PGHOST, PGDATABASE, ...\n",
              stderr);
        return 2;
    }
    return run(&options);
}
