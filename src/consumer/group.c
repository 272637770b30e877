/* Membership of the group: which partitions there are, and what librdkafka fetches. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "consumer/state.h"

#define POLL_MS 100
#define MIRROR_EVERY SECONDS(2)
#define CHECK_EVERY SECONDS(10)
/* After the connection was cut: until a handler has to have noticed. */
#define CUT_PATIENCE SECONDS(10)

/* librdkafka's threads, with a lock of it held: the queue has become not empty. */
static void on_records(rd_kafka_t *handle, void *opaque)
{
    struct partition *partition = opaque;
    outbox_consumer *consumer = partition->consumer;

    (void)handle;
    pthread_mutex_lock(&consumer->lock);
    partition->signalled = true;
    pthread_cond_signal(&consumer->work);
    pthread_mutex_unlock(&consumer->lock);
}

static struct partition *find(const outbox_consumer *consumer, const rd_kafka_topic_partition_t *entry)
{
    struct partition *partition = consumer->partitions;

    while (partition && (partition->number != entry->partition || strcmp(partition->topic, entry->topic) != 0))
        partition = partition->next;
    return partition;
}

static void fail_with(outbox_consumer *consumer, rd_kafka_error_t *error, const char *what)
{
    outbox_error *err = NULL;

    outbox__fail(&err, OUTBOX_EINTERNAL, NULL, "%s: %s", what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    consumer_fail(consumer, err);
}

/* ---- assigned ---- */

/* Nothing is fetched yet: first a worker takes each partition over in PostgreSQL, and learns where to
 * begin.  librdkafka is told that the assignment has been seen. */
static void on_assigned(outbox_consumer *consumer, const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(0);
    rd_kafka_error_t *error;

    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = partition_new(consumer, list->elems[i].topic, list->elems[i].partition);

        if (!partition) {
            outbox_error *err = NULL;

            outbox__fail_memory(&err);
            consumer_fail(consumer, err);
            break;
        }
        pthread_mutex_lock(&consumer->lock);
        partition->next = consumer->partitions;
        consumer->partitions = partition;
        pthread_cond_signal(&consumer->work);
        pthread_mutex_unlock(&consumer->lock);
        consumer_count(consumer, OUTBOX_CONSUMER_PARTITIONS, 1);
        consumer_log(consumer, OUTBOX_CONSUMER_INFO, "assigned", "topic %s, partition %d", partition->topic,
                     (int)partition->number);
    }
    error = rd_kafka_incremental_assign(consumer->handle, none);
    rd_kafka_topic_partition_list_destroy(none);
    if (error)
        fail_with(consumer, error, "cannot accept an assignment");
}

static rd_kafka_error_t *change_assignment(struct partition *partition, bool add)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *entry =
        rd_kafka_topic_partition_list_add(list, partition->topic, partition->number);
    rd_kafka_error_t *error;

    entry->offset = partition->position;
    error = add ? rd_kafka_incremental_assign(partition->consumer->handle, list)
                : rd_kafka_incremental_unassign(partition->consumer->handle, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (!error)
        partition->assigned = add;
    return error;
}

/* Has librdkafka fetch from the position, into a queue of the partition's own: what is fetched ahead
 * is then limited by partition, and a slow handler holds up nothing but its partition. */
static void start_fetching(struct partition *partition)
{
    outbox_consumer *consumer = partition->consumer;
    rd_kafka_error_t *error = partition->assigned ? change_assignment(partition, false) : NULL;

    if (!error && !partition->queue) {
        /* Before the assignment: or records go to the group's queue at first. */
        partition->queue = rd_kafka_queue_get_partition(consumer->handle, partition->topic, partition->number);
        rd_kafka_queue_forward(partition->queue, NULL);
        rd_kafka_queue_cb_event_enable(partition->queue, on_records, partition);
    }
    partition->fetched = partition->position;
    if (!error)
        error = change_assignment(partition, true);
    if (error) {
        fail_with(consumer, error, "cannot fetch a partition");
        return;
    }
    pthread_mutex_lock(&consumer->lock);
    partition->stage = STAGE_FETCHING;
    partition->signalled = true;
    pthread_cond_signal(&consumer->work);
    pthread_mutex_unlock(&consumer->lock);
}

static void start_acquired(outbox_consumer *consumer)
{
    for (struct partition *partition = consumer->partitions; partition; partition = partition->next) {
        bool acquired;

        pthread_mutex_lock(&consumer->lock);
        acquired = partition->stage == STAGE_ACQUIRED && !partition->busy && !partition->revoked;
        pthread_mutex_unlock(&consumer->lock);
        if (acquired)
            start_fetching(partition);
    }
}

