/* Transactions of the producer, and what fails them. */
#include "mock_producer.h"

static void sound_transactions_do_not_taint(void **state)
{
    struct producer *producer = ready_producer();
    outbox_error *error = NULL;

    (void)state;
    for (int i = 0; i < 3; i++) {
        expect(publish_and_commit(producer, &error), SINK_OK, &error);
        assert_true(producer_clean(producer));
        assert_false(producer_tainted(producer));
    }
    close_producer(producer);
    assert_int_equal(records_in(TOPIC, 0), 3);
    assert_int_equal(records_in("shop.progress", 0), 3);
}

static void retries_that_the_broker_asks_for_do_not_taint(void **state)
{
    struct producer *producer = ready_producer();
    outbox_error *error = NULL;

    (void)state;
    rd_kafka_mock_push_request_errors(cluster, ADD_PARTITIONS, 2, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
                                      RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS);
    expect(publish_and_commit(producer, &error), SINK_OK, &error);
    assert_false(producer_tainted(producer));
    close_producer(producer);
}

static void lost_end_taints_and_ends_the_producer(void **state)
{
    struct producer *producer = ready_producer();
    outbox_error *error = NULL;

    (void)state;
    expect(publish_and_commit(producer, &error), SINK_OK, &error);
    rd_kafka_mock_push_request_errors(cluster, END_TXN, 1, RD_KAFKA_RESP_ERR__TRANSPORT);
    expect(publish_and_commit(producer, &error), SINK_OK, &error);
    assert_true(producer_tainted(producer));
    assert_false(producer_clean(producer));
    expect(publish_and_commit(producer, &error), SINK_FAILED, &error);
    close_producer(producer);
    assert_int_equal(records_in(TOPIC, 0), 2);
}

static void lost_add_partitions_taints(void **state)
{
    struct producer *producer = ready_producer();
    outbox_error *error = NULL;

    (void)state;
    rd_kafka_mock_push_request_errors(cluster, ADD_PARTITIONS, 1, RD_KAFKA_RESP_ERR__TRANSPORT);
    expect(publish_and_commit(producer, &error), SINK_OK, &error);
    assert_true(producer_tainted(producer));
    close_producer(producer);
}

static void end_sent_again_taints(void **state)
{
    struct producer *producer = ready_producer();
    outbox_error *error = NULL;

    (void)state;
    rd_kafka_mock_push_request_errors(cluster, END_TXN, 1, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    expect(publish_and_commit(producer, &error), SINK_OK, &error);
    assert_true(producer_tainted(producer));
    close_producer(producer);
}

static void slow_commit_goes_on_in_slices(void **state)
{
    struct producer *producer = ready_producer();
    outbox_error *error = NULL;
    int again;

    (void)state;
    rd_kafka_mock_broker_push_request_error_rtts(cluster, 1, END_TXN, 1, RD_KAFKA_RESP_ERR_NO_ERROR, 2500);
    expect(publish(producer, 1, &error), SINK_OK, &error);
    expect(commit(producer, MILLISECONDS(150), &again, &error), SINK_OK, &error);
    assert_true(again >= 2);
    assert_false(producer_tainted(producer));
    expect(publish_and_commit(producer, &error), SINK_OK, &error);
    close_producer(producer);
}

static void slow_acknowledgement_goes_on_in_slices(void **state)
{
    struct producer *producer = ready_producer();
    outbox_error *error = NULL;
    int again;

    (void)state;
    rd_kafka_mock_broker_push_request_error_rtts(cluster, 1, PRODUCE, 1, RD_KAFKA_RESP_ERR_NO_ERROR, 2500);
    expect(publish(producer, 1, &error), SINK_OK, &error);
    expect(commit(producer, MILLISECONDS(150), &again, &error), SINK_OK, &error);
    assert_true(again >= 2);
    close_producer(producer);
}

/* What ends a transaction ends the producer, and nothing can be done with it any more. */
static void check_end(int16_t api_key, rd_kafka_resp_err_t code, enum sink_result wanted)
{
    struct producer *producer = ready_producer();
    outbox_error *error = NULL;

    rd_kafka_mock_push_request_errors(cluster, api_key, 1, code);
    expect(publish_and_commit(producer, &error), wanted, &error);
    assert_false(producer_clean(producer));
    expect(publish(producer, 2, &error), SINK_FAILED, &error);
    expect(producer_commit(producer, soon(), &error), SINK_FAILED, &error);
    close_producer(producer);
}

static void errors_of_commit(void **state)
{
    (void)state;
    check_end(END_TXN, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, SINK_FENCED);
    check_end(END_TXN, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, SINK_FENCED);
    check_end(END_TXN, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, SINK_FAILED);
    check_end(END_TXN, RD_KAFKA_RESP_ERR_UNKNOWN, SINK_FAILED);
}

static void errors_of_add_partitions(void **state)
{
    (void)state;
    check_end(ADD_PARTITIONS, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, SINK_FENCED);
    check_end(ADD_PARTITIONS, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, SINK_REFUSED);
    check_end(ADD_PARTITIONS, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, SINK_FAILED);
    check_end(ADD_PARTITIONS, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING, SINK_FAILED);
}

static void errors_of_produce(void **state)
{
    (void)state;
    check_end(PRODUCE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, SINK_REFUSED);
    check_end(PRODUCE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, SINK_REFUSED);
    check_end(PRODUCE, RD_KAFKA_RESP_ERR_INVALID_RECORD, SINK_REFUSED);
    check_end(PRODUCE, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, SINK_FENCED);
    check_end(PRODUCE, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, SINK_FAILED);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(sound_transactions_do_not_taint),
        TEST(retries_that_the_broker_asks_for_do_not_taint),
        TEST(lost_end_taints_and_ends_the_producer),
        TEST(lost_add_partitions_taints),
        TEST(end_sent_again_taints),
        TEST(slow_commit_goes_on_in_slices),
        TEST(slow_acknowledgement_goes_on_in_slices),
        TEST(errors_of_commit),
        TEST(errors_of_add_partitions),
        TEST(errors_of_produce),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
