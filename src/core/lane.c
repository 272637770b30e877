#include "core/lane_internal.h"

#include <assert.h>
#include <stdlib.h>

struct lane *lane_new(const struct lane_settings *settings)
{
    struct lane *lane = calloc(1, sizeof(*lane));

    if (!lane)
        return NULL;
    lane->settings = *settings;
    lane->state = LANE_WAITING;
    lane->wake_at = INT64_MAX;
    lane->limit = settings->batch_events;
    lane->release_limit = settings->batch_events;
    lane->random = settings->seed | 1;
    return lane;
}

void lane_free(struct lane *lane)
{
    free(lane);
}

/* --- actions --- */

struct lane_action *lane_act(struct lane *lane, struct lane_actions *actions, enum lane_action_kind kind)
{
    struct lane_action *action = &actions->list[actions->count++];

    assert(actions->count <= LANE_ACTIONS_MAX);
    *action = (struct lane_action){.kind = kind, .epoch = lane->epoch};
    switch (kind) {
    case LANE_DO_FREE_PAGE:
    case LANE_DO_WANT_TICK:
        break;
    case LANE_DO_RENEW:
        assert(!lane->keeper_busy);
        lane->keeper_busy = true;
        break;
    case LANE_DO_READ_MARKER:
    case LANE_DO_OPEN_PRODUCER:
    case LANE_DO_OPEN_PIPELINE:
    case LANE_DO_PUBLISH:
    case LANE_DO_COMMIT:
    case LANE_DO_CLOSE_PRODUCER:
        assert(!lane->kafka_busy);
        lane->kafka_busy = true;
        break;
    default:
        assert(!lane->db_busy);
        lane->db_busy = true;
        break;
    }
    return action;
}

void lane_free_page(struct lane *lane, struct lane_actions *actions, struct lane_page *page)
{
    if (page->id != 0)
        lane_act(lane, actions, LANE_DO_FREE_PAGE)->page = page->id;
    page->id = 0;
    page->count = 0;
}

/* xorshift64*: jitter needs no better. */
static uint64_t next_random(struct lane *lane)
{
    lane->random ^= lane->random >> 12;
    lane->random ^= lane->random << 25;
    lane->random ^= lane->random >> 27;
    return lane->random * 2685821657736338717u;
}

/* Between half and all of the doubled delay, so that many relays do not return at once. */
static int64_t backoff(struct lane *lane)
{
    int64_t delay = lane->settings.backoff_min;

    for (int i = 1; i < lane->failures && delay < lane->settings.backoff_max; i++)
        delay *= 2;
    if (delay > lane->settings.backoff_max)
        delay = lane->settings.backoff_max;
    return delay / 2 + (int64_t)(next_random(lane) % (uint64_t)(delay / 2 + 1));
}

/* --- ends --- */

/* Leaves whatever is going on; drive() closes the producer as soon as nothing is open
 * on it, and then waits, halts or stops. */
static void give_up(struct lane *lane, int64_t delay)
{
    if (lane->state == LANE_HALTED || lane->state == LANE_STOPPED || lane->state == LANE_RELEASING)
        return;
    lane->state = LANE_CLOSING;
    lane->wake_at = lane->now + delay;
}

/* To another, or by the clock: nothing that is still under way may count. */
void lane_lose_lease(struct lane *lane)
{
    lane->holding = false;
    lane->leases_lost++;
    give_up(lane, 0);
}

static void fail(struct lane *lane, bool refused)
{
    lane->failures++;
    give_up(lane, refused ? lane->settings.backoff_max : backoff(lane));
}

void lane_stop_as(struct lane *lane, enum lane_halt reason)
{
    lane->halt = reason;
    give_up(lane, 0);
}

/* --- takeover --- */

void lane_begin_running(struct lane *lane)
{
    lane->state = LANE_RUNNING;
    lane->cursor = lane->confirmed;
    lane->batch_open = !lane->confirmed.done;
    lane->latest = (struct tick_id){0};
    lane->wanted_tick = false;
    lane->missed_tick = false;
    lane->committing = false;
    lane->reading = false;
    lane->stale = false;
    lane->release_at = lane->now;
    lane->release_taken = false;
    lane->marked_at = lane->now;
    lane->acknowledge_at = lane->now + lane->settings.acknowledge_interval;
}

