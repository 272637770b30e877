/* outbox_inbox_claim(): what is refused before anything is sent, what is sent, and how answers are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <outbox/outbox.h>

#include "fake_libpq.h"

static PGconn *conn;
static const char *consumer;
static const char *message_id;
static int wait;

static int set_up(void **state)
{
    (void)state;
    conn = fake_conn();
    consumer = "billing";
    message_id = "msg_1";
    wait = OUTBOX_INBOX_WAIT;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_free();
    return 0;
}

static int claim(outbox_error **reterr)
{
    return outbox_inbox_claim(conn, consumer, message_id, (enum outbox_inbox_wait)wait, reterr);
}

static void assert_fails(int code, const char *field, const char *part)
{
    outbox_error *err = NULL;

    assert_int_equal(claim(&err), code);
    assert_non_null(err);
    assert_int_equal(outbox_error_code(err), code);
    assert_string_equal(outbox_error_field(err), field);
    if (!strstr(outbox_error_message(err), part))
        fail_msg("\"%s\" does not tell: %s", outbox_error_message(err), part);
    outbox_error_free(err);
}

static void assert_refused(int code, const char *field, const char *part)
{
    assert_fails(code, field, part);
    assert_int_equal(claim(NULL), code);
    assert_int_equal(fake.sent, 0);
}

static void test_connection(void **state)
{
    (void)state;
    fake.transaction = PQTRANS_IDLE;
    assert_refused(OUTBOX_ESTATE, "", "no transaction is open; BEGIN, claim, do the work, COMMIT");
    fake.transaction = PQTRANS_INERROR;
    assert_refused(OUTBOX_ESTATE, "", "the transaction has failed; roll it back");
    fake.transaction = PQTRANS_ACTIVE;
    assert_refused(OUTBOX_ESTATE, "", "another command is in progress");
    fake.pipeline = PQ_PIPELINE_ON;
    assert_refused(OUTBOX_ESTATE, "", "the connection is in pipeline mode; leave it first");
    fake.pipeline = PQ_PIPELINE_ABORTED;
    assert_refused(OUTBOX_ESTATE, "", "an earlier command of the pipeline failed");
    fake.pipeline = PQ_PIPELINE_OFF;
    fake.transaction = PQTRANS_INTRANS;
    fake.encoding = "LATIN1";
    assert_refused(OUTBOX_ESTATE, "", "client_encoding is LATIN1, ids are UTF-8");
    fake.status = CONNECTION_BAD;
    assert_refused(OUTBOX_ECONNECTION, "", "the connection is not open");
    conn = NULL;
    assert_refused(OUTBOX_EINVAL, "", "conn: is NULL");
}

static void test_consumer(void **state)
{
    char longest[251];

    (void)state;
    memset(longest, 'c', sizeof(longest));
    longest[250] = '\0';
    consumer = longest;
    assert_refused(OUTBOX_ELIMIT, "consumer", "consumer: is longer than 249 bytes");
    consumer = "";
    assert_refused(OUTBOX_EINVAL, "consumer", "consumer: is empty");
    consumer = NULL;
    assert_refused(OUTBOX_EINVAL, "consumer", "consumer: is NULL");
    consumer = "a\tb";
    assert_refused(OUTBOX_EINVAL, "consumer", "consumer: has a control character");
    consumer = "\xff";
    assert_refused(OUTBOX_EINVAL, "consumer", "consumer: is not UTF-8");
    longest[249] = '\0';
    consumer = longest;
    fake.result = fake_text("new");
    assert_int_equal(claim(NULL), OUTBOX_OK);
}

static void test_message_id(void **state)
{
    char longest[257];

    (void)state;
    memset(longest, 'm', sizeof(longest));
    longest[256] = '\0';
    message_id = longest;
    assert_refused(OUTBOX_ELIMIT, "message_id", "message_id: is longer than 255 bytes; shorten it, or pass a hash");
    message_id = "";
    assert_refused(OUTBOX_EINVAL, "message_id", "message_id: is empty; pass 1 to 255 bytes");
    message_id = NULL;
    assert_refused(OUTBOX_EINVAL, "message_id", "message_id: is NULL");
    message_id = "\xc3(";
    assert_refused(OUTBOX_EINVAL, "message_id", "message_id: is not UTF-8");
    longest[255] = '\0';
    message_id = longest;
    fake.result = fake_text("new");
    assert_int_equal(claim(NULL), OUTBOX_OK);
    assert_int_equal(fake.sizes[1], 255);
    wait = 2;
    fake.sent = 0;
    assert_refused(OUTBOX_EINVAL, "wait", "wait: is 2");
}

static void test_what_is_sent(void **state)
{
    static const Oid types[] = {25, 25, 16};

    (void)state;
    for (wait = OUTBOX_INBOX_WAIT; wait <= OUTBOX_INBOX_NOWAIT; wait++) {
        fake.result = fake_text("new");
        assert_int_equal(claim(NULL), OUTBOX_OK);
        assert_string_equal(fake.sql, "SELECT outbox.inbox_claim($1, $2, $3)");
        assert_null(fake.named);
        assert_memory_equal(fake.types, types, sizeof(types));
        assert_int_equal(fake.sizes[0], 7);
        assert_memory_equal(fake.values[0], "billing", 7);
        assert_int_equal(fake.sizes[1], 5);
        assert_memory_equal(fake.values[1], "msg_1", 5);
        assert_int_equal(fake.sizes[2], 1);
        assert_int_equal(fake.values[2][0], wait == OUTBOX_INBOX_WAIT);
    }
}

static void test_answers(void **state)
{
    outbox_error *err = NULL;

    (void)state;
    fake.result = fake_text("seen");
    assert_int_equal(claim(&err), OUTBOX_INBOX_SEEN);
    wait = OUTBOX_INBOX_NOWAIT;
    fake.result = fake_text("in_progress");
    assert_int_equal(claim(&err), OUTBOX_INBOX_IN_PROGRESS);
    assert_null(err);
    wait = OUTBOX_INBOX_WAIT;
    fake.result = fake_text("in_progress"); /* but it was to wait */
    assert_fails(OUTBOX_EINTERNAL, "", "the result is not that of a claim");
    fake.result = fake_text("newer");
    assert_fails(OUTBOX_EINTERNAL, "", "the result is not that of a claim");
    fake.result = fake_result(PGRES_COMMAND_OK);
    assert_fails(OUTBOX_EINTERNAL, "", "the result is not that of a claim");
    fake.result = fake_result(PGRES_TUPLES_OK);
    assert_fails(OUTBOX_EINTERNAL, "", "the result is not that of a claim");
    fake.result = fake_result(PGRES_FATAL_ERROR);
    assert_fails(OUTBOX_ECONNECTION, "", "the connection is lost; connect again");
    fake.message = "out of memory\n";
    assert_fails(OUTBOX_ENOMEM, "", "libpq could not send the statement: out of memory");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_connection),   TEST(test_consumer), TEST(test_message_id),
        TEST(test_what_is_sent), TEST(test_answers),
    };
#undef TEST

    return cmocka_run_group_tests_name("inbox", tests, NULL, NULL);
}
