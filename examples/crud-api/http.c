#include "http.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "answer.h"
#include "users.h"

#define BODY_LIMIT ((size_t)64 * 1024)
#define DISCARD_LIMIT ((size_t)1024 * 1024) /* what is read of a body too large, so that its sender hears of it */
#define KEY_LIMIT 255

#define ALLOW_ALL "POST"
#define ALLOW_ONE "GET, HEAD, PUT, DELETE"

/* A request, while its body arrives and until its answer is sent.  body[size] is 0. */
struct request {
    struct MHD_Connection *connection;
    char *body;
    size_t size;     /* of what is kept */
    size_t received; /* of what came */
    struct timespec started;
};

static const char *header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static bool append(struct request *request, const char *data, size_t size)
{
    char *grown;

    if (size > DISCARD_LIMIT - request->received)
        return false;
    request->received += size;
    if (request->received > BODY_LIMIT)
        return true;
    grown = realloc(request->body, request->size + size + 1);
    if (!grown)
        return false;
    memcpy(grown + request->size, data, size);
    request->body = grown;
    request->size += size;
    grown[request->size] = '\0';
    return true;
}

/* ---- outcomes ---- */

static void answer_failure(struct answer *answer, enum users_result result)
{
    static const struct {
        enum users_result result;
        unsigned int status;
        const char *detail;
    } failures[] = {
        {USERS_ABSENT, MHD_HTTP_NOT_FOUND, "There is no such user."},
        {USERS_STALE, MHD_HTTP_PRECONDITION_FAILED, "The user has changed; GET it again."},
        {USERS_EMAIL_TAKEN, MHD_HTTP_CONFLICT, "Another user has this email."},
        {USERS_KEY_BUSY, MHD_HTTP_CONFLICT, "A request with this Idempotency-Key is under way."},
        {USERS_KEY_REUSED, MHD_HTTP_UNPROCESSABLE_CONTENT, "This Idempotency-Key came with another body before."},
        {USERS_TRY_LATER, MHD_HTTP_SERVICE_UNAVAILABLE, "Nothing has changed; try again."},
        {USERS_LOST_RACE, MHD_HTTP_SERVICE_UNAVAILABLE, "Nothing has changed; try again."},
        {USERS_UNKNOWN, MHD_HTTP_INTERNAL_SERVER_ERROR, "It is not known whether the change was made."},
    };
    json_t *errors = NULL;

    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        if (failures[i].result != result)
            continue;
        if (result == USERS_EMAIL_TAKEN)
            user_add_error(&errors, "email", "belongs to another user");
        answer_problem(answer, failures[i].status, failures[i].detail, errors);
        return;
    }
    answer_problem(answer, MHD_HTTP_INTERNAL_SERVER_ERROR, "Nothing has changed.", NULL);
}

static void answer_user(struct answer *answer, const struct user *user)
{
    json_t *json = user_to_json(user);

    answer->body = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    answer->status = MHD_HTTP_OK;
    answer->version = user->version;
    if (!answer->body)
        answer_problem(answer, MHD_HTTP_INTERNAL_SERVER_ERROR, "Out of memory.", NULL);
}

static void answer_created(struct answer *answer, struct creation *creation)
{
    answer->status = MHD_HTTP_CREATED;
    answer->body = creation->response;
    answer->created_id = creation->user.id;
    answer->version = creation->user.version;
    answer->replayed = creation->replayed;
    creation->response = NULL;
}

/* ---- methods ---- */

/* Takes a connection; answers if there is none. */
static PGconn *take(struct server *server, struct answer *answer)
{
    PGconn *conn = pool_take(server->pool, server->pool_wait_ms);

    if (!conn)
        answer_problem(answer, MHD_HTTP_SERVICE_UNAVAILABLE, "No database connection is free; try again.", NULL);
    return conn;
}

/* "application/json", with parameters or without. */
static bool is_json(const char *type)
{
    static const char wanted[] = "application/json";
    size_t length = sizeof(wanted) - 1;

    if (!type || strncasecmp(type, wanted, length) != 0)
        return false;
    return type[length + strspn(type + length, " \t")] == '\0' || type[length + strspn(type + length, " \t")] == ';';
}

