#include "users.h"

#include <inttypes.h>
#include <outbox/outbox.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All events of users go to one topic: Kafka knows no order between topics, and a consumer would see a user
 * updated before it was created. */
#define TOPIC "users"

#define ATTEMPTS 3 /* of a transaction that lost against another one */

static const char setup_sql[] =
    "CREATE SCHEMA IF NOT EXISTS crud;"
    "CREATE TABLE IF NOT EXISTS crud.users ("
    "    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    "    version bigint NOT NULL DEFAULT 1,"
    "    name    text NOT NULL,"
    "    email   text NOT NULL);"
    "CREATE UNIQUE INDEX IF NOT EXISTS users_email_key ON crud.users (lower(email));"
    "CREATE TABLE IF NOT EXISTS crud.idempotency ("
    "    key          text PRIMARY KEY,"
    "    request_hash bytea NOT NULL,"
    "    user_id      bigint NOT NULL,"
    "    response     text NOT NULL,"
    "    created_at   timestamptz NOT NULL DEFAULT now());"
    "CREATE INDEX IF NOT EXISTS idempotency_created_at_idx ON crud.idempotency (created_at)";

/* All that return a user have these columns, in this order. */
#define COLUMNS "id, version, name, email"

static const char insert_sql[] = "INSERT INTO crud.users (name, email) VALUES ($1, $2) RETURNING " COLUMNS;
static const char get_sql[] = "SELECT " COLUMNS " FROM crud.users WHERE id = $1::bigint";
static const char lock_sql[] = "SELECT " COLUMNS " FROM crud.users WHERE id = $1::bigint FOR UPDATE";
static const char update_sql[] = "UPDATE crud.users SET name = $2, email = $3, version = version + 1"
                                 " WHERE id = $1::bigint RETURNING " COLUMNS;
static const char delete_sql[] = "DELETE FROM crud.users WHERE id = $1::bigint RETURNING " COLUMNS;

/* Held until the end of the transaction.  Who does not get it need not wait to know that another request with
 * this key is under way. */
static const char claim_key_sql[] = "SELECT pg_try_advisory_xact_lock(hashtextextended('crud.idempotency ' || $1, 0))";
static const char find_key_sql[] = "SELECT request_hash = sha256(convert_to($2, 'UTF8')), user_id, response"
                                   "  FROM crud.idempotency WHERE key = $1";
static const char keep_key_sql[] = "INSERT INTO crud.idempotency (key, request_hash, user_id, response)"
                                   " VALUES ($1, sha256(convert_to($2, 'UTF8')), $3::bigint, $4)";

/* What the SQLSTATE means for who asked; the log gets what only the operator should know. */
static enum users_result failure(PGconn *conn, const char *doing, const char *state, const char *message)
{
    static const struct {
        const char *state;
        enum users_result result;
    } known[] = {
        {"23505", USERS_EMAIL_TAKEN}, /* unique_violation; there is no other that a request can meet */
        {"40001", USERS_LOST_RACE},   /* serialization_failure */
        {"40P01", USERS_LOST_RACE},   /* deadlock_detected */
        {"57014", USERS_TRY_LATER},   /* query_canceled: statement_timeout, waiting for a lock or not */
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(state, known[i].state) == 0)
            return known[i].result;
    }
    fprintf(stderr, "event=database_failed doing=%s sqlstate=%s message=\"%.*s\"\n", doing, state,
            (int)strcspn(message, "\n"), message);
    return PQstatus(conn) == CONNECTION_OK ? USERS_FAILED : USERS_TRY_LATER;
}

/* Runs one statement.  *ret_result, unless ret_result is NULL, is the caller's, whatever the answer. */
static enum users_result run(PGconn *conn, const char *sql, int count, const char *const *params,
                             PGresult **ret_result)
{
    PGresult *result = PQexecParams(conn, sql, count, NULL, params, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    enum users_result answer = USERS_DONE;

    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        char doing[8];

        snprintf(doing, sizeof(doing), "%.*s", (int)strcspn(sql, " "), sql);
        answer = failure(conn, doing, state ? state : "", message ? message : PQerrorMessage(conn));
    }
    if (ret_result)
        *ret_result = result;
    else
        PQclear(result);
    return answer;
}

/* Runs a statement that returns one user, or none. */
static enum users_result run_for_user(PGconn *conn, const char *sql, int count, const char *const *params,
                                      struct user *ret_user)
{
    PGresult *result;
    enum users_result answer = run(conn, sql, count, params, &result);

