/* The takeover: what there is in Kafka, what the database knows of it, and whether both
 * allow to begin.  The order of the steps is told in core/lane.h. */
#include "core/lane_internal.h"

static enum lane_halt judge_marker(const struct lane *lane, const struct lane_event *event)
{
    if (!event->found) {
        if (event->foreign)
            return LANE_HALT_MARKER_FOREIGN;
        return lane->started && !lane->loose ? LANE_HALT_MARKER_MISSING : LANE_HALT_NONE;
    }
    switch (position_compare(&lane->acked, &event->position)) {
    case POSITION_SAME:
    case POSITION_BEFORE:
        return LANE_HALT_NONE;
    case POSITION_AFTER:
        return lane->loose ? LANE_HALT_NONE : LANE_HALT_MARKER_BEHIND;
    default:
        return LANE_HALT_MARKER_CONFLICT;
    }
}

/* What this lane has seen confirmed before it lost its connection or its producer is
 * still worth something, if no other owner can have published since. */
static void carry_over(struct lane *lane)
{
    bool mine = lane->kept_epoch != 0 && lane->kept_epoch + 1 == lane->epoch && lane->loose;

    if (mine && position_compare(&lane->acked, &lane->kept) == POSITION_BEFORE)
        lane->kept_epoch = lane->epoch;
    else
        lane->kept_epoch = 0;
}

void lane_on_acquired(struct lane *lane, const struct lane_event *event)
{
    lane->epoch = event->epoch;
    lane->holding = true;
    lane->lease_until = event->lease_until;
    lane->renew_at = lane->now + lane->settings.lease_renew;
    lane->acked = event->position;
    lane->started = event->started;
    lane->loose = event->at_least_once;
    lane->acked_published = event->published;
    lane->endpoints = event->endpoints;
    lane->producer_open = false;
    lane->outdated = false;
    lane->fenced = false;
    lane->parked = event->parked;
    lane->parking = false;
    lane->unacknowledged_release = 0;
    carry_over(lane);
    if (event->standing != LANE_HALT_NONE)
        lane_stop_as(lane, event->standing);
    else
        lane->state = LANE_COMPARING;
}

/* Kafka answers a commit before the commit is in the partitions, and a broker that restarts
 * in between finishes it only then.  Once the predecessor is fenced nothing is on its way. */
static bool may_be_on_its_way(const struct lane *lane, enum lane_halt reason)
{
    return !lane->producer_open && (reason == LANE_HALT_MARKER_MISSING || reason == LANE_HALT_MARKER_BEHIND);
}

/* A marker behind the database is as good as none: the position is the database's. */
void lane_on_marker(struct lane *lane, const struct lane_event *event)
{
    enum lane_halt reason = judge_marker(lane, event);

    /* The map has changed since, or the database went back to before that: it alone can tell. */
    if (event->outdated) {
        lane->outdated = true;
        lane->state = LANE_CHECKING_LEASE;
        return;
    }
    if (may_be_on_its_way(lane, reason)) {
        lane->state = LANE_FENCING;
        return;
    }
    if (reason != LANE_HALT_NONE) {
        lane_stop_as(lane, reason);
        return;
    }
    lane->marked = event->found && position_compare(&lane->acked, &event->position) != POSITION_AFTER;
    lane->confirmed = lane->marked ? event->position : lane->acked;
    lane->published = lane->marked ? event->published : lane->acked_published;
    lane->unacknowledged_release = 0; /* for the moment: it does not move the position */
    lane->marker_ahead = lane_unacknowledged(lane);
    lane->unacknowledged_release = lane->marked ? event->release : 0;
    if (!lane->marker_ahead && lane->kept_epoch != 0) {
        lane->confirmed = lane->kept;
        lane->published = lane->kept_published;
    }
    lane->state = LANE_VERIFYING;
}

/* Whoever published at least once last had fenced all who published exactly once before
 * it.  Then nobody can commit a transaction any more. */
static bool fencing_is_needless(const struct lane *lane)
{
    return lane->settings.at_least_once && lane->loose && lane->started && !lane->marker_ahead;
}

