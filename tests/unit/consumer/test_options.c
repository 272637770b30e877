/* What outbox_consumer_new() takes and refuses, without any server. */
#include <outbox/consumer.h>
#include <string.h>

#include "../cmocka_all.h"

static int handle(struct pg_conn *conn, outbox_record *const records[], size_t count, void *context)
{
    (void)conn;
    (void)records;
    (void)count;
    (void)context;
    return OUTBOX_CONSUMER_DONE;
}

static outbox_consumer_options *complete(void)
{
    outbox_consumer_options *options = outbox_consumer_options_new();

    assert_non_null(options);
    assert_int_equal(outbox_consumer_options_set_name(options, "unit"), OUTBOX_OK);
    assert_int_equal(outbox_consumer_options_set_dsn(options, "host=/nonexistent"), OUTBOX_OK);
    assert_int_equal(outbox_consumer_options_set_property(options, "bootstrap.servers", "127.0.0.1:1"), OUTBOX_OK);
    assert_int_equal(outbox_consumer_options_add_topic(options, "orders"), OUTBOX_OK);
    assert_int_equal(outbox_consumer_options_set_handler(options, handle, NULL), OUTBOX_OK);
    return options;
}

/* Takes options; the code, with the field and a word of the message. */
static void assert_refused(outbox_consumer_options *options, int code, const char *field, const char *word)
{
    outbox_consumer *consumer = NULL;
    outbox_error *err = NULL;

    assert_int_equal(outbox_consumer_new(options, &consumer, &err), code);
    assert_null(consumer);
    assert_int_equal(outbox_error_code(err), code);
    assert_string_equal(outbox_error_field(err), field);
    assert_non_null(strstr(outbox_error_message(err), word));
    outbox_error_free(err);
    outbox_consumer_options_free(options);
}

static void test_complete(void **state)
{
    outbox_consumer_options *options = complete();
    outbox_consumer *consumer = NULL;

    (void)state;
    assert_int_equal(outbox_consumer_new(options, &consumer, NULL), OUTBOX_OK);
    outbox_consumer_options_free(options); /* a copy is kept */
    assert_int_equal(outbox_consumer_get(consumer, OUTBOX_CONSUMER_RECORDS), 0);
    assert_int_equal(outbox_consumer_get(consumer, (enum outbox_consumer_count)99), -1);
    outbox_consumer_pause(consumer);
    outbox_consumer_resume(consumer);
    outbox_consumer_stop(consumer);
    outbox_consumer_free(consumer);
    outbox_consumer_free(NULL);
    outbox_consumer_options_free(NULL);
}

/* One setting left out each time. */
static void test_missing(void **state)
{
    outbox_consumer_options *options;

    (void)state;
    assert_refused(outbox_consumer_options_new(), OUTBOX_EINVAL, "name", "set_name");
    options = complete();
    outbox_consumer_options_set_dsn(options, NULL);
    assert_refused(options, OUTBOX_EINVAL, "dsn", "set_dsn");
    options = complete();
    outbox_consumer_options_set_handler(options, NULL, NULL);
    assert_refused(options, OUTBOX_EINVAL, "handler", "set_handler");
    options = outbox_consumer_options_new();
    outbox_consumer_options_set_name(options, "unit");
    outbox_consumer_options_set_dsn(options, "host=/nonexistent");
    assert_refused(options, OUTBOX_EINVAL, "topic", "add_topic");
}

static void test_brokers(void **state)
{
    outbox_consumer_options *options = outbox_consumer_options_new();

    (void)state;
    outbox_consumer_options_set_name(options, "unit");
    outbox_consumer_options_set_dsn(options, "host=/nonexistent");
    outbox_consumer_options_add_topic(options, "orders");
    outbox_consumer_options_set_handler(options, handle, NULL);
    assert_refused(options, OUTBOX_EINVAL, "property", "bootstrap.servers");
    options = complete();
    outbox_consumer_options_set_property(options, "bootstrap.servers", "192.0.2.1:9092");
    outbox_consumer_options_set_property(options, "no.such.property", "1");
    assert_refused(options, OUTBOX_EINVAL, "property", "no.such.property");
}