    if (answer == USERS_DONE && PQntuples(result) == 0)
        answer = USERS_ABSENT;
    if (answer == USERS_DONE) {
        ret_user->id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        ret_user->version = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
        snprintf(ret_user->name, sizeof(ret_user->name), "%s", PQgetvalue(result, 0, 2));
        snprintf(ret_user->email, sizeof(ret_user->email), "%s", PQgetvalue(result, 0, 3));
    }
    PQclear(result);
    return answer;
}

/* Emits the event of a change, in the transaction that makes it; takes payload.  The caller holds the lock of
 * the user's row, which is the event's key: so the events of a user come in the order of the commits. */
static enum users_result emit(PGconn *conn, const char *type, int64_t id, json_t *payload)
{
    outbox_event *event = outbox_event_new();
    char *text = payload ? json_dumps(payload, JSON_COMPACT) : NULL;
    enum users_result answer = USERS_FAILED;
    outbox_error *error = NULL;
    char key[24];

    if (!text) /* no payload would be another event */
        goto out;
    snprintf(key, sizeof(key), "%" PRId64, id);
    outbox_event_set_type(event, type);
    outbox_event_set_topic(event, TOPIC);
    outbox_event_set_key(event, key);
    outbox_event_set_payload_json(event, text);
    /* The answers of setters need not be looked at: this one tells of all. */
    if (outbox_emit(conn, event, NULL, &error) < 0)
        answer = failure(conn, "emit", outbox_error_sqlstate(error), outbox_error_message(error));
    else
        answer = USERS_DONE;
out:
    outbox_error_free(error);
    outbox_event_free(event);
    json_decref(payload);
    free(text);
    return answer;
}

/* ---- what is done in a transaction ---- */

struct call {
    enum users_result (*steps)(PGconn *conn, struct call *call);
    struct creation *creation; /* to create */
    struct user *user;         /* else */
    const char *if_match;
};

/* Is the answer known already?  USERS_DONE, with creation->replayed, if so; else USERS_ABSENT: go on. */
static enum users_result recall(PGconn *conn, struct creation *creation)
{
    const char *const params[] = {creation->key, creation->body};
    PGresult *result;
    enum users_result answer = run(conn, claim_key_sql, 1, params, &result);

    if (answer == USERS_DONE && strcmp(PQgetvalue(result, 0, 0), "t") != 0)
        answer = USERS_KEY_BUSY;
    PQclear(result);
    if (answer != USERS_DONE)
        return answer;
    /* A statement after the lock sees what its last holder has committed. */
    answer = run(conn, find_key_sql, 2, params, &result);
    if (answer == USERS_DONE && PQntuples(result) == 0) {
        answer = USERS_ABSENT;
    } else if (answer == USERS_DONE && strcmp(PQgetvalue(result, 0, 0), "t") != 0) {
        answer = USERS_KEY_REUSED;
    } else if (answer == USERS_DONE) {
        creation->user.id = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
        creation->user.version = 1;
        creation->response = strdup(PQgetvalue(result, 0, 2));
        creation->replayed = true;
        answer = creation->response ? USERS_DONE : USERS_FAILED;
    }
    PQclear(result);
    return answer;
}

static enum users_result keep(PGconn *conn, const struct creation *creation)
{
    char id[24];
    const char *const params[] = {creation->key, creation->body, id, creation->response};

    snprintf(id, sizeof(id), "%" PRId64, creation->user.id);
    return run(conn, keep_key_sql, 4, params, NULL);
}

static enum users_result create_steps(PGconn *conn, struct call *call)
{
    struct creation *creation = call->creation;
    struct user *user = &creation->user;
    const char *const params[] = {user->name, user->email};
    enum users_result answer = creation->key ? recall(conn, creation) : USERS_ABSENT;
    json_t *json;

    if (answer != USERS_ABSENT)
        return answer;
    answer = run_for_user(conn, insert_sql, 2, params, user);
    if (answer != USERS_DONE)
        return answer;
    json = user_to_json(user);
    creation->response = json ? json_dumps(json, JSON_COMPACT) : NULL;
    answer = emit(conn, "user_created", user->id, json_pack("{s:o}", "user", json));
    if (answer == USERS_DONE && !creation->response)
        answer = USERS_FAILED;
    if (answer == USERS_DONE && creation->key)
        answer = keep(conn, creation);
    return answer;
}

static enum users_result update_steps(PGconn *conn, struct call *call)
{
    struct user *user = call->user;
    struct user before;
    char id[24];
    const char *const params[] = {id, user->name, user->email};
    enum users_result answer;

