/* The idempotent producer on librdkafka's mock cluster. */
#ifndef TESTS_MOCK_PIPELINE_H
#define TESTS_MOCK_PIPELINE_H

#include "mock_cluster.h"

#include <poll.h>

#include "runtime/wakeup.h"
#include "sink/pipeline.h"

static int wake_fd = -1;

static inline int set_up_pipeline(void **state)
{
    brokers = 2;
    wake_fd = wakeup_open();
    if (set_up(state) < 0)
        return -1;
    rd_kafka_mock_partition_set_leader(cluster, TOPIC, 0, 1);
    rd_kafka_mock_partition_set_leader(cluster, TOPIC, 1, 2);
    return 0;
}

static inline struct pipeline *open_pipeline(mono_us message_timeout)
{
    outbox_error *error = NULL;
    struct pipeline *pipeline = pipeline_new(kafka, message_timeout, wake_fd, &error);

    assert_non_null(pipeline);
    expect(pipeline_connect(pipeline, soon(), &error), SINK_OK, &error);
    return pipeline;
}

static inline enum sink_result publish(struct pipeline *pipeline, uint64_t page, int partition, size_t count,
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

static inline void publish_well(struct pipeline *pipeline, uint64_t page, int partition, size_t count)
{
    outbox_error *error = NULL;

    expect(publish(pipeline, page, partition, count, &error), SINK_OK, &error);
}

/* As the relay does: sleeps until there may be news.  Ends with a failure or the page. */
static inline enum sink_result wait_for(struct pipeline *pipeline, uint64_t page, outbox_error **reterr)
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

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up_pipeline, tear_down)

#endif
