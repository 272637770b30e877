/* What Kafka refuses, and its way back.
 *
 * An event is parked when it is known to be at fault: by the checks before anything is
 * begun, or because it stood alone in what was refused.  A refusal that names nobody lets
 * pages begin with one event and double with each success, so that the one at fault stands
 * alone in the end.  Failures that another try may mend (timeouts, purges, fencing) never
 * lead here. */
#include "core/lane_internal.h"

/* The batch is read again from the last page that was handed over: without what is at
 * fault, and with what has to wait behind it left out.  What was read ahead is void. */
static void rewind_cursor(struct lane *lane, struct lane_actions *actions)
{
    const struct lane_page *last = flight_youngest(&lane->flight);

    lane_free_page(lane, actions, &lane->ready);
    lane->cursor = last ? last->position : lane->confirmed;
    lane->batch_open = !lane->cursor.done;
    lane->stale = lane->reading;
}

void lane_on_refused(struct lane *lane, struct lane_actions *actions)
{
    struct lane_page page;

    if (lane->state != LANE_RUNNING)
        return; /* it is being given up, with its pages */
    page = flight_take_back(&lane->flight);
    lane->parking = true;
    lane->parking_at = page.position;
    lane_free_page(lane, actions, &page);
    rewind_cursor(lane, actions);
}

void lane_on_parked(struct lane *lane)
{
    lane->parking = false;
    lane->parked = true;
    if (lane->release_at == INT64_MAX)
        lane->release_at = lane->now + lane->settings.release_interval;
}

void lane_on_release(struct lane *lane, const struct lane_event *event, struct lane_actions *actions)
{
    struct lane_page page = {
        .id = event->page, .count = event->count, .bytes = event->bytes, .release = event->release};

    lane->parked = event->parked;
    lane->release_taken = true;
    lane->release_at = lane->now + lane->settings.release_interval;
    if (lane->state == LANE_RUNNING && event->count > 0)
        lane->release = page;
    else
        lane_free_page(lane, actions, &page);
}

void lane_judge_failure(struct lane *lane, const struct lane_event *event, bool *ret_soon)
{
    const struct lane_page *page = flight_oldest(&lane->flight);
    int *limit;

    *ret_soon = false;
    if (!event->refused || !page)
        return;
    limit = page->release != 0 ? &lane->release_limit : &lane->limit;
    if (event->at_fault) {
        lane->parking = true;
        lane->parking_at = page->position;
        *ret_soon = true;
    } else {
        *ret_soon = page->count > 1;
        *limit = 1;
    }
}

void lane_grow(struct lane *lane, const struct lane_page *page)
{
    int *limit = page->release != 0 ? &lane->release_limit : &lane->limit;
    int most = lane->settings.batch_events;

    if (page->count > 0)
        *limit = *limit * 2 < most ? *limit * 2 : most;
}

bool lane_may_take_release(const struct lane *lane)
{
    return lane->parked && !lane->stopping && lane->release.id == 0 && lane->unacknowledged_release == 0 &&
           !(lane->flight.count > 0 && flight_oldest(&lane->flight)->release != 0);
}

bool lane_drive_parking(struct lane *lane, struct lane_actions *actions)
{
    if (lane->parking) {
        lane_act(lane, actions, LANE_DO_PARK)->position = lane->parking_at;
        return true;
    }
    if (lane_may_take_release(lane) && lane->now >= lane->release_at) {
        lane_act(lane, actions, LANE_DO_TAKE_RELEASE)->limit = lane->release_limit;
        return true;
    }
    return false;
}

/* Parking is our right as long as the epoch is ours; the database looks at that. */
bool lane_park_last(struct lane *lane, struct lane_actions *actions)
{
    if (!lane->parking)
        return false;
    lane->parking = false;
    if (!lane->holding)
        return false;
    lane_act(lane, actions, LANE_DO_PARK)->position = lane->parking_at;
    return true;
}
