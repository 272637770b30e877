/* The idempotent producer against librdkafka's mock cluster, which fails on command. */
#include "mock_cluster.h"

#include <poll.h>

#include "runtime/wakeup.h"
#include "sink/pipeline.h"

static int wake_fd = -1;

static int set_up_pipeline(void **state)
{
    brokers = 2;
    wake_fd = wakeup_open();
    if (set_up(state) < 0)
        return -1;
    rd_kafka_mock_partition_set_leader(cluster, TOPIC, 0, 1);
    rd_kafka_mock_partition_set_leader(cluster, TOPIC, 1, 2);
    return 0;
}

static struct pipeline *open_pipeline(mono_us message_timeout)
{
    outbox_error *error = NULL;
    struct pipeline *pipeline = pipeline_new(kafka, message_timeout, wake_fd, &error);

    assert_non_null(pipeline);
    expect(pipeline_connect(pipeline, soon(), &error), SINK_OK, &error);
    return pipeline;
}

static enum sink_result publish(struct pipeline *pipeline, uint64_t page, int partition, size_t count,
                                outbox_error **reterr)
{
    static struct sink_record records[100]; /* they stay until the next page */

    assert_true(count <= 100);
    for (size_t i = 0; i < count; i++) {
        records[i] = record;
        records[i].partition = partition;
    }
    return pipeline_publish(pipeline, page, records, count, soon(), reterr);
}

static void publish_well(struct pipeline *pipeline, uint64_t page, int partition, size_t count)
{
    outbox_error *error = NULL;

    expect(publish(pipeline, page, partition, count, &error), SINK_OK, &error);
}

/* As the relay does: sleeps until there may be news.  Ends with a failure or the page. */
static enum sink_result wait_for(struct pipeline *pipeline, uint64_t page, outbox_error **reterr)
{
    struct pollfd fd = {.fd = wake_fd, .events = POLLIN};
    mono_us end = soon();
    uint64_t last = 0;

    for (;;) {
        uint64_t confirmed = 0;
        enum sink_result result = pipeline_serve(pipeline, &confirmed, reterr);

        if (confirmed != 0) {
            assert_true(confirmed > last);
            last = confirmed;
        }
        if (result != SINK_OK || last == page)
            return result;
        assert_true(clock_now() < end);
        assert_int_equal(poll(&fd, 1, clock_until_ms(end)), 1); /* no news without a wake-up */
        wakeup_clear(wake_fd);
    }
}

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

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up_pipeline, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_are_confirmed_when_they_are_on_the_brokers),
        TEST(a_page_waits_for_the_older_ones),
        TEST(what_passes_is_lived_through),
        TEST(nothing_follows_what_was_refused),
        TEST(nothing_overtakes_what_was_too_late),
        TEST(a_topic_that_is_not_there_is_named),
        TEST(draining_waits_for_what_is_in_flight),
        TEST(closing_with_records_under_way_gives_their_memory_back),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
