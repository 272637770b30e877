/* The producer and the progress reader against librdkafka's mock cluster, which fails on
 * command.  It has no isolation and no fencing; tests/integration/sink_real_broker has. */
#include <unistd.h>

#include "mock_cluster.h"

#include "sink/producer.h"
#include "sink/progress.h"

static struct producer *new_producer(void)
{
    outbox_error *error = NULL;
    struct producer *producer = producer_new(kafka, "shop.test", &error);

    assert_non_null(producer);
    return producer;
}

static struct producer *ready_producer(void)
{
    struct producer *producer = new_producer();
    outbox_error *error = NULL;

    expect(producer_init(producer, soon(), &error), SINK_OK, &error);
    return producer;
}

static struct marker make_marker(int64_t seq)
{
    return (struct marker){.incarnation = {1}, .map = 1, .position = {.seq = seq}};
}

static enum sink_result publish(struct producer *producer, int64_t seq, outbox_error **reterr)
{
    const struct marker marker = make_marker(seq);

    return producer_publish(producer, &record, 1, &marker, soon(), reterr);
}

/* Until it is decided; *ret_again counts how often it was not. */
static enum sink_result commit(struct producer *producer, mono_us slice, int *ret_again,
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

static enum sink_result publish_and_commit(struct producer *producer, outbox_error **reterr)
{
    enum sink_result result = publish(producer, 1, reterr);
    int again;

    return result == SINK_OK ? commit(producer, SECONDS(1), &again, reterr) : result;
}

static void close_producer(struct producer *producer)
{
    assert_true(producer_close(producer, soon()));
}

/* ---- commits ---- */

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

/* ---- init ---- */

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

/* ---- the position ---- */

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

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

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
        TEST(broker_gone_in_the_middle_fails_by_the_transaction_timeout),
        TEST(closing_with_records_under_way_gives_their_memory_back),
        TEST(closing_while_partitions_are_registered),
        TEST(init_goes_on_when_the_broker_comes_back),
        TEST(init_without_the_right_is_refused),
        TEST(publishing_before_init_fails),
        TEST(position_is_the_last_one),
        TEST(unanswered_question_is_not_none),
        TEST(leader_gone_is_not_waited_for_without_end),
        TEST(garbage_under_our_key_is_refused),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
