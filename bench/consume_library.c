/* consume-library BOOTSTRAP DSN TOPIC GROUP EVENTS BATCH WORKERS: consumes EVENTS records by the consumer library, each
 * batch written as consume-raw does; prints records a second, from the first batch to the end. */
#include <outbox/consumer.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "consume_rows.h"
#include "runtime/clock.h"

static outbox_consumer *consumer;
static _Atomic int64_t began;
static int64_t events;

static int handle(struct pg_conn *conn, outbox_record *const records[], size_t count, void *context)
{
    struct rows rows = {0};
    int64_t none = 0;
    bool fine;

    (void)context;
    atomic_compare_exchange_strong(&began, &none, clock_now());
    for (size_t i = 0; i < count; i++) {
        size_t size;
        const void *payload = outbox_record_payload(records[i], &size);

        rows_add(&rows, outbox_record_partition(records[i]), outbox_record_offset(records[i]), payload, size);
    }
    fine = rows_insert(&rows, conn);
    rows_free(&rows);
    return fine ? OUTBOX_CONSUMER_DONE : OUTBOX_CONSUMER_RETRY;
}

static void *watch(void *argument)
{
    (void)argument;
    while (outbox_consumer_get(consumer, OUTBOX_CONSUMER_RECORDS) < events)
        clock_sleep_until(clock_now() + MILLISECONDS(1));
    printf("%.1f\n", (double)events * 1e6 / (double)(clock_now() - atomic_load(&began)));
    outbox_consumer_stop(consumer);
    return NULL;
}

static void on_log(int level, const char *event, const char *text, void *context)
{
    (void)context;
    if (level <= OUTBOX_CONSUMER_WARNING)
        fprintf(stderr, "%s: %s\n", event, text);
}

int main(int argc, char **argv)
{
    outbox_consumer_options *options = outbox_consumer_options_new();
    outbox_error *err = NULL;
    pthread_t thread;
    int r;

    if (argc != 8) {
        fprintf(stderr, "usage: consume-library BOOTSTRAP DSN TOPIC GROUP EVENTS BATCH WORKERS\n");
        return 2;
    }
    events = strtoll(argv[5], NULL, 10);
    outbox_consumer_options_set_property(options, "bootstrap.servers", argv[1]);
    outbox_consumer_options_set_dsn(options, argv[2]);
    outbox_consumer_options_add_topic(options, argv[3]);
    outbox_consumer_options_set_name(options, argv[4]);
    outbox_consumer_options_set_batch(options, (int)strtol(argv[6], NULL, 10));
    outbox_consumer_options_set_workers(options, (int)strtol(argv[7], NULL, 10));
    outbox_consumer_options_set_handler(options, handle, NULL);
    outbox_consumer_options_set_log(options, on_log, NULL);
    r = outbox_consumer_new(options, &consumer, &err);
    outbox_consumer_options_free(options);
    if (r == OUTBOX_OK && pthread_create(&thread, NULL, watch, NULL) == 0) {
        r = outbox_consumer_run(consumer, &err);
        if (r == OUTBOX_OK)
            pthread_join(thread, NULL);
    }
    if (r != OUTBOX_OK)
        fprintf(stderr, "consume-library: %s\n", err ? outbox_error_message(err) : "no thread");
    outbox_error_free(err);
    outbox_consumer_free(consumer);
    return r == OUTBOX_OK ? 0 : 1;
}
