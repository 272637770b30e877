#include "lane_driver.h"

static int setup_exactly_once(void **state)
{
    (void)state;
    return setup_as(false);
}

static int setup_at_least_once(void **state)
{
    (void)state;
    return setup_as(true);
}

static struct position recorded_at; /* the lane's, as the database has it */

/* Of a lane that was published at least once before; its marker lies behind. */
static void acquire_recorded(int64_t epoch)
{
    TELL(.kind = LANE_EVENT_ACQUIRED, .epoch = epoch, .lease_until = now + LEASE, .position = recorded_at,
         .started = true, .at_least_once = true, .published = 40);
    expect_only(LANE_DO_READ_MARKER);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 1, 0, true), .published = 3);
    expect_only(LANE_DO_VERIFY);
}

static void check_and_open(void)
{
    expect_only(LANE_DO_CHECK_LEASE);
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    expect_only(LANE_DO_OPEN_PIPELINE);
    TELL(.kind = LANE_EVENT_PRODUCER_OPEN);
    assert_int_equal(lane_state(lane), LANE_RUNNING);
}

static void run_at_least_once(void)
{
    recorded_at = at(1, 2, 10, true);
    TELL(.kind = LANE_EVENT_START);
    acquire_recorded(3);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
    check_and_open();
    expect(LANE_DO_WANT_TICK);
}

/* A page of a batch of its own, number n: tick n + 2, seq 10 + n. */
static void publish_page(int64_t n)
{
    TELL(.kind = LANE_EVENT_TICK, .tick = at(n + 2, 0, 0, false).from);
    expect(LANE_DO_READ);
    TELL(.kind = LANE_EVENT_PAGE, .page = (uint64_t)n, .count = 1, .bytes = 10, .found = true,
         .position.seq = 10 + n);
    assert_int_equal(expect(LANE_DO_PUBLISH)->page, n);
    expect(LANE_DO_WANT_TICK); /* at once */
    TELL(.kind = LANE_EVENT_PUBLISHED);
    assert_int_equal(actions.count, 0);
}

static void at_least_once_fences_who_published_exactly_once(void **state)
{
    (void)state;
    take_over(at(1, 2, 10, true), at(2, 3, 5, false));
    expect_only(LANE_DO_ACKNOWLEDGE); /* and acknowledges what that one published */
    TELL(.kind = LANE_EVENT_ACKNOWLEDGED, .found = true);
    expect_only(LANE_DO_CHECK_LEASE);
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    expect_only(LANE_DO_RECORD); /* before anything is published */
    assert_true(actions.list[0].at_least_once);
    TELL(.kind = LANE_EVENT_RECORDED, .found = true);
    expect_only(LANE_DO_OPEN_PIPELINE);
    TELL(.kind = LANE_EVENT_PRODUCER_OPEN);
    assert_int_equal(expect(LANE_DO_READ)->position.seq, 5);
}

static void after_at_least_once_nobody_is_fenced_again(void **state)
{
    (void)state;
    run_at_least_once();
}

static void a_refused_record_means_another_owner(void **state)
{
    (void)state;
    take_over(at(1, 2, 10, true), at(1, 2, 10, true));
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    TELL(.kind = LANE_EVENT_RECORDED, .found = false);
    expect_only(LANE_DO_CLOSE_PRODUCER);
    assert_int_equal(lane_leases_lost(lane), 1);
}

static void exactly_once_after_at_least_once_marks_before_it_records(void **state)
{
    (void)state;
    recorded_at = at(1, 2, 10, true);
    TELL(.kind = LANE_EVENT_START);
    acquire_recorded(3);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
    expect_only(LANE_DO_OPEN_PRODUCER);
    TELL(.kind = LANE_EVENT_PRODUCER_OPEN);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 1, 0, true), .published = 3);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    expect_only(LANE_DO_PUBLISH);
    assert_int_equal(actions.list[0].page, 0);
    assert_int_equal(actions.list[0].position.seq, 10);
    assert_int_equal(actions.list[0].published, 40);
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_COMMITTED);
    expect_only(LANE_DO_CHECK_LEASE);
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    expect_only(LANE_DO_RECORD);
    assert_false(actions.list[0].at_least_once);
    TELL(.kind = LANE_EVENT_RECORDED, .found = true);
    assert_int_equal(lane_state(lane), LANE_RUNNING);
}

static void a_missing_marker_is_no_riddle_after_at_least_once(void **state)
{
    (void)state;
    TELL(.kind = LANE_EVENT_START);
    TELL(.kind = LANE_EVENT_ACQUIRED, .epoch = 3, .lease_until = now + LEASE, .position = at(1, 2, 10, true),
         .started = true, .at_least_once = true);
    TELL(.kind = LANE_EVENT_MARKER, .found = false);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
    check_and_open();
}

