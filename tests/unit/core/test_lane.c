#include "lane_driver.h"

static int setup(void **state)
{
    (void)state;
    return setup_as(false);
}

static void run(void)
{
    take_over(at(1, 2, 10, true), at(1, 2, 10, true));
    expect_only(LANE_DO_CHECK_LEASE);
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    expect_only(LANE_DO_WANT_TICK);
    assert_true(expect(LANE_DO_WANT_TICK)->force);
    assert_int_equal(lane_state(lane), LANE_RUNNING);
}

/* Up to a page whose transaction is begun. */
static void run_and_publish(void)
{
    run();
    TELL(.kind = LANE_EVENT_TICK, .tick = at(3, 3, 0, false).from);
    assert_int_equal(expect(LANE_DO_READ)->position.from.id, 2);
    assert_int_equal(expect(LANE_DO_READ)->position.to.id, 3);
    TELL(.kind = LANE_EVENT_PAGE, .page = 1, .count = 5, .found = true, .position.seq = 15);
    assert_int_equal(expect(LANE_DO_PUBLISH)->page, 1);
    assert_int_equal(expect(LANE_DO_PUBLISH)->published, 45);
    assert_true(expect(LANE_DO_PUBLISH)->position.done);
}

static void takes_over_in_order(void **state)
{
    (void)state;
    run();
}

static void acknowledges_what_a_predecessor_published(void **state)
{
    (void)state;
    take_over(at(1, 2, 10, true), at(2, 3, 5, false));
    expect_only(LANE_DO_ACKNOWLEDGE);
    assert_int_equal(actions.list[0].old.seq, 10);
    assert_int_equal(actions.list[0].position.seq, 5);
    assert_int_equal(actions.list[0].published, 40);
    TELL(.kind = LANE_EVENT_ACKNOWLEDGED, .found = true);
    expect_only(LANE_DO_CHECK_LEASE);
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    /* It goes on with that very batch. */
    assert_int_equal(expect(LANE_DO_READ)->position.seq, 5);
    assert_int_equal(expect(LANE_DO_READ)->position.to.id, 3);
}

static void a_new_lane_gets_its_first_marker_before_anything(void **state)
{
    (void)state;
    acquire(at(1, 1, 0, true), false);
    TELL(.kind = LANE_EVENT_MARKER);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
    TELL(.kind = LANE_EVENT_PRODUCER_OPEN);
    TELL(.kind = LANE_EVENT_MARKER);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
    expect_only(LANE_DO_CHECK_LEASE);
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    expect_only(LANE_DO_PUBLISH);
    assert_int_equal(actions.list[0].page, 0);
    TELL(.kind = LANE_EVENT_PUBLISHED);
    expect_only(LANE_DO_COMMIT);
    TELL(.kind = LANE_EVENT_COMMITTED);
    expect_only(LANE_DO_ACKNOWLEDGE);
    TELL(.kind = LANE_EVENT_ACKNOWLEDGED, .found = true);
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    assert_int_equal(lane_state(lane), LANE_RUNNING);
}

static void halts_before_it_fences_anybody(void **state)
{
    (void)state;
    acquire(at(1, 2, 10, true), true);
    TELL(.kind = LANE_EVENT_MARKER, .foreign = true);
    expect_halt(LANE_HALT_MARKER_FOREIGN);
}

/* The commit that the marker is in may not have reached its partition. */
static void fence_first(void)
{
    expect_only(LANE_DO_OPEN_PRODUCER);
    TELL(.kind = LANE_EVENT_PRODUCER_OPEN);
    expect_only(LANE_DO_READ_MARKER);
}

static void halts_without_a_marker(void **state)
{
    (void)state;
    acquire(at(1, 2, 10, true), true);
    TELL(.kind = LANE_EVENT_MARKER);
    fence_first();
    TELL(.kind = LANE_EVENT_MARKER);
    expect_halt(LANE_HALT_MARKER_MISSING);
}

