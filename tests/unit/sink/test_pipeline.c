/* The idempotent producer, while it succeeds in the end. */
#include "mock_pipeline.h"

static void pages_are_confirmed_when_they_are_on_the_brokers(void **state)
{
    struct pipeline *pipeline = open_pipeline(SECONDS(10));
    outbox_error *error = NULL;
    uint64_t page;

    (void)state;
    publish_well(pipeline, 1, 0, 100);
    publish_well(pipeline, 2, 1, 1);
    publish_well(pipeline, 3, 0, 0); /* one of events for webhooks alone */
    expect(wait_for(pipeline, 3, &error), SINK_OK, &error);
    expect(pipeline_serve(pipeline, &page, &error), SINK_OK, &error);
    assert_int_equal(page, 0); /* told once */
    publish_well(pipeline, 4, 0, 0);
    expect(pipeline_serve(pipeline, &page, &error), SINK_OK, &error);
    assert_int_equal(page, 4); /* nothing to wait for */
    assert_true(pipeline_close(pipeline, soon()));
    assert_int_equal(records_in(TOPIC, 0), 100);
    assert_int_equal(records_in(TOPIC, 1), 1);
}

static void a_page_waits_for_the_older_ones(void **state)
{
    struct pipeline *pipeline = open_pipeline(SECONDS(14));
    outbox_error *error = NULL;
    mono_us end = soon();
    uint64_t page;

    (void)state;
    publish_well(pipeline, 1, 0, 1);
    publish_well(pipeline, 2, 1, 1);
    expect(wait_for(pipeline, 2, &error), SINK_OK, &error); /* both connections are there */
    rd_kafka_mock_broker_push_request_error_rtts(cluster, 1, PRODUCE, 1, RD_KAFKA_RESP_ERR_NO_ERROR, 8000);
    publish_well(pipeline, 3, 0, 1);
    publish_well(pipeline, 4, 1, 1);
    while (records_in(TOPIC, 1) < 2)
        assert_true(clock_now() < end);
    expect(pipeline_serve(pipeline, &page, &error), SINK_OK, &error);
    assert_int_equal(page, 0);
    expect(wait_for(pipeline, 4, &error), SINK_OK, &error);
    assert_true(pipeline_close(pipeline, soon()));
}

/* One request at a time: the mock cluster looks at no sequence numbers, so that it would take a later one before one
 * that failed; which the client, who relies on them, takes for proof that the former has arrived, too. */
static void what_passes_is_lived_through(void **state)
{
    static const rd_kafka_resp_err_t passing[] = {
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS};
    struct pipeline *pipeline = open_pipeline(SECONDS(14));
    outbox_error *error = NULL;
    int count = sizeof(passing) / sizeof(passing[0]);

    (void)state;
    for (int i = 0; i < count; i++) {
        rd_kafka_mock_push_request_errors(cluster, PRODUCE, 1, passing[i]);
        publish_well(pipeline, (uint64_t)i + 1, 0, 1);
        expect(wait_for(pipeline, (uint64_t)i + 1, &error), SINK_OK, &error);
    }
    assert_true(pipeline_close(pipeline, soon()));
    assert_int_equal(records_in(TOPIC, 0), count);
}

static void draining_waits_for_what_is_in_flight(void **state)
{
    struct pipeline *pipeline = open_pipeline(SECONDS(14));
    outbox_error *error = NULL;
    uint64_t page = 0;

    (void)state;
    rd_kafka_mock_broker_push_request_error_rtts(cluster, 1, PRODUCE, 1, RD_KAFKA_RESP_ERR_NO_ERROR, 500);
    publish_well(pipeline, 1, 0, 10);
    publish_well(pipeline, 2, 1, 10);
    pipeline_drain(pipeline, soon());
    expect(pipeline_serve(pipeline, &page, &error), SINK_OK, &error);
    assert_int_equal(page, 2);
    assert_true(pipeline_close(pipeline, soon()));
}

static void closing_with_records_under_way_gives_their_memory_back(void **state)
{
    struct pipeline *pipeline = open_pipeline(SECONDS(14));

    (void)state;
    rd_kafka_mock_broker_push_request_error_rtts(cluster, 1, PRODUCE, 1, RD_KAFKA_RESP_ERR_NO_ERROR, 4000);
    publish_well(pipeline, 1, 0, 10);
    publish_well(pipeline, 2, 0, 10);
    assert_true(pipeline_close(pipeline, soon()));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_are_confirmed_when_they_are_on_the_brokers),
        TEST(a_page_waits_for_the_older_ones),
        TEST(what_passes_is_lived_through),
        TEST(draining_waits_for_what_is_in_flight),
        TEST(closing_with_records_under_way_gives_their_memory_back),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
