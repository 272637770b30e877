#include "core/ticker.h"

void ticker_init(struct ticker *ticker, const struct ticker_settings *settings)
{
    *ticker = (struct ticker){.settings = *settings};
}

static struct ticker_action sleep_for(int64_t duration)
{
    return (struct ticker_action){.kind = TICKER_SLEEP, .duration = duration};
}

static struct ticker_action tick(struct ticker *ticker)
{
    struct ticker_action action = {.kind = TICKER_TICK, .forced = ticker->forced};

    ticker->forced = false;
    return action;
}

void ticker_set_polls(struct ticker *ticker, int64_t poll_interval, int64_t fallback_poll)
{
    ticker->settings.poll_interval = poll_interval;
    ticker->settings.fallback_poll = fallback_poll;
}

void ticker_set_pace(struct ticker *ticker, int64_t pace)
{
    ticker->pace = pace;
}

struct ticker_action ticker_start(struct ticker *ticker)
{
    ticker->holding_bell = false;
    ticker->pause = 0;
    return tick(ticker);
}

static struct ticker_action on_nothing_new(struct ticker *ticker)
{
    if (!ticker->settings.bell)
        return sleep_for(ticker->settings.poll_interval);
    if (!ticker->holding_bell)
        return (struct ticker_action){.kind = TICKER_TRY_BELL};
    return sleep_for(ticker->settings.fallback_poll);
}

/* Writers are at work: look again soon, then less often. */
static struct ticker_action on_refused(struct ticker *ticker)
{
    ticker->pause = ticker->pause == 0 ? ticker->settings.refused_min : ticker->pause * 2;
    if (ticker->pause > ticker->settings.refused_max)
        ticker->pause = ticker->settings.refused_max;
    return sleep_for(ticker->pause);
}

/* After a tick. */
static struct ticker_action rest(const struct ticker *ticker)
{
    return sleep_for(ticker->pace ? ticker->pace : ticker->settings.fallback_poll);
}

/* The lane has a tick to work on; it says when it wants the next.  Until then writers
 * would notify for nothing.  The bell is given back after the tick, not before, for which
 * the first event would have to wait; a writer that came in between has notified. */
static struct ticker_action on_ticked(struct ticker *ticker)
{
    ticker->pause = 0;
    if (ticker->holding_bell)
        return (struct ticker_action){.kind = TICKER_RELEASE_BELL};
    return rest(ticker);
}

struct ticker_action ticker_handle(struct ticker *ticker, enum ticker_event event)
{
    switch (event) {
    case TICKER_TICKED:
        return on_ticked(ticker);
    case TICKER_NOTHING_NEW:
        return on_nothing_new(ticker);
    case TICKER_BELL_GRANTED:
        ticker->holding_bell = true;
        ticker->pause = 0;
        return tick(ticker);
    case TICKER_BELL_REFUSED:
        return on_refused(ticker);
    case TICKER_BELL_RELEASED:
        ticker->holding_bell = false;
        return rest(ticker);
    case TICKER_WISHED_FORCED:
        ticker->forced = true;
        return tick(ticker);
    case TICKER_NOTIFIED:
    case TICKER_WISHED:
    case TICKER_SLEPT:
        return tick(ticker); /* holding the bell is no hindrance to looking */
    default:
        return ticker_start(ticker);
    }
}