    snprintf(id, sizeof(id), "%" PRId64, user->id);
    answer = run_for_user(conn, lock_sql, 1, params, &before);
    if (answer != USERS_DONE)
        return answer;
    if (!user_matches(&before, call->if_match))
        return USERS_STALE;
    user->version = before.version;
    if (strcmp(user->name, before.name) == 0 && strcmp(user->email, before.email) == 0)
        return USERS_DONE;
    answer = run_for_user(conn, update_sql, 3, params, user);
    if (answer != USERS_DONE)
        return answer;
    return emit(conn, "user_updated", user->id,
                json_pack("{s:o, s:o}", "user", user_to_json(user), "before", user_to_json(&before)));
}

/* The event does not spread once more what was asked to be deleted. */
static enum users_result delete_steps(PGconn *conn, struct call *call)
{
    struct user *user = call->user;
    char id[24];
    const char *const params[] = {id};
    enum users_result answer;

    snprintf(id, sizeof(id), "%" PRId64, user->id);
    answer = run_for_user(conn, lock_sql, 1, params, user);
    if (answer == USERS_DONE && !user_matches(user, call->if_match))
        answer = USERS_STALE;
    if (answer == USERS_DONE)
        answer = run_for_user(conn, delete_sql, 1, params, user);
    if (answer != USERS_DONE)
        return answer;
    return emit(conn, "user_deleted", user->id,
                json_pack("{s:{s:I, s:I}}", "user", "id", (json_int_t)user->id, "version",
                          (json_int_t)user->version + 1));
}

static enum users_result commit(PGconn *conn)
{
    PGresult *result;
    enum users_result answer = run(conn, "COMMIT", 0, NULL, &result);

    if (answer == USERS_DONE && strcmp(PQcmdStatus(result), "COMMIT") != 0)
        answer = USERS_FAILED; /* a failed transaction answers ROLLBACK */
    PQclear(result);
    /* Without an answer nobody here knows whether the server committed. */
    return answer != USERS_DONE && PQstatus(conn) != CONNECTION_OK ? USERS_UNKNOWN : answer;
}

static enum users_result transact(PGconn *conn, struct call *call)
{
    enum users_result answer = run(conn, "BEGIN ISOLATION LEVEL READ COMMITTED", 0, NULL, NULL);

    if (answer != USERS_DONE)
        return answer;
    answer = call->steps(conn, call);
    if (answer == USERS_DONE)
        return commit(conn);
    if (PQstatus(conn) == CONNECTION_OK)
        run(conn, "ROLLBACK", 0, NULL, NULL); /* if that fails, the pool closes the connection */
    return answer;
}

static bool may_retry(PGconn *conn, const struct call *call)
{
    /* What was made of the answer belongs to the attempt that failed. */
    if (call->creation) {
        free(call->creation->response);
        call->creation->response = NULL;
        call->creation->replayed = false;
    }
    return PQstatus(conn) == CONNECTION_OK && PQtransactionStatus(conn) == PQTRANS_IDLE;
}

/* Deadlocks happen: two users that exchange their addresses wait for one another. */
static enum users_result transact_again(PGconn *conn, struct call *call)
{
    enum users_result answer = USERS_LOST_RACE;

    for (int i = 0; i < ATTEMPTS && answer == USERS_LOST_RACE; i++) {
        answer = transact(conn, call);
        if (answer != USERS_DONE && !may_retry(conn, call))
            break;
    }
    return answer;
}

int users_set_up(PGconn *conn)
{
    PGresult *result = PQexec(conn, setup_sql);
    bool made = PQresultStatus(result) == PGRES_COMMAND_OK;

    if (!made)
        fprintf(stderr, "crud-api: %s", PQerrorMessage(conn));
    PQclear(result);
    return made ? 0 : 1;
}

enum users_result users_create(PGconn *conn, struct creation *creation)
{
    return transact_again(conn, &(struct call){.steps = create_steps, .creation = creation});
}

enum users_result users_get(PGconn *conn, int64_t id, struct user *ret_user)
{
    char text[24];
    const char *const params[] = {text};

    snprintf(text, sizeof(text), "%" PRId64, id);
    return run_for_user(conn, get_sql, 1, params, ret_user);
}

enum users_result users_update(PGconn *conn, struct user *user, const char *if_match)
{
    return transact_again(conn, &(struct call){.steps = update_steps, .user = user, .if_match = if_match});
}

enum users_result users_delete(PGconn *conn, int64_t id, const char *if_match)
{
    struct user user = {.id = id};

    return transact_again(conn, &(struct call){.steps = delete_steps, .user = &user, .if_match = if_match});
}
