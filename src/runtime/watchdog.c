#include "runtime/watchdog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "runtime/log.h"
#include "runtime/metrics.h"

#define SLOTS 256 /* threads; what is beyond is not watched */
#define INTERVAL SECONDS(1)

/* Of one thread as long as that lives. */
struct slot {
    atomic_bool used;
    char thread[16]; /* written before the first `due` */
    _Atomic(const char *) what;
    atomic_bool name;     /* it waits for a look-up, perhaps */
    _Atomic mono_us due;  /* 0: it waits for nothing, or for work */
    _Atomic mono_us told; /* the due that was logged */
};

static struct slot slots[SLOTS];
static _Thread_local struct slot *own;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_made;
/* Until then nobody could keep a deadline: the process was stopped, or the machine asleep. */
static _Atomic mono_us resumed_at;

static void give_back(void *slot)
{
    atomic_store(&((struct slot *)slot)->due, 0);
    atomic_store(&((struct slot *)slot)->used, false);
}

static void make_key(void)
{
    key_made = pthread_key_create(&key, give_back) == 0;
}

/* NULL if there is none left. */
static struct slot *own_slot(void)
{
    pthread_once(&once, make_key);
    for (int i = 0; i < SLOTS && !own && key_made; i++) {
        struct slot *slot = &slots[i];

        if (atomic_load(&slot->used) || atomic_exchange(&slot->used, true))
            continue;
        if (pthread_setspecific(key, slot) != 0) {
            give_back(slot);
            break;
        }
        if (pthread_getname_np(pthread_self(), slot->thread, sizeof(slot->thread)) != 0)
            slot->thread[0] = '\0';
        own = slot;
    }
    return own;
}

static void expect(const char *what, bool name, mono_us deadline)
{
    struct slot *slot = own_slot();

    if (!slot)
        return;
    atomic_store(&slot->what, what);
    atomic_store(&slot->name, name);
    atomic_store(&slot->due, deadline > 0 ? deadline : 1);
}

void watchdog_expect(const char *what, mono_us deadline)
{
    expect(what, false, deadline);
}

void watchdog_expect_name(const char *what, mono_us deadline)
{
    expect(what, true, deadline);
}

static mono_us overdue_by(mono_us due, mono_us now)
{
    mono_us resumed = atomic_load(&resumed_at);

    return due == 0 ? 0 : now - (due > resumed ? due : resumed);
}

void watchdog_met(void)
{
    mono_us due = own ? atomic_exchange(&own->due, 0) : 0;

    if (due != 0 && atomic_load(&own->told) == due)
        log_info("wait_ended", LOG_TEXT("thread", own->thread), LOG_TEXT("for", atomic_load(&own->what)),
                 LOG_NUMBER("overdue_ms", (clock_now() - due) / 1000));
}

void watchdog_look(mono_us now, struct watchdog_view *ret)
{
    *ret = (struct watchdog_view){.overdue = 0};
    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &slots[i];
        mono_us due = atomic_load(&slot->due);

        if (overdue_by(due, now) < WATCHDOG_GRACE)
            continue;
        ret->overdue++;
        ret->hung += !atomic_load(&slot->name);
        if (ret->overdue > 1 && due >= ret->since)
            continue;
        ret->since = due;
        ret->what = atomic_load(&slot->what);
        memcpy(ret->thread, slot->thread, sizeof(ret->thread));
    }
}

/* ---- the thread ---- */

static pthread_t thread;
static bool started;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static bool quit; /* under lock */

/* Each once.  What was met in between, or is another by now, is found out the next time. */
static void tell(mono_us now)
{
    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &slots[i];
        mono_us due = atomic_load(&slot->due);

        if (overdue_by(due, now) < WATCHDOG_GRACE || atomic_exchange(&slot->told, due) == due)
            continue;
        log_error("wait_overdue", LOG_TEXT("thread", slot->thread), LOG_TEXT("for", atomic_load(&slot->what)),
                  LOG_NUMBER("overdue_ms", (now - due) / 1000));
    }
}

static bool sleep_until(mono_us moment)
{
    const struct timespec until = {moment / 1000000, moment % 1000000 * 1000};
    bool go_on;

    pthread_mutex_lock(&lock);
    while (!quit && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        ;
    go_on = !quit;
    pthread_mutex_unlock(&lock);
    return go_on;
}

static void *watchdog_main(void *argument)
{
    mono_us due = clock_now() + INTERVAL;

    (void)argument;
    pthread_setname_np(pthread_self(), "watchdog");
    while (sleep_until(due)) {
        struct watchdog_view view;
        mono_us now = clock_now();

        if (now - due > INTERVAL)
            atomic_store(&resumed_at, now);
        watchdog_look(now, &view);
        metric_set(METRIC_WAITS_OVERDUE, view.overdue); /* before the log, for which it may be that they wait */
        if (view.overdue > 0)
            tell(now);
        due = clock_now() + INTERVAL;
    }
    return NULL;
}

bool watchdog_start(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attributes);
    pthread_condattr_destroy(&attributes);
    quit = false;
    started = pthread_create(&thread, NULL, watchdog_main, NULL) == 0;
    return started;
}

void watchdog_stop(void)
{
    if (!started)
        return;
    pthread_mutex_lock(&lock);
    quit = true;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&changed);
    started = false;
}
