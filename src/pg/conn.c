#include "pg/conn.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "pg/secure.h"

struct pg {
    PGconn *raw;
    int interrupt_fd; /* -1: none */
    int certificate; /* OpenSSL's verdict on the server's, if it was refused */
    bool broken;
    bool warned;
};

static void begin_unwatched(const char *what, mono_us deadline)
{
    (void)what, (void)deadline;
}

static void end_unwatched(void)
{
}

static struct pg_watch watch = {begin_unwatched, begin_unwatched, end_unwatched};

void pg_set_watch(const struct pg_watch *new_watch)
{
    watch = *new_watch;
}

/* libpq's messages end in a newline and may have several lines; ours have one.  What does
 * not fit is cut off at the end of a character. */
static void one_line(const char *message, char *ret, size_t room)
{
    size_t size = 0;

    for (; *message && size + 1 < room; message++)
        ret[size++] = *message == '\n' || *message == '\t' ? ' ' : *message;
    size = outbox__utf8_cut(ret, size);
    while (size > 0 && ret[size - 1] == ' ')
        size--;
    ret[size] = '\0';
}

static int fail_connection(struct pg *pg, int code, const char *what, outbox_error **reterr)
{
    char message[400];

    one_line(PQerrorMessage(pg->raw), message, sizeof(message));
    pg->broken = true;
    return outbox__fail(reterr, code, NULL, "%s: %s", what, message[0] ? message : "no details");
}

static int fail_connecting(struct pg *pg, int code, const char *what, outbox_error **reterr)
{
    struct pg_failure failure;

    pg_secure_explain(PQerrorMessage(pg->raw), pg->certificate, &failure);
    pg->broken = true;
    return outbox__fail_sqlstate(reterr, code, NULL, failure.sqlstate[0] ? failure.sqlstate : NULL, "%s: %s%s%s", what,
                                 failure.text[0] ? failure.text : "no details", failure.advice[0] ? "; " : "",
                                 failure.advice);
}

static void note_message(void *argument, const PGresult *result)
{
    struct pg *pg = argument;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity && strcmp(severity, "WARNING") == 0)
        pg->warned = true;
}

/* Waits until the socket is ready for events.  1 ready, 0 deadline, -1 error; *ret_woken
 * (if not NULL) tells that wake_fd became readable first. */
static int wait_socket(const struct pg *pg, short events, int wake_fd, mono_us deadline, bool *ret_woken)
{
    struct pollfd fds[2] = {{PQsocket(pg->raw), events, 0}, {wake_fd, POLLIN, 0}};

    if (fds[0].fd < 0)
        return -1;
    for (;;) {
        int ready = poll(fds, wake_fd >= 0 ? 2 : 1, clock_until_ms(deadline));

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return ready;
        if (ret_woken)
            *ret_woken = wake_fd >= 0 && fds[1].revents != 0;
        return 1;
    }
}

static int finish_connecting(struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    if (PQstatus(pg->raw) == CONNECTION_BAD)
        return fail_connecting(pg, OUTBOX_ECONNECTION, "cannot connect", reterr);
    PQsetErrorVerbosity(pg->raw, PQERRORS_VERBOSE); /* with the SQLSTATE */
    while (status != PGRES_POLLING_OK) {
        int ready = wait_socket(pg, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, -1, deadline, NULL);

        if (ready == 0)
            return fail_connecting(pg, OUTBOX_ETIMEOUT, "timed out while connecting", reterr);
        if (ready < 0)
            return fail_connecting(pg, OUTBOX_ECONNECTION, "cannot connect", reterr);
        status = pg_secure_poll(pg->raw, &pg->certificate);
        if (status == PGRES_POLLING_FAILED)
            return fail_connecting(pg, OUTBOX_ECONNECTION, "cannot connect", reterr);
    }
    PQsetErrorVerbosity(pg->raw, PQERRORS_DEFAULT);
    return OUTBOX_OK;
}

static int check_secure(PGconn *raw, const char *consent, outbox_error **reterr)
{
    return pg_secure_check(raw, consent ? consent : "insecure=yes", reterr);
}

int pg_check_dsn(const char *dsn, const char *consent, outbox_error **reterr)
{
    PGconn *raw = PQconnectStart(dsn);
    int status = raw ? check_secure(raw, consent, reterr) : outbox__fail_memory(reterr);

    PQfinish(raw);
    return status;
}

static struct pg *open_watched(const struct pg_conn_settings *settings, outbox_error **reterr)
{
    const char *const keywords[] = {"dbname", "fallback_application_name", "client_encoding", NULL};
    const char *const values[] = {settings->dsn, settings->application_name, "UTF8", NULL};
    mono_us deadline = clock_now() + settings->connect_timeout;
    struct pg *pg = calloc(1, sizeof(*pg));

