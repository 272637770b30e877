/* The position, as it is read from the progress topic. */
#include "mock_producer.h"

#include "sink/progress.h"

static enum sink_result read_position(mono_us deadline, struct progress_answer *ret, outbox_error **reterr)
{
    const uint8_t incarnation[16] = {1};
    struct progress *progress = progress_open(kafka, reterr);
    enum sink_result result;

    assert_non_null(progress);
    result = progress_read(progress, incarnation, 1, 0, deadline, ret, reterr);
    progress_close(progress);
    return result;
}

static void position_is_the_last_one(void **state)
{
    struct producer *producer = ready_producer();
    struct progress_answer answer;
    outbox_error *error = NULL;
    int again;

    (void)state;
    expect(read_position(soon(), &answer, &error), SINK_OK, &error);
    assert_false(answer.found);
    for (int64_t seq = 1; seq <= 100; seq++) {
        expect(publish(producer, seq, &error), SINK_OK, &error);
        expect(commit(producer, SECONDS(5), &again, &error), SINK_OK, &error);
    }
    close_producer(producer);
    /* Errors that pass are lived through. */
    rd_kafka_mock_push_request_errors(cluster, LIST_OFFSETS, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                      RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__TRANSPORT);
    expect(read_position(soon(), &answer, &error), SINK_OK, &error);
    assert_true(answer.found);
    assert_int_equal(answer.marker.position.seq, 100);
}

static void unanswered_question_is_not_none(void **state)
{
    struct progress_answer answer = {.found = true};
    outbox_error *error = NULL;

    (void)state;
    rd_kafka_mock_broker_set_down(cluster, 1);
    expect(read_position(clock_now() + MILLISECONDS(500), &answer, &error), SINK_TIMEOUT, &error);
    assert_true(answer.found);
}

/* Nor when the leader is known from before, which librdkafka then waits for without end. */
static void leader_gone_is_not_waited_for_without_end(void **state)
{
    const uint8_t incarnation[16] = {1};
    struct progress_answer answer;
    outbox_error *error = NULL;
    struct progress *progress = progress_open(kafka, &error);

    (void)state;
    assert_non_null(progress);
    expect(progress_read(progress, incarnation, 1, 0, soon(), &answer, &error), SINK_OK, &error);
    rd_kafka_mock_broker_set_down(cluster, 1);
    expect(progress_read(progress, incarnation, 1, 0, clock_now() + MILLISECONDS(500), &answer, &error),
           SINK_TIMEOUT, &error);
    rd_kafka_mock_broker_set_up(cluster, 1);
    expect(progress_read(progress, incarnation, 1, 0, soon(), &answer, &error), SINK_OK, &error);
    progress_close(progress);
}

/* A record with our key that is not a marker of ours must stop the relay. */
static void garbage_under_our_key_is_refused(void **state)
{
    struct marker marker = make_marker(1);
    char key[MARKER_KEY_SIZE];
    struct sink_record garbage = {.topic = "shop.progress",
                                  .partition = 0,
                                  .key = key,
                                  .payload = "{\"version\":2}",
                                  .payload_size = 13};
    struct producer *producer = ready_producer();
    struct progress_answer answer;
    outbox_error *error = NULL;
    int again;

    (void)state;
    garbage.key_size = marker_key(&marker, key);
    marker.incarnation[0] = 9; /* the transaction's own marker, of another lane */
    expect(producer_publish(producer, &garbage, 1, &marker, soon(), &error), SINK_OK, &error);
    expect(commit(producer, SECONDS(5), &again, &error), SINK_OK, &error);
    expect(read_position(soon(), &answer, &error), SINK_REFUSED, &error);
    garbage.payload = NULL;
    garbage.payload_size = 0;
    expect(producer_publish(producer, &garbage, 1, &marker, soon(), &error), SINK_OK, &error);
    expect(commit(producer, SECONDS(5), &again, &error), SINK_OK, &error);
    expect(read_position(soon(), &answer, &error), SINK_REFUSED, &error);
    close_producer(producer);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(position_is_the_last_one),
        TEST(unanswered_question_is_not_none),
        TEST(leader_gone_is_not_waited_for_without_end),
        TEST(garbage_under_our_key_is_refused),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
