#include "core/lane.h"

#include <assert.h>
#include <stdlib.h>

/* A page of events between being read and being committed; id 0: none. */
struct page {
    uint64_t id;
    int count;
    struct position position; /* after it */
};

struct lane {
    struct lane_settings settings;
    enum lane_state state;
    enum lane_halt halt;
    bool stopping;
    int64_t now;

    int64_t epoch;
    bool holding; /* the lease, as far as we know */
    int64_t lease_until;
    int64_t renew_at;
    int64_t leases_lost;

    struct position acked;     /* in the database */
    struct position confirmed; /* in Kafka: the marker */
    bool started;              /* the database knows that there is a marker */
    bool marked;               /* there is one */
    bool fenced;               /* the producer is open: no predecessor can commit */
    int64_t published;         /* ever, with the marker */
    int64_t acked_published;   /* ever, as acknowledged */
    int endpoints;
    int64_t acknowledge_at;

    struct position cursor; /* read so far */
    bool batch_open;        /* there may be more of the cursor's batch */
    struct tick_id latest;  /* newest tick, 0: none yet */
    bool wanted_tick;
    bool missed_tick;       /* one came while a page was under way: there is news */
    struct page ready;      /* read, not begun */
    struct page publishing; /* begun, not committed */
    bool committing;
    int64_t begun_at;       /* when it was begun */
    int64_t marked_at;      /* last commit */

    bool db_busy;
    bool kafka_busy;
    bool keeper_busy;
    struct position acknowledging;
    int64_t acknowledging_published;

    int failures;
    int64_t wake_at;
    uint64_t random;
};

static const char *const state_names[] = {
#define LANE_STATE_NAME(constant, name) name,
    LANE_STATE_MAP(LANE_STATE_NAME)
#undef LANE_STATE_NAME
};

static const char *const halt_names[] = {
#define LANE_HALT_NAME(constant, name, text) name,
    LANE_HALT_MAP(LANE_HALT_NAME)
#undef LANE_HALT_NAME
};

static const char *const halt_texts[] = {
#define LANE_HALT_TEXT(constant, name, text) text,
    LANE_HALT_MAP(LANE_HALT_TEXT)
#undef LANE_HALT_TEXT
};

void lane_set_batch_events(struct lane *lane, int batch_events)
{
    lane->settings.batch_events = batch_events;
}

int64_t lane_leases_lost(const struct lane *lane)
{
    return lane->leases_lost;
}

const char *lane_state_name(enum lane_state state)
{
    return state_names[state];
}

const char *lane_halt_name(enum lane_halt halt)
{
    return halt_names[halt];
}

const char *lane_halt_text(enum lane_halt halt)
{
    return halt_texts[halt];
}

enum lane_state lane_state(const struct lane *lane)
{
    return lane->state;
}

enum lane_halt lane_halt(const struct lane *lane)
{
    return lane->halt;
}

int64_t lane_epoch(const struct lane *lane)
{
    return lane->epoch;
}

struct lane *lane_new(const struct lane_settings *settings)
{
    struct lane *lane = calloc(1, sizeof(*lane));

    if (!lane)
        return NULL;
    lane->settings = *settings;
    lane->state = LANE_WAITING;
    lane->wake_at = INT64_MAX;
    lane->random = settings->seed | 1;
    return lane;
}

void lane_free(struct lane *lane)
{
    free(lane);
}

/* --- actions --- */

static struct lane_action *act(struct lane *lane, struct lane_actions *actions, enum lane_action_kind kind)
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

