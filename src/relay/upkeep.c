#include "relay/upkeep.h"

#include <stdio.h>
#include <string.h>

#include "admin/health.h"
#include "runtime/fault.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "source/maintain.h"

#define PATIENCE SECONDS(15) /* more than the session's own limits */
#define PORTION 1000
/* How long one kind of work may hold up the others. */
#define TURN SECONDS(5)
#define SLOT_TRIES 5

static mono_us deadline(void)
{
    return clock_now() + PATIENCE;
}

static bool goes_on(const struct upkeep *upkeep, mono_us until)
{
    return !atomic_load(upkeep->quit) && clock_now() < until;
}

/* ---- partitions ahead ---- */

static int add_ahead(struct upkeep *upkeep, int ahead, int wanted, outbox_error **reterr)
{
    int status = OUTBOX_OK;

    for (int number = 0; status == OUTBOX_OK && ahead < wanted; ahead++) {
        status = maintain_add(upkeep->pg, deadline(), &number, reterr);
        if (status == OUTBOX_OK)
            log_info("partition_added", LOG_NUMBER("partition", number));
    }
    return status;
}

/* Enough are ahead at any time, also after the rotation. */
static int go_ahead(struct upkeep *upkeep, outbox_error **reterr)
{
    const struct relay_config *config = upkeep->config;
    bool due = false;
    int ahead = 0, entered = -1;
    int status = maintain_ahead(upkeep->pg, config->rotate_every, config->rotate_events, deadline(), &ahead, &due,
                                reterr);

    if (status == OUTBOX_OK)
        status = add_ahead(upkeep, ahead, HEALTH_PARTITIONS + due, reterr);
    if (status < 0 || !due)
        return status;
    status = maintain_rotate(upkeep->pg, deadline(), &entered, reterr);
    if (status < 0)
        return status;
    if (entered < 0) {
        log_debug("rotation_waits", LOG_TEXT("for", "transactions from before the next partition was added"));
        return OUTBOX_OK;
    }
    metric_add(METRIC_PARTITIONS_ENTERED, 1);
    log_info("partition_entered", LOG_NUMBER("partition", entered));
    return OUTBOX_OK;
}

/* ---- partitions that go ---- */

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* What passes by itself, and soon, is worth no line. */
static void note_held(struct upkeep *upkeep, const struct maintain_oldest *oldest)
{
    const char *held = oldest->held;
    bool same = oldest->number == upkeep->held_number && is(held, upkeep->held);
    bool usual = is(held, "in use") || is(held, "age") || is(held, "tick");

    if (!same && held[0])
        log_write(usual ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "partition_held", LOG_NUMBER("partition", oldest->number),
                  LOG_TEXT("by", held));
    upkeep->held_number = oldest->number;
    snprintf(upkeep->held, sizeof(upkeep->held), "%s", held);
    if (is(held, "tick") || is(held, "lane") || is(held, "transaction"))
        upkeep->want_tick = true;
}

/* Events to which something open points are copied, so that they hold nothing any more. */
static int keep_open_events(struct upkeep *upkeep, int number, mono_us until, outbox_error **reterr)
{
    int64_t kept = PORTION, all = 0;
    int status = OUTBOX_OK;

    while (status == OUTBOX_OK && kept > 0 && goes_on(upkeep, until)) {
        status = maintain_keep(upkeep->pg, number, PORTION, deadline(), &kept, reterr);
        all += status == OUTBOX_OK ? kept : 0;
    }
    upkeep->more = upkeep->more || kept > 0;
    if (all > 0)
        log_info("events_kept", LOG_NUMBER("partition", number), LOG_NUMBER("events", all));
    return status;
}

static int retire(struct upkeep *upkeep, mono_us until, struct maintain_oldest *ret, outbox_error **reterr)
{
    int status = maintain_retire(upkeep->pg, upkeep->config->retention, deadline(), ret, reterr);

    if (status < 0 || (!is(ret->held, "delivery") && !is(ret->held, "parked event")))
        return status;
    status = keep_open_events(upkeep, ret->number, until, reterr);
    if (status == OUTBOX_OK)
        status = maintain_retire(upkeep->pg, upkeep->config->retention, deadline(), ret, reterr);
    return status;
}

/* Somebody who still has it open is no failure: the next round goes on from there. */
static bool was_cancelled(const outbox_error *err)
{
    const char *state = err ? outbox_error_sqlstate(err) : NULL;

    return state && (is(state, "57014") || is(state, "55P03"));
}

static int drop(struct upkeep *upkeep, int number, bool *ret_gone, outbox_error **reterr)
{
    int status = OUTBOX_OK;

    *ret_gone = false;
    while (status == OUTBOX_OK && !*ret_gone && !atomic_load(upkeep->quit)) {
        FAULT("maintenance_step");
        status = maintain_drop_step(upkeep->pg, number, deadline(), ret_gone, reterr);
    }
    if (status == OUTBOX_ESERVER && was_cancelled(*reterr)) {
        log_info("partition_in_use", LOG_NUMBER("partition", number),
                 LOG_TEXT("error", outbox_error_message(*reterr)));
        outbox_error_free(*reterr);
        *reterr = NULL;
        return OUTBOX_OK;
    }
    if (status == OUTBOX_OK && *ret_gone) {
        metric_add(METRIC_PARTITIONS_DROPPED, 1);
        log_info("partition_dropped", LOG_NUMBER("partition", number));
    }
    return status;
}