static void halts_at_least_once_on_a_foreign_marker(void **state)
{
    (void)state;
    TELL(.kind = LANE_EVENT_START);
    TELL(.kind = LANE_EVENT_ACQUIRED, .epoch = 3, .lease_until = now + LEASE, .position = at(1, 2, 10, true),
         .started = true, .at_least_once = true);
    TELL(.kind = LANE_EVENT_MARKER, .foreign = true);
    expect_halt(LANE_HALT_MARKER_FOREIGN);
}

static void pages_follow_one_another_without_waiting(void **state)
{
    (void)state;
    run_at_least_once();
    publish_page(1);
    publish_page(2);
    TELL(.kind = LANE_EVENT_CONFIRMED, .page = 2); /* and so the first */
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[0].page, 1);
    assert_int_equal(actions.list[1].page, 2);
    now += 1000000;
    TELL(.kind = LANE_EVENT_TIMER);
    assert_int_equal(expect(LANE_DO_ACKNOWLEDGE)->position.seq, 12);
    assert_int_equal(expect(LANE_DO_ACKNOWLEDGE)->published, 2);
}

static void position_waits_for_the_oldest_page(void **state)
{
    (void)state;
    run_at_least_once();
    publish_page(1);
    publish_page(2);
    TELL(.kind = LANE_EVENT_CONFIRMED, .page = 1);
    expect_only(LANE_DO_FREE_PAGE);
    now += 1000000;
    TELL(.kind = LANE_EVENT_TIMER);
    assert_int_equal(lane_state(lane), LANE_CLOSING); /* the second took too long */
    expect(LANE_DO_CLOSE_PRODUCER);
}

static void no_more_pages_than_there_is_room_for(void **state)
{
    (void)state;
    run_at_least_once();
    publish_page(1);
    publish_page(2);
    TELL(.kind = LANE_EVENT_TICK, .tick = at(5, 0, 0, false).from);
    TELL(.kind = LANE_EVENT_PAGE, .page = 3, .count = 1, .bytes = 10, .found = true, .position.seq = 13);
    expect_only(LANE_DO_PUBLISH); /* no tick: it would grow old */
    TELL(.kind = LANE_EVENT_PUBLISHED);
    assert_int_equal(actions.count, 0);
    TELL(.kind = LANE_EVENT_CONFIRMED, .page = 1);
    expect(LANE_DO_WANT_TICK);
}

/* Kafka failed, not the database: what is confirmed need not be published again. */
static void what_was_confirmed_outlives_a_failure(void **state)
{
    (void)state;
    run_at_least_once();
    publish_page(1);
    publish_page(2);
    TELL(.kind = LANE_EVENT_CONFIRMED, .page = 1);
    TELL(.kind = LANE_EVENT_DELIVERY_FAILED);
    expect_only(LANE_DO_CLOSE_PRODUCER);
    assert_true(actions.list[0].drain);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    assert_int_equal(expect(LANE_DO_FREE_PAGE)->page, 2);
    now = lane_next_timer(lane);
    TELL(.kind = LANE_EVENT_TIMER);
    expect_only(LANE_DO_ACQUIRE);
    acquire_recorded(4);
    assert_int_equal(actions.list[0].position.seq, 11);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
    expect_only(LANE_DO_ACKNOWLEDGE);
    assert_int_equal(actions.list[0].position.seq, 11);
    assert_int_equal(actions.list[0].published, 1);
    TELL(.kind = LANE_EVENT_ACKNOWLEDGED, .found = true);
    check_and_open();
    TELL(.kind = LANE_EVENT_TICK, .tick = at(9, 0, 0, false).from);
    assert_int_equal(expect(LANE_DO_READ)->position.from.id, 3);
}

static void what_another_did_since_counts_more(void **state)
{
    (void)state;
    run_at_least_once();
    publish_page(1);
    TELL(.kind = LANE_EVENT_CONFIRMED, .page = 1);
    TELL(.kind = LANE_EVENT_DELIVERY_FAILED);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    now = lane_next_timer(lane);
    TELL(.kind = LANE_EVENT_TIMER);
    acquire_recorded(5); /* 4 was another's */
    assert_int_equal(actions.list[0].position.seq, 10);
}

static void what_is_confirmed_while_it_closes_counts(void **state)
{
    (void)state;
    run_at_least_once();
    publish_page(1);
    publish_page(2);
    TELL(.kind = LANE_EVENT_DB_FAILED);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED, .page = 1);
    now = lane_next_timer(lane);
    TELL(.kind = LANE_EVENT_TIMER);
    acquire_recorded(4);
    assert_int_equal(actions.list[0].position.seq, 11);
}

