#include "emit_support.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct isolation isolations[ISOLATIONS] = {
    {"BEGIN ISOLATION LEVEL READ COMMITTED", "read committed", false},
    {"BEGIN ISOLATION LEVEL REPEATABLE READ", "repeatable read", true},
    {"BEGIN ISOLATION LEVEL SERIALIZABLE", "serializable", true},
};

static const char *server_dsn;
static char server_name[32];
static int count;
static int failed;
static FILE *trace;

void ok(bool passed, const char *name, ...)
{
    va_list args;

    count++;
    printf("%sok %d - %s: ", passed ? "" : "not ", count, server_name);
    va_start(args, name);
    vprintf(name, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    if (!passed)
        failed++;
}

void is_text(const char *got, const char *wanted, const char *name)
{
    bool same = strcmp(got, wanted) == 0;

    ok(same, "%s", name);
    if (!same)
        printf("# got: %s\n# wanted: %s\n", got, wanted);
}

void is_int(long long got, long long wanted, const char *name)
{
    ok(got == wanted, "%s", name);
    if (got != wanted)
        printf("# got: %lld\n# wanted: %lld\n", got, wanted);
}

void is_error(int got, int wanted, outbox_error **err, const char *field, const char *part, const char *name)
{
    const char *message = *err ? outbox_error_message(*err) : "(no error)";
    bool same = got == wanted && *err && outbox_error_code(*err) == wanted &&
                strcmp(outbox_error_field(*err), field) == 0 && strstr(message, part);

    ok(same, "%s", name);
    if (!same)
        printf("# got: %d, field %s: %s\n# wanted: %d, field %s: %s\n", got,
               *err ? outbox_error_field(*err) : "", message, wanted, field, part);
    outbox_error_free(*err);
    *err = NULL;
}

int finish_tests(void)
{
    printf("1..%d\n", count);
    return failed == 0 ? 0 : 1;
}

void bail(const char *format, ...)
{
    va_list args;

    printf("Bail out! ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    exit(1);
}

PGconn *connect_to(const char *options)
{
    char dsn[1024];
    PGconn *conn;

    snprintf(dsn, sizeof(dsn), "%s client_encoding=UTF8 application_name=emit_test %s", server_dsn, options);
    conn = PQconnectdb(dsn);
    if (PQstatus(conn) != CONNECTION_OK)
        bail("cannot connect: %s", PQerrorMessage(conn));
    return conn;
}

void choose_server(const char *dsn)
{
    PGconn *conn;

    server_dsn = dsn;
    conn = connect_to("");
    snprintf(server_name, sizeof(server_name), "PostgreSQL %d", PQserverVersion(conn) / 10000);
    PQfinish(conn);
}

void run(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        bail("%s: %s", sql, PQerrorMessage(conn));
    PQclear(result);
}

const char *ask_with(PGconn *conn, const char *sql, const char *parameter)
{
    static char answers[8][512];
    static int turn;
    char *answer = answers[turn++ % 8];
    PGresult *result = PQexecParams(conn, sql, parameter ? 1 : 0, NULL, &parameter, NULL, NULL, 0);

    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        bail("%s: %s", sql, PQerrorMessage(conn));
    if (PQntuples(result) == 0)
        snprintf(answer, 512, "(none)");
    else if (PQgetisnull(result, 0, 0))
        snprintf(answer, 512, "(null)");
    else
        snprintf(answer, 512, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return answer;
}

const char *ask(PGconn *conn, const char *sql)
{
    return ask_with(conn, sql, NULL);
}

bool wait_for(PGconn *conn, const char *sql, const char *parameter)
{
    const struct timespec pause = {.tv_nsec = 5000000};

    for (long waited = 0; waited < WITNESS_TIMEOUT_US; waited += 5000) {
        if (strcmp(ask_with(conn, sql, parameter), "t") == 0)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

bool wait_blocked(PGconn *witness, PGconn *conn)
{
    char pid[16];

    snprintf(pid, sizeof(pid), "%d", PQbackendPID(conn));
    return wait_for(witness, "SELECT cardinality(pg_blocking_pids($1::integer)) > 0", pid);
}

int take_result(PGconn *conn, char id[OUTBOX_ID_SIZE], outbox_error **err)
{
    PGresult *result = PQgetResult(conn);
    PGresult *none;
    int r = outbox_emit_result(result, id, err);

    PQclear(result);
    none = PQgetResult(conn);
    if (none)
        bail("a second result");
    return r;
}

void trace_start(PGconn *conn)
{
    trace = tmpfile();
    if (!trace)
        bail("no temporary file");
    PQtrace(conn, trace);
    PQsetTraceFlags(conn, PQTRACE_SUPPRESS_TIMESTAMPS | PQTRACE_REGRESS_MODE);
}

struct traffic trace_stop(PGconn *conn)
{
    struct traffic traffic = {0};
    char line[4096];

    PQuntrace(conn);
    rewind(trace);
    /* F or B, the length, the message's name and its contents, between tabs. */
    while (fgets(line, sizeof(line), trace)) {
        traffic.requests += line[0] == 'F';
        traffic.syncs += line[0] == 'F' && strstr(line, "\tSync");
        traffic.answers += line[0] == 'B' && strstr(line, "\tReadyForQuery");
        traffic.named += line[0] == 'F' && strstr(line, "\tParse\t") && !strstr(line, "\tParse\t \"\"");
    }
    fclose(trace);
    return traffic;
}

outbox_event *make_event(const char *type, const char *key, const char *id)
{
    outbox_event *ev = outbox_event_new();

    outbox_event_set_type(ev, type);
    outbox_event_set_key(ev, key);
    outbox_event_set_id(ev, id);
    return ev;
}
