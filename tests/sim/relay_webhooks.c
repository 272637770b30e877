/* The dispatcher: claims deliveries, sends, records; what an answer means decides core/delivery. */
#include "sim/sim.h"

#include <string.h>

#define POLL (2 * SEC)
#define RECOVER (5 * SEC)
#define RETRIES 24

enum statement_kind {
    STATEMENT_RECOVER,
    STATEMENT_RECORD,
    STATEMENT_CLAIM
};

struct statement {
    enum statement_kind kind;
    int session;
    int boot;
    bool first; /* of its connection: what its predecessor left is recovered, too */
    bool answer_lost;
    int64_t asked;
    struct claim claims[CLAIMS]; /* those to record, or those got */
    int count;
};

/* A request to a receiver. */
struct exchange {
    int event, endpoint;
    int slot;
    int64_t token;
    struct delivery_evidence evidence;
    int64_t retry_after;
    bool effect;
    bool silent; /* no answer comes back */
};

static void turn(struct sim *sim, struct relay *relay);

static bool current(struct sim *sim, const struct moment *moment)
{
    return relay_ready(sim, moment) && sim->relays[moment->relay].webhooks.session == moment->number;
}

static struct moment worker_moment(struct sim *sim, struct relay *relay, int64_t delay, moment_run *run, void *data)
{
    struct moment moment = relay_moment(sim, relay->id, delay, run, data);

    moment.number = relay->webhooks.session;
    return moment;
}

static void take_turn(struct sim *sim, const struct moment *moment)
{
    if (current(sim, moment))
        turn(sim, &sim->relays[moment->relay]);
}

static void turn_later(struct sim *sim, struct relay *relay, int64_t delay)
{
    world_add(&sim->world, worker_moment(sim, relay, delay, take_turn, NULL));
}

static void lose(struct sim *sim, struct relay *relay)
{
    relay->webhooks.session++;
    relay->webhooks.connected = false;
    relay->webhooks.busy = false;
    turn_later(sim, relay, random_between(&sim->world.random, 50 * MS, 300 * MS));
}

/* --- sending --- */

static void conclude(struct sim *sim, struct relay *relay, struct claim *claim, const struct exchange *exchange)
{
    static const int64_t schedule[RETRIES] = {
        0, SEC / 5, SEC / 2, SEC, SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC,
        2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC, 2 * SEC};
    enum delivery_policy policy = sim->pg.endpoints[claim->endpoint].policy;
    const struct delivery_rules rules = {policy, schedule, RETRIES, 96 * 3600 * SEC};
    struct delivery_facts facts = {.attempts = claim->attempts, .sends = claim->sends, .age = claim->age,
                                   .retry_after = exchange->retry_after, .status = exchange->evidence.status,
                                   .held_back = sim->world.now >= claim->begin_before &&
                                                exchange->evidence.phase == DELIVERY_PHASE_NONE,
                                   .random = random_next(&sim->world.random)};

    facts.outcome = delivery_outcome(&exchange->evidence, policy);
    claim->outcome = facts.outcome;
    claim->step = delivery_next(&rules, &facts);
    claim->done = true;
    turn_later(sim, relay, 0);
}

static struct claim *claim_of(struct relay *relay, const struct exchange *exchange)
{
    struct claim *claim = &relay->webhooks.claims[exchange->slot];

    return claim->open && !claim->done && claim->token == exchange->token ? claim : NULL;
}

static void answered(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct exchange *exchange = moment->data;
    struct claim *claim;

    if (!relay_ready(sim, moment))
        return;
    claim = claim_of(relay, exchange);
    if (claim)
        conclude(sim, relay, claim, exchange);
}

static void timed_out(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct exchange *exchange = moment->data;
    struct claim *claim;

    if (!relay_ready(sim, moment))
        return;
    claim = claim_of(relay, exchange);
    if (!claim)
        return;
    exchange->evidence = (struct delivery_evidence){.phase = DELIVERY_PHASE_WRITING};
    exchange->retry_after = -1;
    conclude(sim, relay, claim, exchange);
}

/* At the receiver, whether its sender still lives or not. */
static void received(struct sim *sim, const struct moment *moment)
{
    struct exchange *exchange = moment->data;
    struct moment back = *moment;

    if (exchange->effect)
        oracle_effect(sim, exchange->event, exchange->endpoint);
    if (exchange->silent)
        return;
    back.at = sim->world.now + world_latency(&sim->world);
    back.run = answered;
    world_add(&sim->world, back);
}

static void refuse(struct exchange *exchange, uint64_t dice)
{
    static const int statuses[] = {500, 429, 504, 400};
    int status = statuses[dice % 4];

    exchange->evidence.status = status;
    exchange->effect = status == 504 && (dice & 16); /* a gateway speaks for it */
    if (status == 429)
        exchange->retry_after = (int64_t)(dice % 3) * SEC;
}