/* ---- revoked ---- */

/* Is a worker busy with one that is revoked, and waited for? */
static bool any_busy(const outbox_consumer *consumer)
{
    for (const struct partition *partition = consumer->partitions; partition; partition = partition->next) {
        if (partition->revoked && partition->busy && !partition->abandoned)
            return true;
    }
    return false;
}

/* Waits until no worker is busy with what is revoked: the transactions that run may end, and are cut
 * off after the drain timeout.  Returns with the lock held. */
static void settle_revoked(outbox_consumer *consumer)
{
    mono_us deadline = clock_now() + consumer->options->drain_timeout;

    pthread_mutex_lock(&consumer->lock);
    while (any_busy(consumer) && clock_now() < deadline)
        consumer_wait(consumer, &consumer->settled, deadline);
    if (!any_busy(consumer))
        return;
    for (struct partition *partition = consumer->partitions; partition; partition = partition->next) {
        if (partition->revoked && partition->busy)
            worker_cut(consumer, partition);
    }
    deadline = clock_now() + CUT_PATIENCE;
    while (any_busy(consumer) && clock_now() < deadline)
        consumer_wait(consumer, &consumer->settled, deadline);
    for (struct partition *partition = consumer->partitions; partition; partition = partition->next)
        partition->abandoned = partition->abandoned || (partition->revoked && partition->busy);
}

/* Takes what is revoked out of the list; returns it as a list, but for what a worker is busy with still:
 * its handler does not come back.  That one frees it, and cannot commit: its connection is cut. */
static struct partition *take_revoked(outbox_consumer *consumer)
{
    struct partition **link = &consumer->partitions;
    struct partition *taken = NULL;

    while (*link) {
        struct partition *partition = *link;

        if (!partition->revoked) {
            link = &partition->next;
            continue;
        }
        *link = partition->next;
        partition->next = taken;
        taken = partition;
    }
    return taken;
}

/* Has librdkafka let go of them, in one call: it is the last word on this rebalance, and has to come even if
 * nothing of them had been fetched. */
static void unassign(outbox_consumer *consumer, const struct partition *partition)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    rd_kafka_error_t *error;

    for (; partition; partition = partition->next) {
        if (partition->assigned)
            rd_kafka_topic_partition_list_add(list, partition->topic, partition->number);
    }
    error = rd_kafka_incremental_unassign(consumer->handle, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (!error)
        return;
    consumer_log(consumer, OUTBOX_CONSUMER_WARNING, "kafka", "%s", rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
}

static void let_go(outbox_consumer *consumer, struct partition *partition)
{
    bool busy;

    consumer_count(consumer, OUTBOX_CONSUMER_PARTITIONS, -1);
    consumer_log(consumer, OUTBOX_CONSUMER_INFO, "revoked", "topic %s, partition %d", partition->topic,
                 (int)partition->number);
    if (partition->queue)
        rd_kafka_queue_cb_event_enable(partition->queue, NULL, NULL);
    pthread_mutex_lock(&consumer->lock);
    busy = partition->busy;
    partition->orphaned = true;
    pthread_mutex_unlock(&consumer->lock);
    if (!busy)
        partition_free(partition);
}

static void on_revoked(outbox_consumer *consumer, const rd_kafka_topic_partition_list_t *list)
{
    struct partition *partition;

    pthread_mutex_lock(&consumer->lock);
    for (int i = 0; i < list->cnt; i++) {
        partition = find(consumer, &list->elems[i]);
        if (partition)
            partition->revoked = true;
    }
    pthread_mutex_unlock(&consumer->lock);
    settle_revoked(consumer);
    pthread_mutex_unlock(&consumer->lock);
    group_mirror(consumer);
    pthread_mutex_lock(&consumer->lock);
    partition = take_revoked(consumer);
    pthread_mutex_unlock(&consumer->lock);
    unassign(consumer, partition);
    while (partition) {
        struct partition *next = partition->next;

        let_go(consumer, partition);
        partition = next;
    }
}

void group_rebalance(rd_kafka_t *handle, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    outbox_consumer *consumer = opaque;
    outbox_error *err = NULL;

    (void)handle;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        atomic_store(&consumer->assigned_once, true);
        on_assigned(consumer, list);
    } else if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        on_revoked(consumer, list);
    } else {
        outbox__fail(&err, OUTBOX_ECONNECTION, NULL, "the group cannot be joined: %s", rd_kafka_err2str(code));
        consumer_fail(consumer, err);
    }
}