    if (!pg) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    pg->interrupt_fd = -1;
    pg->raw = PQconnectStartParams(keywords, values, 1);
    if (!pg->raw) {
        outbox__fail_memory(reterr);
        goto fail;
    }
    if (!settings->allow_plaintext && check_secure(pg->raw, settings->consent, reterr) < 0)
        goto fail;
    if (finish_connecting(pg, deadline, reterr) < 0)
        goto fail;
    if (PQsetnonblocking(pg->raw, 1) != 0) {
        fail_connection(pg, OUTBOX_ECONNECTION, "cannot make the connection non-blocking", reterr);
        goto fail;
    }
    PQsetNoticeReceiver(pg->raw, note_message, pg);
    if (pg_run(pg, "SET standard_conforming_strings = on; SET extra_float_digits = 1; SET DateStyle = 'ISO';"
                   "SET bytea_output = 'hex'", deadline, reterr) < 0)
        goto fail;
    return pg;

fail:
    pg_close(pg);
    return NULL;
}

struct pg *pg_open(const struct pg_conn_settings *settings, outbox_error **reterr)
{
    struct pg *pg;

    watch.connecting("PostgreSQL, a connection", clock_now() + settings->connect_timeout);
    pg = open_watched(settings, reterr);
    watch.answered();
    return pg;
}

void pg_close(struct pg *pg)
{
    if (!pg)
        return;
    PQfinish(pg->raw);
    free(pg);
}

static int flush(struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    int left;

    while ((left = PQflush(pg->raw)) == 1) {
        /* The server may want to be read before it takes more. */
        int ready = wait_socket(pg, POLLIN | POLLOUT, -1, deadline, NULL);

        if (ready == 0)
            return fail_connection(pg, OUTBOX_ETIMEOUT, "timed out while sending a statement", reterr);
        if (ready < 0 || !PQconsumeInput(pg->raw))
            return fail_connection(pg, OUTBOX_ECONNECTION, "connection lost", reterr);
    }
    if (left < 0)
        return fail_connection(pg, OUTBOX_ECONNECTION, "connection lost", reterr);
    return OUTBOX_OK;
}

static void *cancel_main(void *request)
{
    char message[256];

    PQcancel(request, message, sizeof(message));
    PQfreeCancel(request);
    return NULL;
}

/* Tells the server to stop; what it has done so far is unknown.  PQcancel knows no
 * deadline, and a server that answers nothing would hold it for ever: it gets a thread. */
static void cancel(struct pg *pg)
{
    PGcancel *request = PQgetCancel(pg->raw);
    pthread_t thread;

    if (request && pthread_create(&thread, NULL, cancel_main, request) == 0)
        pthread_detach(thread);
    else
        PQfreeCancel(request);
}

static int next_result(struct pg *pg, mono_us deadline, PGresult **ret_result, outbox_error **reterr)
{
    while (PQisBusy(pg->raw)) {
        bool woken = false;
        int ready = wait_socket(pg, POLLIN, pg->interrupt_fd, deadline, &woken);

        if (woken) {
            cancel(pg);
            return fail_connection(pg, OUTBOX_ETIMEOUT, "interrupted", reterr);
        }
        if (ready == 0) {
            cancel(pg);
            return fail_connection(pg, OUTBOX_ETIMEOUT, "timed out waiting for PostgreSQL", reterr);
        }
        if (ready < 0 || !PQconsumeInput(pg->raw))
            return fail_connection(pg, OUTBOX_ECONNECTION, "connection lost", reterr);
    }
    *ret_result = PQgetResult(pg->raw);
    return OUTBOX_OK;
}

static void advise_role(const struct pg *pg, char *room, size_t size)
{
    if (pg_needed_role()[0])
        snprintf(room, size, "The role \"%s\" lacks a right: GRANT %s TO \"%s\"", PQuser(pg->raw),
                 pg_needed_role(), PQuser(pg->raw));
    else
        snprintf(room, size, "The role \"%s\" lacks a right", PQuser(pg->raw));
}