/* --- running --- */

bool lane_unacknowledged(const struct lane *lane)
{
    return lane->unacknowledged_release != 0 || position_compare(&lane->acked, &lane->confirmed) != POSITION_SAME;
}

/* May one more page be begun before those in flight are confirmed? */
static bool has_room(const struct lane *lane)
{
    bool many = lane->piping && lane->limit == lane->settings.batch_events;

    return flight_has_room(&lane->flight, many ? lane->settings.flight_pages : 1, lane->settings.flight_bytes);
}

/* While there is no room for its events a tick would only grow old: a fresh one is asked for then. */
static void on_tick(struct lane *lane, const struct lane_event *event)
{
    lane->wanted_tick = false;
    if (!has_room(lane))
        lane->missed_tick = true;
    else if (event->tick.id > lane->latest.id)
        lane->latest = event->tick;
}

static void on_page(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    struct lane_page page = {.id = event->page, .count = event->count, .bytes = event->bytes};
    bool stale = lane->stale;

    lane->reading = false;
    lane->stale = false;
    lane->parked = lane->parked || event->parked;
    if (lane->state != LANE_RUNNING || stale) {
        lane_free_page(lane, actions, &page);
        return;
    }
    if (event->position.seq > lane->cursor.seq)
        lane->cursor.seq = event->position.seq;
    if (event->count == 0) {
        lane_free_page(lane, actions, &page);
        if (event->position.seq != 0) /* all of it is parked: the marker need not wait to pass it over */
            lane->marked_at = lane->now - lane->settings.marker_interval;
    } else {
        page.position = lane->cursor;
        page.position.done = event->found;
        lane->ready = page;
    }
    if (event->found) {
        lane->batch_open = false;
        if (event->count == 0)
            lane->failures = 0; /* all that there is has been read */
    }
}

static void move_confirmed(struct lane *lane, const struct position *position, int count)
{
    lane->confirmed = *position;
    lane->published += count;
    lane->marked_at = lane->now;
}

static void confirm_oldest(struct lane *lane, struct lane_actions *actions)
{
    struct lane_page page = flight_pop(&lane->flight);

    lane->failures = 0;
    move_confirmed(lane, &page.position, page.count);
    if (page.release != 0)
        lane->unacknowledged_release = page.release;
    lane_free_page(lane, actions, &page);
}

static void on_committed(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    lane->committing = false;
    lane_grow(lane, flight_oldest(&lane->flight));
    confirm_oldest(lane, actions);
    lane->marked = true;
    if (lane->state == LANE_MARKING_START)
        lane->state = LANE_CATCHING_UP;
    /* A late duplicate of a retried request could commit or abort the next transaction:
     * the producer ends here, and its successor's epoch makes the duplicate void. */
    if (event->tainted)
        give_up(lane, 0);
}

/* At least once there is no marker: what is confirmed is known here alone, until it is
 * acknowledged.  It outlives a takeover if nobody else had the lane meanwhile. */
static void remember_confirmed(struct lane *lane)
{
    lane->kept = lane->confirmed;
    lane->kept_published = lane->published;
    lane->kept_epoch = lane->epoch;
}

/* All up to this page are on the brokers.  After a failure has let pages begin small, they
 * grow again: the page that is at fault gets smaller with each takeover, and what
 * surrounds it is published again ever less. */
static void on_confirmed(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    bool last = false;

    if (!flight_holds(&lane->flight, event->page))
        return;
    lane_grow(lane, flight_oldest(&lane->flight));
    while (!last) {
        last = flight_oldest(&lane->flight)->id == event->page;
        confirm_oldest(lane, actions);
    }
    remember_confirmed(lane);
}

/* Records failed, or could not be handed over, and none after them went out. */
static void fail_in_kafka(struct lane *lane, const struct lane_event *event)
{
    bool soon;

    lane_judge_failure(lane, event, &soon);
    fail(lane, event->refused && !soon);
}

static void on_acknowledged(struct lane *lane, const struct lane_event *event)
{
    if (!event->found) { /* another has taken the lane */
        lane_lose_lease(lane);
        return;
    }
    lane->acked = lane->acknowledging;
    if (lane->acknowledging_release != 0) {
        lane->unacknowledged_release = 0;
        lane->release_at = lane->now; /* there may be more */
    }
    lane->acked_published = lane->acknowledging_published;
    lane->started = true;
    lane->endpoints = event->endpoints;
    lane->acknowledge_at = lane->now + lane->settings.acknowledge_interval;
    if (lane->state == LANE_CATCHING_UP)
        lane->state = LANE_CHECKING_LEASE;
}

