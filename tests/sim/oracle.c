#include "sim/sim.h"

#include <stdarg.h>
#include <stdio.h>

void oracle_fail(struct sim *sim, const char *format, ...)
{
    va_list args;

    if (oracle_failed(sim))
        return;
    va_start(args, format);
    vsnprintf(sim->oracle.failure, sizeof(sim->oracle.failure), format, args);
    va_end(args);
    TELL(sim, "FAILED: %s", sim->oracle.failure);
}

bool oracle_failed(const struct sim *sim)
{
    return sim->oracle.failure[0] != 0;
}

static const struct pg_row *row_of(const struct pg *pg, int event)
{
    for (int i = 0; i < pg->row_count; i++) {
        if (pg->rows[i].event == event)
            return &pg->rows[i];
    }
    return NULL;
}

/* --- Kafka --- */

/* Promise 4: batch by batch, within one by number; and that is the order of the commits, since
 * writers hold a key's lock from their first emit on. */
static void check_order(struct sim *sim, const struct kafka_record *record, const struct pg_txn *txn)
{
    struct oracle *oracle = &sim->oracle;
    const struct kafka_record *last;

    if (record->key < 0)
        return;
    last = &oracle->last_of_key[record->key];
    /* At least once, a successor may cut its batches elsewhere. */
    if (sim->publish != PUBLISH_EXACTLY_ONCE) {
        if (record->seq < last->seq)
            oracle_fail(sim, "key %d: seq %lld first comes after %lld", record->key, (long long)record->seq,
                        (long long)last->seq);
    } else if (record->tick < last->tick || (record->tick == last->tick && record->seq <= last->seq))
        oracle_fail(sim, "key %d: seq %lld of tick %lld after seq %lld of tick %lld", record->key,
                    (long long)record->seq, (long long)record->tick, (long long)last->seq, (long long)last->tick);
    if (txn->commit_no < oracle->last_commit_of_key[record->key])
        oracle_fail(sim, "key %d: event %d is published after one that committed later", record->key,
                    record->event);
    oracle->last_of_key[record->key] = *record;
    oracle->last_commit_of_key[record->key] = txn->commit_no;
}

void oracle_published(struct sim *sim, const struct kafka_record *record)
{
    const struct pg_row *row = row_of(&sim->pg, record->event);
    const struct pg_txn *txn = row ? &sim->pg.txns[row->txn] : NULL;

    TELL(sim, "published: event %d, seq %lld", record->event, (long long)record->seq);
    if (sim->oracle.events[record->event].discarded && !sim->oracle.data_lost)
        oracle_fail(sim, "event %d is published and was discarded", record->event);
    if (sim->nature[record->event] != NATURE_GOOD)
        oracle_fail(sim, "event %d is published and Kafka refuses it: the model is wrong", record->event);
    if (++sim->oracle.events[record->event].published > 1) {
        if (sim->publish == PUBLISH_EXACTLY_ONCE)
            oracle_fail(sim, "event %d is published twice", record->event);
    } else if (sim->oracle.data_lost && (!row || txn->state != PG_COMMITTED)) {
        return; /* published rightly, and then the database went back */
    } else if (!row || row->undone || txn->state == PG_RUNS || txn->state == PG_ABORTED) {
        oracle_fail(sim, "event %d is published and was never committed", record->event);
    } else if (txn->state != PG_COMMITTED || txn->lsn > sim->pg.flushed) {
        oracle_fail(sim, "event %d is published and not durable", record->event);
    } else {
        check_order(sim, record, txn);
    }
}

static void check_marker(struct sim *sim, const struct kafka_id *id)
{
    /* A late AddPartitions opens one for nothing, which a repeated EndTxn ends. */
    bool nothing = id->open_count == 0 && !id->open_marked;

    if (sim->oracle.data_lost || nothing || sim->publish != PUBLISH_EXACTLY_ONCE)
        return;
    if (!id->open_marked)
        oracle_fail(sim, "a transaction without a marker is committed");
    else if (id->open_marker.published != id->before + id->records)
        oracle_fail(sim, "the marker of lane %d/%d counts %lld events, and there are %lld", id->map, id->lane,
                    (long long)id->open_marker.published, (long long)(id->before + id->records));
}

/* Of a lane of the present map that has lost data a process that started since must not. */
static bool is_forbidden(const struct sim *sim, int lane, int64_t process_started)
{
    return (sim->oracle.must_halt >> lane & 1) && process_started >= sim->oracle.lost_at;
}

static void note_decided(struct sim *sim, int id)
{
    for (int i = sim->kafka.stable; i < sim->kafka.log_count; i++) {
        const struct kafka_entry *entry = &sim->kafka.log[i];

        if (entry->id == id && entry->fate == KAFKA_OPEN)
            sim->oracle.events[entry->record.event].decided = true;
    }
}

