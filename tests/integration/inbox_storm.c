#include "inbox_storm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "emit_support.h"

#define CLIENTS 8
#define MESSAGES 60
#define DAYS 5
#define DEADLINE_S 60

static atomic_int today; /* how many midnights have come */
static atomic_int told;  /* how often anybody was told in progress */

/* One client brings all messages, each until it is done, by whomever. */
struct client {
    pthread_t thread;
    int number;
    PGconn *conn;
    const char *begin;
    uint32_t dice;
    time_t deadline;
    int done;        /* told new, and committed */
    int seen;        /* told seen */
    int in_progress; /* told in progress */
    int rolled_back; /* told new, and rolled back */
    int retries;     /* told to try again */
    int missing;     /* told seen, but the effect was not there */
    char strange[256];
};

static void set_up(PGconn *admin)
{
    run(admin, "CREATE TABLE effect (message_id text, client integer)");
    run(admin, "CREATE INDEX ON effect (message_id)"); /* not unique: it is the inbox that is tested */
    run(admin, "INSERT INTO outbox.inbox (consumer, message_id, slot)"
               " SELECT 'old', n, outbox.day_slot(now() - interval '10 days') FROM generate_series(1, 100) AS n");
}

void set_day(int day)
{
    PGconn *admin = connect_to("");
    char sql[512];

    snprintf(sql, sizeof(sql),
             "CREATE OR REPLACE FUNCTION outbox.day_slot(at timestamptz) RETURNS smallint"
             " LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS"
             " 'SELECT (floor(extract(epoch FROM at) / 86400)::bigint + %d & 15)::smallint'",
             day);
    run(admin, sql);
    PQfinish(admin);
}

static void nap(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    nanosleep(&pause, NULL);
}

/* xorshift: the same for each run of the test. */
static uint32_t roll(struct client *client, uint32_t sides)
{
    client->dice ^= client->dice << 13;
    client->dice ^= client->dice >> 17;
    client->dice ^= client->dice << 5;
    return client->dice % sides;
}

/* Whether it succeeded.  A serialization failure may come with any statement, the COMMIT included. */
static bool judge_result(struct client *client, const PGresult *result, const char *what)
{
    ExecStatusType status = PQresultStatus(result);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return true;
    if (sqlstate && strcmp(sqlstate, "40001") == 0)
        client->retries++;
    else
        snprintf(client->strange, sizeof(client->strange), "%s: %.200s", what, PQerrorMessage(client->conn));
    return false;
}

static bool do_sql(struct client *client, const char *sql)
{
    PGresult *result = PQexec(client->conn, sql);
    bool good = judge_result(client, result, sql);

    PQclear(result);
    return good;
}

/* Which takes a while, so that the claim is met by others however they are scheduled. */
static bool work(struct client *client, const char *id)
{
    const char *values[] = {id};
    PGresult *result = PQexecParams(client->conn, "INSERT INTO effect SELECT $1, pg_backend_pid() FROM pg_sleep(0.005)",
                                    1, NULL, values, NULL, NULL, 0);
    bool good = judge_result(client, result, "work");

    PQclear(result);
    return good;
}

/* Whoever is told that a message is seen can read what became of it. */
static void look(struct client *client, const char *id)
{
    const char *values[] = {id};
    PGresult *result = PQexecParams(client->conn, "SELECT FROM effect WHERE message_id = $1", 1, NULL, values, NULL,
                                    NULL, 0);

    if (judge_result(client, result, "look"))
        client->missing += PQntuples(result) != 1;
    PQclear(result);
}

static bool is_waited_for(struct client *client)
{
    static const char sql[] = "SELECT FROM pg_locks AS l WHERE NOT l.granted"
                              " AND pg_backend_pid() = ANY (pg_blocking_pids(l.pid))";
    PGresult *result = PQexec(client->conn, sql);
    bool waited = judge_result(client, result, "locks") && PQntuples(result) > 0;

    PQclear(result);
    return waited;
}

/* The first message is brought by half of them without waiting, by the other half, whose snapshots
 * will be too old then, with it.  Its claim is held until one of each kind has met it: that
 * anybody does must not depend on when who runs. */
static void hold(struct client *client)
{
    while (!client->strange[0] && (atomic_load(&told) == 0 || !is_waited_for(client))) {
        if (time(NULL) > client->deadline)
            snprintf(client->strange, sizeof(client->strange), "nobody else comes");
        nap();
    }
}

/* The message is new, and this client's: one in four gives up. */
static bool have_effect(struct client *client, const char *id, bool first)
{
    if (!work(client, id)) {
        do_sql(client, "ROLLBACK");
        return false;
    }
    if (first)
        hold(client);
    if (!first && roll(client, 4) == 0) {
        client->rolled_back++;
        do_sql(client, "ROLLBACK");
        return false;
    }
    if (!do_sql(client, "COMMIT"))
        return false;
    client->done++;
    return true;
}

static void fail(struct client *client, outbox_error *err)
{
    if (strcmp(outbox_error_sqlstate(err), "40001") == 0)
        client->retries++;
    else
        snprintf(client->strange, sizeof(client->strange), "claim: %.200s", outbox_error_message(err));
    outbox_error_free(err);
    do_sql(client, "ROLLBACK");
}