static void waits_for_a_marker_on_its_way(void **state)
{
    (void)state;
    acquire(at(2, 3, 20, true), true);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 2, 10, true));
    fence_first();
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(2, 3, 20, true), .published = 40);
    expect_only(LANE_DO_VERIFY);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
    expect_only(LANE_DO_CHECK_LEASE);
}

static void halts_on_a_foreign_marker(void **state)
{
    (void)state;
    acquire(at(1, 1, 0, true), false);
    TELL(.kind = LANE_EVENT_MARKER, .foreign = true);
    expect_halt(LANE_HALT_MARKER_FOREIGN);
}

static void halts_when_kafka_lost_data(void **state)
{
    (void)state;
    acquire(at(2, 3, 20, true), true);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 2, 10, true));
    fence_first();
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 2, 10, true));
    expect_halt(LANE_HALT_MARKER_BEHIND);
}

static void halts_when_the_database_went_back(void **state)
{
    (void)state;
    acquire(at(1, 2, 10, true), true);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(4, 5, 30, true));
    expect_only(LANE_DO_VERIFY);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = false);
    expect_halt(LANE_HALT_MARKER_AHEAD);
}

/* Either it did, to before a change of the lane map, or the map has changed since the lane was
 * taken: the lease tells.  Nobody is fenced before. */
static void halts_when_a_later_map_has_markers(void **state)
{
    (void)state;
    acquire(at(1, 2, 10, true), true);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 2, 10, true), .outdated = true);
    expect_only(LANE_DO_CHECK_LEASE);
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    expect_halt(LANE_HALT_MARKER_AHEAD);
}

static void loses_a_lane_of_a_former_map(void **state)
{
    (void)state;
    acquire(at(1, 2, 10, true), true);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 2, 10, true), .outdated = true);
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = false);
    assert_int_equal(lane_halt(lane), LANE_HALT_NONE);
    assert_false(lane_holds(lane));
    assert_null(find(LANE_DO_OPEN_PRODUCER));
}

static void halts_on_a_contradiction(void **state)
{
    (void)state;
    acquire(at(1, 2, 10, false), true);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 3, 10, false));
    expect_halt(LANE_HALT_MARKER_CONFLICT);
}

static void halts_in_the_wrong_place_before_it_looks_at_kafka(void **state)
{
    const enum lane_halt reasons[] = {LANE_HALT_WRONG_SERVER, LANE_HALT_NOT_ENABLED, LANE_HALT_XIDS_AHEAD};

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        TELL(.kind = LANE_EVENT_START);
        TELL(.kind = LANE_EVENT_ACQUIRED, .epoch = 3, .lease_until = now + LEASE, .position = at(1, 2, 10, true),
             .started = true, .standing = reasons[i]);
        expect_halt(reasons[i]);
        teardown(state);
        setup(state);
    }
}

static void the_names_of_halts_lead_back(void **state)
{
    (void)state;
    for (int i = LANE_HALT_NONE; i <= LANE_HALT_XIDS_AHEAD; i++) {
        enum lane_halt halt = LANE_HALT_NONE;

        assert_true(lane_halt_by_name(lane_halt_name((enum lane_halt)i), &halt));
        assert_int_equal(halt, i);
    }
    assert_false(lane_halt_by_name("moon", &(enum lane_halt){LANE_HALT_NONE}));
}

