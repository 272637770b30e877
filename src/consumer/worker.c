/* The threads that handle records, and their connections. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "consumer/record.h"
#include "consumer/state.h"

#define CONNECT_TIMEOUT SECONDS(5)
#define LONGEST_SLEEP SECONDS(1)

static const struct plan_limits connecting = {1, MILLISECONDS(100), SECONDS(10)};

/* ---- connections ---- */

static void set_pg(struct worker *worker, struct pg *pg)
{
    pthread_mutex_lock(&worker->consumer->lock);
    worker->pg = pg;
    worker->cut = false;
    pthread_mutex_unlock(&worker->consumer->lock);
}

void worker_disconnect(struct worker *worker)
{
    struct pg *pg = worker->pg;

    set_pg(worker, NULL);
    pg_close(pg);
}

static void *cancel_main(void *request)
{
    char text[256];

    PQcancel(request, text, sizeof(text));
    PQfreeCancel(request);
    return NULL;
}

/* The server is told to give up the statement; in a thread, as that may take any time. */
static void cancel(struct pg *pg)
{
    PGcancel *request = PQgetCancel(pg_raw(pg));
    pthread_t thread;

    if (request && pthread_create(&thread, NULL, cancel_main, request) == 0)
        pthread_detach(thread);
    else
        PQfreeCancel(request);
}

void worker_cut(outbox_consumer *consumer, const struct partition *partition)
{
    for (int i = 0; i < consumer->worker_count; i++) {
        struct worker *worker = &consumer->workers[i];

        if (worker->partition != partition || !worker->pg || worker->cut)
            continue;
        worker->cut = true;
        cancel(worker->pg);
        /* And whatever the handler does then, nothing of it can reach the server. */
        (void)shutdown(PQsocket(pg_raw(worker->pg)), SHUT_RDWR);
    }
}

/* Would every try fail, until somebody does something? */
static bool is_hopeless(const outbox_consumer *consumer, const outbox_error *err)
{
    static const char *const lasting[] = {"42501", "42883", "42P01", "3F000"};
    const char *sqlstate = outbox_error_sqlstate(err);

    switch (outbox_error_code(err)) {
    case OUTBOX_EINVAL:
    case OUTBOX_ELIMIT:
    case OUTBOX_ENOMEM:
        return true;
    case OUTBOX_ESERVER:
        for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++) {
            if (strcmp(sqlstate, lasting[i]) == 0)
                return true;
        }
        /* The position is one of another cluster. */
        return strcmp(sqlstate, "55000") == 0 && strcmp(outbox_error_field(err), "cluster") == 0;
    case OUTBOX_ECONNECTION: /* a wrong password or database, unless it was right before */
        return !consumer->connected_once && (strncmp(sqlstate, "28", 2) == 0 || strcmp(sqlstate, "3D000") == 0);
    default:
        return false;
    }
}

static const char *remedy_for(const outbox_error *err)
{
    const char *sqlstate = outbox_error_sqlstate(err);

    if (strcmp(sqlstate, "42501") == 0)
        return "; GRANT outbox_consumer to the role that connects";
    if (strcmp(sqlstate, "42883") == 0 || strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "3F000") == 0)
        return "; install the schema, or bring it up to date, with outboxctl migrate";
    return "";
}

void worker_trouble(struct worker *worker, const char *what, outbox_error *err)
{
    outbox_error *told = NULL;
    bool hopeless;

    pthread_mutex_lock(&worker->consumer->lock);
    hopeless = is_hopeless(worker->consumer, err);
    pthread_mutex_unlock(&worker->consumer->lock);
    if (!hopeless) {
        consumer_log(worker->consumer, OUTBOX_CONSUMER_WARNING, "postgres", "%s: %s", what, outbox_error_message(err));
        outbox_error_free(err);
        return;
    }
    outbox__fail_sqlstate(&told, outbox_error_code(err), outbox_error_field(err), outbox_error_sqlstate(err),
                          "%s: %s%s", what, outbox_error_message(err), remedy_for(err));
    outbox_error_free(err);
    consumer_fail(worker->consumer, told);
}

static int prepare_session(struct pg *pg, const outbox_consumer *consumer, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_int(&args, consumer->options->transaction_timeout / 1000);
    return pg_exec(pg, "SELECT set_config('idle_in_transaction_session_timeout', $1, false)", &args, 0,
                   clock_now() + CONNECT_TIMEOUT, NULL, reterr);
}

bool worker_connect(struct worker *worker)
{
    const outbox_consumer_options *options = worker->consumer->options;
    const struct pg_conn_settings settings = {.dsn = options->dsn,
                                              .application_name = "outbox-consumer",
                                              .connect_timeout = CONNECT_TIMEOUT,
                                              .allow_plaintext = options->insecure,
                                              .consent = CONSUMER_CONSENT};
    outbox_error *err = NULL;
    struct pg *pg;

    if (pg_usable(worker->pg))
        return true;
    worker_disconnect(worker);
    pg = pg_open(&settings, &err);
    if (pg && prepare_session(pg, worker->consumer, &err) == OUTBOX_OK) {
        worker->connect_failures = 0;
        set_pg(worker, pg);
        pthread_mutex_lock(&worker->consumer->lock);
        worker->consumer->connected_once = true;
        pthread_mutex_unlock(&worker->consumer->lock);
        return true;
    }
    pg_close(pg);
    worker->connect_failures++;
    worker->connect_after = clock_now() + plan_pause(&connecting, worker->connect_failures, random_u64());
    worker_trouble(worker, "cannot connect to PostgreSQL", err);
    return false;
}