static void on_renewed(struct lane *lane, const struct lane_event *event)
{
    if (event->epoch != lane->epoch || !lane->holding)
        return; /* about an earlier tenure */
    if (!event->found) {
        lane_lose_lease(lane);
        return;
    }
    if (event->lease_until > lane->lease_until)
        lane->lease_until = event->lease_until;
}

static void on_released(struct lane *lane)
{
    lane->holding = false;
    lane->state = lane->halt != LANE_HALT_NONE ? LANE_HALTED : LANE_STOPPED;
}

/* --- what happens --- */

static void on_db_event(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    lane->db_busy = false;
    switch (event->kind) {
    case LANE_EVENT_PAGE:
        on_page(lane, event, actions);
        return;
    case LANE_EVENT_DB_FAILED:
        if (lane->state == LANE_RELEASING)
            on_released(lane);
        else
            fail(lane, event->refused);
        return;
    case LANE_EVENT_RELEASED:
        on_released(lane);
        return;
    case LANE_EVENT_ACKNOWLEDGED:
        on_acknowledged(lane, event);
        return;
    case LANE_EVENT_ACQUIRED:
        if (lane->state == LANE_ACQUIRING)
            lane_on_acquired(lane, event);
        return;
    case LANE_EVENT_NOT_ACQUIRED:
        lane->state = LANE_WAITING;
        lane->wake_at = lane->now + (event->retry_after < lane->settings.lease_renew
                                         ? event->retry_after : lane->settings.lease_renew);
        return;
    case LANE_EVENT_VERIFIED:
        if (lane->state == LANE_VERIFYING)
            lane_on_verified(lane, event);
        return;
    case LANE_EVENT_RECORDED:
        if (lane->state == LANE_RECORDING)
            lane_on_recorded(lane, event);
        return;
    case LANE_EVENT_PARKED:
        lane_on_parked(lane);
        return;
    case LANE_EVENT_RELEASE:
        lane_on_release(lane, event, actions);
        return;
    default:
        if (lane->state == LANE_CHECKING_LEASE)
            lane_on_lease_checked(lane, event);
        return;
    }
}

static void on_producer_closed(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    if (lane->piping)
        on_confirmed(lane, event, actions);
    lane->producer_open = false;
    lane->piping = false;
    lane->committing = false;
    while (lane->flight.count > 0) {
        struct lane_page page = flight_pop(&lane->flight);

        lane_free_page(lane, actions, &page);
    }
    lane_free_page(lane, actions, &lane->ready);
    lane_free_page(lane, actions, &lane->release);
}

static void on_kafka_event(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    lane->kafka_busy = false;
    switch (event->kind) {
    case LANE_EVENT_MARKER:
        if (lane->state == LANE_COMPARING || lane->state == LANE_LOCATING)
            lane_on_marker(lane, event);
        return;
    case LANE_EVENT_PRODUCER_OPEN:
        lane_on_producer_open(lane);
        return;
    case LANE_EVENT_PUBLISHED:
        lane->committing = !lane->piping;
        return;
    case LANE_EVENT_REFUSED:
        lane_on_refused(lane, actions);
        return;
    case LANE_EVENT_COMMITTED:
        on_committed(lane, event, actions);
        return;
    case LANE_EVENT_PRODUCER_CLOSED:
        on_producer_closed(lane, event, actions);
        return;
    case LANE_EVENT_KAFKA_FAILED:
        lane->producer_open = true; /* whatever there is of a producer must be closed */
        fail_in_kafka(lane, event);
        return;
    default: /* LANE_EVENT_COMMIT_AGAIN: drive() asks again, but not for ever */
        if (lane->now >= flight_oldest(&lane->flight)->begun_at + lane->settings.commit_timeout)
            fail(lane, false);
        return;
    }
}

/* These come when they come: they answer no action. */
static void on_delivery_event(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    if (!lane->piping)
        return;
    if (event->kind == LANE_EVENT_CONFIRMED)
        on_confirmed(lane, event, actions);
    else if (lane->state == LANE_RUNNING)
        fail_in_kafka(lane, event);
}

