/* How a producer begins, and how it ends in the middle of something. */
#include <unistd.h>

#include "mock_producer.h"

static void broker_gone_in_the_middle_fails_by_the_transaction_timeout(void **state)
{
    struct producer *producer = ready_producer();
    outbox_error *error = NULL;
    int again;

    (void)state;
    expect(publish_and_commit(producer, &error), SINK_OK, &error);
    rd_kafka_mock_broker_set_down(cluster, 1);
    expect(publish(producer, 2, &error), SINK_OK, &error);
    expect(commit(producer, MILLISECONDS(200), &again, &error), SINK_FAILED, &error);
    assert_true(again >= 2);
    close_producer(producer);
}

static void closing_with_records_under_way_gives_their_memory_back(void **state)
{
    struct producer *producer = ready_producer();
    outbox_error *error = NULL;
    mono_us begin;

    (void)state;
    rd_kafka_mock_broker_push_request_error_rtts(cluster, 1, PRODUCE, 1, RD_KAFKA_RESP_ERR_NO_ERROR, 4000);
    expect(publish(producer, 1, &error), SINK_OK, &error);
    expect(producer_commit(producer, clock_now() + MILLISECONDS(200), &error), SINK_AGAIN, &error);
    begin = clock_now();
    close_producer(producer);
    print_message("closing took %d ms\n", (int)((clock_now() - begin) / 1000));
}

/* librdkafka asserts when it is destroyed in the moment in which it registers partitions. */
static void closing_while_partitions_are_registered(void **state)
{
    outbox_error *error = NULL;

    (void)state;
    for (int i = 0; i < 60; i++) {
        struct producer *producer = ready_producer();

        if (i % 2 == 1)
            rd_kafka_mock_push_request_errors(cluster, ADD_PARTITIONS, 1,
                                              RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS);
        expect(publish(producer, 1, &error), SINK_OK, &error);
        usleep((useconds_t)(i / 2 * (i % 2 == 1 ? 1000 : 100)));
        close_producer(producer);
        rd_kafka_mock_clear_request_errors(cluster, ADD_PARTITIONS);
    }
}

static void init_goes_on_when_the_broker_comes_back(void **state)
{
    struct producer *producer;
    outbox_error *error = NULL;
    enum sink_result result;
    mono_us end = soon();

    (void)state;
    rd_kafka_mock_broker_set_down(cluster, 1);
    producer = new_producer();
    expect(producer_init(producer, clock_now() + MILLISECONDS(200), &error), SINK_AGAIN, &error);
    rd_kafka_mock_broker_set_up(cluster, 1);
    do {
        outbox_error_free(error);
        error = NULL;
        result = producer_init(producer, clock_now() + MILLISECONDS(200), &error);
    } while (result == SINK_AGAIN && clock_now() < end);
    expect(result, SINK_OK, &error);
    expect(publish_and_commit(producer, &error), SINK_OK, &error);
    close_producer(producer);
}

static void init_without_the_right_is_refused(void **state)
{
    struct producer *producer = new_producer();
    outbox_error *error = NULL;

    (void)state;
    rd_kafka_mock_push_request_errors(cluster, INIT_PRODUCER_ID, 1,
                                      RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    expect(producer_init(producer, soon(), &error), SINK_REFUSED, &error);
    close_producer(producer);
}

static void publishing_before_init_fails(void **state)
{
    struct producer *producer = new_producer();
    outbox_error *error = NULL;

    (void)state;
    assert_false(producer_clean(producer));
    expect(publish(producer, 1, &error), SINK_FAILED, &error);
    close_producer(producer);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(broker_gone_in_the_middle_fails_by_the_transaction_timeout),
        TEST(closing_with_records_under_way_gives_their_memory_back),
        TEST(closing_while_partitions_are_registered),
        TEST(init_goes_on_when_the_broker_comes_back),
        TEST(init_without_the_right_is_refused),
        TEST(publishing_before_init_fails),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
