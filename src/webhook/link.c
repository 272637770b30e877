#include "webhook/link.h"

#include "runtime/log.h"
#include "runtime/metrics.h"

#define STATEMENT_TIMEOUT SECONDS(5)
#define CONNECT_TIMEOUT SECONDS(5)
#define BACKOFF_FIRST MILLISECONDS(100)
#define BACKOFF_LAST SECONDS(5)

void link_init(struct link *link, const char *dsn, const char *worker, const char *application_name,
               const _Atomic mono_us *stop_at)
{
    *link = (struct link){.dsn = dsn,
                          .worker = worker,
                          .application_name = application_name,
                          .stop_at = stop_at,
                          .backoff = BACKOFF_FIRST};
}

/* From 50 to 150 % of wait. */
static mono_us jitter(mono_us wait)
{
    return wait / 2 + (mono_us)(random_u64() % (uint64_t)wait);
}

static mono_us deadline_in(const struct link *link, mono_us wait)
{
    mono_us deadline = clock_now() + wait;
    mono_us stop_at = atomic_load(link->stop_at);

    return deadline < stop_at ? deadline : stop_at;
}

mono_us link_deadline(const struct link *link)
{
    return deadline_in(link, STATEMENT_TIMEOUT);
}

bool link_connect(struct link *link, mono_us now)
{
    outbox_error *error = NULL;

    if (link->store || now < link->connect_at)
        return false;
    link->store = store_open(link->dsn, link->application_name, link->worker,
                             deadline_in(link, CONNECT_TIMEOUT), &error);
    if (!link->store) {
        link_lose(link, "connect", error);
        return false;
    }
    metric_add(METRIC_DATABASE_CONNECTIONS + METRIC_PART_WEBHOOKS, 1);
    return true;
}

void link_proved(struct link *link)
{
    link->backoff = BACKOFF_FIRST;
}

void link_lose(struct link *link, const char *what, outbox_error *error)
{
    bool again = repeat_seen(&link->repeat, outbox_error_message(error), clock_now());

    log_write(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "webhook_database", LOG_TEXT("doing", what),
              LOG_TEXT("error", outbox_error_message(error)), LOG_TEXT("sqlstate", outbox_error_sqlstate(error)));
    outbox_error_free(error);
    metric_add(METRIC_DATABASE_FAILURES + METRIC_PART_WEBHOOKS, 1);
    link_close(link);
    link->connect_at = clock_now() + jitter(link->backoff);
    link->backoff = link->backoff * 2 < BACKOFF_LAST ? link->backoff * 2 : BACKOFF_LAST;
}

void link_close(struct link *link)
{
    store_close(link->store);
    link->store = NULL;
}
