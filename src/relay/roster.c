#include "relay/roster.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "relay/message.h"
#include "runtime/die.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/repeat.h"
#include "runtime/wakeup.h"

struct question {
    struct message head;
    bool quit;
    struct check_in what;
};

struct roster {
    struct settings_view settings; /* the thread's, as are pg and repeat */
    struct pg *pg;
    struct repeat repeat;
    bool told_left_out, told_unknown;
    struct mailbox *questions;
    struct mailbox *answers;
    int wake_fd;
    pthread_t thread;
};

static void put(const struct roster *roster, enum relay_message_kind kind, struct picture *picture)
{
    struct relay_message *message = calloc(1, sizeof(*message));

    if (!message)
        runtime_die("out_of_memory", "roster"); /* the main loop would wait for ever for an answer */
    message->kind = kind;
    message->picture = picture;
    mailbox_put(roster->answers, &message->head);
}

static int connect(struct roster *roster, const struct relay_config *config, mono_us timeout, outbox_error **reterr)
{
    struct pg_conn_settings settings = {config->dsn, "outbox-relay lease", timeout};

    if (pg_usable(roster->pg))
        return OUTBOX_OK;
    pg_close(roster->pg);
    roster->pg = pg_open(&settings, reterr);
    if (!roster->pg)
        return OUTBOX_ECONNECTION;
    metric_add(METRIC_DATABASE_CONNECTIONS + METRIC_PART_LEASE, 1);
    if (strcmp(config->wake, "listen") != 0)
        return OUTBOX_OK;
    return check_in_listen(roster->pg, clock_now() + timeout, reterr);
}

static void disconnect(struct roster *roster)
{
    pg_close(roster->pg);
    roster->pg = NULL;
}

static void note_failure(struct roster *roster, const outbox_error *err)
{
    const char *why = err ? outbox_error_message(err) : "unknown";
    bool again = repeat_seen(&roster->repeat, why, clock_now());

    log_write(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "lease_renewal_failed", LOG_TEXT("error", why));
    metric_add(METRIC_DATABASE_FAILURES + METRIC_PART_LEASE, 1);
}

/* Each thing once, until it has been otherwise. */
static void note_oddities(struct roster *roster, const struct picture *picture)
{
    bool unknown = picture->unknown[0] != '\0';

    if (picture->left_out && !roster->told_left_out)
        log_warning("relay_left_out", LOG_NUMBER("most", SHARE_RELAYS),
                    LOG_TEXT("remedy", "so many relays share the lanes, in the order of their names; this one has none "
                                       "while they are alive: stop some of them"));
    if (unknown && !roster->told_unknown)
        log_warning("check_in_unknown", LOG_TEXT("kind", picture->unknown),
                    LOG_TEXT("remedy", "the schema tells what this relay does not understand, and passes over: "
                                       "use the relay of the release that migrated it"));
    roster->told_left_out = picture->left_out;
    roster->told_unknown = unknown;
}

/* NULL if it failed. */
static struct picture *ask(struct roster *roster, struct check_in *what)
{
    const struct relay_config *config = settings_read(&roster->settings);
    struct picture *picture = calloc(1, sizeof(*picture));
    /* An answer that comes after the lease's end is worth nothing. */
    mono_us timeout = config->lease;
    outbox_error *err = NULL;
    int status;

    if (!picture)
        runtime_die("out_of_memory", "roster");
    what->name = config->name;
    what->ttl = config->lease;
    status = connect(roster, config, what->count > 0 ? timeout : config->connect_timeout, &err);
    if (status == OUTBOX_OK)
        status = check_in(roster->pg, what, clock_now() + timeout, picture, &err);
    if (status < 0) {
        note_failure(roster, err);
        disconnect(roster);
        free(picture);
        picture = NULL;
    } else {
        note_oddities(roster, picture);
    }
    outbox_error_free(err);
    return picture;
}

/* Waits for a question, or for news of the others. */
static void wait(struct roster *roster)
{
    struct pollfd fd = {roster->wake_fd, POLLIN, 0};

    if (!pg_usable(roster->pg)) {
        if (poll(&fd, 1, 60000) > 0)
            wakeup_clear(roster->wake_fd);
        return;
    }
    switch (pg_wait(roster->pg, roster->wake_fd, clock_now() + SECONDS(60))) {
    case PG_WAIT_NOTIFIED:
        put(roster, RELAY_POKE, NULL);
        break;
    case PG_WAIT_LOST:
        disconnect(roster); /* the next question opens another */
        break;
    case PG_WAIT_WOKEN:
        wakeup_clear(roster->wake_fd);
        break;
    default:
        break;
    }
}

static void *roster_main(void *argument)
{
    struct roster *roster = argument;
    bool quit = false;

    pthread_setname_np(pthread_self(), "roster");
    while (!quit) {
        struct question *question = (struct question *)mailbox_take(roster->questions, 0);

        if (!question) {
            wait(roster);
            continue;
        }
        quit = question->quit;
        if (!quit)
            put(roster, RELAY_PICTURE, ask(roster, &question->what));
        free(question);
    }
    disconnect(roster);
    settings_close(&roster->settings);
    return NULL;
}

static void free_roster(struct roster *roster)
{
    mailbox_free(roster->questions);
    if (roster->wake_fd >= 0)
        close(roster->wake_fd);
    free(roster);
}

struct roster *roster_start(struct settings *settings, struct mailbox *answers)
{
    struct roster *roster = calloc(1, sizeof(*roster));

    if (!roster)
        return NULL;
    roster->settings = (struct settings_view)SETTINGS_VIEW_INIT(settings);
    roster->answers = answers;
    roster->questions = mailbox_new();
    roster->wake_fd = wakeup_open();
    if (!roster->questions || roster->wake_fd < 0 ||
        pthread_create(&roster->thread, NULL, roster_main, roster) != 0) {
        free_roster(roster);
        return NULL;
    }
    return roster;
}

static bool submit(struct roster *roster, const struct question *question)
{
    struct question *copy = malloc(sizeof(*copy));

    if (!copy)
        return false;
    *copy = *question;
    mailbox_put(roster->questions, &copy->head);
    wakeup_send(roster->wake_fd);
    return true;
}

bool roster_ask(struct roster *roster, const struct check_in *what)
{
    return submit(roster, &(struct question){.what = *what});
}

bool roster_stop(struct roster *roster, mono_us deadline)
{
    if (!roster)
        return true;
    if (!submit(roster, &(struct question){.quit = true}) ||
        !clock_join(roster->thread, deadline))
        return false;
    free_roster(roster);
    return true;
}