/* Promise 5: what a crash may take back is no tick yet. */
static bool is_durable(const struct sim *sim, const struct tick_id *id)
{
    const struct pg_tick *tick = pg_tick_by_id(&sim->pg, id->id);

    return !tick || tick->lsn <= sim->pg.flushed;
}

/* Promise 6, and 3: who may commit. */
void oracle_commit_decided(struct sim *sim, int index)
{
    const struct kafka_id *id = &sim->kafka.ids[index];
    struct oracle *oracle = &sim->oracle;
    bool strict = !oracle->data_lost && sim->publish == PUBLISH_EXACTLY_ONCE;

    note_decided(sim, index);
    check_marker(sim, id);
    if (strict && id->lane_epoch < oracle->committed_epoch[index])
        oracle_fail(sim, "lane %d/%d: epoch %lld commits after epoch %lld", id->map, id->lane,
                    (long long)id->lane_epoch, (long long)oracle->committed_epoch[index]);
    if (strict && id->map < sim->pg.map && id->open_count > 0)
        oracle_fail(sim, "lane %d/%d commits after map %d has begun", id->map, id->lane, sim->pg.map);
    if (strict && id->open_marked && !is_durable(sim, &id->open_marker.position.to))
        oracle_fail(sim, "lane %d/%d publishes up to tick %lld, which is not durable", id->map, id->lane,
                    (long long)id->open_marker.position.to.id);
    oracle->committed_epoch[index] = id->lane_epoch;
    if (is_forbidden(sim, id->lane, id->started_at))
        oracle_fail(sim, "a relay publishes although data is lost");
}

void oracle_piped(struct sim *sim, const struct kafka_request *request)
{
    for (int i = 0; i < request->count; i++)
        sim->oracle.events[request->records[i].event].decided = true;
    if (is_forbidden(sim, request->lane, request->started_at))
        oracle_fail(sim, "a relay publishes although data is lost");
}

void oracle_init(struct sim *sim, const struct kafka_id *id, int64_t process_started)
{
    if (is_forbidden(sim, id->lane, process_started) && !sim->oracle.may_fence)
        oracle_fail(sim, "a relay fences others although data is lost");
}

/* --- lane --- */

static const struct kafka_marker *decided_marker(struct sim *sim, int lane)
{
    return kafka_decided_marker(&sim->kafka, sim->pg.map, lane);
}

static void acknowledged(struct sim *sim, const struct pg_row *row)
{
    struct oracle_event *event = &sim->oracle.events[row->event];

    event->acknowledged = true;
    for (int endpoint = 0; endpoint < PG_ENDPOINTS; endpoint++)
        event->wanted[endpoint] = sim->pg.endpoints[endpoint].enabled;
    if (!event->decided && !sim->oracle.data_lost)
        oracle_fail(sim, "event %d is acknowledged and not published", row->event);
}

void oracle_released(struct sim *sim, const struct pg_row *row)
{
    TELL(sim, "released: event %d", row->event);
    acknowledged(sim, row);
}

void oracle_discarded(struct sim *sim, const struct pg_row *row)
{
    TELL(sim, "discarded: event %d", row->event);
    sim->oracle.events[row->event].discarded = true;
}

void oracle_acknowledged(struct sim *sim, int lane, const struct position *position)
{
    const struct kafka_marker *marker = decided_marker(sim, lane);
    enum position_order order = marker ? position_compare(position, &marker->position) : POSITION_AFTER;

    TELL(sim, "acknowledged: lane %d/%d (%lld, %lld, %lld, %s)", sim->pg.map, lane, (long long)position->from.id,
         (long long)position->to.id, (long long)position->seq, position->done ? "done" : "open");
    if ((order == POSITION_AFTER || order == POSITION_CONFLICT) && sim->publish == PUBLISH_EXACTLY_ONCE)
        oracle_fail(sim, "an acknowledgement beyond the marker");
    for (int i = 0; i < sim->pg.row_count; i++) {
        const struct pg_row *row = &sim->pg.rows[i];

        if (!sim->oracle.events[row->event].acknowledged && row->parked == PG_NOT_PARKED &&
            pg_lane_has(&sim->pg.lanes[lane], row) && pg_covered(sim, position, row))
            acknowledged(sim, row);
    }
}

static int lanes_with(const struct pg *pg, int bucket)
{
    int count = 0;

    for (int i = 0; i < pg->lane_count; i++)
        count += bucket >= pg->lanes[i].low && bucket <= pg->lanes[i].high;
    return count;
}

/* Promise 9a: nothing before the tick at which all lanes ended is left behind, and each bucket
 * has one lane; planted mistakes in that must be found by what becomes of the events. */
