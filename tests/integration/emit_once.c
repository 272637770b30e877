/* An id that the caller supplies is emitted once, whoever else tries at the same time, on
 * whichever day. */
#include "emit_support.h"

#include <stdio.h>
#include <string.h>

static PGconn *first;
static PGconn *second;
static PGconn *witness;

static outbox_event *next_event(char id[OUTBOX_ID_SIZE])
{
    snprintf(id, OUTBOX_ID_SIZE, "%s", ask(witness, "SELECT gen_random_uuid()"));
    return make_event("once", "k", id);
}

static void is_there(const char *id, const char *times, const char *name)
{
    is_text(ask_with(witness, "SELECT count(*) FROM outbox.event WHERE id = $1::uuid", id), times, name);
}

/* The first has emitted and not yet ended; the second emits the same id and waits. */
static void begin_both(const struct isolation *isolation, const outbox_event *ev)
{
    outbox_error *err = NULL;

    run(first, isolation->begin);
    run(second, isolation->begin);
    run(second, "SELECT 1"); /* takes the snapshot, where there is one for all */
    is_int(outbox_emit(first, ev, NULL, &err), OUTBOX_OK, isolation->name);
    is_int(outbox_emit_send(second, ev, &err), OUTBOX_OK, "another transaction emits the same id");
    ok(wait_blocked(witness, second), "it waits for the first");
}

static void test_first_commits(const struct isolation *isolation)
{
    char id[OUTBOX_ID_SIZE];
    outbox_event *ev = next_event(id);
    outbox_error *err = NULL;
    char again[OUTBOX_ID_SIZE];
    int r;

    begin_both(isolation, ev);
    run(first, "COMMIT");
    r = take_result(second, again, &err);
    if (isolation->old_snapshot) {
        is_text(err ? outbox_error_sqlstate(err) : "", "40001", "its snapshot is too old to know: try again");
        is_error(r, OUTBOX_ESERVER, &err, "", "; roll back and try the whole transaction again",
                 "and that is what it is told");
        run(second, "ROLLBACK");
        run(second, isolation->begin);
        r = outbox_emit(second, ev, again, &err);
    }
    is_int(r, OUTBOX_ALREADY_EMITTED, "the first commits: emitted already");
    is_text(again, id, "with the id");
    run(second, "COMMIT");
    is_there(id, "1", "one event");
    outbox_event_free(ev);
}

static void test_first_rolls_back(const struct isolation *isolation)
{
    char id[OUTBOX_ID_SIZE];
    outbox_event *ev = next_event(id);
    outbox_error *err = NULL;
    char again[OUTBOX_ID_SIZE];

    begin_both(isolation, ev);
    run(first, "ROLLBACK");
    is_int(take_result(second, again, &err), OUTBOX_OK, "the first rolls back: the second emits");
    run(second, "COMMIT");
    is_there(id, "1", "one event");
    outbox_event_free(ev);
}

static void test_second_rolls_back_too(void)
{
    char id[OUTBOX_ID_SIZE];
    outbox_event *ev = next_event(id);
    outbox_error *err = NULL;

    begin_both(&isolations[0], ev);
    run(first, "ROLLBACK");
    is_int(take_result(second, NULL, &err), OUTBOX_OK, "the second emits after the first rolled back");
    run(second, "ROLLBACK");
    is_there(id, "0", "and rolls back, too: no event");
    run(first, "BEGIN");
    is_int(outbox_emit(first, ev, NULL, &err), OUTBOX_OK, "the id is free again");
    run(first, "COMMIT");
    is_there(id, "1", "one event");
    outbox_event_free(ev);
}

static void test_same_transaction(void)
{
    char id[OUTBOX_ID_SIZE];
    outbox_event *ev = next_event(id);
    outbox_error *err = NULL;

    run(first, "BEGIN");
    run(first, "SAVEPOINT s");
    is_int(outbox_emit(first, ev, NULL, &err), OUTBOX_OK, "emitted in a savepoint");
    is_int(outbox_emit(first, ev, NULL, &err), OUTBOX_ALREADY_EMITTED, "not twice in one transaction");
    run(first, "ROLLBACK TO s");
    is_int(outbox_emit(first, ev, NULL, &err), OUTBOX_OK, "but again once the savepoint is rolled back");
    run(first, "COMMIT");
    is_there(id, "1", "one event");
    outbox_event_free(ev);
}

/* Midnight passed since: the id stands in the slot of yesterday. */
static void age(const char *id)
{
    is_text(
        ask_with(witness,
                 "WITH moved AS (UPDATE outbox.emitted SET slot = outbox.day_slot(now() - interval '1 day'),"
                 "                                         at = at - interval '1 day'"
                 "                WHERE id = $1::uuid RETURNING slot)"
                 " SELECT count(*) FROM moved WHERE slot <> outbox.day_slot(now())",
                 id),
        "1", "the id was claimed yesterday");
}