static void on_keeper_event(struct lane *lane, const struct lane_event *event)
{
    lane->keeper_busy = false;
    lane->renew_at = lane->now + lane->settings.lease_renew;
    if (event->kind == LANE_EVENT_RENEWED)
        on_renewed(lane, event);
}

/* Nothing of an earlier life counts: others may have had the lane, or it is one of another map.
 * A renewal may still be on its way. */
static void start_over(struct lane *lane)
{
    *lane = (struct lane){.settings = lane->settings,
                          .state = LANE_WAITING,
                          .now = lane->now,
                          .limit = lane->settings.batch_events,
                          .release_limit = lane->settings.batch_events,
                          .random = lane->random,
                          .keeper_busy = lane->keeper_busy,
                          .leases_lost = lane->leases_lost};
}

static void on_event(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    switch (event->kind) {
    case LANE_EVENT_START:
        if (lane->state == LANE_STOPPED || lane->state == LANE_HALTED)
            start_over(lane);
        lane->wake_at = lane->now;
        return;
    case LANE_EVENT_STOP:
        lane->stopping = true;
        return;
    case LANE_EVENT_TIMER:
        return;
    case LANE_EVENT_TICK:
        on_tick(lane, event);
        return;
    case LANE_EVENT_ACQUIRED:
    case LANE_EVENT_NOT_ACQUIRED:
    case LANE_EVENT_VERIFIED:
    case LANE_EVENT_LEASE_CHECKED:
    case LANE_EVENT_PAGE:
    case LANE_EVENT_ACKNOWLEDGED:
    case LANE_EVENT_RECORDED:
    case LANE_EVENT_PARKED:
    case LANE_EVENT_RELEASE:
    case LANE_EVENT_RELEASED:
    case LANE_EVENT_DB_FAILED:
        on_db_event(lane, event, actions);
        return;
    case LANE_EVENT_RENEWED:
    case LANE_EVENT_RENEW_FAILED:
        on_keeper_event(lane, event);
        return;
    case LANE_EVENT_CONFIRMED:
    case LANE_EVENT_DELIVERY_FAILED:
        on_delivery_event(lane, event, actions);
        return;
    default:
        on_kafka_event(lane, event, actions);
        return;
    }
}

void lane_drain(struct lane *lane, const struct tick_id *tick)
{
    lane->drain = *tick;
}

/* --- what follows --- */

void lane_publish(struct lane *lane, struct lane_actions *actions, const struct lane_page *page)
{
    struct lane_action *action = lane_act(lane, actions, LANE_DO_PUBLISH);
    struct lane_page begun = *page;

    begun.begun_at = lane->now;
    flight_push(&lane->flight, &begun);
    action->page = page->id;
    action->position = page->position;
    action->published = lane->published + page->count;
    action->release = page->release;
}

void lane_acknowledge(struct lane *lane, struct lane_actions *actions)
{
    struct lane_action *action = lane_act(lane, actions, LANE_DO_ACKNOWLEDGE);

    lane->acknowledging = lane->confirmed;
    lane->acknowledging_published = lane->published;
    lane->acknowledging_release = lane->unacknowledged_release;
    action->release = lane->unacknowledged_release;
    action->old = lane->acked;
    action->position = lane->confirmed;
    action->published = lane->published - lane->acked_published;
}

static bool lease_allows(const struct lane *lane)
{
    return lane->holding && lane->now < lane->lease_until - lane->settings.lease_margin;
}

/* Is all read, and beyond what is confirmed there is nothing to be published? */
static bool passed_over(const struct lane *lane)
{
    return !lane->batch_open && lane->flight.count == 0 &&
           (lane->cursor.to.id > lane->confirmed.to.id || lane->cursor.seq > lane->confirmed.seq);
}

/* The tick at which the lane ends has been read. */
static bool drained(const struct lane *lane)
{
    return lane->drain.id != 0 && !lane->batch_open && lane->cursor.to.id == lane->drain.id;
}

/* Empty batches move the cursor without a transaction; now and then one is worth it,
 * because retention waits for the marker; and at the end. */