void oracle_map(struct sim *sim)
{
    bool planted = sim->bug == BUG_BUCKET_TWICE || sim->bug == BUG_BUCKET_NOWHERE || sim->bug == BUG_MAP_TOO_SOON;

    kafka_id_of(&sim->kafka, sim->pg.map, 0)->before = sim->pg.lanes[0].published;
    if (sim->oracle.data_lost || planted)
        return;
    for (int bucket = 0; bucket < PG_BUCKETS; bucket++) {
        if (lanes_with(&sim->pg, bucket) != 1)
            oracle_fail(sim, "bucket %d is in %d lanes", bucket, lanes_with(&sim->pg, bucket));
    }
    for (int i = 0; i < sim->pg.row_count; i++) {
        const struct pg_row *row = &sim->pg.rows[i];

        if (row->parked == PG_NOT_PARKED && pg_covered(sim, &sim->pg.lanes[0].position, row) &&
            !sim->oracle.events[row->event].acknowledged)
            oracle_fail(sim, "map %d begins beyond event %d, which is not published", sim->pg.map, row->event);
    }
}

void oracle_halted(struct sim *sim, const struct runner *runner, enum lane_halt halt)
{
    TELL(sim, "relay %d, lane %d/%d halted: %s", runner->relay, runner->map, runner->number, lane_halt_name(halt));
    if (!(sim->oracle.must_halt >> runner->number & 1))
        oracle_fail(sim, "relay %d, lane %d halts (%s) and nothing is lost", runner->relay, runner->number,
                    lane_halt_name(halt));
    sim->oracle.halted |= 1u << runner->number;
}

/* --- webhooks --- */

static bool resends(const struct sim *sim, int endpoint)
{
    return sim->pg.endpoints[endpoint].policy == DELIVERY_RESEND;
}

void oracle_send_begins(struct sim *sim, const struct pg_delivery *delivery)
{
    struct oracle_event *event = &sim->oracle.events[delivery->event];
    int endpoint = delivery->endpoint;

    TELL(sim, "event %d goes to endpoint %d", delivery->event, endpoint);
    /* A database whose clock jumps ends leases that have not ended, and one that went back
     * does not know what it had recorded. */
    if (!sim->oracle.clock_stepped && !sim->oracle.data_lost) {
        if (event->at[endpoint].recorded)
            oracle_fail(sim, "event %d is sent to endpoint %d after its success was recorded", delivery->event,
                        endpoint);
        if (event->at[endpoint].doubtful && !resends(sim, endpoint))
            oracle_fail(sim, "event %d is sent to endpoint %d again, though the first may have arrived",
                        delivery->event, endpoint);
    }
    event->at[endpoint].doubtful = true;
}

void oracle_effect(struct sim *sim, int event, int endpoint)
{
    int effects = ++sim->oracle.events[event].at[endpoint].effects;

    if (effects > 1 && !resends(sim, endpoint) && !sim->oracle.clock_stepped && !sim->oracle.data_lost)
        oracle_fail(sim, "event %d has %d effects at endpoint %d, which must not get it twice", event, effects,
                    endpoint);
}

void oracle_recorded(struct sim *sim, const struct pg_delivery *delivery)
{
    struct oracle_event *event = &sim->oracle.events[delivery->event];
    int endpoint = delivery->endpoint;

    if (event->at[endpoint].recorded && delivery->state != PG_DELIVERED && !sim->oracle.data_lost)
        oracle_fail(sim, "event %d: a recorded success at endpoint %d is overwritten", delivery->event, endpoint);
    if (delivery->state == PG_DELIVERED && event->at[endpoint].effects == 0)
        oracle_fail(sim, "event %d: success at endpoint %d is recorded without any", delivery->event, endpoint);
    if (delivery->state == PG_DELIVERED)
        event->at[endpoint].recorded = true;
    if (delivery->state == PG_FAILED)
        event->at[endpoint].doubtful = false;
}

/* --- at the end --- */

static bool settled(const struct sim *sim, const struct pg_delivery *delivery)
{
    if (delivery->state == PG_DELIVERED)
        return true;
    return !resends(sim, delivery->endpoint) && (delivery->state == PG_PARKED || delivery->state == PG_UNKNOWN);
}

static bool has_delivery(const struct pg *pg, int event, int endpoint)
{
    for (int i = 0; i < pg->delivery_count; i++) {
        if (pg->deliveries[i].event == event && pg->deliveries[i].endpoint == endpoint)
            return true;
    }
    return false;
}

/* Promise 10: each event has a delivery for the endpoints that were there when it was
 * acknowledged, and no other. */
