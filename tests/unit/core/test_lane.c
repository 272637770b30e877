#include "core/lane.h"

#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#define LEASE 5000000

static struct lane *lane;
static struct lane_actions actions;
static int64_t now;
static int endpoints_at_start;

static struct position at(int64_t from, int64_t to, int64_t seq, bool done)
{
    struct position position = {{from, {0}}, {to, {0}}, seq, done};

    position.from.nonce[0] = (uint8_t)from;
    position.to.nonce[0] = (uint8_t)to;
    return position;
}

static int setup(void **state)
{
    const struct lane_settings settings = {
        .lease = LEASE, .lease_renew = 1000000, .lease_margin = 1000000, .acknowledge_interval = 1000000,
        .marker_interval = 30000000, .commit_timeout = 10000000, .backoff_min = 100000, .backoff_max = 5000000,
        .batch_events = 100, .seed = 7};

    (void)state;
    now = 1000;
    endpoints_at_start = 0;
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
         .started = started, .system_matches = true, .endpoints = endpoints_at_start);
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

static void halts_on_a_contradiction(void **state)
{
    (void)state;
    acquire(at(1, 2, 10, false), true);
    TELL(.kind = LANE_EVENT_MARKER, .found = true, .position = at(1, 3, 10, false));
    expect_halt(LANE_HALT_MARKER_CONFLICT);
}

static void halts_on_another_server(void **state)
{
    (void)state;
    TELL(.kind = LANE_EVENT_START);
    TELL(.kind = LANE_EVENT_ACQUIRED, .epoch = 3, .lease_until = now + LEASE, .position = at(1, 2, 10, true),
         .started = true, .system_matches = false);
    expect_halt(LANE_HALT_WRONG_SERVER);
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
         .started = true, .system_matches = true);
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
             .position = at(1, 2, 10, true), .started = true, .system_matches = true);
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

/* --- a small model: whatever fails, each event reaches Kafka once, in order --- */

#define MODEL_EVENTS 60

struct model {
    uint64_t random;
    struct position acked;  /* database */
    int64_t acked_published;
    bool started;
    int64_t epoch;
    bool has_marker;        /* Kafka, committed */
    struct position marker;
    int64_t marker_published;
    int64_t log[MODEL_EVENTS * 2];
    int log_size;
    bool transaction;       /* open, with this in it */
    int64_t first, last;
    struct position transaction_marker;
    int64_t transaction_published;
    int64_t emitted;        /* events 1..emitted are committed; tick t covers 1..tick_last[t] */
    int64_t tick_last[MODEL_EVENTS * 4];
    int64_t ticks;
    int64_t pages[16][2];   /* events (first, last) of a page */
    uint64_t page;
    int faults;
};

static uint64_t draw(struct model *model, uint64_t below)
{
    model->random = model->random * 6364136223846793005u + 1442695040888963407u;
    return (model->random >> 33) % below;
}

static bool unlucky(struct model *model)
{
    if (model->faults <= 0 || draw(model, 12) != 0)
        return false;
    model->faults--;
    return true;
}

static struct tick_id model_tick(struct model *model, bool force)
{
    if (force || model->tick_last[model->ticks] < model->emitted)
        model->tick_last[++model->ticks] = model->emitted;
    return at(model->ticks, 0, 0, false).from;
}

static void model_read(struct model *model, const struct lane_action *action, struct lane_event *event)
{
    int64_t first = model->tick_last[action->position.from.id] + 1;
    int64_t last = model->tick_last[action->position.to.id];

    if (first <= action->position.seq)
        first = action->position.seq + 1;
    event->kind = LANE_EVENT_PAGE;
    event->found = last - first + 1 < action->limit;
    if (!event->found)
        last = first + action->limit - 1;
    event->count = last >= first ? (int)(last - first + 1) : 0;
    event->position.seq = last;
    event->page = ++model->page;
    model->pages[model->page % 16][0] = first;
    model->pages[model->page % 16][1] = last;
}

static void model_commit(struct model *model)
{
    for (int64_t seq = model->first; seq <= model->last; seq++) {
        assert_true(model->log_size < MODEL_EVENTS * 2);
        model->log[model->log_size++] = seq;
    }
    model->marker = model->transaction_marker;
    model->marker_published = model->transaction_published;
    model->has_marker = true;
    model->transaction = false;
}

static bool model_kafka(struct model *model, const struct lane_action *action, struct lane_event *event)
{
    switch (action->kind) {
    case LANE_DO_READ_MARKER:
        *event = (struct lane_event){.kind = LANE_EVENT_MARKER, .found = model->has_marker,
                                     .position = model->marker, .published = model->marker_published};
        return !unlucky(model);
    case LANE_DO_OPEN_PRODUCER:
        model->transaction = false; /* init aborts what a predecessor left open */
        event->kind = LANE_EVENT_PRODUCER_OPEN;
        return !unlucky(model);
    case LANE_DO_PUBLISH:
        assert_false(model->transaction);
        model->transaction = true;
        model->first = action->page ? model->pages[action->page % 16][0] : 1;
        model->last = action->page ? model->pages[action->page % 16][1] : 0;
        model->transaction_marker = action->position;
        model->transaction_published = action->published;
        event->kind = LANE_EVENT_PUBLISHED;
        return !unlucky(model);
    case LANE_DO_COMMIT:
        if (unlucky(model))
            return false; /* not committed, and nobody knows */
        event->kind = LANE_EVENT_COMMIT_AGAIN;
        if (draw(model, 4) == 0)
            return true;
        model_commit(model);
        event->kind = LANE_EVENT_COMMITTED;
        event->tainted = draw(model, 10) == 0;
        return !unlucky(model); /* committed, and nobody knows */
    default:
        event->kind = LANE_EVENT_PRODUCER_CLOSED;
        return true;
    }
}

