/* The table of users: each change of a row and its event in one transaction. */
#ifndef CRUD_API_USERS_H
#define CRUD_API_USERS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "user.h"

enum users_result {
    USERS_DONE,
    USERS_ABSENT,      /* there is no such user */
    USERS_STALE,       /* it has another version than If-Match says */
    USERS_EMAIL_TAKEN, /* by another user */
    USERS_KEY_BUSY,    /* a request with this Idempotency-Key is under way */
    USERS_KEY_REUSED,  /* this Idempotency-Key came with another body before */
    USERS_TRY_LATER,   /* nothing has changed: a lock was not to be had, or the connection is lost */
    USERS_LOST_RACE,   /* nothing has changed: against another transaction, more than once */
    USERS_UNKNOWN,     /* the connection broke during COMMIT: changed or not, nobody here knows */
    USERS_FAILED,      /* nothing has changed; the log says why */
};

/* A request to create a user, and its answer. */
struct creation {
    struct user user;   /* name and email; users_create() adds id and version */
    const char *key;    /* Idempotency-Key, or NULL */
    const char *body;   /* as it came: what the key stands for */
    char *response;     /* made by users_create(), to be freed */
    bool replayed;      /* the key was known, and this is the answer of then */
};

int users_set_up(PGconn *conn);

enum users_result users_create(PGconn *conn, struct creation *creation);
enum users_result users_get(PGconn *conn, int64_t id, struct user *ret_user);

/* Name and email are given; the new version is put there.  if_match: the header's value, or NULL.  If nothing
 * would change, nothing does, and no event tells of it. */
enum users_result users_update(PGconn *conn, struct user *user, const char *if_match);
enum users_result users_delete(PGconn *conn, int64_t id, const char *if_match);

#endif