static const char *missing_deliveries(const struct sim *sim)
{
    for (int i = 0; i < sim->pg.row_count; i++) {
        const struct pg_row *row = &sim->pg.rows[i];
        const struct oracle_event *event = &sim->oracle.events[row->event];

        if (!pg_row_live(&sim->pg, row))
            continue;
        if (!event->acknowledged && !event->discarded)
            return "an event is not acknowledged";
        for (int endpoint = 0; endpoint < PG_ENDPOINTS; endpoint++) {
            if (has_delivery(&sim->pg, row->event, endpoint) != event->wanted[endpoint])
                return "an event does not have its deliveries";
        }
    }
    return NULL;
}

/* Promise 9a: each lane of the present map runs somewhere. */
static bool is_run(const struct sim *sim, int lane)
{
    for (int i = 0; i < sim->relay_count; i++) {
        const struct runner *runner = &sim->relays[i].runners[lane];

        if (sim->relays[i].alive && runner->map == sim->pg.map && runner_state(runner) == LANE_RUNNING)
            return true;
    }
    return false;
}

/* And each relay has as many as the others, or one more. */
static bool is_even(const struct sim *sim)
{
    int least = PG_LANES, most = 0;

    for (int i = 0; i < sim->pg.lane_count; i++) {
        if (sim->pg.lanes[i].pinned >= 0)
            return true;
    }
    for (int i = 0; i < sim->relay_count; i++) {
        int count = 0;

        for (int lane = 0; lane < PG_LANES; lane++)
            count += runner_goes(&sim->relays[i].runners[lane]);
        if (!sim->relays[i].alive || sim->relays[i].roster.unable_until > sim->world.now)
            return true;
        least = count < least ? count : least;
        most = count > most ? count : most;
    }
    return most - least <= 1;
}

static const char *missing_lanes(const struct sim *sim)
{
    for (int i = 0; i < sim->pg.lane_count; i++) {
        if (!is_run(sim, i))
            return "a lane is nobody's";
    }
    if (sim->pg.change.open)
        return "the lane map changes";
    return is_even(sim) ? NULL : "the lanes are not shared evenly";
}

static const char *missing_events(const struct sim *sim)
{
    for (int i = 0; i < sim->pg.row_count; i++) {
        const struct pg_row *row = &sim->pg.rows[i];

        if (pg_is_parked(row) && !sim->oracle.data_lost)
            return row->parked == PG_HELD ? "an event is parked" : "an event that may go on is parked";
        if (!pg_row_live(&sim->pg, row) || sim->oracle.events[row->event].discarded)
            continue;
        if (sim->oracle.events[row->event].published == 0)
            return "a committed event is not published";
    }
    for (int i = 0; i < sim->pg.delivery_count; i++) {
        if (!settled(sim, &sim->pg.deliveries[i]))
            return "a delivery is open";
    }
    return NULL;
}

static const char *missing_acknowledgements(const struct sim *sim)
{
    const struct pg *pg = &sim->pg;
    int64_t published = 0;

    for (int i = 0; i < pg->lane_count; i++) {
        const struct kafka_marker *marker = kafka_last_marker(&sim->kafka, pg->map, i);

        if (!marker || position_compare(&pg->lanes[i].position, &marker->position) != POSITION_SAME)
            return "a marker is not acknowledged";
        published += pg->lanes[i].published;
    }
    if (published != sim->kafka.visible && !sim->oracle.data_lost)
        return "the database counts other events than were published";
    return NULL;
}

/* A process may die when it has noted the halt; while the clock is back none counts as started since. */
static bool all_halted(const struct sim *sim)
{
    unsigned halted = sim->oracle.halted;

    for (int i = 0; i < sim->pg.lane_count; i++)
        halted |= (unsigned)sim->pg.lanes[i].halted << i;
    return (halted & sim->oracle.must_halt) == sim->oracle.must_halt;
}

/* What is missing, NULL: nothing. */
static const char *missing(const struct sim *sim)
{
    const char *what;

    if (sim->oracle.must_halt)
        return all_halted(sim) ? NULL : "no relay halts";
    if (sim->workload.open > 0)
        return "a writer is open";
    what = missing_lanes(sim);
    if (!what)
        what = missing_events(sim);
    if (!what && kafka_is_busy(&sim->kafka))
        what = "a transaction is open";
    if (!what && sim->publish == PUBLISH_EXACTLY_ONCE)
        what = missing_acknowledgements(sim);
    if (!what && !sim->oracle.data_lost)
        what = missing_deliveries(sim);
    return what;
}

bool oracle_quiet(const struct sim *sim)
{
    return !missing(sim);
}

void oracle_overdue(struct sim *sim)
{
    const char *what = missing(sim);

    oracle_fail(sim, "no progress: %s", what ? what : "nothing is missing");
}