static void free_page(struct lane *lane, struct lane_actions *actions, struct page *page)
{
    if (page->id != 0)
        act(lane, actions, LANE_DO_FREE_PAGE)->page = page->id;
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
static void lose_lease(struct lane *lane)
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

static void halt(struct lane *lane, enum lane_halt reason)
{
    lane->halt = reason;
    give_up(lane, 0);
}

/* --- takeover --- */

static enum lane_halt judge_marker(const struct lane *lane, const struct lane_event *event)
{
    if (!event->found) {
        if (event->foreign)
            return LANE_HALT_MARKER_FOREIGN;
        return lane->started ? LANE_HALT_MARKER_MISSING : LANE_HALT_NONE;
    }
    switch (position_compare(&lane->acked, &event->position)) {
    case POSITION_SAME:
    case POSITION_BEFORE:
        return LANE_HALT_NONE;
    case POSITION_AFTER:
        return LANE_HALT_MARKER_BEHIND;
    default:
        return LANE_HALT_MARKER_CONFLICT;
    }
}

static void on_acquired(struct lane *lane, const struct lane_event *event)
{
    lane->epoch = event->epoch;
    lane->holding = true;
    lane->lease_until = event->lease_until;
    lane->renew_at = lane->now + lane->settings.lease_renew;
    lane->acked = event->position;
    lane->started = event->started;
    lane->acked_published = event->published;
    lane->endpoints = event->endpoints;
    lane->fenced = false;
    if (!event->system_matches)
        halt(lane, LANE_HALT_WRONG_SERVER);
    else
        lane->state = LANE_COMPARING;
}

/* Kafka answers a commit before the commit is in the partitions, and a broker that restarts
 * in between finishes it only then.  Once the predecessor is fenced nothing is on its way. */
static bool may_be_on_its_way(const struct lane *lane, enum lane_halt reason)
{
    return !lane->fenced && (reason == LANE_HALT_MARKER_MISSING || reason == LANE_HALT_MARKER_BEHIND);
}

static void on_marker(struct lane *lane, const struct lane_event *event)
{
    enum lane_halt reason = judge_marker(lane, event);

    if (may_be_on_its_way(lane, reason)) {
        lane->state = LANE_FENCING;
        return;
    }
    if (reason != LANE_HALT_NONE) {
        halt(lane, reason);
        return;
    }
    lane->confirmed = event->found ? event->position : lane->acked;
    lane->published = event->found ? event->published : lane->acked_published;
    lane->marked = event->found;
    lane->state = LANE_VERIFYING;
}

static void begin_running(struct lane *lane)
{
    lane->state = LANE_RUNNING;
    lane->cursor = lane->confirmed;
    lane->batch_open = !lane->confirmed.done;
    lane->latest = (struct tick_id){0};
    lane->wanted_tick = false;
    lane->missed_tick = false;
    lane->committing = false;
    lane->marked_at = lane->now;
    lane->acknowledge_at = lane->now + lane->settings.acknowledge_interval;
}

static void on_verified(struct lane *lane, const struct lane_event *event)
{
    if (!event->found)
        halt(lane, LANE_HALT_MARKER_AHEAD);
    else
        lane->state = lane->fenced ? LANE_CATCHING_UP : LANE_FENCING;
}

static void on_lease_checked(struct lane *lane, const struct lane_event *event)
{
    if (!event->found) {
        lose_lease(lane);
        return;
    }
    lane->lease_until = event->lease_until;
    if (lane->started)
        begin_running(lane);
    else
        lane->state = LANE_MARKING_START;
}

/* --- running --- */

static bool unacknowledged(const struct lane *lane)
{
    return position_compare(&lane->acked, &lane->confirmed) != POSITION_SAME;
}

/* While a page is under way a tick would only grow old: a fresh one is asked for then. */
static void on_tick(struct lane *lane, const struct lane_event *event)
{
    lane->wanted_tick = false;
    if (lane->publishing.id != 0)
        lane->missed_tick = true;
    else if (event->tick.id > lane->latest.id)
        lane->latest = event->tick;
}

static void on_page(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    struct page page = {event->page, event->count, lane->cursor};

    if (lane->state != LANE_RUNNING || event->count == 0) {
        free_page(lane, actions, &page);
    } else {
        lane->cursor.seq = event->position.seq;
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

static void on_committed(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    lane->committing = false;
    lane->failures = 0;
    lane->confirmed = lane->publishing.position;
    lane->published += lane->publishing.count;
    lane->marked_at = lane->now;
    free_page(lane, actions, &lane->publishing);
    lane->marked = true;
    if (lane->state == LANE_MARKING_START)
        lane->state = LANE_CATCHING_UP;
    /* A late duplicate of a retried request could commit or abort the next transaction:
     * the producer ends here, and its successor's epoch makes the duplicate void. */
    if (event->tainted)
        give_up(lane, 0);
}

static void on_acknowledged(struct lane *lane, const struct lane_event *event)
{
    if (!event->found) { /* another has taken the lane */
        lose_lease(lane);
        return;
    }
    lane->acked = lane->acknowledging;
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
        lose_lease(lane);
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
            on_acquired(lane, event);
        return;
    case LANE_EVENT_NOT_ACQUIRED:
        lane->state = LANE_WAITING;
        lane->wake_at = lane->now + (event->retry_after < lane->settings.lease_renew
                                         ? event->retry_after : lane->settings.lease_renew);
        return;
    case LANE_EVENT_VERIFIED:
        if (lane->state == LANE_VERIFYING)
            on_verified(lane, event);
        return;
    default:
        if (lane->state == LANE_CHECKING_LEASE)
            on_lease_checked(lane, event);
        return;
    }
}

static void on_kafka_event(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    lane->kafka_busy = false;
    switch (event->kind) {
    case LANE_EVENT_MARKER:
        if (lane->state == LANE_COMPARING || lane->state == LANE_LOCATING)
            on_marker(lane, event);
        return;
    case LANE_EVENT_PRODUCER_OPEN:
        lane->fenced = true;
        if (lane->state == LANE_FENCING)
            lane->state = LANE_LOCATING;
        return;
    case LANE_EVENT_PUBLISHED:
        lane->committing = true;
        return;
    case LANE_EVENT_COMMITTED:
        on_committed(lane, event, actions);
        return;
    case LANE_EVENT_PRODUCER_CLOSED:
        lane->fenced = false;
        lane->committing = false;
        free_page(lane, actions, &lane->publishing);
        free_page(lane, actions, &lane->ready);
        return;
    case LANE_EVENT_KAFKA_FAILED:
        lane->fenced = true; /* whatever there is of a producer must be closed */
        fail(lane, event->refused);
        return;
    default: /* LANE_EVENT_COMMIT_AGAIN: drive() asks again, but not for ever */
        if (lane->now >= lane->begun_at + lane->settings.commit_timeout)
            fail(lane, false);
        return;
    }
}

static void on_keeper_event(struct lane *lane, const struct lane_event *event)
{
    lane->keeper_busy = false;
    lane->renew_at = lane->now + lane->settings.lease_renew;
    if (event->kind == LANE_EVENT_RENEWED)
        on_renewed(lane, event);
}

static void on_event(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    switch (event->kind) {
    case LANE_EVENT_START:
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
    case LANE_EVENT_RELEASED:
    case LANE_EVENT_DB_FAILED:
        on_db_event(lane, event, actions);
        return;
    case LANE_EVENT_RENEWED:
    case LANE_EVENT_RENEW_FAILED:
        on_keeper_event(lane, event);
        return;
    default:
        on_kafka_event(lane, event, actions);
        return;
    }
}

/* --- what follows --- */

static void publish(struct lane *lane, struct lane_actions *actions, const struct page *page)
{
    struct lane_action *action = act(lane, actions, LANE_DO_PUBLISH);

    lane->publishing = *page;
    lane->begun_at = lane->now;
    action->page = page->id;
    action->position = page->position;
    action->published = lane->published + page->count;
}

static void acknowledge(struct lane *lane, struct lane_actions *actions)
{
    struct lane_action *action = act(lane, actions, LANE_DO_ACKNOWLEDGE);

    lane->acknowledging = lane->confirmed;
    lane->acknowledging_published = lane->published;
    action->old = lane->acked;
    action->position = lane->confirmed;
    action->published = lane->published - lane->acked_published;
}

static bool lease_allows(const struct lane *lane)
{
    return lane->holding && lane->now < lane->lease_until - lane->settings.lease_margin;
}

/* Empty batches move the cursor without a transaction; now and then one is worth it,
 * because retention waits for the marker. */
static bool marker_is_stale(const struct lane *lane)
{
    return !lane->batch_open && lane->cursor.to.id > lane->confirmed.to.id &&
           lane->now >= lane->marked_at + lane->settings.marker_interval;
}

static void drive_kafka(struct lane *lane, struct lane_actions *actions)
{
    if (lane->kafka_busy)
        return;
    if (lane->committing) {
        act(lane, actions, LANE_DO_COMMIT);
    } else if (lane->stopping || !lease_allows(lane)) {
        return;
    } else if (lane->ready.id != 0) {
        struct page page = lane->ready;

        lane->ready = (struct page){0};
        publish(lane, actions, &page);
    } else if (marker_is_stale(lane)) {
        struct page nothing = {0, 0, lane->cursor};

        nothing.position.done = true;
        publish(lane, actions, &nothing);
    }
}

static void drive_db(struct lane *lane, struct lane_actions *actions)
{
    struct lane_action *action;

    if (lane->db_busy)
        return;
    if (unacknowledged(lane) &&
        (lane->endpoints > 0 || lane->stopping || lane->now >= lane->acknowledge_at)) {
        acknowledge(lane, actions);
        return;
    }
    if (lane->stopping || lane->ready.id != 0)
        return;
    /* A backlog is read ahead; else what comes meanwhile is taken all at once afterwards. */
    if (!lane->batch_open && lane->publishing.id != 0)
        return;
    if (!lane->batch_open && lane->latest.id > lane->cursor.to.id) {
        lane->cursor = (struct position){.from = lane->cursor.to, .to = lane->latest};
        lane->batch_open = true;
    }
    if (lane->batch_open) {
        action = act(lane, actions, LANE_DO_READ);
        action->position = lane->cursor;
        action->limit = lane->settings.batch_events;
    } else if (!lane->wanted_tick) {
        lane->wanted_tick = true;
        /* At first any tick will do: the newest may be from before our time. */
        act(lane, actions, LANE_DO_WANT_TICK)->force = lane->latest.id == 0 || lane->missed_tick;
        lane->missed_tick = false;
    }
}

static void drive_running(struct lane *lane, struct lane_actions *actions)
{
    drive_kafka(lane, actions);
    drive_db(lane, actions);
    if (lane->stopping && !lane->kafka_busy && !lane->db_busy && !unacknowledged(lane))
        give_up(lane, 0);
}

/* One step of the takeover; each waits for the executor that it needs. */
static void drive_takeover(struct lane *lane, struct lane_actions *actions)
{
    struct page nothing = {0, 0, lane->confirmed};

    switch (lane->state) {
    case LANE_COMPARING:
    case LANE_LOCATING:
        if (!lane->kafka_busy)
            act(lane, actions, LANE_DO_READ_MARKER);
        return;
    case LANE_FENCING:
        if (!lane->kafka_busy)
            act(lane, actions, LANE_DO_OPEN_PRODUCER);
        return;
    case LANE_VERIFYING:
        if (!lane->db_busy)
            act(lane, actions, LANE_DO_VERIFY)->position = lane->confirmed;
        return;
    case LANE_CHECKING_LEASE:
        if (!lane->db_busy)
            act(lane, actions, LANE_DO_CHECK_LEASE);
        return;
    case LANE_MARKING_START:
        if (!lane->kafka_busy && lane->committing)
            act(lane, actions, LANE_DO_COMMIT);
        else if (!lane->kafka_busy)
            publish(lane, actions, &nothing);
        return;
    default:
        return;
    }
}

/* Acknowledges what the marker has and the database has not; a new lane gets its
 * first marker first, so that a missing one can be told from a lost one for ever. */
static void drive_catching_up(struct lane *lane, struct lane_actions *actions)
{
    if (lane->db_busy)
        return;
    if (lane->marked && (unacknowledged(lane) || !lane->started)) {
        acknowledge(lane, actions);
        return;
    }
    lane->state = LANE_CHECKING_LEASE;
    drive_takeover(lane, actions);
}

static void drive_closing(struct lane *lane, struct lane_actions *actions)
{
    if (lane->kafka_busy)
        return;
    if (lane->fenced) {
        act(lane, actions, LANE_DO_CLOSE_PRODUCER);
        return;
    }
    free_page(lane, actions, &lane->ready);
    if (lane->db_busy)
        return;
    if (lane->halt != LANE_HALT_NONE) {
        lane->state = LANE_RELEASING;
        act(lane, actions, LANE_DO_NOTE_HALT)->halt = lane->halt;
    } else if (lane->stopping && lane->epoch != 0) {
        lane->state = LANE_RELEASING;
        act(lane, actions, LANE_DO_RELEASE);
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
        act(lane, actions, LANE_DO_ACQUIRE);
    }
}

static void drive_lease(struct lane *lane, struct lane_actions *actions)
{
    if (!lane->holding || lane->state == LANE_RELEASING)
        return;
    if (lane->now >= lane->lease_until) {
        lose_lease(lane);
    } else if (lane->now >= lane->renew_at && !lane->keeper_busy) {
        act(lane, actions, LANE_DO_RENEW);
    }
}

static void drive(struct lane *lane, struct lane_actions *actions)
{
    bool taking_over = lane->state >= LANE_COMPARING && lane->state <= LANE_MARKING_START;

    drive_lease(lane, actions);
    if (lane->stopping && taking_over)
        give_up(lane, 0);
    if (lane->state == LANE_CLOSING)
        drive_closing(lane, actions);
    if (lane->state == LANE_WAITING)
        drive_waiting(lane, actions);
    else if (lane->state == LANE_RUNNING)
        drive_running(lane, actions);
    else if (lane->state == LANE_CATCHING_UP)
        drive_catching_up(lane, actions);
    else
        drive_takeover(lane, actions);
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
        if (unacknowledged(lane) && !lane->db_busy)
            earlier(&timer, lane->acknowledge_at);
        if (!lane->kafka_busy && !lane->stopping && lease_allows(lane) && !lane->batch_open &&
            lane->cursor.to.id > lane->confirmed.to.id)
            earlier(&timer, lane->marked_at + lane->settings.marker_interval);
    }
    return timer;
}