static void reads_ahead_while_it_publishes(void **state)
{
    (void)state;
    run();
    TELL(.kind = LANE_EVENT_TICK, .tick = at(3, 3, 0, false).from);
    TELL(.kind = LANE_EVENT_PAGE, .page = 1, .count = 100, .found = false, .position.seq = 110);
    assert_int_equal(expect(LANE_DO_PUBLISH)->position.seq, 110);
    assert_false(expect(LANE_DO_PUBLISH)->position.done);
    assert_int_equal(expect(LANE_DO_READ)->position.seq, 110);
    TELL(.kind = LANE_EVENT_PAGE, .page = 2, .count = 3, .found = true, .position.seq = 113);
    assert_int_equal(actions.count, 0); /* one page waits, one is on its way */
    TELL(.kind = LANE_EVENT_PUBLISHED);
    expect_only(LANE_DO_COMMIT);
    TELL(.kind = LANE_EVENT_COMMITTED);
    assert_int_equal(expect(LANE_DO_FREE_PAGE)->page, 1);
    assert_int_equal(expect(LANE_DO_PUBLISH)->page, 2);
    assert_int_equal(expect(LANE_DO_PUBLISH)->published, 143);
    assert_null(find(LANE_DO_WANT_TICK)); /* it would grow old meanwhile */
    TELL(.kind = LANE_EVENT_TICK, .tick = at(4, 4, 0, false).from);
    assert_int_equal(actions.count, 0);
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_COMMITTED);
    assert_true(expect(LANE_DO_WANT_TICK)->force);
}

static void acknowledges_at_once_only_for_endpoints(void **state)
{
    (void)state;
    run_and_publish();
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_COMMITTED);
    assert_null(find(LANE_DO_ACKNOWLEDGE));
    assert_true(lane_next_timer(lane) <= now + 1000000);
    now += 1000000;
    TELL(.kind = LANE_EVENT_TIMER);
    assert_int_equal(expect(LANE_DO_ACKNOWLEDGE)->published, 45);
    TELL(.kind = LANE_EVENT_ACKNOWLEDGED, .found = true, .endpoints = 1);
    TELL(.kind = LANE_EVENT_RENEWED, .found = true, .epoch = 3, .lease_until = now + LEASE);
    TELL(.kind = LANE_EVENT_TICK, .tick = at(4, 4, 0, false).from);
    TELL(.kind = LANE_EVENT_PAGE, .page = 2, .count = 1, .found = true, .position.seq = 16);
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_COMMITTED);
    assert_int_equal(expect(LANE_DO_ACKNOWLEDGE)->published, 1);
}

static void knows_from_the_lease_that_there_are_endpoints(void **state)
{
    (void)state;
    endpoints_at_start = 1;
    run_and_publish();
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_COMMITTED);
    assert_int_equal(expect(LANE_DO_ACKNOWLEDGE)->published, 45);
}

static void recycles_a_tainted_producer_at_once(void **state)
{
    (void)state;
    run_and_publish();
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_COMMITTED, .tainted = true);
    expect(LANE_DO_CLOSE_PRODUCER);
    assert_null(find(LANE_DO_PUBLISH));
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    expect(LANE_DO_ACQUIRE);
}

static void takes_over_again_after_a_failed_commit(void **state)
{
    (void)state;
    run_and_publish();
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_KAFKA_FAILED);
    expect_only(LANE_DO_CLOSE_PRODUCER);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    assert_int_equal(expect(LANE_DO_FREE_PAGE)->page, 1);
    assert_null(find(LANE_DO_ACQUIRE)); /* after a pause */
    now = lane_next_timer(lane);
    TELL(.kind = LANE_EVENT_TIMER);
    expect_only(LANE_DO_ACQUIRE);
}

static void a_lost_lease_ends_the_transaction_uncommitted(void **state)
{
    (void)state;
    run_and_publish();
    now += 1000000;
    TELL(.kind = LANE_EVENT_TIMER);
    expect(LANE_DO_RENEW);
    TELL(.kind = LANE_EVENT_RENEWED, .found = false, .epoch = 3);
    assert_null(find(LANE_DO_CLOSE_PRODUCER)); /* the executor is still at it */
    TELL(.kind = LANE_EVENT_PUBLISHED);
    assert_null(find(LANE_DO_COMMIT));
    expect_only(LANE_DO_CLOSE_PRODUCER);
}