/* Reads the user that the body describes; answers if it describes none. */
static bool read_body(const struct request *request, struct user *user, struct answer *answer)
{
    json_t *errors = NULL;

    if (request->received > BODY_LIMIT) {
        answer_problem(answer, MHD_HTTP_CONTENT_TOO_LARGE, "A body may have 65536 bytes.", NULL);
        return false;
    }
    if (!is_json(header(request, MHD_HTTP_HEADER_CONTENT_TYPE))) {
        answer_problem(answer, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json.", NULL);
        return false;
    }
    switch (user_read(request->body, request->size, user, &errors)) {
    case USER_GOOD:
        return true;
    case USER_NOT_JSON:
        answer_problem(answer, MHD_HTTP_BAD_REQUEST, "The body is not JSON.", NULL);
        return false;
    default:
        answer_problem(answer, MHD_HTTP_UNPROCESSABLE_CONTENT, "The body does not describe a user.", errors);
        return false;
    }
}

static bool is_good_key(const char *key)
{
    size_t length = strlen(key);

    for (size_t i = 0; i < length; i++) {
        if (key[i] <= ' ' || key[i] > '~')
            return false;
    }
    return length > 0 && length <= KEY_LIMIT;
}

static void post(struct server *server, const struct request *request, struct answer *answer)
{
    struct creation creation = {.key = header(request, "Idempotency-Key"), .body = request->body};
    enum users_result result;
    PGconn *conn;

    if (!read_body(request, &creation.user, answer))
        return;
    if (creation.key && !is_good_key(creation.key)) {
        answer_problem(answer, MHD_HTTP_BAD_REQUEST, "Idempotency-Key must have 1 to 255 visible characters.", NULL);
        return;
    }
    conn = take(server, answer);
    if (!conn)
        return;
    result = users_create(conn, &creation);
    pool_give(server->pool, conn);
    if (result == USERS_DONE)
        answer_created(answer, &creation);
    else
        answer_failure(answer, result);
    free(creation.response);
}

static void get(struct server *server, int64_t id, struct answer *answer)
{
    struct user user = {.id = id};
    PGconn *conn = take(server, answer);
    enum users_result result;

    if (!conn)
        return;
    result = users_get(conn, id, &user);
    pool_give(server->pool, conn);
    if (result == USERS_DONE)
        answer_user(answer, &user);
    else
        answer_failure(answer, result);
}

static void put(struct server *server, const struct request *request, int64_t id, struct answer *answer)
{
    struct user user = {.id = id};
    enum users_result result;
    PGconn *conn;

    if (!read_body(request, &user, answer))
        return;
    conn = take(server, answer);
    if (!conn)
        return;
    result = users_update(conn, &user, header(request, MHD_HTTP_HEADER_IF_MATCH));
    pool_give(server->pool, conn);
    if (result == USERS_DONE)
        answer_user(answer, &user);
    else
        answer_failure(answer, result);
}

static void delete(struct server *server, const struct request *request, int64_t id, struct answer *answer)
{
    PGconn *conn = take(server, answer);
    enum users_result result;

    if (!conn)
        return;
    result = users_delete(conn, id, header(request, MHD_HTTP_HEADER_IF_MATCH));
    pool_give(server->pool, conn);
    if (result == USERS_DONE)
        answer->status = MHD_HTTP_NO_CONTENT;
    else
        answer_failure(answer, result);
}

/* ---- routes ---- */

enum target { TARGET_NONE, TARGET_ALL, TARGET_ONE, TARGET_BAD_ID };

static enum target find_target(const char *path, int64_t *ret_id)
{
    static const char prefix[] = "/users/";
    const char *id = path + sizeof(prefix) - 1;
    char *end;

    if (strcmp(path, "/users") == 0)
        return TARGET_ALL;
    if (strncmp(path, prefix, sizeof(prefix) - 1) != 0 || strchr(id, '/') || *id == '\0')
        return TARGET_NONE;
    if (*id < '1' || *id > '9') /* neither sign nor blank nor zeros: one user, one name */
        return TARGET_BAD_ID;
    errno = 0;
    *ret_id = strtoll(id, &end, 10);
    return *end == '\0' && errno == 0 ? TARGET_ONE : TARGET_BAD_ID;
}

static void refuse_method(struct answer *answer, const char *allow)
{
    answer->allow = allow;
    answer_problem(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "The header Allow has the methods.", NULL);
}

static void serve_one(struct server *server, const struct request *request, const char *method, int64_t id,
                      struct answer *answer)
{
    /* libmicrohttpd leaves out the body of an answer to HEAD. */
    if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
        get(server, id, answer);
    else if (strcmp(method, MHD_HTTP_METHOD_PUT) == 0)
        put(server, request, id, answer);
    else if (strcmp(method, MHD_HTTP_METHOD_DELETE) == 0)
        delete(server, request, id, answer);
    else
        refuse_method(answer, ALLOW_ONE);
}

static void serve(struct server *server, const struct request *request, const char *path, const char *method,
                  struct answer *answer)
{
    int64_t id = 0;

    switch (find_target(path, &id)) {
    case TARGET_ALL:
        if (strcmp(method, MHD_HTTP_METHOD_POST) == 0)
            post(server, request, answer);
        else
            refuse_method(answer, ALLOW_ALL);
        break;
    case TARGET_ONE:
        serve_one(server, request, method, id, answer);
        break;
    case TARGET_BAD_ID:
        answer_problem(answer, MHD_HTTP_BAD_REQUEST, "The id of a user is a number from 1.", NULL);
        break;
    default:
        answer_problem(answer, MHD_HTTP_NOT_FOUND, "There is only /users and /users/<id>.", NULL);
    }
}

/* One line for each request.  Path and method are the client's: they go to the log if they are known only. */
static void log_request(const struct request *request, const char *path, const char *method, unsigned int status)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE"};
    const char *shown = "other";
    struct timespec now;
    int64_t id = 0;
    enum target target = find_target(path, &id);

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(method, methods[i]) == 0)
            shown = methods[i];
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    fprintf(stderr, "event=request method=%s target=%s id=%" PRId64 " status=%u us=%" PRId64 "\n", shown,
            target == TARGET_ALL   ? "users"
            : target == TARGET_ONE ? "user"
                                   : "other",
            id, status,
            (int64_t)(now.tv_sec - request->started.tv_sec) * 1000000 +
                (now.tv_nsec - request->started.tv_nsec) / 1000);
}