static int drop_partitions(struct upkeep *upkeep, outbox_error **reterr)
{
    mono_us until = clock_now() + TURN;
    bool gone = true;
    int status = OUTBOX_OK;

    while (status == OUTBOX_OK && gone && goes_on(upkeep, until)) {
        struct maintain_oldest oldest;

        gone = false;
        status = retire(upkeep, until, &oldest, reterr);
        if (status < 0)
            return status;
        note_held(upkeep, &oldest);
        if (!oldest.held[0])
            status = drop(upkeep, oldest.number, &gone, reterr);
    }
    upkeep->more = upkeep->more || gone;
    return status;
}

/* ---- rows that expire ---- */

static void count_removed(const char *what, int64_t removed)
{
    if (removed == 0)
        return;
    metric_add(METRIC_ROWS_EXPIRED, removed);
    log_debug("expired", LOG_TEXT("what", what), LOG_NUMBER("rows", removed));
}

static int expire_deliveries(struct upkeep *upkeep, outbox_error **reterr)
{
    mono_us until = clock_now() + TURN;
    int64_t removed = 0, all = 0;
    int status = OUTBOX_OK;

    if (upkeep->config->delivery_retention == CONFIG_FOREVER)
        return OUTBOX_OK;
    do {
        status = maintain_expire_deliveries(upkeep->pg, upkeep->config->delivery_retention, PORTION, deadline(),
                                            &upkeep->deliveries_after, &removed, reterr);
        all += status == OUTBOX_OK ? removed : 0;
    } while (status == OUTBOX_OK && upkeep->deliveries_after != 0 && goes_on(upkeep, until));
    upkeep->more = upkeep->more || upkeep->deliveries_after != 0;
    count_removed("deliveries", all);
    return status;
}

static int expire_slot(struct upkeep *upkeep, const char *ring, int age, outbox_error **reterr)
{
    bool emptied = false;
    int64_t removed = 0;
    int status = OUTBOX_OK;

    /* The last try deletes, if writers do not leave a moment to truncate. */
    for (int i = 0; i < SLOT_TRIES && status == OUTBOX_OK && !emptied; i++)
        status = maintain_expire_slot(upkeep->pg, ring, age, i + 1 < SLOT_TRIES ? 0 : 10 * PORTION, deadline(),
                                      &emptied, &removed, reterr);
    if (status == OUTBOX_OK && !emptied)
        upkeep->more = true;
    count_removed(ring, status == OUTBOX_OK ? removed : 0);
    return status;
}

static int expire_ring(struct upkeep *upkeep, const char *ring, mono_us retention, outbox_error **reterr)
{
    const mono_us day = SECONDS(86400);
    int status = OUTBOX_OK;

    if (retention == CONFIG_FOREVER)
        return OUTBOX_OK;
    for (int age = (int)((retention + day - 1) / day) + 1; age <= 14 && status == OUTBOX_OK; age++)
        status = expire_slot(upkeep, ring, age, reterr);
    return status;
}

static int expire_rest(struct upkeep *upkeep, outbox_error **reterr)
{
    mono_us until = clock_now() + TURN;
    int64_t audit = 0, kept = 0;
    int status;

    do {
        status = maintain_expire_audit(upkeep->pg, upkeep->config->audit_retention, PORTION, deadline(), &audit,
                                       reterr);
        count_removed("audit", status == OUTBOX_OK ? audit : 0);
    } while (status == OUTBOX_OK && audit == PORTION && goes_on(upkeep, until));
    while (status == OUTBOX_OK && goes_on(upkeep, until)) {
        status = maintain_expire_kept(upkeep->pg, PORTION, deadline(), &kept, reterr);
        count_removed("kept events", status == OUTBOX_OK ? kept : 0);
        if (kept < PORTION)
            break;
    }
    return status;
}

/* ---- the round ---- */

static int expire(struct upkeep *upkeep, outbox_error **reterr)
{
    int status = expire_deliveries(upkeep, reterr);

    if (status == OUTBOX_OK)
        status = expire_ring(upkeep, "emitted", upkeep->config->id_retention, reterr);
    if (status == OUTBOX_OK)
        status = expire_ring(upkeep, "inbox", upkeep->config->inbox_retention, reterr);
    if (status == OUTBOX_OK)
        status = expire_rest(upkeep, reterr);
    return status;
}

int upkeep_round(struct upkeep *upkeep, outbox_error **reterr)
{
    bool alone = false;
    int status = maintain_enter(upkeep->pg, deadline(), &alone, reterr);

    upkeep->want_tick = upkeep->more = false;
    if (status < 0 || !alone)
        return status;
    status = go_ahead(upkeep, reterr);
    if (status == OUTBOX_OK && upkeep->may_remove)
        status = drop_partitions(upkeep, reterr);
    if (status == OUTBOX_OK && upkeep->may_remove)
        status = expire(upkeep, reterr);
    if (status == OUTBOX_OK)
        status = maintain_leave(upkeep->pg, deadline(), reterr);
    return status;
}