/* Returns whether the request reaches the receiver. */
static bool apply(const struct fault *fault, struct exchange *exchange, struct moment *moment)
{
    switch (fault->kind) {
    case FAULT_HTTP_LOST_REQUEST:
        return false;
    case FAULT_HTTP_LOST_ANSWER:
        exchange->silent = true;
        return true;
    case FAULT_HTTP_REFUSED:
        refuse(exchange, fault->dice);
        return true;
    case FAULT_HTTP_NOT_SENT:
        exchange->evidence = (struct delivery_evidence){.phase = DELIVERY_PHASE_RESOLVED};
        moment->run = answered;
        return true;
    default:
        moment->at += (int64_t)(fault->dice % (5 * SEC)); /* perhaps beyond the timeout */
        return true;
    }
}

static void begin(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct exchange *exchange = moment->data;
    struct moment arrival = relay_moment(sim, relay->id, random_between(&sim->world.random, 1 * MS, 30 * MS),
                                         received, exchange);
    struct claim *claim;
    const struct fault *fault;

    if (!relay_ready(sim, moment))
        return;
    claim = claim_of(relay, exchange);
    if (!claim)
        return;
    if (sim->world.now >= claim->begin_before) {
        exchange->evidence.phase = DELIVERY_PHASE_NONE;
        exchange->evidence.status = 0;
        conclude(sim, relay, claim, exchange);
        return;
    }
    fault = faults_take(sim, FAULT_OF_HTTP, relay->id, ALL_LANES, ANY);
    if (!fault || fault->kind != FAULT_HTTP_NOT_SENT)
        oracle_send_begins(sim, &sim->pg.deliveries[claim->delivery]);
    if (!fault && !sim->healed && random_one_in(&sim->world.random, 4)) /* receivers are like that */
        refuse(exchange, 0);
    if (!fault || apply(fault, exchange, &arrival))
        world_add(&sim->world, arrival);
    world_add(&sim->world, relay_moment(sim, relay->id, HTTP_TIMEOUT, timed_out, exchange));
}

static void send(struct sim *sim, struct relay *relay, int slot)
{
    const struct claim *claim = &relay->webhooks.claims[slot];
    struct exchange *exchange = world_alloc(&sim->world, sizeof(*exchange));
    int64_t delay = world_latency(&sim->world);

    *exchange = (struct exchange){.event = claim->event, .endpoint = claim->endpoint, .slot = slot,
                                  .token = claim->token, .effect = true, .retry_after = -1,
                                  .evidence = {.phase = DELIVERY_PHASE_ANSWERED, .status = 200}};
    if (random_one_in(&sim->world.random, 6)) /* a slow name server */
        delay = random_between(&sim->world.random, 0, DELIVERY_MARGIN / 2);
    world_add(&sim->world, relay_moment(sim, relay->id, delay, begin, exchange));
}

/* --- statements --- */

static void recover(struct sim *sim, struct relay *relay, const struct statement *statement)
{
    int64_t held[CLAIMS];
    int count = 0;

    for (int i = 0; i < CLAIMS; i++) {
        if (relay->webhooks.claims[i].open)
            held[count++] = relay->webhooks.claims[i].token;
    }
    pg_delivery_recover(sim, statement->first ? relay->id : RELAYS_MAX, held, count);
}

static void claim_due(struct sim *sim, struct relay *relay, struct statement *statement)
{
    int list[CLAIMS];
    int count = pg_delivery_claim(sim, relay->id, statement->count, list);

    for (int i = 0; i < count; i++) {
        const struct pg_delivery *delivery = &sim->pg.deliveries[list[i]];

        statement->claims[i] = (struct claim){
            .open = true, .delivery = list[i], .token = delivery->token, .attempts = delivery->attempts,
            .sends = delivery->sends, .age = pg_clock(sim) - delivery->created_at, .event = delivery->event,
            .endpoint = delivery->endpoint};
    }
    statement->count = count;
}

static void take_claims(struct sim *sim, struct relay *relay, const struct statement *statement)
{
    struct webhook_worker *worker = &relay->webhooks;
    int slot = 0;

    for (int i = 0; i < statement->count; i++) {
        while (worker->claims[slot].open)
            slot++;
        worker->claims[slot] = statement->claims[i];
        worker->claims[slot].begin_before = statement->asked + DELIVERY_MARGIN / 2;
        if (sim->bug == BUG_LATE_CLAIM)
            worker->claims[slot].begin_before = sim->world.now + DELIVERY_MARGIN / 2;
        send(sim, relay, slot);
    }
    worker->woken = worker->woken || statement->count > 0;
}

static void release_claims(struct relay *relay, const struct statement *statement)
{
    for (int i = 0; i < statement->count; i++) {
        for (int slot = 0; slot < CLAIMS; slot++) {
            if (relay->webhooks.claims[slot].token == statement->claims[i].token)
                relay->webhooks.claims[slot] = (struct claim){0};
        }
    }
}

static void come_back(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    const struct statement *statement = moment->data;

    if (!current(sim, moment))
        return;
    relay->webhooks.busy = false;
    if (statement->kind == STATEMENT_CLAIM && !relay->webhooks.stopping)
        take_claims(sim, relay, statement);
    else if (statement->kind == STATEMENT_RECORD)
        release_claims(relay, statement);
    turn(sim, relay);
}