/* One transaction.  Returns whether the message is settled. */
static bool bring(struct client *client, const char *id, bool first)
{
    bool wait = first ? client->number % 2 == 1 : roll(client, 3) != 0;
    outbox_error *err = NULL;

    if (!do_sql(client, client->begin))
        return false;
    switch (outbox_inbox_claim(client->conn, "storm", id, wait ? OUTBOX_INBOX_WAIT : OUTBOX_INBOX_NOWAIT, &err)) {
    case OUTBOX_OK:
        return have_effect(client, id, first);
    case OUTBOX_INBOX_SEEN:
        look(client, id);
        client->seen++;
        do_sql(client, "ROLLBACK");
        return true;
    case OUTBOX_INBOX_IN_PROGRESS:
        client->in_progress++;
        atomic_fetch_add(&told, 1);
        do_sql(client, "ROLLBACK");
        nap();
        return false;
    default:
        fail(client, err);
        return false;
    }
}

/* No message waits for its midnight, but none is brought a day before its time either. */
static bool too_early(int message)
{
    return atomic_load(&today) < message * (DAYS + 1) / MESSAGES - 1;
}

static void *bring_all(void *arg)
{
    struct client *client = arg;
    char id[32];

    for (int i = 0; i < MESSAGES; i++) {
        snprintf(id, sizeof(id), "message %d", i);
        while (too_early(i) && time(NULL) <= client->deadline)
            nap();
        while (!client->strange[0] && !bring(client, id, i == 0)) {
            if (!client->strange[0] && time(NULL) > client->deadline)
                snprintf(client->strange, sizeof(client->strange), "%s: still not settled", id);
        }
        if (client->strange[0])
            return NULL;
    }
    return NULL;
}

/* Each midnight comes when a certain part of the messages is done, under full contention, and the
 * relay empties what is beyond a retention of seven days. */
static void pass_days(PGconn *witness)
{
    char part[16];

    for (int day = 1; day <= DAYS; day++) {
        snprintf(part, sizeof(part), "%d", day * MESSAGES / (DAYS + 1));
        if (!wait_for(witness, "SELECT count(*) >= $1::bigint FROM effect", part))
            ok(false, "storm: no progress beyond %s messages", part);
        set_day(day);
        atomic_store(&today, day);
        run(witness, "SELECT outbox.slot_expire('inbox', age, 1000) FROM generate_series(8, 14) AS age");
    }
}

static void judge(PGconn *witness, const struct client *clients)
{
    struct client sum = {0};
    int failed = 0;

    for (int i = 0; i < CLIENTS; i++) {
        const struct client *client = &clients[i];

        if (client->strange[0])
            printf("# client %d: %s\n", i, client->strange);
        sum.done += client->done;
        sum.seen += client->seen;
        sum.in_progress += client->in_progress;
        sum.rolled_back += client->rolled_back;
        sum.retries += client->retries;
        sum.missing += client->missing;
        failed += client->strange[0] != 0;
    }
    printf("# %d done, %d seen, %d in progress, %d rolled back, %d serialization failures\n", sum.done, sum.seen,
           sum.in_progress, sum.rolled_back, sum.retries);
    is_int(failed, 0, "storm: no client failed");
    is_text(ask(witness, "SELECT concat_ws(' ', count(*), count(DISTINCT message_id)) FROM effect"), "60 60",
            "storm: each message has had its effect once");
    is_int(sum.done, MESSAGES, "storm: as often was a client told that it is new, and committed");
    is_int(sum.seen, (CLIENTS - 1) * MESSAGES, "storm: all others were told that they are seen");
    is_int(sum.missing, 0, "storm: and then the effect was there to be read");
    ok(sum.in_progress > 0, "storm: some were told in progress: %d times", sum.in_progress);
    ok(sum.rolled_back > 0, "storm: some rolled back: %d times", sum.rolled_back);
    ok(sum.retries > 0, "storm: some had to try again: %d times", sum.retries);
    is_text(ask(witness, "SELECT concat_ws(' ', count(*), count(DISTINCT message_id), count(DISTINCT slot) > 1)"
                         " FROM outbox.inbox WHERE consumer = 'storm'"),
            "60 60 t", "storm: the inbox has each once, in the slots of several days");
    is_text(ask(witness, "SELECT count(*) FROM outbox.inbox WHERE consumer = 'old'"), "0",
            "storm: and what was beyond the window is gone");
}

void test_storm(void)
{
    static const char *const begins[] = {
        "BEGIN ISOLATION LEVEL READ COMMITTED",
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "BEGIN ISOLATION LEVEL READ COMMITTED",
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
    };
    struct client clients[CLIENTS] = {0};
    PGconn *witness = connect_to("");

    set_up(witness);
    atomic_store(&today, 0);
    atomic_store(&told, 0);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];

        client->conn = connect_to("options='-c statement_timeout=20s'");
        client->number = i;
        client->begin = begins[i % 4];
        client->dice = 0x9e3779b9u + (uint32_t)i;
        client->deadline = time(NULL) + DEADLINE_S;
        if (pthread_create(&client->thread, NULL, bring_all, client) != 0)
            bail("no thread");
    }
    pass_days(witness);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        PQfinish(clients[i].conn);
    }
    judge(witness, clients);
    set_day(0);
    PQfinish(witness);
}
