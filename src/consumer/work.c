/* What a worker does with a partition: one step at a time. */
#include <string.h>

#include "base/error.h"
#include "consumer/dead_letter.h"
#include "consumer/position.h"
#include "consumer/record.h"
#include "consumer/start.h"
#include "consumer/state.h"

/* Until a partition is tried again of which another instance has the fence, or Kafka told nothing. */
#define LOOK_AGAIN SECONDS(1)

static void set_stage(struct partition *partition, enum stage stage, mono_us not_before)
{
    pthread_mutex_lock(&partition->consumer->lock);
    partition->stage = stage;
    partition->not_before = not_before;
    partition->signalled = true;
    pthread_mutex_unlock(&partition->consumer->lock);
}

/* Until this moment at least. */
static void wait_until(struct partition *partition, mono_us moment)
{
    pthread_mutex_lock(&partition->consumer->lock);
    if (partition->not_before < moment)
        partition->not_before = moment;
    partition->signalled = true;
    pthread_mutex_unlock(&partition->consumer->lock);
}

static void set_position(struct partition *partition, int64_t position)
{
    partition->position = position;
    pthread_mutex_lock(&partition->consumer->lock);
    partition->done = position;
    pthread_mutex_unlock(&partition->consumer->lock);
}

/* ---- taking over ---- */

/* Something did not work out, and may another time. */
static void put_off(struct worker *worker, struct partition *partition, const char *what, outbox_error *err)
{
    if (outbox_error_code(err) == OUTBOX_ESTATE)
        consumer_log(worker->consumer, OUTBOX_CONSUMER_WARNING, "fenced", "%s: %s", what, outbox_error_message(err));
    else
        worker_trouble(worker, what, err), err = NULL;
    outbox_error_free(err);
    wait_until(partition, clock_now() + LOOK_AGAIN);
}

/* Where it begins that had no position: written down at once, or a crash might choose another place. */
static int begin(struct worker *worker, struct partition *partition, int64_t *ret_position, outbox_error **reterr)
{
    int r = start_resolve(partition, ret_position, reterr);

    if (r == OUTBOX_OK)
        return position_begin_at(worker->pg, partition, *ret_position, reterr);
    if (r == OUTBOX_ESTATE) { /* the options ask for what is not there */
        consumer_fail(worker->consumer, *reterr);
        *reterr = NULL;
    }
    return r;
}

/* What is at hand may go on from the position: records never change. */
static bool may_keep(const struct partition *partition, int64_t before, int64_t position)
{
    return partition->fetched >= 0 && position >= before && position <= partition->fetched;
}

static void acquire(struct worker *worker, struct partition *partition)
{
    outbox_error *err = NULL;
    const char *cluster = start_cluster(worker->consumer, &err);
    int64_t before = partition->position;
    int64_t position;
    bool keep;
    int r = cluster ? position_acquire(worker->pg, partition, cluster, &position, &err) : OUTBOX_ETIMEOUT;

    if (r == OUTBOX_OK && position < 0) {
        partition->position = -1;
        r = begin(worker, partition, &position, &err);
    }
    if (r != OUTBOX_OK) {
        partition->position = before;
        if (err)
            put_off(worker, partition, "cannot take a partition over", err);
        return;
    }
    consumer_count(worker->consumer, OUTBOX_CONSUMER_TAKEOVERS, 1);
    consumer_log(worker->consumer, OUTBOX_CONSUMER_INFO, "takeover",
                 "topic %s, partition %d, fence %lld, from offset %lld", partition->topic, (int)partition->number,
                 (long long)partition->fence, (long long)position);
    if (position != before)
        partition->plan = (struct plan){0};
    keep = may_keep(partition, before, position);
    partition_drop_below(partition, keep ? position : INT64_MAX);
    set_position(partition, position);
    set_stage(partition, keep ? STAGE_FETCHING : STAGE_ACQUIRED, 0);
    rd_kafka_queue_yield(worker->consumer->queue);
}

/* Has an operator moved the position, or another instance taken it, while there was nothing to commit? */
static void check_fence(struct worker *worker, struct partition *partition)
{
    outbox_error *err = NULL;
    int64_t fence;

    if (position_fence(worker->pg, partition, &fence, &err) < 0)
        put_off(worker, partition, "cannot look at a position", err);
    else if (fence != partition->fence)
        set_stage(partition, STAGE_ACQUIRE, 0);
}

/* ---- after a transaction ---- */

