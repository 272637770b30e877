/* A receiver of webhooks that has each effect exactly once: it verifies the signature, and remembers
 * what it has done in the transaction in which it does it (inbox.c).
 *
 * One thread serves all requests, one after the other, on one database connection. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <outbox/outbox.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "inbox.h"

#define BODY_LIMIT ((size_t)2 * 1024 * 1024)
#define SECRETS_MAX 4 /* the old and the new one, while one is being replaced */

struct receiver {
    PGconn *conn;
    char *secret_text;
    const char *secrets[SECRETS_MAX];
    size_t secret_count;
    long fail_percent;
    FILE *ledger;
};

/* A request while its body arrives.  body[size] is 0, for jsonb. */
struct request {
    char *body;
    size_t size;
    bool too_large;
};

static const struct route {
    const char *path;
    const char *type;
} routes[] = {
    {"/webhook/user_created", "user_created"},
    {"/webhook/order_placed", "order_placed"},
    {"/webhook/alert_raised", "alert_raised"},
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int status, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result queued;

    if (!response)
        return MHD_NO;
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, MHD_HTTP_METHOD_POST);
    queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static bool append(struct request *request, const char *data, size_t size)
{
    char *grown;

    if (size > BODY_LIMIT - request->size) {
        request->too_large = true;
        return true;
    }
    grown = realloc(request->body, request->size + size + 1);
    if (!grown)
        return false;
    memcpy(grown + request->size, data, size);
    request->body = grown;
    request->size += size;
    grown[request->size] = '\0';
    return true;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* Says on standard output, and in the ledger, what became of an event; after its COMMIT. */
static void report(const struct receiver *receiver, const char *what, const char *id, const char *type)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    printf("%s %s %s\n", type, id, what);
    if (receiver->ledger)
        fprintf(receiver->ledger, "%s %s %s %" PRId64 "\n", what, id, type,
                (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

/* To try the sender: this share of the requests fails, half of them before any work, half after it
 * (as if the answer got lost). */
static bool chance(const struct receiver *receiver)
{
    return random() % 200 < receiver->fail_percent;
}

static enum MHD_Result receive(const struct receiver *receiver, struct MHD_Connection *connection,
                               const struct request *request, const char *type)
{
    const outbox_webhook hook = {
        .id = header(connection, OUTBOX_WEBHOOK_ID),
        .timestamp = header(connection, OUTBOX_WEBHOOK_TIMESTAMP),
        .signature = header(connection, OUTBOX_WEBHOOK_SIGNATURE),
        .body = request->body,
        .body_size = request->size,
    };
    outbox_error *error = NULL;

    if (outbox_webhook_verify(&hook, receiver->secrets, receiver->secret_count, 0, 0, &error) != OUTBOX_OK) {
        /* The reason is for us, not for whoever tried. */
        fprintf(stderr, "receiver: refused: %s\n", outbox_error_message(error));
        outbox_error_free(error);
        return answer(connection, MHD_HTTP_BAD_REQUEST, "not authentic\n");
    }
    if (chance(receiver))
        return answer(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "failed on purpose\n");
    switch (inbox_apply(receiver->conn, hook.id, type, request->size > 0 ? request->body : "null")) {
    case INBOX_APPLIED:
        report(receiver, "applied", hook.id, type);
        break;
    case INBOX_DUPLICATE:
        report(receiver, "duplicate", hook.id, type);
        break;
    case INBOX_FAILED:
        return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "try again\n");
    }
    if (chance(receiver))
        return answer(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "failed on purpose\n");
    return answer(connection, MHD_HTTP_OK, "thank you\n");
}

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (strcmp(path, routes[i].path) == 0)
            return &routes[i];
    }
    return NULL;
}

/* libmicrohttpd calls this when the headers are there, for each piece of the body, and at the end. */
static enum MHD_Result handle(void *argument, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *data, size_t *size,
                              void **state)
{
    const struct route *route = find_route(path);
    struct request *request = *state;

    (void)version;
    if (!request) {
        *state = request = calloc(1, sizeof(*request));
        return request ? MHD_YES : MHD_NO;
    }
    if (*size > 0) {
        if (!append(request, data, *size))
            return MHD_NO;
        *size = 0;
        return MHD_YES;
    }
    if (!route)
        return answer(connection, MHD_HTTP_NOT_FOUND, "no such webhook\n");
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "POST only\n");
    if (request->too_large)
        return answer(connection, MHD_HTTP_CONTENT_TOO_LARGE, "too large\n");
    return receive(argument, connection, request, route->type);
}

static void forget(void *argument, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode code)
{
    struct request *request = *state;

    (void)argument;
    (void)connection;
    (void)code;
    if (request)
        free(request->body);
    free(request);
}

/* Secrets come from a file or from the environment, never from the command line, which everybody on
 * the machine can read.  Several are separated by spaces or newlines. */
