/* TAP, connections and queries for the tests of emitting on a real server. */
#ifndef EMIT_SUPPORT_H
#define EMIT_SUPPORT_H

#include <libpq-fe.h>
#include <outbox/outbox.h>
#include <stdbool.h>
#include <stddef.h>

#define WITNESS_TIMEOUT_US 20000000

void ok(bool passed, const char *name, ...) __attribute__((format(printf, 2, 3)));
void is_text(const char *got, const char *wanted, const char *name);
void is_int(long long got, long long wanted, const char *name);
/* The code, and parts that its message must have; frees *err. */
void is_error(int got, int wanted, outbox_error **err, const char *field, const char *part, const char *name);
int finish_tests(void);
/* What cannot go on is no failed test but the end: exits. */
void bail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* All connections are to this server; the names of tests carry its version. */
void choose_server(const char *dsn);
/* options: more of a connection string, such as "user=x", or "". */
PGconn *connect_to(const char *options);
/* Statements that must succeed. */
void run(PGconn *conn, const char *sql);
/* One value as text; "(null)" for SQL null and "(none)" for no row.  Static storage, eight in turn. */
const char *ask(PGconn *conn, const char *sql);
const char *ask_with(PGconn *conn, const char *sql, const char *parameter);
/* Asks until the answer is "t".  Without it within the timeout: false. */
bool wait_for(PGconn *conn, const char *sql, const char *parameter);
/* conn waits for a lock that another session holds. */
bool wait_blocked(PGconn *witness, PGconn *conn);
/* The result of what was sent with outbox_emit_send() outside a pipeline. */
int take_result(PGconn *conn, char id[OUTBOX_ID_SIZE], outbox_error **err);

/* Counts in what libpq traces: what conn sends and receives between the two calls. */
struct traffic {
    int requests; /* messages to the server */
    int syncs;    /* each makes the server answer: one round trip */
    int answers;  /* ReadyForQuery from the server */
    int named;    /* Parse messages with a statement name */
};
void trace_start(PGconn *conn);
struct traffic trace_stop(PGconn *conn);

/* For two who try the same at the same time: each level of the server. */
struct isolation {
    const char *begin;
    const char *name;
    bool old_snapshot; /* the second's snapshot is older than the first's commit */
};
#define ISOLATIONS 3
extern const struct isolation isolations[ISOLATIONS];

/* An event of this type and key, and with id unless it is NULL. */
outbox_event *make_event(const char *type, const char *key, const char *id);

void test_fields(void);
void test_limits(void);
void test_array(void);
void test_traffic(void);
void test_states(void);
void test_pipeline(void);
void test_rights(void);
void test_once(void);
void test_pooled(const char *direct_dsn);

#endif