static void on_committed(struct worker *worker, struct partition *partition, size_t count, bool dead)
{
    mono_us wait;

    set_position(partition, partition_held(partition, count - 1)->offset + 1);
    partition_drop(partition, count);
    partition->reason[0] = '\0';
    (void)plan_note(&partition->plan, &worker->consumer->options->limits, dead ? PLAN_DEAD : PLAN_COMMITTED, count, 0,
                    &wait);
    consumer_count(worker->consumer, OUTBOX_CONSUMER_TRANSACTIONS, 1);
    consumer_count(worker->consumer, dead ? OUTBOX_CONSUMER_DEAD_LETTERS : OUTBOX_CONSUMER_RECORDS, (int64_t)count);
}

/* Another has the partition, or the position has been moved: ask again whose it is, unless Kafka takes it. */
static void on_fenced(struct worker *worker, struct partition *partition, outbox_error *err)
{
    consumer_count(worker->consumer, OUTBOX_CONSUMER_FENCED, 1);
    consumer_log(worker->consumer, OUTBOX_CONSUMER_WARNING, "fenced", "%s", outbox_error_message(err));
    outbox_error_free(err);
    set_stage(partition, STAGE_ACQUIRE, clock_now() + LOOK_AGAIN);
}

/* The fate of the transaction is unknown until the partition is taken over anew: that waits for it. */
static void on_lost(struct worker *worker, struct partition *partition, outbox_error *err)
{
    if (err)
        worker_trouble(worker, "a transaction", err);
    worker_disconnect(worker);
    set_stage(partition, STAGE_ACQUIRE, 0);
}

/* What is neither success nor the record's fault.  Takes err; false: it is the record's. */
static bool on_trouble(struct worker *worker, struct partition *partition, int code, outbox_error *err)
{
    if (code == OUTBOX_ESTATE)
        on_fenced(worker, partition, err);
    else if (code != OUTBOX_ESERVER)
        on_lost(worker, partition, err);
    else
        return false;
    return true;
}

/* ---- dead letters ---- */

static bool has_key(const rd_kafka_message_t *message)
{
    return message->key != NULL;
}

static bool parks(const struct worker *worker, const rd_kafka_message_t *message)
{
    return worker->consumer->options->followers == OUTBOX_CONSUMER_FOLLOW && has_key(message);
}

/* Opens the transaction.  A follower's key must be parked still: an operator may have released it. */
static int begin_letter(struct worker *worker, struct partition *partition, const struct dead_letter *letter,
                        bool follows, bool *ret_released, outbox_error **reterr)
{
    bool parked = true;
    int r = position_run(worker->pg, "BEGIN", reterr);

    if (r == OUTBOX_OK && follows)
        r = position_park_behind(worker->pg, partition, letter->message, &parked, reterr);
    if (r == OUTBOX_OK && !parked)
        r = position_run(worker->pg, "ROLLBACK", reterr);
    *ret_released = !parked;
    return r;
}

/* One transaction: the letter, what it does to its key, and the position. */
static int write_letter(struct worker *worker, struct partition *partition, const struct dead_letter *letter,
                        bool follows, bool *ret_released, outbox_error **reterr)
{
    int r = begin_letter(worker, partition, letter, follows, ret_released, reterr);

    if (r == OUTBOX_OK && *ret_released)
        return OUTBOX_OK;
    if (r == OUTBOX_OK)
        r = dead_letter_emit(worker->pg, partition, letter, reterr);
    if (r == OUTBOX_OK && !follows && parks(worker, letter->message))
        r = position_park_key(worker->pg, partition, letter->message, letter->reason, reterr);
    if (r == OUTBOX_OK)
        return position_commit(worker->pg, partition, letter->message->offset + 1, reterr);
    if (r == OUTBOX_ESERVER)
        (void)position_run(worker->pg, "ROLLBACK", NULL);
    return r;
}

static void on_buried(struct worker *worker, struct partition *partition, const struct dead_letter *letter,
                      bool follows)
{
    outbox_error *err = NULL;

    consumer_log(worker->consumer, OUTBOX_CONSUMER_ERROR, "dead_letter", "topic %s, partition %d, offset %lld: %s",
                 partition->topic, (int)partition->number, (long long)letter->message->offset, letter->reason);
    if (!follows && parks(worker, letter->message) &&
        !keyset_add(&partition->parked, letter->message->key, letter->message->key_len)) {
        outbox__fail_memory(&err);
        consumer_fail(worker->consumer, err);
    }
    on_committed(worker, partition, 1, true);
}