/* Without TLS only to this machine, unless told otherwise. */
static void test_plaintext(void **state)
{
    outbox_consumer_options *options = outbox_consumer_options_new();
    outbox_consumer *consumer = NULL;

    (void)state;
    outbox_consumer_options_set_name(options, "unit");
    outbox_consumer_options_set_dsn(options, "host=/nonexistent");
    outbox_consumer_options_add_topic(options, "orders");
    outbox_consumer_options_set_handler(options, handle, NULL);
    outbox_consumer_options_set_property(options, "bootstrap.servers", "192.0.2.1:9092");
    assert_int_equal(outbox_consumer_new(options, &consumer, NULL), OUTBOX_EINVAL);
    outbox_consumer_options_set_insecure(options, 1);
    assert_int_equal(outbox_consumer_new(options, &consumer, NULL), OUTBOX_OK);
    outbox_consumer_free(consumer);
    outbox_consumer_options_set_insecure(options, 0);
    assert_refused(options, OUTBOX_EINVAL, "property", "security.protocol");
    options = complete();
    outbox_consumer_options_set_dsn(options, "host=192.0.2.1");
    assert_refused(options, OUTBOX_EINVAL, "dsn", "(or call outbox_consumer_options_set_insecure())");
    options = complete();
    outbox_consumer_options_set_dsn(options, "host=192.0.2.1");
    outbox_consumer_options_set_insecure(options, 1);
    consumer = NULL;
    assert_int_equal(outbox_consumer_new(options, &consumer, NULL), OUTBOX_OK);
    outbox_consumer_free(consumer);
    outbox_consumer_options_free(options);
}

/* A setter's refusal is remembered, and told with its field. */
static void test_ranges(void **state)
{
    static const struct {
        const char *field;
        int code;
    } expected[] = {{"name", OUTBOX_EINVAL},       {"property", OUTBOX_EINVAL},  {"workers", OUTBOX_ELIMIT},
                    {"batch", OUTBOX_ELIMIT},      {"queue_bytes", OUTBOX_ELIMIT}, {"retries", OUTBOX_ELIMIT},
                    {"transaction_timeout", OUTBOX_ELIMIT}, {"drain_timeout", OUTBOX_ELIMIT},
                    {"start", OUTBOX_EINVAL},      {"dead_letter_topic", OUTBOX_EINVAL}, {"topic", OUTBOX_EINVAL},
                    {"insecure", OUTBOX_EINVAL},   {"followers", OUTBOX_EINVAL}};

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        outbox_consumer_options *options = complete();
        int codes[] = {outbox_consumer_options_set_name(i == 0 ? options : NULL, "a\nb"),
                       outbox_consumer_options_set_property(i == 1 ? options : NULL, "enable.auto.commit", "true"),
                       outbox_consumer_options_set_workers(i == 2 ? options : NULL, 65),
                       outbox_consumer_options_set_batch(i == 3 ? options : NULL, 0),
                       outbox_consumer_options_set_queue_bytes(i == 4 ? options : NULL, 1),
                       outbox_consumer_options_set_retries(i == 5 ? options : NULL, 1, 100, 50),
                       outbox_consumer_options_set_transaction_timeout(i == 6 ? options : NULL, 999),
                       outbox_consumer_options_set_drain_timeout(i == 7 ? options : NULL, -1),
                       outbox_consumer_options_set_start(i == 8 ? options : NULL, OUTBOX_CONSUMER_OFFSET, -1),
                       outbox_consumer_options_set_failure(i == 9 ? options : NULL, OUTBOX_CONSUMER_DEAD_LETTER, "a/b"),
                       outbox_consumer_options_add_topic(i == 10 ? options : NULL, ""),
                       outbox_consumer_options_set_insecure(i == 11 ? options : NULL, 2),
                       outbox_consumer_options_set_followers(i == 12 ? options : NULL,
                                                             (enum outbox_consumer_followers)7)};

        assert_int_equal(codes[i], expected[i].code);
        assert_refused(options, expected[i].code, expected[i].field, "consumer.h");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete), cmocka_unit_test(test_missing),   cmocka_unit_test(test_brokers),
        cmocka_unit_test(test_plaintext), cmocka_unit_test(test_ranges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
