/* Deliveries: delivery_claim, delivery_finish and delivery_recover of 0006_webhooks.sql. */
#include "sim/sim.h"

#include <stddef.h>

static struct pg_delivery *find(struct pg *pg, int event, int endpoint)
{
    for (int i = 0; i < pg->delivery_count; i++) {
        if (pg->deliveries[i].event == event && pg->deliveries[i].endpoint == endpoint)
            return &pg->deliveries[i];
    }
    return NULL;
}

void pg_delivery_insert(struct sim *sim, const struct pg_row *row)
{
    struct pg *pg = &sim->pg;

    for (int i = 0; i < PG_ENDPOINTS; i++) {
        if (!pg->endpoints[i].enabled)
            continue;
        if (find(pg, row->event, i)) { /* the unique constraint: the lane could never go on */
            oracle_fail(sim, "event %d has a delivery to endpoint %d already", row->event, i);
            continue;
        }
        pg->deliveries[pg->delivery_count++] = (struct pg_delivery){
            .event = row->event, .seq = row->seq, .endpoint = i, .next_at = pg_clock(sim),
            .created_at = pg_clock(sim), .worker = -1};
    }
}

int pg_delivery_claim(struct sim *sim, int worker, int limit, int *ret)
{
    struct pg *pg = &sim->pg;
    int count = 0;

    for (int i = 0; i < pg->delivery_count && count < limit; i++) {
        struct pg_delivery *delivery = &pg->deliveries[i];

        if ((delivery->state != PG_PENDING && delivery->state != PG_FAILED) || delivery->next_at > pg_clock(sim))
            continue;
        delivery->state = PG_SENDING;
        delivery->token = ++pg->last_token;
        delivery->sends++;
        delivery->worker = worker;
        delivery->lease_until = pg_clock(sim) + DELIVERY_MARGIN + HTTP_TIMEOUT;
        ret[count++] = i;
    }
    if (count > 0)
        pg_statement_commit(sim);
    return count;
}

static int state_of(enum delivery_state state)
{
    static const int states[] = {PG_DELIVERED, PG_FAILED, PG_UNKNOWN, PG_PARKED, PG_DEAD};

    return states[state];
}

bool pg_delivery_finish(struct sim *sim, int index, int64_t token, const struct delivery_step *step)
{
    struct pg_delivery *delivery = &sim->pg.deliveries[index];
    bool bearer = delivery->token == token && delivery->lease_until != 0;

    if (!bearer && sim->bug != BUG_NO_TOKEN)
        return false;
    delivery->state = state_of(step->state);
    delivery->attempts += step->charged;
    delivery->next_at = pg_clock(sim) + step->retry_in;
    delivery->lease_until = 0;
    pg_statement_commit(sim);
    oracle_recorded(sim, delivery);
    return true;
}

static bool held_by_caller(int64_t token, const int64_t *held, int held_count)
{
    for (int i = 0; i < held_count; i++) {
        if (held[i] == token)
            return true;
    }
    return false;
}

int pg_delivery_recover(struct sim *sim, int worker, const int64_t *held, int held_count)
{
    struct pg *pg = &sim->pg;
    int count = 0;

    for (int i = 0; i < pg->delivery_count; i++) {
        struct pg_delivery *delivery = &pg->deliveries[i];
        enum delivery_policy policy = pg->endpoints[delivery->endpoint].policy;

        if (delivery->state != PG_SENDING ||
            (delivery->lease_until >= pg_clock(sim) && delivery->worker != worker) ||
            held_by_caller(delivery->token, held, held_count))
            continue;
        delivery->state = policy == DELIVERY_RESEND || sim->bug == BUG_RESEND_UNKNOWN ? PG_FAILED
                          : policy == DELIVERY_PARK                                   ? PG_PARKED
                                                                                      : PG_UNKNOWN;
        delivery->attempts++;
        delivery->token = ++pg->last_token;
        delivery->lease_until = 0;
        delivery->next_at = pg_clock(sim);
        count++;
    }
    if (count > 0)
        pg_statement_commit(sim);
    return count;
}
