/* A PostgreSQL connection on which every call has a deadline.  One thread at a time.
 *
 * Errors: OUTBOX_ESERVER (with SQLSTATE; the connection still works),
 * OUTBOX_ECONNECTION and OUTBOX_ETIMEOUT (the connection is unusable afterwards; what
 * was sent has an unknown fate), OUTBOX_ENOMEM. */
#ifndef PG_CONN_H
#define PG_CONN_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "base/error.h"
#include "pg/args.h"
#include "runtime/clock.h"

struct pg_conn_settings {
    const char *dsn;              /* conninfo string or URI, not NULL */
    const char *application_name; /* unless the dsn names one */
    mono_us connect_timeout;
    bool allow_plaintext;         /* to other machines; as if the policy said so */
    const char *consent;          /* what the user does to allow it, for messages; NULL: insecure=yes */
};

struct pg;

/* For the whole program, before its threads start: may there be connections without TLS
 * to other machines, and the role that its user has to have, for messages.  Without it:
 * no, and none. */
void pg_set_policy(bool allow_plaintext, const char *role);

/* Who is told what is waited for and until when, for the whole program, before its threads start.
 * On the waiting thread; nobody unless set. */
struct pg_watch {
    void (*connecting)(const char *what, mono_us deadline);
    void (*asking)(const char *what, mono_us deadline);
    void (*answered)(void); /* after either */
};
void pg_set_watch(const struct pg_watch *watch);

/* Would pg_open() refuse this dsn, whatever the server says?  Sends nothing.  consent as in the settings.
 * OUTBOX_EINVAL. */
int pg_check_dsn(const char *dsn, const char *consent, outbox_error **reterr);
/* Opens a connection with UTF-8, no statement timeout of its own and standard strings.
 * NULL on failure; OUTBOX_EINVAL: the dsn is not valid, or refused for want of TLS. */
struct pg *pg_open(const struct pg_conn_settings *settings, outbox_error **reterr);
/* NULL is allowed. */
void pg_close(struct pg *pg);

/* Runs one statement.  ret_result may be NULL; else the caller frees it with PQclear().
 * result_format: 0 text, 1 binary.  A single statement outside a transaction block is
 * a transaction of its own. */
int pg_exec(struct pg *pg, const char *sql, const struct pg_args *args, int result_format, mono_us deadline,
            PGresult **ret_result, outbox_error **reterr);
/* One statement or several separated by semicolons, without parameters or results. */
int pg_run(struct pg *pg, const char *sql, mono_us deadline, outbox_error **reterr);

/* From now on whoever makes fd readable cancels the statement that runs, or the next: it ends
 * with OUTBOX_ETIMEOUT.  -1: nobody. */
void pg_set_interrupt(struct pg *pg, int fd);

/* Did the server send a WARNING since the connection was opened or since the last
 * call of this?  A synchronous commit that was not waited for says so this way only. */
bool pg_take_warning(struct pg *pg);

enum pg_wait_result { PG_WAIT_TIMEOUT, PG_WAIT_NOTIFIED, PG_WAIT_WOKEN, PG_WAIT_LOST };
/* Waits for a notification, for wake_fd (-1: none) to become readable, or for the deadline. */
enum pg_wait_result pg_wait(struct pg *pg, int wake_fd, mono_us deadline);

/* False once the connection cannot be used any more. */
bool pg_usable(const struct pg *pg);
int pg_backend(const struct pg *pg);
/* The server's version, e.g. 150020. */
int pg_version(const struct pg *pg);
/* What the connection leaves unverified, for a warning; NULL: nothing. */
const char *pg_weakness(PGconn *raw);
const char *pg_needed_role(void);
PGconn *pg_raw(struct pg *pg);

/* Reading text results; the value must not be null. */
int64_t pg_get_int(const PGresult *result, int row, int column);
bool pg_get_bool(const PGresult *result, int row, int column);
/* NULL for SQL null. */
const char *pg_get_text(const PGresult *result, int row, int column);

#endif
