/* The idempotent producer, once something has failed for good. */
#include "mock_pipeline.h"

/* Whatever failed, nothing is sent any more.  That what was in flight already does not get
 * there either is the broker's doing, by sequence numbers; the mock cluster looks at none. */
static void check_end(rd_kafka_resp_err_t code, enum sink_result wanted)
{
    struct pipeline *pipeline = open_pipeline(SECONDS(10));
    outbox_error *error = NULL;
    uint64_t page = 0;
    int before;

    publish_well(pipeline, 1, 0, 1);
    expect(wait_for(pipeline, 1, &error), SINK_OK, &error);
    before = records_in(TOPIC, 0);
    rd_kafka_mock_push_request_errors(cluster, PRODUCE, 1, code);
    publish_well(pipeline, 2, 0, 1);
    expect(wait_for(pipeline, 2, &error), wanted, &error);
    expect(publish(pipeline, 3, 0, 10, &error), wanted, &error);
    expect(pipeline_serve(pipeline, &page, &error), wanted, &error);
    assert_int_equal(page, 0);
    assert_true(pipeline_close(pipeline, soon()));
    assert_int_equal(records_in(TOPIC, 0), before);
}

static void nothing_follows_what_was_refused(void **state)
{
    (void)state;
    check_end(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, SINK_REFUSED);
    check_end(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, SINK_REFUSED);
    check_end(RD_KAFKA_RESP_ERR_INVALID_RECORD, SINK_REFUSED);
}

static void nothing_overtakes_what_was_too_late(void **state)
{
    struct pipeline *pipeline = open_pipeline(SECONDS(4));
    outbox_error *error = NULL;
    int before;

    (void)state;
    publish_well(pipeline, 1, 0, 1);
    expect(wait_for(pipeline, 1, &error), SINK_OK, &error);
    before = records_in(TOPIC, 0);
    rd_kafka_mock_broker_set_down(cluster, 1);
    publish_well(pipeline, 2, 0, 10);
    publish_well(pipeline, 3, 0, 10);
    expect(wait_for(pipeline, 3, &error), SINK_FAILED, &error);
    rd_kafka_mock_broker_set_up(cluster, 1);
    expect(publish(pipeline, 4, 0, 1, &error), SINK_FAILED, &error);
    assert_true(pipeline_close(pipeline, soon()));
    assert_int_equal(records_in(TOPIC, 0), before);
}

static void a_topic_that_is_not_there_is_named(void **state)
{
    struct pipeline *pipeline = open_pipeline(SECONDS(10));
    struct sink_record stray = record;
    outbox_error *error = NULL;

    (void)state;
    rd_kafka_mock_topic_set_error(cluster, "nowhere", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    stray.topic = "nowhere";
    assert_int_equal(pipeline_publish(pipeline, 1, &stray, 1, soon(), &error), SINK_TOPIC_MISSING);
    assert_non_null(strstr(outbox_error_message(error), "nowhere"));
    outbox_error_free(error);
    assert_true(pipeline_close(pipeline, soon()));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_follows_what_was_refused),
        TEST(nothing_overtakes_what_was_too_late),
        TEST(a_topic_that_is_not_there_is_named),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