static int check_result(struct pg *pg, const PGresult *result, outbox_error **reterr)
{
    const char *sqlstate;
    const char *text;
    const char *hint;
    char message[400];
    char remedy[200];

    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        return OUTBOX_OK;
    default:
        break;
    }
    if (PQstatus(pg->raw) != CONNECTION_OK)
        return fail_connection(pg, OUTBOX_ECONNECTION, "connection lost", reterr);
    sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    one_line(text ? text : PQresultErrorMessage(result), message, sizeof(message));
    hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT); /* the remedy */
    one_line(hint ? hint : "", remedy, sizeof(remedy));
    if (!remedy[0] && sqlstate && strcmp(sqlstate, "42501") == 0)
        advise_role(pg, remedy, sizeof(remedy));
    return outbox__fail_sqlstate(reterr, OUTBOX_ESERVER, PQresultErrorField(result, PG_DIAG_COLUMN_NAME),
                                 sqlstate, "%s%s%s", message, remedy[0] ? ". " : "", remedy);
}

/* Reads results to the end; keeps the last good one and the first error. */
static int collect(struct pg *pg, mono_us deadline, PGresult **ret_result, outbox_error **reterr)
{
    PGresult *kept = NULL;
    int status = OUTBOX_OK;

    for (;;) {
        PGresult *result = NULL;
        int failed = next_result(pg, deadline, &result, status == OUTBOX_OK ? reterr : NULL);

        if (failed < 0) {
            PQclear(kept);
            return failed;
        }
        if (!result)
            break;
        failed = status == OUTBOX_OK ? check_result(pg, result, reterr) : OUTBOX_OK;
        if (failed < 0)
            status = failed;
        PQclear(kept);
        kept = result;
        if (pg->broken)
            break;
    }
    if (status == OUTBOX_OK && ret_result)
        *ret_result = kept;
    else
        PQclear(kept);
    return status;
}

/* Of a statement that has been handed to libpq. */
static int converse(struct pg *pg, mono_us deadline, PGresult **ret_result, outbox_error **reterr)
{
    int status;

    watch.asking("PostgreSQL, a statement", deadline);
    status = flush(pg, deadline, reterr);
    if (status == OUTBOX_OK)
        status = collect(pg, deadline, ret_result, reterr);
    watch.answered();
    return status;
}

int pg_exec(struct pg *pg, const char *sql, const struct pg_args *args, int result_format, mono_us deadline,
            PGresult **ret_result, outbox_error **reterr)
{
    static const struct pg_args none = PG_ARGS_INIT;

    if (!args)
        args = &none;
    if (!PQsendQueryParams(pg->raw, sql, args->count, NULL, args->values, args->lengths, args->formats,
                           result_format))
        return fail_connection(pg, OUTBOX_ECONNECTION, "cannot send a statement", reterr);
    return converse(pg, deadline, ret_result, reterr);
}

int pg_run(struct pg *pg, const char *sql, mono_us deadline, outbox_error **reterr)
{
    if (!PQsendQuery(pg->raw, sql))
        return fail_connection(pg, OUTBOX_ECONNECTION, "cannot send a statement", reterr);
    return converse(pg, deadline, NULL, reterr);
}

void pg_set_interrupt(struct pg *pg, int fd)
{
    pg->interrupt_fd = fd;
}

bool pg_take_warning(struct pg *pg)
{
    bool warned = pg->warned;

    pg->warned = false;
    return warned;
}

/* Takes all queued notifications: one is as good as many. */
static bool take_notifications(struct pg *pg)
{
    bool any = false;
    PGnotify *notification;

    while ((notification = PQnotifies(pg->raw)) != NULL) {
        PQfreemem(notification);
        any = true;
    }
    return any;
}

enum pg_wait_result pg_wait(struct pg *pg, int wake_fd, mono_us deadline)
{
    for (;;) {
        bool woken = false;
        int ready;

        /* Before poll(2): libpq may have read the message together with a result. */
        if (take_notifications(pg))
            return PG_WAIT_NOTIFIED;
        ready = wait_socket(pg, POLLIN, wake_fd, deadline, &woken);
        if (ready == 0)
            return PG_WAIT_TIMEOUT;
        if (ready < 0 || !PQconsumeInput(pg->raw)) {
            pg->broken = true;
            return PG_WAIT_LOST;
        }
        if (take_notifications(pg))
            return PG_WAIT_NOTIFIED;
        if (woken)
            return PG_WAIT_WOKEN;
    }
}

bool pg_usable(const struct pg *pg)
{
    return pg && !pg->broken && PQstatus(pg->raw) == CONNECTION_OK;
}

int pg_backend(const struct pg *pg)
{
    return PQbackendPID(pg->raw);
}

int pg_version(const struct pg *pg)
{
    return PQserverVersion(pg->raw);
}

PGconn *pg_raw(struct pg *pg)
{
    return pg->raw;
}

int64_t pg_get_int(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

bool pg_get_bool(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column)[0] == 't';
}

const char *pg_get_text(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}