static void a_late_answer_about_a_former_lease_ends_nothing(void **state)
{
    (void)state;
    run_and_publish();
    now += 1000000;
    TELL(.kind = LANE_EVENT_TIMER);
    expect(LANE_DO_RENEW);
    TELL(.kind = LANE_EVENT_KAFKA_FAILED);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    now = lane_next_timer(lane);
    TELL(.kind = LANE_EVENT_TIMER);
    expect(LANE_DO_ACQUIRE);
    /* The server has raised the epoch already; we have not heard of it yet. */
    TELL(.kind = LANE_EVENT_RENEWED, .found = false, .epoch = 3);
    assert_int_equal(lane_state(lane), LANE_ACQUIRING);
    TELL(.kind = LANE_EVENT_ACQUIRED, .epoch = 4, .lease_until = now + LEASE, .position = at(1, 2, 10, true),
         .started = true);
    expect(LANE_DO_READ_MARKER);
}

/* A failure that comes back after each takeover must not be tried ever as fast. */
static void backs_off_further_when_each_read_fails(void **state)
{
    int64_t first;
    int64_t pause;

    (void)state;
    run();
    TELL(.kind = LANE_EVENT_TICK, .tick = at(3, 3, 0, false).from);
    TELL(.kind = LANE_EVENT_DB_FAILED);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    first = lane_next_timer(lane) - now;
    for (int i = 0; i < 4; i++) {
        now = lane_next_timer(lane);
        TELL(.kind = LANE_EVENT_TIMER);
        TELL(.kind = LANE_EVENT_ACQUIRED, .epoch = 4 + i, .lease_until = now + LEASE,
             .position = at(1, 2, 10, true), .started = true);
        TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 2, 10, true));
        TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
        TELL(.kind = LANE_EVENT_PRODUCER_OPEN);
        TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 2, 10, true));
        TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
        TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
        TELL(.kind = LANE_EVENT_TICK, .tick = at(4 + i, 0, 0, false).from);
        expect(LANE_DO_READ);
        TELL(.kind = LANE_EVENT_DB_FAILED);
        TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    }
    pause = lane_next_timer(lane) - now;
    assert_true(pause > 4 * first);
}

static void begins_nothing_near_the_end_of_its_lease(void **state)
{
    (void)state;
    run();
    TELL(.kind = LANE_EVENT_TICK, .tick = at(3, 3, 0, false).from);
    now += LEASE - 500000;
    TELL(.kind = LANE_EVENT_PAGE, .page = 1, .count = 5, .found = true, .position.seq = 15);
    assert_null(find(LANE_DO_PUBLISH));
    expect(LANE_DO_RENEW);
    TELL(.kind = LANE_EVENT_RENEWED, .found = true, .epoch = 3, .lease_until = now + LEASE);
    expect(LANE_DO_PUBLISH);
}

static void a_commit_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    run_and_publish();
    TELL(.kind = LANE_EVENT_PUBLISHED);
    for (int i = 0; i < 9; i++) {
        now += 1000000;
        TELL(.kind = LANE_EVENT_COMMIT_AGAIN);
        expect(LANE_DO_COMMIT);
        TELL(.kind = LANE_EVENT_RENEWED, .found = true, .epoch = 3, .lease_until = now + LEASE);
    }
    now += 1000000;
    TELL(.kind = LANE_EVENT_COMMIT_AGAIN);
    assert_null(find(LANE_DO_COMMIT));
    expect(LANE_DO_CLOSE_PRODUCER);
}

static void a_refused_acknowledgement_means_another_owner(void **state)
{
    (void)state;
    run_and_publish();
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_COMMITTED);
    now += 1000000;
    TELL(.kind = LANE_EVENT_TIMER);
    TELL(.kind = LANE_EVENT_ACKNOWLEDGED, .found = false);
    expect(LANE_DO_CLOSE_PRODUCER);
}

