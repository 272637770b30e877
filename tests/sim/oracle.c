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

void oracle_transaction(struct sim *sim)
{
    const struct kafka_marker *marker = kafka_last_marker(&sim->kafka);

    /* A late AddPartitions opens one for nothing, which a repeated EndTxn ends. */
    bool nothing = sim->kafka.open_count == 0 && !sim->kafka.open_marked;

    if (sim->oracle.data_lost || nothing || sim->publish != PUBLISH_EXACTLY_ONCE)
        return;
    if (!marker || !sim->kafka.open_marked)
        oracle_fail(sim, "a transaction without a marker is committed");
    else if (marker->published != sim->kafka.log_count)
        oracle_fail(sim, "the marker counts %lld events, consumers see %d", (long long)marker->published,
                    sim->kafka.log_count);
}

/* Promise 6, and 3: who may commit. */
void oracle_commit_decided(struct sim *sim)
{
    struct oracle *oracle = &sim->oracle;

    if (sim->kafka.lane_epoch < oracle->committed_epoch && !oracle->data_lost && sim->publish == PUBLISH_EXACTLY_ONCE)
        oracle_fail(sim, "epoch %lld commits after epoch %lld", (long long)sim->kafka.lane_epoch,
                    (long long)oracle->committed_epoch);
    oracle->committed_epoch = sim->kafka.lane_epoch;
    if (oracle->must_halt && sim->kafka.started_at >= oracle->lost_at)
        oracle_fail(sim, "a relay publishes although data is lost");
}

void oracle_piped(struct sim *sim, int64_t process_started)
{
    if (sim->oracle.must_halt && process_started >= sim->oracle.lost_at)
        oracle_fail(sim, "a relay publishes although data is lost");
}

void oracle_init(struct sim *sim, int64_t process_started)
{
    if (sim->oracle.must_halt && !sim->oracle.may_fence && process_started >= sim->oracle.lost_at)
        oracle_fail(sim, "a relay fences others although data is lost");
}

/* --- lane --- */

static const struct kafka_marker *decided_marker(const struct kafka *kafka)
{
    if (kafka->state == KAFKA_PREPARED && kafka->committed && kafka->open_marked)
        return &kafka->open_marker;
    return kafka_last_marker(kafka);
}

static void acknowledged(struct sim *sim, const struct pg_row *row)
{
    struct oracle_event *event = &sim->oracle.events[row->event];

    event->acknowledged = true;
    for (int endpoint = 0; endpoint < PG_ENDPOINTS; endpoint++)
        event->wanted[endpoint] = sim->pg.endpoints[endpoint].enabled;
    if (event->published == 0 && sim->kafka.state != KAFKA_PREPARED && !sim->oracle.data_lost)
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

void oracle_acknowledged(struct sim *sim, const struct position *position)
{
    const struct kafka_marker *marker = decided_marker(&sim->kafka);
    enum position_order order = marker ? position_compare(position, &marker->position) : POSITION_AFTER;

    TELL(sim, "acknowledged: (%lld, %lld, %lld, %s)", (long long)position->from.id, (long long)position->to.id,
         (long long)position->seq, position->done ? "done" : "open");
    if ((order == POSITION_AFTER || order == POSITION_CONFLICT) && sim->publish == PUBLISH_EXACTLY_ONCE)
        oracle_fail(sim, "an acknowledgement beyond the marker");
    for (int i = 0; i < sim->pg.row_count; i++) {
        const struct pg_row *row = &sim->pg.rows[i];

        if (!sim->oracle.events[row->event].acknowledged && row->parked == PG_NOT_PARKED &&
            pg_covered(sim, position, row))
            acknowledged(sim, row);
    }
}

void oracle_halted(struct sim *sim, int relay, enum lane_halt halt)
{
    TELL(sim, "relay %d halted: %s", relay, lane_halt_name(halt));
    if (!sim->oracle.must_halt)
        oracle_fail(sim, "relay %d halts (%s) and nothing is lost", relay, lane_halt_name(halt));
    sim->oracle.halts++;
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

/* What is missing, NULL: nothing. */
static const char *missing(const struct sim *sim)
{
    const struct pg *pg = &sim->pg;
    const struct kafka_marker *marker = kafka_last_marker(&sim->kafka);
    int running = 0;

    if (sim->oracle.must_halt)
        return sim->oracle.halts >= sim->relay_count ? NULL : "no relay halts";
    for (int i = 0; i < sim->relay_count; i++)
        running += relay_state(&sim->relays[i]) == LANE_RUNNING;
    if (running == 0 || sim->workload.open > 0)
        return running == 0 ? "no relay runs" : "a writer is open";
    for (int i = 0; i < pg->row_count; i++) {
        const struct pg_row *row = &pg->rows[i];

        if (pg_is_parked(row) && !sim->oracle.data_lost)
            return row->parked == PG_HELD ? "an event is parked" : "an event that may go on is parked";
        if (!pg_row_live(pg, row) || sim->oracle.events[row->event].discarded)
            continue;
        if (sim->oracle.events[row->event].published == 0)
            return "a committed event is not published";
    }
    for (int i = 0; i < pg->delivery_count; i++) {
        if (!settled(sim, &pg->deliveries[i]))
            return "a delivery is open";
    }
    if (sim->kafka.state == KAFKA_ONGOING || sim->kafka.state == KAFKA_PREPARED)
        return "a transaction is open";
    if (sim->publish != PUBLISH_EXACTLY_ONCE)
        return sim->oracle.data_lost ? NULL : missing_deliveries(sim);
    if (!marker || position_compare(&pg->position, &marker->position) != POSITION_SAME)
        return "the marker is not acknowledged";
    if (pg->published != sim->kafka.log_count && !sim->oracle.data_lost)
        return "the database counts other events than were published";
    return sim->oracle.data_lost ? NULL : missing_deliveries(sim);
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