static void test_across_midnight(const struct isolation *isolation)
{
    char id[OUTBOX_ID_SIZE];
    outbox_event *ev = next_event(id);
    outbox_error *err = NULL;

    run(first, "BEGIN");
    is_int(outbox_emit(first, ev, NULL, &err), OUTBOX_OK, isolation->name);
    run(first, "COMMIT");
    age(id);
    run(second, isolation->begin);
    is_int(outbox_emit(second, ev, NULL, &err), OUTBOX_ALREADY_EMITTED, "yesterday's id is emitted already");
    run(second, "COMMIT");
    is_there(id, "1", "one event");
    outbox_event_free(ev);
}

/* The hardest: a snapshot from before yesterday's claim cannot see it, and today's slot is empty. */
static void test_across_midnight_with_an_old_snapshot(const struct isolation *isolation)
{
    char id[OUTBOX_ID_SIZE];
    outbox_event *ev = next_event(id);
    outbox_error *err = NULL;
    int r;

    run(second, isolation->begin);
    run(second, "SELECT 1");
    run(first, "BEGIN");
    is_int(outbox_emit(first, ev, NULL, &err), OUTBOX_OK, isolation->name);
    run(first, "COMMIT");
    age(id);
    r = outbox_emit(second, ev, NULL, &err);
    if (isolation->old_snapshot)
        is_error(r, OUTBOX_ESERVER, &err, "", "try the whole transaction again",
                 "an old snapshot: try again");
    else
        is_int(r, OUTBOX_ALREADY_EMITTED, "emitted already");
    run(second, "ROLLBACK");
    is_there(id, "1", "one event");
    outbox_event_free(ev);
}

/* The caller's own settings bound the wait. */
static void test_wait_has_the_callers_deadline(void)
{
    char id[OUTBOX_ID_SIZE];
    outbox_event *ev = next_event(id);
    outbox_error *err = NULL;
    int r;

    run(first, "BEGIN");
    is_int(outbox_emit(first, ev, NULL, &err), OUTBOX_OK, "emitted");
    run(second, "BEGIN");
    run(second, "SET LOCAL statement_timeout = '50ms'");
    r = outbox_emit(second, ev, NULL, &err);
    is_text(err ? outbox_error_sqlstate(err) : "", "57014",
            "statement_timeout ends the wait for another's id");
    is_error(r, OUTBOX_ESERVER, &err, "", "statement timeout", "as an error of the server");
    run(second, "ROLLBACK");
    run(first, "ROLLBACK");
    outbox_event_free(ev);
}

/* Ids are claimed in their own order, whatever that of the array: who waits for a lower one holds
 * no higher one, so that two cannot wait for each other. */
static void test_arrays_do_not_deadlock(void)
{
    static const char low[] = "00000000-0000-4000-8000-000000000001";
    static const char high[] = "ffffffff-0000-4000-8000-000000000001";
    static const char *const backwards[] = {high, low};
    outbox_event *ev_low = make_event("once", "k", low);
    outbox_event *ev_high = make_event("once", "k", high);
    outbox_error *err = NULL;
    PGresult *result;

    run(first, "BEGIN");
    is_int(outbox_emit(first, ev_low, NULL, &err), OUTBOX_OK, "the lower id is emitted");
    run(second, "BEGIN");
    if (!PQsendQueryParams(second,
                           "SELECT bool_and(already_emitted) FROM outbox.emit_events(p_type => '{once,once}',"
                           "                                     p_id => ARRAY[$1, $2]::uuid[])",
                           2, NULL, backwards, NULL, NULL, 0))
        bail("cannot send: %s", PQerrorMessage(second));
    ok(wait_blocked(witness, second), "an array with a higher one before it waits");
    run(first, "SET LOCAL statement_timeout = '10s'");
    is_int(outbox_emit(first, ev_high, NULL, &err), OUTBOX_OK, "and holds the higher one not yet");
    run(first, "COMMIT");
    result = PQgetResult(second);
    is_text(PQresultStatus(result) == PGRES_TUPLES_OK ? PQgetvalue(result, 0, 0)
                                                      : PQresultErrorMessage(result),
            "t", "then both are emitted already");
    PQclear(result);
    PQclear(PQgetResult(second));
    run(second, "COMMIT");
    is_there(low, "1", "one event");
    is_there(high, "1", "one event");
    outbox_error_free(err);
    outbox_event_free(ev_low);
    outbox_event_free(ev_high);
}

void test_once(void)
{
    first = connect_to("");
    second = connect_to("");
    witness = connect_to("");
    for (size_t i = 0; i < ISOLATIONS; i++) {
        test_first_commits(&isolations[i]);
        test_first_rolls_back(&isolations[i]);
        test_across_midnight(&isolations[i]);
        test_across_midnight_with_an_old_snapshot(&isolations[i]);
    }
    test_second_rolls_back_too();
    test_same_transaction();
    test_wait_has_the_callers_deadline();
    test_arrays_do_not_deadlock();
    PQfinish(first);
    PQfinish(second);
    PQfinish(witness);
}