static bool model_db(struct model *model, const struct lane_action *action, struct lane_event *event)
{
    bool mine = action->epoch == model->epoch;

    switch (action->kind) {
    case LANE_DO_ACQUIRE:
        *event = (struct lane_event){.kind = LANE_EVENT_ACQUIRED, .epoch = ++model->epoch,
                                     .lease_until = now + LEASE, .position = model->acked,
                                     .started = model->started, .system_matches = true,
                                     .published = model->acked_published};
        return !unlucky(model);
    case LANE_DO_READ:
        model_read(model, action, event);
        return true;
    case LANE_DO_ACKNOWLEDGE:
        event->kind = LANE_EVENT_ACKNOWLEDGED;
        event->found = mine && position_compare(&model->acked, &action->old) == POSITION_SAME;
        if (event->found) {
            model->acked = action->position;
            model->acked_published += action->published;
            model->started = true;
        }
        event->endpoints = (int)draw(model, 2);
        return !unlucky(model);
    case LANE_DO_VERIFY:
        *event = (struct lane_event){.kind = LANE_EVENT_VERIFIED, .found = true};
        return !unlucky(model);
    case LANE_DO_CHECK_LEASE:
        *event = (struct lane_event){.kind = LANE_EVENT_LEASE_CHECKED, .found = mine,
                                     .lease_until = now + LEASE};
        return !unlucky(model);
    default:
        event->kind = LANE_EVENT_RELEASED;
        return true;
    }
}

struct open_action {
    bool open;
    struct lane_action action;
};

static void collect(struct model *model, struct open_action open[3], bool *want_tick)
{
    for (size_t i = 0; i < actions.count; i++) {
        const struct lane_action *action = &actions.list[i];
        int slot = action->kind == LANE_DO_RENEW ? 2 : action->kind >= LANE_DO_READ_MARKER ? 1 : 0;

        if (action->kind == LANE_DO_FREE_PAGE)
            continue;
        if (action->kind == LANE_DO_WANT_TICK) {
            *want_tick = true;
            if (action->force)
                model_tick(model, true);
            continue;
        }
        assert_false(open[slot].open); /* one action an executor */
        open[slot].open = true;
        open[slot].action = *action;
    }
}

static void finish_action(struct model *model, struct open_action *open, int slot)
{
    struct lane_event event = {0};
    bool good = true;

    open->open = false;
    if (slot == 0)
        good = model_db(model, &open->action, &event);
    else if (slot == 1)
        good = model_kafka(model, &open->action, &event);
    else
        event = (struct lane_event){.kind = LANE_EVENT_RENEWED, .found = open->action.epoch == model->epoch,
                                    .epoch = open->action.epoch, .lease_until = now + LEASE};
    if (!good)
        event = (struct lane_event){.kind = slot == 0 ? LANE_EVENT_DB_FAILED : LANE_EVENT_KAFKA_FAILED};
    tell(event);
}

static void step(struct model *model, struct open_action open[3], bool *want_tick)
{
    int slot = (int)draw(model, 3);

    now += (int64_t)draw(model, 20000);
    actions.count = 0;
    if (open[slot].open) {
        finish_action(model, &open[slot], slot);
    } else if (*want_tick && draw(model, 2) == 0) {
        *want_tick = false;
        tell((struct lane_event){.kind = LANE_EVENT_TICK, .tick = model_tick(model, false)});
    } else if (draw(model, 3) == 0 && model->emitted < MODEL_EVENTS) {
        model->emitted += 1 + (int64_t)draw(model, 3);
        *want_tick = true;
        return;
    } else {
        if (!open[0].open && !open[1].open && !*want_tick && lane_next_timer(lane) != INT64_MAX)
            now = lane_next_timer(lane) > now ? lane_next_timer(lane) : now;
        TELL(.kind = LANE_EVENT_TIMER);
    }
    collect(model, open, want_tick);
}

static void run_model(uint64_t seed)
{
    const struct lane_settings settings = {
        .lease = LEASE, .lease_renew = 1000000, .lease_margin = 1000000, .acknowledge_interval = 100000,
        .marker_interval = 30000000, .commit_timeout = 10000000, .backoff_min = 1000, .backoff_max = 50000,
        .batch_events = 4, .seed = seed};
    struct model model = {.random = seed, .faults = 8, .ticks = 1};
    struct open_action open[3] = {0};
    bool want_tick = false;

    model.acked = at(1, 1, 0, true);
    lane = lane_new(&settings);
    assert_non_null(lane);
    TELL(.kind = LANE_EVENT_START);
    collect(&model, open, &want_tick);
    for (int i = 0; i < 4000; i++) {
        if (draw(&model, 200) == 0 && model.faults > 0) { /* kill -9: all is forgotten */
            model.faults--;
            lane_free(lane);
            lane = lane_new(&settings);
            memset(open, 0, sizeof(open));
            want_tick = false;
            TELL(.kind = LANE_EVENT_START);
            collect(&model, open, &want_tick);
        }
        step(&model, open, &want_tick);
    }
    assert_int_not_equal(lane_state(lane), LANE_HALTED);
    assert_int_equal(model.log_size, model.emitted);
    for (int i = 0; i < model.log_size; i++)
        assert_int_equal(model.log[i], i + 1);
    assert_int_equal(model.marker_published, model.emitted);
    lane_free(lane);
}

static void each_event_once_whatever_fails(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        now = 1000;
        run_model(seed);
    }
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
        LANE_TEST(halts_on_a_contradiction),
        LANE_TEST(halts_on_another_server),
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
        cmocka_unit_test(each_event_once_whatever_fails),
    };

    return cmocka_run_group_tests_name("core/lane", tests, NULL, NULL);
}
