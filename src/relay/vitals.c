#include "relay/vitals.h"

void vitals_start(struct vitals *vitals, mono_us now)
{
    atomic_store(&vitals->idle_since, now);
}

static void begin(_Atomic mono_us *since, mono_us now)
{
    if (atomic_load(since) == 0)
        atomic_store(since, now);
}

void vitals_note_event(struct vitals *vitals, const struct lane_event *event)
{
    switch (event->kind) {
    case LANE_EVENT_NOT_ACQUIRED:
    case LANE_EVENT_ACQUIRED:
    case LANE_EVENT_PAGE:
    case LANE_EVENT_ACKNOWLEDGED:
    case LANE_EVENT_RENEWED:
    case LANE_EVENT_VERIFIED:
    case LANE_EVENT_LEASE_CHECKED:
        atomic_store(&vitals->database_failing_since, 0);
        break;
    case LANE_EVENT_DB_FAILED:
    case LANE_EVENT_RENEW_FAILED:
        begin(&vitals->database_failing_since, event->now);
        break;
    case LANE_EVENT_MARKER:
    case LANE_EVENT_PRODUCER_OPEN:
    case LANE_EVENT_PUBLISHED:
    case LANE_EVENT_COMMITTED:
        atomic_store(&vitals->kafka_failing_since, 0);
        break;
    case LANE_EVENT_KAFKA_FAILED:
        begin(&vitals->kafka_failing_since, event->now);
        break;
    default:
        break;
    }
}

void vitals_note_state(struct vitals *vitals, enum lane_state state, enum lane_halt halt, bool standing_by,
                       mono_us now)
{
    bool useful = state == LANE_RUNNING || standing_by;

    atomic_store(&vitals->standing_by, standing_by);
    atomic_store(&vitals->state, (int)state);
    atomic_store(&vitals->halt, (int)halt);
    if (useful) {
        atomic_store(&vitals->ready, true);
        atomic_store(&vitals->idle_since, 0);
    } else {
        begin(&vitals->idle_since, now);
    }
}