/* ---- libmicrohttpd ---- */

static enum MHD_Result reply(struct server *server, const struct request *request, struct answer *answer,
                             const char *path, const char *method)
{
    answer->last = answer->last || atomic_load(&server->stopping);
    log_request(request, path, method, answer->status);
    return answer_send(answer, request->connection);
}

/* The first call for a request, when its headers are there. */
static struct request *begin(struct server *server, struct MHD_Connection *connection)
{
    struct request *request = calloc(1, sizeof(*request));

    if (!request)
        return NULL;
    request->connection = connection;
    clock_gettime(CLOCK_MONOTONIC, &request->started);
    atomic_fetch_add(&server->requests, 1);
    return request;
}

/* More than would be read: refused before it is sent. */
static bool announces_too_much(const struct request *request)
{
    const char *length = header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return length && strtoull(length, NULL, 10) > DISCARD_LIMIT;
}

/* Called when the headers are there, for each piece of the body, and at the end. */
enum MHD_Result http_handle(void *argument, struct MHD_Connection *connection, const char *path, const char *method,
                            const char *version, const char *data, size_t *size, void **state)
{
    struct server *server = argument;
    struct request *request = *state;
    struct answer answer = {0};

    (void)version;
    if (!request) {
        *state = request = begin(server, connection);
        if (!request)
            return MHD_NO;
        if (!announces_too_much(request))
            return MHD_YES;
        answer.last = true;
        answer_problem(&answer, MHD_HTTP_CONTENT_TOO_LARGE, "A body may have 65536 bytes.", NULL);
        return reply(server, request, &answer, path, method);
    }
    if (*size > 0) {
        if (!append(request, data, *size))
            return MHD_NO;
        *size = 0;
        return MHD_YES;
    }
    serve(server, request, path, method, &answer);
    return reply(server, request, &answer, path, method);
}

void http_completed(void *argument, struct MHD_Connection *connection, void **state,
                    enum MHD_RequestTerminationCode code)
{
    struct server *server = argument;
    struct request *request = *state;

    (void)connection;
    (void)code;
    if (!request)
        return;
    free(request->body);
    free(request);
    *state = NULL;
    atomic_fetch_sub(&server->requests, 1);
}