static bool marker_is_stale(const struct lane *lane)
{
    if (drained(lane))
        return lane->flight.count == 0 && (lane->cursor.to.id > lane->confirmed.to.id || !lane->confirmed.done);
    return passed_over(lane) && lane->now >= lane->marked_at + lane->settings.marker_interval;
}

/* Nothing of what has been read is left to be published. */
static void pass_empty_batches(struct lane *lane, struct lane_actions *actions)
{
    struct lane_page nothing = {.position = lane->cursor};

    nothing.position.done = true;
    if (!lane->piping) {
        lane_publish(lane, actions, &nothing);
    } else {
        move_confirmed(lane, &nothing.position, 0);
        remember_confirmed(lane);
    }
}

static void publish_release(struct lane *lane, struct lane_actions *actions)
{
    struct lane_page page = lane->release;

    if (lane->flight.count > 0)
        return;
    page.position = lane->confirmed;
    lane->release = (struct lane_page){0};
    lane_publish(lane, actions, &page);
}

/* A marker that names a release stays the last one until the database knows of it. */
static bool may_begin(const struct lane *lane)
{
    return !lane->kafka_busy && !lane->stopping && lease_allows(lane) && lane->unacknowledged_release == 0;
}

static void drive_kafka(struct lane *lane, struct lane_actions *actions)
{
    if (lane->kafka_busy)
        return;
    if (lane->committing) {
        lane_act(lane, actions, LANE_DO_COMMIT);
    } else if (!may_begin(lane)) {
        return;
    } else if (lane->release.id != 0) {
        publish_release(lane, actions);
    } else if (lane->ready.id != 0) {
        struct lane_page page = lane->ready;

        if (!has_room(lane))
            return;
        lane->ready = (struct lane_page){0};
        lane_publish(lane, actions, &page);
    } else if (marker_is_stale(lane)) {
        pass_empty_batches(lane, actions);
    }
}

static void drive_db(struct lane *lane, struct lane_actions *actions)
{
    struct lane_action *action;

    if (lane->db_busy)
        return;
    if (lane_unacknowledged(lane) &&
        (lane->endpoints > 0 || lane->stopping || drained(lane) || lane->now >= lane->acknowledge_at ||
         lane->unacknowledged_release != 0)) {
        lane_acknowledge(lane, actions);
        return;
    }
    if (lane_drive_parking(lane, actions))
        return;
    if (lane->stopping || lane->ready.id != 0)
        return;
    /* A backlog is read ahead; else what comes meanwhile is taken all at once afterwards. */
    if (!lane->batch_open && !has_room(lane))
        return;
    if (!lane->batch_open && lane->latest.id > lane->cursor.to.id) {
        lane->cursor = (struct position){.from = lane->cursor.to, .to = lane->latest};
        lane->batch_open = true;
    }
    if (lane->batch_open) {
        action = lane_act(lane, actions, LANE_DO_READ);
        action->position = lane->cursor;
        action->limit = lane->limit;
        lane->reading = true;
    } else if (!lane->wanted_tick) {
        lane->wanted_tick = true;
        /* At first any tick will do: the newest may be from before our time. */
        lane_act(lane, actions, LANE_DO_WANT_TICK)->force = lane->latest.id == 0 || lane->missed_tick;
        lane->missed_tick = false;
    }
}

/* When the oldest page must have been confirmed, since its records may not outlive the
 * lease; INT64_MAX: none is in flight. */
static int64_t delivery_deadline(const struct lane *lane)
{
    const struct lane_page *oldest = flight_oldest(&lane->flight);

    return lane->piping && oldest ? oldest->begun_at + lane->settings.delivery_timeout : INT64_MAX;
}

/* What is parked goes along to the next map, but no release that may be published already:
 * the first that is taken after the takeover settles those of former owners. */
static bool nothing_is_open(const struct lane *lane)
{
    return lane->ready.id == 0 && lane->flight.count == 0 && lane->release.id == 0 && !lane->parking &&
           lane->unacknowledged_release == 0 && (!lane->parked || (lane->release_taken && !lane->db_busy));
}

static void drive_running(struct lane *lane, struct lane_actions *actions)
{
    if (lane->now >= delivery_deadline(lane)) {
        fail(lane, false);
        return;
    }
    drive_kafka(lane, actions);
    drive_db(lane, actions);
    if (drained(lane) && lane->confirmed.to.id == lane->drain.id && lane->confirmed.done && nothing_is_open(lane))
        lane->stopping = true; /* once it is acknowledged */
    if (lane->stopping && !lane->kafka_busy && !lane->db_busy && lane->flight.count == 0 &&
        !lane_unacknowledged(lane))
        give_up(lane, 0);
}