/* The first record at hand becomes a dead letter; if the outbox does not take it as it is (22...), without content. */
static void bury(struct worker *worker, struct partition *partition, const char *reason, bool follows)
{
    struct dead_letter letter = {partition_held(partition, 0), reason, partition->plan.failures, false};
    outbox_error *err = NULL;
    bool released;
    int r = write_letter(worker, partition, &letter, follows, &released, &err);

    if (r == OUTBOX_ESERVER && err && strncmp(outbox_error_sqlstate(err), "22", 2) == 0) {
        letter.bare = true;
        r = write_letter(worker, partition, &letter, follows, &released, &err);
    }
    if (r != OUTBOX_OK) {
        if (!on_trouble(worker, partition, r, err))
            put_off(worker, partition, "cannot write a dead letter", err);
        return;
    }
    outbox_error_free(err);
    if (released)
        keyset_remove(&partition->parked, letter.message->key, letter.message->key_len);
    else
        on_buried(worker, partition, &letter, follows);
}

static void give_up(struct worker *worker, struct partition *partition)
{
    const rd_kafka_message_t *message = partition_held(partition, 0);
    const char *reason = partition->reason[0] ? partition->reason : "the handler gave no reason";
    outbox_error *err = NULL;

    if (worker->consumer->options->failure == OUTBOX_CONSUMER_DEAD_LETTER) {
        bury(worker, partition, reason, false);
        return;
    }
    outbox__fail(&err, OUTBOX_ESTATE, "record",
                 "topic %s, partition %d, offset %lld cannot be handled: %s; mend the handler, or skip the record:"
                 " SELECT outbox.consumer_seek(consumer, topic, partition, %lld)",
                 partition->topic, (int)partition->number, (long long)message->offset, reason,
                 (long long)message->offset + 1);
    consumer_fail(worker->consumer, err);
}

/* ---- handling ---- */

static void on_failed(struct worker *worker, struct partition *partition, size_t count, enum plan_outcome outcome)
{
    mono_us wait = 0;

    switch (plan_note(&partition->plan, &worker->consumer->options->limits, outcome, count, random_u64(), &wait)) {
    case PLAN_GO_ON:
        return;
    case PLAN_WAIT:
        consumer_count(worker->consumer, OUTBOX_CONSUMER_RETRIES, 1);
        consumer_log(worker->consumer, OUTBOX_CONSUMER_WARNING, "retry",
                     "topic %s, partition %d, offset %lld, failure %d: %s", partition->topic, (int)partition->number,
                     (long long)partition_held(partition, 0)->offset, partition->plan.failures, partition->reason);
        wait_until(partition, clock_now() + wait);
        return;
    case PLAN_GIVE_UP:
        if (pg_usable(worker->pg)) /* else when there is a connection again */
            give_up(worker, partition);
        return;
    }
}

static void note_reason(struct partition *partition, const char *text)
{
    record_write_reason(partition->reason, text);
}

/* The reason that the handler gave, for one of the records. */
static void note_handlers_reason(const struct worker *worker, struct partition *partition, size_t count)
{
    note_reason(partition, "the handler gave no reason");
    for (size_t i = 0; i < count; i++) {
        if (worker->records[i].reason[0])
            note_reason(partition, worker->records[i].reason);
    }
}

static int call_handler(struct worker *worker, const struct partition *partition, size_t count)
{
    const outbox_consumer_options *options = worker->consumer->options;
    PGconn *raw = pg_raw(worker->pg);
    int answer;

    for (size_t i = 0; i < count; i++) {
        worker->records[i].message = partition_held(partition, i);
        worker->records[i].failures = count == 1 ? partition->plan.failures : 0;
        worker->records[i].reason[0] = '\0';
        worker->pointers[i] = &worker->records[i];
    }
    /* As the handler knows connections: COPY would not expect to be told to come again. */
    if (PQsetnonblocking(raw, 0) != 0)
        return OUTBOX_CONSUMER_RETRY;
    answer = options->handler(raw, worker->pointers, count, options->handler_context);
    if (PQstatus(raw) == CONNECTION_OK && PQtransactionStatus(raw) != PQTRANS_ACTIVE)
        (void)PQsetnonblocking(raw, 1); /* what it could not send shows with the next statement */
    return answer;
}

/* The handler must not be called again: the consumer ends, and the record stays to be done. */
static void end_by_handler(struct worker *worker, const struct partition *partition, const char *what)
{
    outbox_error *err = NULL;

    outbox__fail(&err, OUTBOX_ESTATE, "handler", "topic %s, partition %d, offset %lld: %s", partition->topic,
                 (int)partition->number, (long long)partition_held(partition, 0)->offset, what);
    worker_disconnect(worker);
    consumer_fail(worker->consumer, err);
}