static void stops_when_what_is_open_is_done(void **state)
{
    (void)state;
    run_and_publish();
    TELL(.kind = LANE_EVENT_STOP);
    assert_null(find(LANE_DO_CLOSE_PRODUCER));
    TELL(.kind = LANE_EVENT_PUBLISHED);
    expect_only(LANE_DO_COMMIT);
    TELL(.kind = LANE_EVENT_COMMITTED);
    expect(LANE_DO_ACKNOWLEDGE);
    TELL(.kind = LANE_EVENT_ACKNOWLEDGED, .found = true);
    expect_only(LANE_DO_CLOSE_PRODUCER);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    expect_only(LANE_DO_RELEASE);
    TELL(.kind = LANE_EVENT_RELEASED);
    assert_int_equal(lane_state(lane), LANE_STOPPED);
}

static void stops_while_it_waits(void **state)
{
    (void)state;
    TELL(.kind = LANE_EVENT_START);
    TELL(.kind = LANE_EVENT_NOT_ACQUIRED, .retry_after = 400000);
    assert_int_equal(lane_next_timer(lane), now + 400000);
    TELL(.kind = LANE_EVENT_STOP);
    assert_int_equal(lane_state(lane), LANE_STOPPED);
}

static void empty_batches_cost_no_transaction_until_the_marker_is_stale(void **state)
{
    (void)state;
    run();
    TELL(.kind = LANE_EVENT_TICK, .tick = at(3, 3, 0, false).from);
    TELL(.kind = LANE_EVENT_PAGE, .page = 1, .found = true);
    assert_int_equal(expect(LANE_DO_FREE_PAGE)->page, 1);
    assert_null(find(LANE_DO_PUBLISH));
    now += 30000000;
    TELL(.kind = LANE_EVENT_RENEWED, .found = true, .epoch = 3, .lease_until = now + LEASE);
    assert_int_equal(expect(LANE_DO_PUBLISH)->page, 0);
    assert_int_equal(expect(LANE_DO_PUBLISH)->position.to.id, 3);
    assert_true(expect(LANE_DO_PUBLISH)->position.done);
}

/* Everything up to the last tick there is: published, acknowledged at once, given back. */
static void ends_at_the_tick_at_which_the_map_does(void **state)
{
    const struct tick_id end = at(3, 3, 0, false).from;

    (void)state;
    run();
    lane_drain(lane, &end);
    TELL(.kind = LANE_EVENT_TICK, .tick = end);
    TELL(.kind = LANE_EVENT_PAGE, .page = 1, .count = 5, .found = true, .position.seq = 15);
    TELL(.kind = LANE_EVENT_PUBLISHED);
    assert_null(find(LANE_DO_ACKNOWLEDGE));
    TELL(.kind = LANE_EVENT_COMMITTED);
    assert_int_equal(expect(LANE_DO_ACKNOWLEDGE)->position.to.id, 3);
    TELL(.kind = LANE_EVENT_ACKNOWLEDGED, .found = true);
    expect_only(LANE_DO_CLOSE_PRODUCER);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    expect_only(LANE_DO_RELEASE);
    TELL(.kind = LANE_EVENT_RELEASED);
    assert_int_equal(lane_state(lane), LANE_STOPPED);
}

static void an_empty_batch_before_the_end_is_marked_at_once(void **state)
{
    const struct tick_id end = at(3, 3, 0, false).from;

    (void)state;
    run();
    lane_drain(lane, &end);
    TELL(.kind = LANE_EVENT_TICK, .tick = end);
    TELL(.kind = LANE_EVENT_PAGE, .page = 1, .found = true);
    assert_int_equal(expect(LANE_DO_PUBLISH)->position.to.id, 3);
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_COMMITTED);
    expect(LANE_DO_ACKNOWLEDGE);
}

static void a_batch_that_is_not_done_is_published_before_the_end(void **state)
{
    const struct tick_id end = at(3, 3, 0, false).from;

    (void)state;
    run();
    lane_drain(lane, &end);
    TELL(.kind = LANE_EVENT_TICK, .tick = end);
    TELL(.kind = LANE_EVENT_PAGE, .page = 1, .count = 100, .position.seq = 110);
    expect(LANE_DO_READ);
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_COMMITTED);
    assert_null(find(LANE_DO_CLOSE_PRODUCER));
    TELL(.kind = LANE_EVENT_PAGE, .page = 2, .count = 1, .found = true, .position.seq = 111);
    expect(LANE_DO_PUBLISH);
    assert_int_equal(lane_state(lane), LANE_RUNNING);
}