static void drive_closing(struct lane *lane, struct lane_actions *actions)
{
    struct lane_action *action;

    if (lane->kafka_busy)
        return;
    if (lane->producer_open) {
        /* What is in flight may arrive, unless the lease is another's or soon will be. */
        lane_act(lane, actions, LANE_DO_CLOSE_PRODUCER)->drain = lane->piping && lease_allows(lane);
        return;
    }
    lane_free_page(lane, actions, &lane->ready);
    lane_free_page(lane, actions, &lane->release);
    if (lane->db_busy || lane_park_last(lane, actions))
        return;
    if (lane->halt != LANE_HALT_NONE) {
        lane->state = LANE_RELEASING;
        action = lane_act(lane, actions, LANE_DO_NOTE_HALT);
        action->halt = lane->halt;
        action->fenced = lane->fenced;
    } else if (lane->stopping && lane->epoch != 0) {
        lane->state = LANE_RELEASING;
        lane_act(lane, actions, LANE_DO_RELEASE)->fenced = lane->fenced;
    } else if (lane->stopping) {
        on_released(lane);
    } else {
        /* The lease is not renewed while we wait: another may have better luck. */
        lane->holding = false;
        lane->state = LANE_WAITING;
    }
}

static void drive_waiting(struct lane *lane, struct lane_actions *actions)
{
    if (lane->stopping) {
        lane->state = LANE_CLOSING;
        drive_closing(lane, actions);
    } else if (lane->now >= lane->wake_at && !lane->db_busy && !lane->kafka_busy) {
        lane->state = LANE_ACQUIRING;
        lane_act(lane, actions, LANE_DO_ACQUIRE);
    }
}

static void drive_lease(struct lane *lane, struct lane_actions *actions)
{
    if (!lane->holding || lane->state == LANE_RELEASING)
        return;
    if (lane->now >= lane->lease_until) {
        lane_lose_lease(lane);
    } else if (lane->now >= lane->renew_at && !lane->keeper_busy) {
        lane_act(lane, actions, LANE_DO_RENEW);
    }
}

static void drive(struct lane *lane, struct lane_actions *actions)
{
    bool taking_over = lane->state >= LANE_COMPARING && lane->state <= LANE_OPENING;

    drive_lease(lane, actions);
    if (lane->stopping && taking_over)
        give_up(lane, 0);
    if (lane->state == LANE_CLOSING)
        drive_closing(lane, actions);
    if (lane->state == LANE_WAITING)
        drive_waiting(lane, actions);
    else if (lane->state == LANE_RUNNING)
        drive_running(lane, actions);
    else
        lane_drive_takeover(lane, actions);
    if (lane->state == LANE_CLOSING)
        drive_closing(lane, actions);
}

void lane_handle(struct lane *lane, const struct lane_event *event, struct lane_actions *ret)
{
    ret->count = 0;
    lane->now = event->now;
    on_event(lane, event, ret);
    drive(lane, ret);
}

static void earlier(int64_t *timer, int64_t at)
{
    if (at < *timer)
        *timer = at;
}

int64_t lane_next_timer(const struct lane *lane)
{
    int64_t timer = INT64_MAX;

    if (lane->state == LANE_WAITING)
        earlier(&timer, lane->wake_at);
    if (lane->holding && lane->state != LANE_RELEASING && lane->state != LANE_STOPPED &&
        lane->state != LANE_HALTED) {
        earlier(&timer, lane->lease_until);
        if (!lane->keeper_busy)
            earlier(&timer, lane->renew_at);
    }
    if (lane->state == LANE_RUNNING) {
        if (lane_unacknowledged(lane) && !lane->db_busy)
            earlier(&timer, lane->acknowledge_at);
        if (may_begin(lane) && passed_over(lane))
            earlier(&timer, lane->marked_at + lane->settings.marker_interval);
        earlier(&timer, delivery_deadline(lane));
        if (lane_may_take_release(lane) && !lane->db_busy)
            earlier(&timer, lane->release_at);
    }
    return timer;
}