/* ---- what there is to do ---- */

static bool has_work(const struct partition *partition, bool paused)
{
    switch (partition->stage) {
    case STAGE_ACQUIRE:
        return true;
    case STAGE_FETCHING:
        return partition->check_due || (!paused && (partition->signalled || partition->has_held));
    case STAGE_ACQUIRED:
        break;
    }
    return false;
}

/* The partition that has waited longest, with the lock held; NULL: none, and *ret_until says how long
 * there will be none by itself. */
static struct partition *pick(outbox_consumer *consumer, mono_us *ret_until)
{
    bool paused = atomic_load(&consumer->paused);
    struct partition *best = NULL;
    mono_us now = clock_now();

    *ret_until = now + LONGEST_SLEEP;
    for (struct partition *partition = consumer->partitions; partition; partition = partition->next) {
        if (partition->busy || partition->revoked || !has_work(partition, paused))
            continue;
        if (partition->not_before > now && !(partition->stage == STAGE_FETCHING && partition->check_due)) {
            if (partition->not_before < *ret_until)
                *ret_until = partition->not_before;
        } else if (!best || partition->turn < best->turn) {
            best = partition;
        }
    }
    return best;
}

static struct partition *take(struct worker *worker)
{
    outbox_consumer *consumer = worker->consumer;
    struct partition *partition = NULL;

    pthread_mutex_lock(&consumer->lock);
    while (!atomic_load(&consumer->stopping)) {
        mono_us until;

        partition = pick(consumer, &until);
        if (partition && worker->connect_after > clock_now()) {
            partition = NULL; /* another worker may have a connection */
            until = worker->connect_after;
        }
        if (partition)
            break;
        consumer_wait(consumer, &consumer->work, until);
    }
    if (partition) {
        partition->busy = true;
        partition->turn = ++consumer->turn;
        worker->partition = partition;
    }
    pthread_mutex_unlock(&consumer->lock);
    return partition;
}

static void give_back(struct worker *worker, struct partition *partition)
{
    outbox_consumer *consumer = worker->consumer;
    bool orphaned;

    pthread_mutex_lock(&consumer->lock);
    partition->busy = false;
    partition->has_held = partition->held_count > 0;
    orphaned = partition->orphaned;
    worker->partition = NULL;
    pthread_cond_broadcast(&consumer->settled);
    pthread_mutex_unlock(&consumer->lock);
    if (orphaned)
        partition_free(partition);
}

/* Making a connection takes time, and there is nothing to be cut off meanwhile. */
static bool is_revoked(const struct partition *partition)
{
    bool revoked;

    pthread_mutex_lock(&partition->consumer->lock);
    revoked = partition->revoked;
    pthread_mutex_unlock(&partition->consumer->lock);
    return revoked;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct partition *partition;

    while ((partition = take(worker)) != NULL) {
        if (worker_connect(worker) && !is_revoked(partition))
            work(worker, partition);
        give_back(worker, partition);
    }
    worker_disconnect(worker);
    pthread_mutex_lock(&worker->consumer->lock);
    worker->ended = true;
    pthread_cond_broadcast(&worker->consumer->settled);
    pthread_mutex_unlock(&worker->consumer->lock);
    return NULL;
}

/* ---- beginning and end ---- */

static bool start_one(outbox_consumer *consumer, struct worker *worker)
{
    size_t batch = (size_t)consumer->options->batch;

    worker->consumer = consumer;
    worker->records = calloc(batch, sizeof(*worker->records));
    worker->pointers = calloc(batch, sizeof(*worker->pointers));
    if (!worker->records || !worker->pointers)
        return false;
    worker->started = pthread_create(&worker->thread, NULL, worker_main, worker) == 0;
    return worker->started;
}

bool workers_start(outbox_consumer *consumer)
{
    int count = consumer->options->workers;
    sigset_t all, before;
    bool fine = true;

    consumer->workers = calloc((size_t)count, sizeof(*consumer->workers));
    consumer->worker_count = consumer->workers ? count : 0;
    /* The host's signals are for the host's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < consumer->worker_count && fine; i++)
        fine = start_one(consumer, &consumer->workers[i]);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    fine = fine && consumer->workers;
    if (!fine) {
        outbox_error *err = NULL;

        outbox__fail(&err, OUTBOX_ENOMEM, "workers", "workers: there is no room for %d threads", count);
        consumer_fail(consumer, err);
    }
    return fine;
}

static bool any_running(const outbox_consumer *consumer)
{
    for (int i = 0; i < consumer->worker_count; i++) {
        if (consumer->workers[i].started && !consumer->workers[i].ended)
            return true;
    }
    return false;
}

bool workers_join(outbox_consumer *consumer, mono_us deadline)
{
    bool running;

    pthread_mutex_lock(&consumer->lock);
    pthread_cond_broadcast(&consumer->work);
    while (any_running(consumer) && clock_now() < deadline)
        consumer_wait(consumer, &consumer->settled, deadline);
    running = any_running(consumer);
    pthread_mutex_unlock(&consumer->lock);
    for (int i = 0; !running && i < consumer->worker_count; i++) {
        if (consumer->workers[i].started)
            pthread_join(consumer->workers[i].thread, NULL);
        consumer->workers[i].started = false;
    }
    return !running;
}

void workers_free(outbox_consumer *consumer)
{
    for (int i = 0; i < consumer->worker_count; i++) {
        free(consumer->workers[i].records);
        free(consumer->workers[i].pointers);
    }
    free(consumer->workers);
    consumer->workers = NULL;
    consumer->worker_count = 0;
}