/* The last page was full, so that the batch's end was not known with it. */
static void the_end_of_a_batch_that_is_found_late_is_marked(void **state)
{
    const struct tick_id end = at(3, 3, 0, false).from;

    (void)state;
    run();
    lane_drain(lane, &end);
    TELL(.kind = LANE_EVENT_TICK, .tick = end);
    TELL(.kind = LANE_EVENT_PAGE, .page = 1, .count = 100, .position.seq = 110);
    TELL(.kind = LANE_EVENT_PAGE, .page = 2, .found = true);
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_COMMITTED);
    assert_int_equal(expect(LANE_DO_PUBLISH)->position.seq, 110);
    assert_true(expect(LANE_DO_PUBLISH)->position.done);
    assert_int_equal(lane_state(lane), LANE_RUNNING);
}

/* The first release that is taken settles what former owners may have published. */
static void ends_only_after_it_has_looked_for_releases(void **state)
{
    const struct tick_id end = at(1, 2, 10, true).to;

    (void)state;
    parked_at_start = true;
    take_over(at(1, 2, 10, true), at(1, 2, 10, true));
    lane_drain(lane, &end);
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    expect_only(LANE_DO_TAKE_RELEASE);
    assert_int_equal(lane_state(lane), LANE_RUNNING);
    TELL(.kind = LANE_EVENT_RELEASE, .parked = true);
    expect(LANE_DO_CLOSE_PRODUCER);
}

/* The map may change only when nobody of an earlier tenure can publish. */
static void says_whether_it_has_fenced(void **state)
{
    (void)state;
    acquire(at(1, 2, 10, true), true);
    TELL(.kind = LANE_EVENT_STOP);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 2, 10, true));
    assert_false(expect(LANE_DO_RELEASE)->fenced);
    TELL(.kind = LANE_EVENT_RELEASED);
    run();
    TELL(.kind = LANE_EVENT_STOP);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    assert_true(expect(LANE_DO_RELEASE)->fenced);
}

/* As if it were new: another may have had the lane, or it is one of another map. */
static void begins_again_after_it_has_stopped(void **state)
{
    (void)state;
    run();
    assert_true(lane_holds(lane));
    TELL(.kind = LANE_EVENT_STOP);
    TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    expect_only(LANE_DO_RELEASE);
    assert_false(lane_holds(lane));
    TELL(.kind = LANE_EVENT_RELEASED);
    assert_int_equal(lane_state(lane), LANE_STOPPED);
    run_and_publish();
    assert_true(lane_holds(lane));
}

/* With a batch half read. */
static void publish_a_release(void)
{
    parked_at_start = true;
    take_over(at(1, 2, 10, false), at(1, 2, 10, false));
    TELL(.kind = LANE_EVENT_LEASE_CHECKED, .found = true, .lease_until = now + LEASE);
    expect_only(LANE_DO_TAKE_RELEASE);
    TELL(.kind = LANE_EVENT_RELEASE, .page = 2, .count = 1, .release = 7, .parked = true);
    assert_int_equal(expect(LANE_DO_PUBLISH)->release, 7);
    assert_int_equal(expect(LANE_DO_PUBLISH)->position.seq, 10); /* it stays where it was */
    assert_int_equal(expect(LANE_DO_READ)->position.seq, 10);
    TELL(.kind = LANE_EVENT_PUBLISHED);
    TELL(.kind = LANE_EVENT_COMMITTED);
    assert_null(find(LANE_DO_ACKNOWLEDGE)); /* it still reads */
}