void lane_on_verified(struct lane *lane, const struct lane_event *event)
{
    if (!event->found)
        lane_stop_as(lane, LANE_HALT_MARKER_AHEAD);
    else
        lane->state = lane->producer_open || fencing_is_needless(lane) ? LANE_CATCHING_UP : LANE_FENCING;
}

/* The lease is ours.  Before exactly once is recorded the marker must be as far as the
 * database, or else a successor would take it for data that Kafka lost; and at least once
 * must be recorded before anything is published without a marker. */
static void go_on(struct lane *lane)
{
    bool at_least_once = lane->settings.at_least_once;

    if (!lane->started || (!at_least_once && !lane->marked))
        lane->state = LANE_MARKING_START;
    else if (lane->loose != at_least_once)
        lane->state = LANE_RECORDING;
    else if (at_least_once)
        lane->state = LANE_OPENING;
    else
        lane_begin_running(lane);
}

void lane_on_lease_checked(struct lane *lane, const struct lane_event *event)
{
    if (!event->found) {
        lane_lose_lease(lane);
        return;
    }
    lane->lease_until = event->lease_until;
    if (lane->outdated) {
        lane_stop_as(lane, LANE_HALT_MARKER_AHEAD);
        return;
    }
    lane->fenced = true;
    go_on(lane);
}

void lane_on_recorded(struct lane *lane, const struct lane_event *event)
{
    if (!event->found) {
        lane_lose_lease(lane);
        return;
    }
    lane->loose = lane->settings.at_least_once;
    go_on(lane);
}

void lane_on_producer_open(struct lane *lane)
{
    lane->producer_open = true;
    if (lane->state == LANE_FENCING) {
        lane->state = LANE_LOCATING;
    } else if (lane->state == LANE_OPENING) {
        lane->piping = true;
        lane_begin_running(lane);
    }
}

/* Acknowledges what the marker has and the database has not; a new lane gets its
 * first marker first, so that a missing one can be told from a lost one for ever. */
static void drive_catching_up(struct lane *lane, struct lane_actions *actions)
{
    if (lane->db_busy)
        return;
    if (lane_unacknowledged(lane) || (lane->marked && !lane->started)) {
        lane_acknowledge(lane, actions);
        return;
    }
    lane->state = LANE_CHECKING_LEASE;
    lane_act(lane, actions, LANE_DO_CHECK_LEASE);
}

static void drive_marking(struct lane *lane, struct lane_actions *actions)
{
    struct lane_page nothing = {.position = lane->confirmed};

    if (lane->kafka_busy)
        return;
    if (lane->committing)
        lane_act(lane, actions, LANE_DO_COMMIT);
    else
        lane_publish(lane, actions, &nothing);
}

static void drive_db(struct lane *lane, struct lane_actions *actions)
{
    if (lane->db_busy)
        return;
    switch (lane->state) {
    case LANE_VERIFYING:
        lane_act(lane, actions, LANE_DO_VERIFY)->position = lane->confirmed;
        return;
    case LANE_RECORDING:
        lane_act(lane, actions, LANE_DO_RECORD)->at_least_once = lane->settings.at_least_once;
        return;
    default:
        lane_act(lane, actions, LANE_DO_CHECK_LEASE);
        return;
    }
}

static void drive_kafka(struct lane *lane, struct lane_actions *actions)
{
    if (lane->kafka_busy)
        return;
    switch (lane->state) {
    case LANE_FENCING:
        lane_act(lane, actions, LANE_DO_OPEN_PRODUCER);
        return;
    case LANE_OPENING:
        lane_act(lane, actions, LANE_DO_OPEN_PIPELINE);
        return;
    default:
        lane_act(lane, actions, LANE_DO_READ_MARKER);
        return;
    }
}

void lane_drive_takeover(struct lane *lane, struct lane_actions *actions)
{
    switch (lane->state) {
    case LANE_COMPARING:
    case LANE_LOCATING:
    case LANE_FENCING:
    case LANE_OPENING:
        drive_kafka(lane, actions);
        return;
    case LANE_VERIFYING:
    case LANE_CHECKING_LEASE:
    case LANE_RECORDING:
        drive_db(lane, actions);
        return;
    case LANE_CATCHING_UP:
        drive_catching_up(lane, actions);
        return;
    case LANE_MARKING_START:
        drive_marking(lane, actions);
        return;
    default:
        return;
    }
}