static void a_lost_lease_waits_for_nothing_in_flight(void **state)
{
    (void)state;
    run_at_least_once();
    publish_page(1);
    now += 500000;
    TELL(.kind = LANE_EVENT_TIMER);
    TELL(.kind = LANE_EVENT_RENEWED, .found = false, .epoch = 3);
    expect_only(LANE_DO_CLOSE_PRODUCER);
    assert_false(actions.list[0].drain);
}

/* One record is refused: with each takeover less is published again around it. */
static void pages_begin_small_after_a_refusal(void **state)
{
    static const int limits[] = {1, 2, 4, 8, 16, 32, 64, 100, 100};

    (void)state;
    run_at_least_once();
    publish_page(1);
    TELL(.kind = LANE_EVENT_DELIVERY_FAILED, .refused = true);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    assert_int_equal(lane_next_timer(lane), now + 5000000);
    now = lane_next_timer(lane);
    TELL(.kind = LANE_EVENT_TIMER);
    acquire_recorded(4);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
    check_and_open();
    for (int i = 0; i < 9; i++) {
        TELL(.kind = LANE_EVENT_TICK, .tick = at(9 + i, 0, 0, false).from);
        assert_int_equal(expect(LANE_DO_READ)->limit, limits[i]);
        TELL(.kind = LANE_EVENT_PAGE, .page = 10 + (uint64_t)i, .count = 1, .found = true,
             .position.seq = 20 + i);
        TELL(.kind = LANE_EVENT_PUBLISHED);
        TELL(.kind = LANE_EVENT_RENEWED, .found = true, .epoch = 4, .lease_until = now + LEASE);
        TELL(.kind = LANE_EVENT_CONFIRMED, .page = 10 + (uint64_t)i);
    }
}

static void stops_when_what_is_in_flight_is_confirmed(void **state)
{
    (void)state;
    run_at_least_once();
    publish_page(1);
    TELL(.kind = LANE_EVENT_STOP);
    assert_int_equal(actions.count, 0);
    TELL(.kind = LANE_EVENT_CONFIRMED, .page = 1);
    expect(LANE_DO_ACKNOWLEDGE);
    TELL(.kind = LANE_EVENT_ACKNOWLEDGED, .found = true);
    expect_only(LANE_DO_CLOSE_PRODUCER);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    expect_only(LANE_DO_RELEASE);
}

static void empty_batches_move_the_position_without_a_marker(void **state)
{
    (void)state;
    run_at_least_once();
    TELL(.kind = LANE_EVENT_TICK, .tick = at(3, 0, 0, false).from);
    TELL(.kind = LANE_EVENT_PAGE, .page = 1, .found = true);
    assert_null(find(LANE_DO_ACKNOWLEDGE));
    now += 30000000;
    TELL(.kind = LANE_EVENT_RENEWED, .found = true, .epoch = 3, .lease_until = now + LEASE);
    assert_null(find(LANE_DO_PUBLISH));
    assert_int_equal(expect(LANE_DO_ACKNOWLEDGE)->position.to.id, 3);
    assert_true(expect(LANE_DO_ACKNOWLEDGE)->position.done);
}

#define EXACT_TEST(test) cmocka_unit_test_setup_teardown(test, setup_exactly_once, teardown)
#define LOOSE_TEST(test) cmocka_unit_test_setup_teardown(test, setup_at_least_once, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOSE_TEST(at_least_once_fences_who_published_exactly_once),
        LOOSE_TEST(after_at_least_once_nobody_is_fenced_again),
        LOOSE_TEST(a_refused_record_means_another_owner),
        EXACT_TEST(exactly_once_after_at_least_once_marks_before_it_records),
        LOOSE_TEST(a_missing_marker_is_no_riddle_after_at_least_once),
        LOOSE_TEST(halts_at_least_once_on_a_foreign_marker),
        LOOSE_TEST(pages_follow_one_another_without_waiting),
        LOOSE_TEST(position_waits_for_the_oldest_page),
        LOOSE_TEST(no_more_pages_than_there_is_room_for),
        LOOSE_TEST(what_was_confirmed_outlives_a_failure),
        LOOSE_TEST(what_another_did_since_counts_more),
        LOOSE_TEST(what_is_confirmed_while_it_closes_counts),
        LOOSE_TEST(a_lost_lease_waits_for_nothing_in_flight),
        LOOSE_TEST(pages_begin_small_after_a_refusal),
        LOOSE_TEST(stops_when_what_is_in_flight_is_confirmed),
        LOOSE_TEST(empty_batches_move_the_position_without_a_marker),
    };

    return cmocka_run_group_tests_name("core/lane at least once", tests, NULL, NULL);
}