static void a_release_is_known_to_the_database_before_the_next_marker(void **state)
{
    (void)state;
    publish_a_release();
    TELL(.kind = LANE_EVENT_PAGE, .position.seq = 15, .found = true, .parked = true); /* all of it is parked */
    assert_int_equal(expect(LANE_DO_ACKNOWLEDGE)->release, 7);
    assert_null(find(LANE_DO_PUBLISH));
    assert_true(lane_next_timer(lane) > now);
    TELL(.kind = LANE_EVENT_ACKNOWLEDGED, .found = true);
    assert_int_equal(expect(LANE_DO_PUBLISH)->position.seq, 15);
    assert_int_equal(expect(LANE_DO_PUBLISH)->release, 0);
}

static void a_predecessors_release_is_acknowledged_with_its_marker(void **state)
{
    (void)state;
    acquire(at(1, 2, 10, true), true);
    for (int i = 0; i < 2; i++) { /* before it has fenced, and after */
        TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 2, 10, true), .published = 40, .release = 7);
        TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
        if (i == 0)
            TELL(.kind = LANE_EVENT_PRODUCER_OPEN);
    }
    expect_only(LANE_DO_ACKNOWLEDGE);
    assert_int_equal(actions.list[0].release, 7);
    TELL(.kind = LANE_EVENT_ACKNOWLEDGED, .found = true);
    expect_only(LANE_DO_CHECK_LEASE);
}

#define LANE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LANE_TEST(takes_over_in_order),
        LANE_TEST(acknowledges_what_a_predecessor_published),
        LANE_TEST(a_new_lane_gets_its_first_marker_before_anything),
        LANE_TEST(halts_before_it_fences_anybody),
        LANE_TEST(halts_without_a_marker),
        LANE_TEST(waits_for_a_marker_on_its_way),
        LANE_TEST(halts_on_a_foreign_marker),
        LANE_TEST(halts_when_kafka_lost_data),
        LANE_TEST(halts_when_the_database_went_back),
        LANE_TEST(halts_when_a_later_map_has_markers),
        LANE_TEST(loses_a_lane_of_a_former_map),
        LANE_TEST(says_whether_it_has_fenced),
        LANE_TEST(halts_on_a_contradiction),
        LANE_TEST(halts_in_the_wrong_place_before_it_looks_at_kafka),
        LANE_TEST(the_names_of_halts_lead_back),
        LANE_TEST(reads_ahead_while_it_publishes),
        LANE_TEST(acknowledges_at_once_only_for_endpoints),
        LANE_TEST(knows_from_the_lease_that_there_are_endpoints),
        LANE_TEST(recycles_a_tainted_producer_at_once),
        LANE_TEST(takes_over_again_after_a_failed_commit),
        LANE_TEST(a_lost_lease_ends_the_transaction_uncommitted),
        LANE_TEST(a_late_answer_about_a_former_lease_ends_nothing),
        LANE_TEST(backs_off_further_when_each_read_fails),
        LANE_TEST(begins_nothing_near_the_end_of_its_lease),
        LANE_TEST(a_commit_is_not_waited_for_for_ever),
        LANE_TEST(a_refused_acknowledgement_means_another_owner),
        LANE_TEST(stops_when_what_is_open_is_done),
        LANE_TEST(stops_while_it_waits),
        LANE_TEST(empty_batches_cost_no_transaction_until_the_marker_is_stale),
        LANE_TEST(ends_at_the_tick_at_which_the_map_does),
        LANE_TEST(an_empty_batch_before_the_end_is_marked_at_once),
        LANE_TEST(a_batch_that_is_not_done_is_published_before_the_end),
        LANE_TEST(the_end_of_a_batch_that_is_found_late_is_marked),
        LANE_TEST(ends_only_after_it_has_looked_for_releases),
        LANE_TEST(begins_again_after_it_has_stopped),
        LANE_TEST(a_release_is_known_to_the_database_before_the_next_marker),
        LANE_TEST(a_predecessors_release_is_acknowledged_with_its_marker),
    };

    return cmocka_run_group_tests_name("core/lane", tests, NULL, NULL);
}