static void fail(struct sim *sim, const struct moment *moment)
{
    if (current(sim, moment))
        lose(sim, &sim->relays[moment->relay]);
}

static void carry_out(struct sim *sim, struct relay *relay, struct statement *statement)
{
    if (statement->kind == STATEMENT_RECOVER) {
        recover(sim, relay, statement);
    } else if (statement->kind == STATEMENT_CLAIM) {
        claim_due(sim, relay, statement);
    } else {
        for (int i = 0; i < statement->count; i++)
            pg_delivery_finish(sim, statement->claims[i].delivery, statement->claims[i].token,
                               &statement->claims[i].step);
    }
}

static void arrive(struct sim *sim, const struct moment *moment)
{
    struct relay *relay = &sim->relays[moment->relay];
    struct statement *statement = moment->data;
    struct moment back = *moment;
    bool dead = !sim->pg.up || statement->boot != sim->pg.boot;

    back.at = sim->world.now + world_latency(&sim->world);
    back.run = dead || statement->answer_lost ? fail : come_back;
    if (!dead && (relay->life == moment->life || statement->kind == STATEMENT_RECORD))
        carry_out(sim, relay, statement);
    world_add(&sim->world, back);
}

static void execute(struct sim *sim, struct relay *relay, struct statement *statement)
{
    const struct fault *fault = faults_take(sim, FAULT_OF_WEBHOOK_DB, relay->id, ALL_LANES, ANY);
    struct moment moment = worker_moment(sim, relay, world_latency(&sim->world), arrive, statement);

    relay->webhooks.busy = true;
    statement->boot = relay->webhooks.boot;
    statement->asked = sim->world.now;
    if (fault && fault->kind == FAULT_WEBHOOK_PAUSE)
        relay_pause(sim, relay->id, (int64_t)(fault->dice % (15 * SEC)));
    else if (fault && (fault->dice & 1))
        statement->answer_lost = true;
    else if (fault)
        moment.run = fail;
    world_add(&sim->world, moment);
}

static struct statement *new_statement(struct sim *sim, enum statement_kind kind)
{
    struct statement *statement = world_alloc(&sim->world, sizeof(*statement));

    statement->kind = kind;
    return statement;
}

static bool record_done(struct sim *sim, struct relay *relay)
{
    struct statement *statement = NULL;

    for (int i = 0; i < CLAIMS; i++) {
        const struct claim *claim = &relay->webhooks.claims[i];

        if (!claim->open || !claim->done)
            continue;
        if (!statement)
            statement = new_statement(sim, STATEMENT_RECORD);
        statement->claims[statement->count++] = *claim;
    }
    if (statement)
        execute(sim, relay, statement);
    return statement != NULL;
}

static int free_slots(const struct relay *relay)
{
    int count = 0;

    for (int i = 0; i < CLAIMS; i++)
        count += !relay->webhooks.claims[i].open;
    return count;
}

static void connect(struct sim *sim, struct relay *relay)
{
    struct statement *statement;

    if (!sim->pg.up) {
        lose(sim, relay);
        return;
    }
    relay->webhooks.connected = true;
    relay->webhooks.boot = sim->pg.boot;
    relay->webhooks.recover_at = sim->world.now + RECOVER;
    relay->webhooks.poll_at = 0;
    statement = new_statement(sim, STATEMENT_RECOVER);
    statement->first = true;
    execute(sim, relay, statement);
}

static void turn(struct sim *sim, struct relay *relay)
{
    struct webhook_worker *worker = &relay->webhooks;
    struct statement *statement;

    if (worker->busy)
        return;
    if (!worker->connected) {
        connect(sim, relay);
    } else if (record_done(sim, relay)) {
        return;
    } else if (worker->stopping) {
        return;
    } else if (sim->world.now >= worker->recover_at) {
        worker->recover_at = sim->world.now + RECOVER;
        execute(sim, relay, new_statement(sim, STATEMENT_RECOVER));
    } else if (free_slots(relay) > 0 && (worker->woken || sim->world.now >= worker->poll_at)) {
        worker->woken = false;
        worker->poll_at = sim->world.now + POLL;
        statement = new_statement(sim, STATEMENT_CLAIM);
        statement->count = free_slots(relay);
        turn_later(sim, relay, POLL);
        execute(sim, relay, statement);
    }
}

void relay_webhooks_start(struct sim *sim, struct relay *relay)
{
    if (relay->webhooks.running)
        return;
    relay->webhooks.running = true;
    turn_later(sim, relay, world_latency(&sim->world));
}

void relay_webhooks_stop(struct sim *sim, struct relay *relay)
{
    (void)sim;
    relay->webhooks.stopping = true;
}

void relay_webhooks_wake(struct sim *sim, struct relay *relay)
{
    if (!relay->webhooks.running)
        return;
    relay->webhooks.woken = true;
    turn_later(sim, relay, 0);
}