bool group_drain(outbox_consumer *consumer)
{
    bool drained = true;

    pthread_mutex_lock(&consumer->lock);
    for (struct partition *partition = consumer->partitions; partition; partition = partition->next)
        partition->revoked = true;
    pthread_cond_broadcast(&consumer->work);
    pthread_mutex_unlock(&consumer->lock);
    settle_revoked(consumer);
    for (const struct partition *partition = consumer->partitions; partition; partition = partition->next)
        drained = drained && !partition->abandoned;
    pthread_mutex_unlock(&consumer->lock);
    return drained;
}

void group_free_partitions(outbox_consumer *consumer)
{
    while (consumer->partitions) {
        struct partition *partition = consumer->partitions;

        consumer->partitions = partition->next;
        partition_free(partition);
    }
}

/* ---- monitoring ---- */

void group_mirror(outbox_consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);

    pthread_mutex_lock(&consumer->lock);
    for (struct partition *partition = consumer->partitions; partition; partition = partition->next) {
        if (partition->done < 0 || partition->done == partition->mirrored)
            continue;
        rd_kafka_topic_partition_list_add(list, partition->topic, partition->number)->offset = partition->done;
        partition->mirrored = partition->done;
    }
    pthread_mutex_unlock(&consumer->lock);
    /* Nobody relies on it: what fails is written again when the position has moved. */
    if (list->cnt > 0)
        (void)rd_kafka_commit(consumer->handle, list, 1);
    rd_kafka_topic_partition_list_destroy(list);
}

static void demand_checks(outbox_consumer *consumer)
{
    pthread_mutex_lock(&consumer->lock);
    for (struct partition *partition = consumer->partitions; partition; partition = partition->next)
        partition->check_due = partition->signalled = true;
    pthread_cond_broadcast(&consumer->work);
    pthread_mutex_unlock(&consumer->lock);
}

/* ---- polling ---- */

static int subscribe(outbox_consumer *consumer, outbox_error **reterr)
{
    const outbox_consumer_options *options = consumer->options;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)options->topic_count);
    rd_kafka_resp_err_t code;

    for (size_t i = 0; i < options->topic_count; i++)
        rd_kafka_topic_partition_list_add(list, options->topics[i], RD_KAFKA_PARTITION_UA);
    code = rd_kafka_subscribe(consumer->handle, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return outbox__fail(reterr, OUTBOX_EINVAL, "topic",
                            "cannot subscribe: %s; look at the names and patterns of topics", rd_kafka_err2str(code));
    return OUTBOX_OK;
}

/* What the group's queue brings: errors, since records go to their partitions' queues. */
static void judge(outbox_consumer *consumer, const rd_kafka_message_t *message)
{
    const char *topic = message->rkt ? rd_kafka_topic_name(message->rkt) : "";
    outbox_error *err = NULL;

    switch (message->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        return;
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        outbox__fail(&err, OUTBOX_ECONNECTION, "name", "Kafka refuses group %s: give its user the right to read it",
                     consumer->options->name);
        break;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        outbox__fail(&err, OUTBOX_ECONNECTION, "topic", "Kafka refuses topic %s: give its user the right to read it",
                     topic);
        break;
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
        outbox__fail(&err, OUTBOX_ECONNECTION, "name",
                     "group %s has members of another assignment strategy: give this consumer a name of its own",
                     consumer->options->name);
        break;
    case RD_KAFKA_RESP_ERR__FATAL:
        outbox__fail(&err, OUTBOX_ECONNECTION, NULL, "librdkafka cannot go on: %s", rd_kafka_message_errstr(message));
        break;
    default:
        consumer_log(consumer, OUTBOX_CONSUMER_WARNING, "kafka", "%s", rd_kafka_message_errstr(message));
        return;
    }
    consumer_fail(consumer, err);
}

void group_poll(outbox_consumer *consumer)
{
    mono_us mirror_at = 0;
    mono_us check_at = clock_now() + CHECK_EVERY;
    outbox_error *err = NULL;

    if (subscribe(consumer, &err) < 0)
        consumer_fail(consumer, err);
    while (!atomic_load(&consumer->stop) && !atomic_load(&consumer->stopping)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->handle, POLL_MS);

        if (message) {
            judge(consumer, message);
            rd_kafka_message_destroy(message);
        }
        start_acquired(consumer);
        if (clock_now() >= mirror_at) {
            group_mirror(consumer);
            mirror_at = clock_now() + MIRROR_EVERY;
        }
        if (clock_now() >= check_at) {
            demand_checks(consumer);
            check_at = clock_now() + CHECK_EVERY;
        }
    }
}
