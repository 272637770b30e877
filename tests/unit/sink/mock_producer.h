/* The transactional producer on librdkafka's mock cluster: which has no isolation and no fencing;
 * tests/integration/sink_real_broker has. */
#ifndef TESTS_MOCK_PRODUCER_H
#define TESTS_MOCK_PRODUCER_H

#include "mock_cluster.h"

#include "sink/producer.h"

static inline struct producer *new_producer(void)
{
    outbox_error *error = NULL;
    struct producer *producer = producer_new(kafka, "shop.test", &error);

    assert_non_null(producer);
    return producer;
}

static inline struct producer *ready_producer(void)
{
    struct producer *producer = new_producer();
    outbox_error *error = NULL;

    expect(producer_init(producer, soon(), &error), SINK_OK, &error);
    return producer;
}

static inline struct marker make_marker(int64_t seq)
{
    return (struct marker){.incarnation = {1}, .map = 1, .position = {.seq = seq}};
}

static inline enum sink_result publish(struct producer *producer, int64_t seq, outbox_error **reterr)
{
    const struct marker marker = make_marker(seq);

    return producer_publish(producer, &record, 1, &marker, soon(), reterr);
}

/* Until it is decided; *ret_again counts how often it was not. */
static inline enum sink_result commit(struct producer *producer, mono_us slice, int *ret_again,
                                      outbox_error **reterr)
{
    mono_us end = soon();

    for (*ret_again = 0;; ++*ret_again) {
        enum sink_result result = producer_commit(producer, clock_now() + slice, reterr);

        if (result != SINK_AGAIN || clock_now() > end)
            return result;
        outbox_error_free(*reterr);
        *reterr = NULL;
    }
}

static inline enum sink_result publish_and_commit(struct producer *producer, outbox_error **reterr)
{
    enum sink_result result = publish(producer, 1, reterr);
    int again;

    return result == SINK_OK ? commit(producer, SECONDS(1), &again, reterr) : result;
}

static inline void close_producer(struct producer *producer)
{
    assert_true(producer_close(producer, soon()));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

#endif
