/* inbox_test DSN...: the inbox on real servers, in databases that were just migrated; the DSNs
 * are superusers'.  Started by inbox.sh.  Prints TAP. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "emit_support.h"
#include "inbox_storm.h"

#define CONSUMER "billing"

/* Whoever waits where nobody should is cancelled. */
#define DEADLINE "options='-c statement_timeout=20s'"

static PGconn *first;
static PGconn *second;
static PGconn *witness;
static char id[32]; /* of the message that both bring */

/* What the second is told while the test goes on. */
static struct {
    pthread_t thread;
    atomic_bool told;
    int r;
    outbox_error *err;
} waiting;

static void next_message(void)
{
    static int count;

    snprintf(id, sizeof(id), "msg_%d", ++count);
}

static int claim(PGconn *conn, outbox_error **err)
{
    return outbox_inbox_claim(conn, CONSUMER, id, OUTBOX_INBOX_WAIT, err);
}

static void *claim_meanwhile(void *arg)
{
    (void)arg;
    waiting.r = claim(second, &waiting.err);
    atomic_store(&waiting.told, true);
    return NULL;
}

/* Until the second waits for a lock, or is told without having waited. */
static bool waits(void)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    char pid[16];

    snprintf(pid, sizeof(pid), "%d", PQbackendPID(second));
    for (long waited = 0; waited < WITNESS_TIMEOUT_US && !atomic_load(&waiting.told); waited += 5000) {
        if (strcmp(ask_with(witness, "SELECT cardinality(pg_blocking_pids($1::integer)) > 0", pid), "t") == 0)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static void start_waiting(void)
{
    atomic_store(&waiting.told, false);
    if (pthread_create(&waiting.thread, NULL, claim_meanwhile, NULL) != 0)
        bail("no thread");
    ok(waits(), "another transaction claims the same message: it waits");
}

static void is_claimed(const char *times, const char *name)
{
    is_text(ask_with(witness, "SELECT count(*) FROM outbox.inbox WHERE consumer = 'billing' AND message_id = $1", id),
            times, name);
}

/* The first has claimed and not yet ended; the second, with its snapshot taken, waits. */
static void begin_both(const struct isolation *isolation, int second_day)
{
    next_message();
    run(first, isolation->begin);
    run(second, isolation->begin);
    run(second, "SELECT 1");
    is_int(claim(first, NULL), OUTBOX_OK, isolation->name);
    if (second_day)
        set_day(second_day);
    start_waiting();
}

static void is_told(int wanted, const char *name)
{
    pthread_join(waiting.thread, NULL);
    is_int(waiting.r, wanted, name);
    if (waiting.err)
        printf("# %s\n", outbox_error_message(waiting.err));
    outbox_error_free(waiting.err);
    waiting.err = NULL;
}

/* Told by a READ COMMITTED caller at once, by others when they have tried again. */
static void is_told_seen(const struct isolation *isolation)
{
    if (isolation->old_snapshot) {
        pthread_join(waiting.thread, NULL);
        is_text(waiting.err ? outbox_error_sqlstate(waiting.err) : "", "40001", "its snapshot is too old to know");
        is_error(waiting.r, OUTBOX_ESERVER, &waiting.err, "", "; roll back and try the whole transaction again",
                 "and that is what it is told");
        run(second, "ROLLBACK");
        run(second, isolation->begin);
        is_int(claim(second, NULL), OUTBOX_INBOX_SEEN, "then the message is seen");
    } else {
        is_told(OUTBOX_INBOX_SEEN, "the first commits: the message is seen");
    }
    run(second, "COMMIT");
    is_claimed("1", "it is claimed once");
}

static void test_first_commits(const struct isolation *isolation)
{
    begin_both(isolation, 0);
    run(first, "COMMIT");
    is_told_seen(isolation);
}

static void test_first_rolls_back(const struct isolation *isolation)
{
    begin_both(isolation, 0);
    run(first, "ROLLBACK");
    is_told(OUTBOX_OK, "the first rolls back: the message is new");
    run(second, "COMMIT");
    is_claimed("1", "it is claimed once");
}

/* Claimed before midnight and not committed; claimed again after midnight, in the slot of another day. */
static void test_midnight(const struct isolation *isolation)
{
    begin_both(isolation, 1);
    run(first, "COMMIT");
    is_told_seen(isolation);
    begin_both(isolation, 2);
    run(first, "ROLLBACK");
    is_told(OUTBOX_OK, "after midnight, too, the message is new if the first rolls back");
    run(second, "COMMIT");
    is_claimed("1", "it is claimed once");
    set_day(9);
    run(second, isolation->begin);
    is_int(claim(second, NULL), OUTBOX_INBOX_SEEN, "a message of last week is seen");
    run(second, "COMMIT");
    set_day(0);
}

/* Nobody is waited for: the first is over, but younger than the second's snapshot. */
static void test_old_snapshot(const struct isolation *isolation)
{
    outbox_error *err = NULL;
    int r;

    next_message();
    run(second, isolation->begin);
    run(second, "SELECT 1");
    run(first, "BEGIN");
    is_int(claim(first, NULL), OUTBOX_OK, isolation->name);
    run(first, "COMMIT");
    set_day(1);
    r = outbox_inbox_claim(second, CONSUMER, id, OUTBOX_INBOX_NOWAIT, &err);
    if (isolation->old_snapshot)
        is_error(r, OUTBOX_ESERVER, &err, "", "try the whole transaction again", "an old snapshot: try again");
    else
        is_int(r, OUTBOX_INBOX_SEEN, "committed meanwhile: the message is seen");
    run(second, "ROLLBACK");
    set_day(0);
    is_claimed("1", "it is claimed once");
}

static void test_without_waiting(const struct isolation *isolation)
{
    next_message();
    run(first, "BEGIN");
    is_int(claim(first, NULL), OUTBOX_OK, isolation->name);
    run(second, isolation->begin);
    is_int(outbox_inbox_claim(second, CONSUMER, id, OUTBOX_INBOX_NOWAIT, NULL), OUTBOX_INBOX_IN_PROGRESS,
           "who would not wait is told that another has it");
    is_int(outbox_inbox_claim(second, "mailing", id, OUTBOX_INBOX_NOWAIT, NULL), OUTBOX_OK,
           "for another consumer it is new, and the transaction goes on");
    run(second, "COMMIT");
    run(first, "ROLLBACK");
    run(second, isolation->begin);
    is_int(outbox_inbox_claim(second, CONSUMER, id, OUTBOX_INBOX_NOWAIT, NULL), OUTBOX_OK,
           "after the other's rollback it is new");
    run(second, "COMMIT");
    /* Two that bring what is done already do not hinder each other. */
    run(first, "BEGIN");
    is_int(claim(first, NULL), OUTBOX_INBOX_SEEN, "then seen");
    run(second, isolation->begin);
    is_int(outbox_inbox_claim(second, CONSUMER, id, OUTBOX_INBOX_NOWAIT, NULL), OUTBOX_INBOX_SEEN,
           "by a second at the same time");
    is_int(claim(second, NULL), OUTBOX_INBOX_SEEN, "without waiting for the first");
    run(second, "COMMIT");
    run(first, "COMMIT");
}

static void test_savepoint(void)
{
    next_message();
    run(first, "BEGIN");
    run(first, "SAVEPOINT s");
    is_int(claim(first, NULL), OUTBOX_OK, "claimed after a savepoint");
    is_int(claim(first, NULL), OUTBOX_INBOX_SEEN, "the same transaction has seen it");
    run(second, "BEGIN");
    start_waiting();
    run(first, "ROLLBACK TO s");
    is_told(OUTBOX_OK, "a rollback to the savepoint frees it at once");
    run(second, "COMMIT");
    is_int(claim(first, NULL), OUTBOX_INBOX_SEEN, "and the first is told, should it try again");
    run(first, "COMMIT");
}

static void test_lost_connection(void)
{
    char pid[16];

    next_message();
    run(first, "BEGIN");
    is_int(claim(first, NULL), OUTBOX_OK, "claimed by a client that will be lost");
    run(second, "BEGIN");
    start_waiting();
    snprintf(pid, sizeof(pid), "%d", PQbackendPID(first));
    is_text(ask_with(witness, "SELECT pg_terminate_backend($1::integer)", pid), "t", "its connection ends");
    is_told(OUTBOX_OK, "the message is new for who waited");
    run(second, "COMMIT");
    is_claimed("1", "it is claimed once");
    PQfinish(first);
    first = connect_to(DEADLINE);
}

/* The caller's own settings bound the wait. */
static void test_deadline(const char *setting, const char *sqlstate)
{
    outbox_error *err = NULL;
    char sql[64];
    int r;

    next_message();
    run(first, "BEGIN");
    is_int(claim(first, NULL), OUTBOX_OK, "claimed");
    run(second, "BEGIN");
    snprintf(sql, sizeof(sql), "SET LOCAL %s = '50ms'", setting);
    run(second, sql);
    r = claim(second, &err);
    is_text(err ? outbox_error_sqlstate(err) : "", sqlstate, setting);
    is_error(r, OUTBOX_ESERVER, &err, "", " timeout", "ends the wait, as an error of the server");
    run(second, "ROLLBACK");
    run(first, "ROLLBACK");
}

/* What the server alone can refuse, and what a claim takes. */
static void test_role(void)
{
    outbox_error *err = NULL;
    char role[32], sql[128];
    PGconn *conn;

    snprintf(role, sizeof(role), "inbox_test_%d", PQbackendPID(witness));
    snprintf(sql, sizeof(sql), "CREATE ROLE %s LOGIN IN ROLE outbox_writer", role);
    run(witness, sql);
    snprintf(sql, sizeof(sql), "user=%s", role);
    conn = connect_to(sql);
    next_message();
    run(conn, "BEGIN");
    is_error(claim(conn, &err), OUTBOX_ESERVER, &err, "", "; GRANT outbox_consumer to the role that claims",
             "a writer is told what it needs");
    run(conn, "ROLLBACK");
    snprintf(sql, sizeof(sql), "GRANT outbox_consumer TO %s", role);
    run(witness, sql);
    run(conn, "BEGIN");
    trace_start(conn);
    is_int(claim(conn, &err), OUTBOX_OK, "with outbox_consumer it claims");
    is_int(trace_stop(conn).syncs, 1, "in one round trip");
    run(conn, "COMMIT");
    PQfinish(conn);
    snprintf(sql, sizeof(sql), "DROP ROLE %s", role);
    run(witness, sql);
    conn = connect_to("dbname=template1");
    run(conn, "BEGIN");
    is_error(claim(conn, &err), OUTBOX_ESERVER, &err, "", "; install the schema with outboxctl migrate",
             "a database without the schema");
    PQfinish(conn);
}

static void test_server(const char *dsn)
{
    choose_server(dsn);
    first = connect_to(DEADLINE);
    second = connect_to(DEADLINE);
    witness = connect_to("");
    for (size_t i = 0; i < ISOLATIONS; i++) {
        test_first_commits(&isolations[i]);
        test_first_rolls_back(&isolations[i]);
        test_midnight(&isolations[i]);
        test_old_snapshot(&isolations[i]);
        test_without_waiting(&isolations[i]);
    }
    test_savepoint();
    test_lost_connection();
    test_deadline("lock_timeout", "55P03");
    test_deadline("statement_timeout", "57014");
    test_role();
    PQfinish(first);
    PQfinish(second);
    PQfinish(witness);
    test_storm();
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: inbox_test DSN...\n", stderr);
        return 2;
    }
    for (int i = 1; i < argc; i++)
        test_server(argv[i]);
    return finish_tests();
}
