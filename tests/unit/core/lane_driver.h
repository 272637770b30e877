/* Drives a lane by hand: what it does is in `actions` after each event. */
#ifndef TESTS_LANE_DRIVER_H
#define TESTS_LANE_DRIVER_H

#include "../cmocka_all.h"
#include "core/lane.h"

#define LEASE 5000000

static struct lane *lane;
static struct lane_actions actions;
static int64_t now;
static int endpoints_at_start;
static bool parked_at_start;

static struct position at(int64_t from, int64_t to, int64_t seq, bool done)
{
    struct position position = {{from, {0}}, {to, {0}}, seq, done};

    position.from.nonce[0] = (uint8_t)from;
    position.to.nonce[0] = (uint8_t)to;
    return position;
}

static int setup_as(bool at_least_once)
{
    const struct lane_settings settings = {
        .lease = LEASE, .lease_renew = 1000000, .lease_margin = 1000000, .acknowledge_interval = 1000000,
        .marker_interval = 30000000, .commit_timeout = 10000000, .backoff_min = 100000, .backoff_max = 5000000,
        .release_interval = 1000000, .batch_events = 100, .at_least_once = at_least_once,
        .delivery_timeout = 900000, .flight_pages = 3, .flight_bytes = 1000, .seed = 7};

    now = 1000;
    endpoints_at_start = 0;
    parked_at_start = false;
    lane = lane_new(&settings);
    return lane ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lane_free(lane);
    return 0;
}

static void tell(struct lane_event event)
{
    event.now = now;
    lane_handle(lane, &event, &actions);
}

#define TELL(...) tell((struct lane_event){__VA_ARGS__})

static const struct lane_action *find(enum lane_action_kind kind)
{
    for (size_t i = 0; i < actions.count; i++) {
        if (actions.list[i].kind == kind)
            return &actions.list[i];
    }
    return NULL;
}

static const struct lane_action *expect(enum lane_action_kind kind)
{
    const struct lane_action *action = find(kind);

    assert_non_null(action);
    return action;
}

static void expect_only(enum lane_action_kind kind)
{
    assert_int_equal(actions.count, 1);
    assert_int_equal(actions.list[0].kind, kind);
}

static void acquire(struct position position, bool started)
{
    TELL(.kind = LANE_EVENT_START);
    expect_only(LANE_DO_ACQUIRE);
    TELL(.kind = LANE_EVENT_ACQUIRED, .epoch = 3, .lease_until = now + LEASE, .position = position,
         .started = started, .endpoints = endpoints_at_start, .parked = parked_at_start);
    expect_only(LANE_DO_READ_MARKER);
}

static void take_over(struct position acked, struct position marker)
{
    acquire(acked, true);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = marker, .published = 40);
    expect_only(LANE_DO_VERIFY);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
    expect_only(LANE_DO_OPEN_PRODUCER);
    TELL(.kind = LANE_EVENT_PRODUCER_OPEN);
    expect_only(LANE_DO_READ_MARKER);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = marker, .published = 40);
    expect_only(LANE_DO_VERIFY);
    TELL(.kind = LANE_EVENT_VERIFIED, .found = true);
}

static void expect_halt(enum lane_halt halt)
{
    assert_int_equal(lane_halt(lane), halt);
    assert_null(find(LANE_DO_OPEN_PRODUCER));
    if (find(LANE_DO_CLOSE_PRODUCER))
        TELL(.kind = LANE_EVENT_PRODUCER_CLOSED);
    assert_int_equal(expect(LANE_DO_NOTE_HALT)->halt, halt);
    TELL(.kind = LANE_EVENT_RELEASED);
    assert_int_equal(lane_state(lane), LANE_HALTED);
    assert_int_equal(actions.count, 0);
    assert_int_equal(lane_next_timer(lane), INT64_MAX);
}

#endif