static bool read_secrets(struct receiver *receiver, const char *file)
{
    const char *text = getenv("WEBHOOK_SECRET");
    char content[1024] = "";
    char *rest = NULL;

    if (file) {
        FILE *stream = fopen(file, "re");

        if (!stream || fread(content, 1, sizeof(content) - 1, stream) == 0) {
            fprintf(stderr, "receiver: cannot read %s: %s\n", file, strerror(errno));
            if (stream)
                fclose(stream);
            return false;
        }
        fclose(stream);
        text = content;
    }
    receiver->secret_text = strdup(text ? text : "");
    explicit_bzero(content, sizeof(content));
    if (!receiver->secret_text)
        return false;
    for (char *word = strtok_r(receiver->secret_text, " \n", &rest);
         word && receiver->secret_count < SECRETS_MAX; word = strtok_r(NULL, " \n", &rest))
        receiver->secrets[receiver->secret_count++] = word;
    if (receiver->secret_count == 0)
        fputs("receiver: no secret; set WEBHOOK_SECRET or use --secret-file\n", stderr);
    return receiver->secret_count > 0;
}

/* Serves 127.0.0.1 until SIGTERM or SIGINT.  A real service would stand behind a proxy that does TLS. */
static int serve(struct receiver *receiver, long port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const union MHD_DaemonInfo *bound;
    struct MHD_Daemon *daemon;
    sigset_t signals;
    int number;

    /* Before there are threads, so that they inherit it. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    daemon = MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle,
                              receiver, MHD_OPTION_SOCK_ADDR, (const struct sockaddr *)&address,
                              MHD_OPTION_CONNECTION_TIMEOUT, 60U, MHD_OPTION_NOTIFY_COMPLETED, forget, NULL,
                              MHD_OPTION_END);
    if (!daemon) {
        fprintf(stderr, "receiver: cannot listen on port %ld\n", port);
        return 1;
    }
    bound = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
    printf("listening on http://127.0.0.1:%u\n", bound ? (unsigned int)bound->port : (unsigned int)port);
    sigwait(&signals, &number);
    MHD_stop_daemon(daemon);
    return 0;
}

static PGconn *connect_database(const char *dsn)
{
    /* A statement that hangs must not hang the receiver: the sender tries again. */
    const char *const names[] = {"dbname", "connect_timeout", "options", "fallback_application_name", NULL};
    const char *const values[] = {dsn, "5", "-c statement_timeout=10s -c client_min_messages=warning",
                                  "webhook-receiver", NULL};
    PGconn *conn = PQconnectdbParams(names, values, 1);

    if (PQstatus(conn) != CONNECTION_OK)
        fprintf(stderr, "receiver: %s", PQerrorMessage(conn));
    return conn;
}

struct options {
    const char *dsn;
    const char *secret_file;
    const char *ledger;
    long port;
    long fail_percent;
    bool setup;
};

static bool parse_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        {"dsn", required_argument, NULL, 'd'},
        {"port", required_argument, NULL, 'p'},
        {"secret-file", required_argument, NULL, 's'},
        {"ledger", required_argument, NULL, 'l'},
        {"fail-percent", required_argument, NULL, 'f'},
        {"setup", no_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'd')
            options->dsn = optarg;
        else if (option == 'p')
            options->port = strtol(optarg, NULL, 10);
        else if (option == 's')
            options->secret_file = optarg;
        else if (option == 'l')
            options->ledger = optarg;
        else if (option == 'f')
            options->fail_percent = strtol(optarg, NULL, 10);
        else if (option == 'c')
            options->setup = true;
        else
            return false;
    }
    return optind == argc && options->port >= 0 && options->port <= 65535 && options->fail_percent >= 0 &&
           options->fail_percent <= 100;
}

static int run(const struct options *options)
{
    struct receiver receiver = {.conn = connect_database(options->dsn),
                                .fail_percent = options->fail_percent};
    int status = 1;

    if (PQstatus(receiver.conn) != CONNECTION_OK)
        goto out;
    if (options->setup) {
        status = inbox_setup(receiver.conn);
        goto out;
    }
    if (!read_secrets(&receiver, options->secret_file))
        goto out;
    if (options->ledger) {
        receiver.ledger = fopen(options->ledger, "ae");
        if (!receiver.ledger) {
            fprintf(stderr, "receiver: cannot open %s: %s\n", options->ledger, strerror(errno));
            goto out;
        }
        setvbuf(receiver.ledger, NULL, _IOLBF, 0);
    }
    srandom((unsigned int)time(NULL) ^ (unsigned int)getpid());
    status = serve(&receiver, options->port);

out:
    if (receiver.ledger)
        fclose(receiver.ledger);
    if (receiver.secret_text)
        explicit_bzero(receiver.secret_text, strlen(receiver.secret_text));
    free(receiver.secret_text);
    PQfinish(receiver.conn);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {.dsn = getenv("OUTBOX_DSN"), .port = 8088};

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!parse_options(argc, argv, &options) || !options.dsn) {
        fputs(
            "usage: receiver [--dsn DSN] --setup\n"
            "       receiver [--dsn DSN] [--port N] [--secret-file FILE] [--ledger FILE] [--fail-percent P]\n"
            "The DSN is also taken from OUTBOX_DSN, the secret from WEBHOOK_SECRET.  Port 0: any.\n",
            stderr);
        return 2;
    }
    return run(&options);
}