static void commit(struct worker *worker, struct partition *partition, size_t count)
{
    outbox_error *err = NULL;
    int r = position_commit(worker->pg, partition, partition_held(partition, count - 1)->offset + 1, &err);

    if (r == OUTBOX_OK) {
        on_committed(worker, partition, count, false);
    } else if (!on_trouble(worker, partition, r, err)) {
        note_reason(partition, err ? outbox_error_message(err) : "out of memory");
        outbox_error_free(err);
        on_failed(worker, partition, count, PLAN_FAILED);
    }
}

/* The connection was lost while the handler ran: perhaps by chance, perhaps by what it does. */
static void on_lost_in_handler(struct worker *worker, struct partition *partition, size_t count)
{
    bool cut;

    pthread_mutex_lock(&worker->consumer->lock);
    cut = worker->cut;
    pthread_mutex_unlock(&worker->consumer->lock);
    on_lost(worker, partition, NULL);
    if (cut)
        return; /* by us */
    note_reason(partition, "the connection to PostgreSQL was lost while the record was handled");
    on_failed(worker, partition, count, PLAN_FAILED);
}

static void judge(struct worker *worker, struct partition *partition, size_t count, int answer)
{
    PGTransactionStatusType status = PQtransactionStatus(pg_raw(worker->pg));

    if (PQstatus(pg_raw(worker->pg)) != CONNECTION_OK || status == PQTRANS_UNKNOWN) {
        on_lost_in_handler(worker, partition, count);
        return;
    }
    if (status == PQTRANS_IDLE || PQpipelineStatus(pg_raw(worker->pg)) != PQ_PIPELINE_OFF) {
        end_by_handler(worker, partition,
                       "the handler has ended the transaction, or left the pipeline mode on, which it must not");
        return;
    }
    note_handlers_reason(worker, partition, count);
    if (status == PQTRANS_ACTIVE) {
        end_by_handler(worker, partition, "the handler has left results unread");
    } else if (answer == OUTBOX_CONSUMER_DONE && status == PQTRANS_INTRANS) {
        commit(worker, partition, count);
    } else if (answer < OUTBOX_CONSUMER_DONE || answer >= OUTBOX_CONSUMER_STOP) {
        end_by_handler(worker, partition,
                       answer == OUTBOX_CONSUMER_STOP ? "the handler asked to stop"
                                                      : "the handler gave an answer that there is not");
    } else {
        if (answer == OUTBOX_CONSUMER_DONE)
            note_reason(partition, "a statement has failed, but the handler did not tell");
        if (position_run(worker->pg, "ROLLBACK", NULL) < 0 && !pg_usable(worker->pg))
            on_lost(worker, partition, NULL);
        on_failed(worker, partition, count, answer == OUTBOX_CONSUMER_REJECT ? PLAN_REJECTED : PLAN_FAILED);
    }
}

/* How many of the records at hand come before one whose key is parked. */
static size_t before_parked(const struct partition *partition, size_t count)
{
    if (partition->parked.count == 0)
        return count;
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_message_t *message = partition_held(partition, i);

        if (has_key(message) && keyset_has(&partition->parked, message->key, message->key_len))
            return i;
    }
    return count;
}

static void handle(struct worker *worker, struct partition *partition)
{
    size_t count = before_parked(partition, plan_count(&partition->plan, partition->held_count));
    outbox_error *err = NULL;

    if (count == 0) {
        bury(worker, partition, "an earlier event of its key is a dead letter", true);
        return;
    }
    if (partition->plan.failures >= worker->consumer->options->limits.attempts) {
        give_up(worker, partition);
        return;
    }
    if (position_run(worker->pg, "BEGIN", &err) < 0) {
        put_off(worker, partition, "cannot begin a transaction", err);
        return;
    }
    judge(worker, partition, count, call_handler(worker, partition, count));
}

void work(struct worker *worker, struct partition *partition)
{
    outbox_error *err = NULL;
    bool check_due, waits;

    if (partition->stage == STAGE_ACQUIRE) {
        acquire(worker, partition);
        return;
    }
    pthread_mutex_lock(&worker->consumer->lock);
    check_due = partition->check_due;
    partition->check_due = false;
    waits = partition->not_before > clock_now(); /* picked for the check alone */
    pthread_mutex_unlock(&worker->consumer->lock);
    if (check_due)
        check_fence(worker, partition);
    if (waits || partition->stage != STAGE_FETCHING || atomic_load(&worker->consumer->paused) ||
        !pg_usable(worker->pg))
        return;
    pthread_mutex_lock(&worker->consumer->lock);
    partition->signalled = false;
    pthread_mutex_unlock(&worker->consumer->lock);
    if (partition->held_count == 0 && !partition_fetch(partition, &err)) {
        consumer_fail(worker->consumer, err);
        return;
    }
    if (partition->held_count > 0)
        handle(worker, partition);
}
