/* Work for the rest: many transactions of the shop, and a ledger of what was committed. */
#include "shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_USERS 64 /* over which the orders are spread */

struct load {
    PGconn *conn;
    const struct load_options *options;
    FILE *ledger;
    long counts[OUTCOMES];
    int64_t users[MAX_USERS];
    long nusers;
};

static int64_t now_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* One line, after the outcome is known, and at once: what waits in a buffer is lost with the
 * process. */
static bool write_line(FILE *ledger, enum outcome outcome, const char *type, const struct receipt *receipt)
{
    if (!ledger || (outcome != COMMITTED && outcome != UNKNOWN))
        return true;
    fprintf(ledger, "%s %s %s %" PRId64 " %" PRId64 " %" PRId64 "\n",
            outcome == COMMITTED ? "committed" : "unknown", receipt->event_id, type, receipt->key, receipt->n,
            now_us(CLOCK_REALTIME));
    return fflush(ledger) == 0 && !ferror(ledger);
}

static void keep_pace(int64_t started, long done, long rate)
{
    int64_t wait = rate > 0 ? started + done * 1000000 / rate - now_us(CLOCK_MONOTONIC) : 0;
    struct timespec pause = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};

    if (wait > 0)
        nanosleep(&pause, NULL);
}

/* A new user now and then, else an order of one of them. */
static bool step(struct load *load)
{
    const struct change create = {"user_created", create_user_sql, {"Ada", "ada@example.org"}, 2};
    char user[24];
    const struct change order = {"order_placed", place_order_sql, {user, "teapot", "19.90"}, 3};
    long nusers = load->nusers < MAX_USERS ? load->nusers : MAX_USERS;
    bool creates = nusers == 0 || random() % 10 == 0;
    const struct change *change = creates ? &create : &order;
    struct receipt receipt;
    enum outcome outcome;

    snprintf(user, sizeof(user), "%" PRId64, nusers == 0 ? 0 : load->users[random() % nusers]);
    outcome = transact(load->conn, change, random() % 100 < load->options->rollback_percent, &receipt);
    load->counts[outcome]++;
    if (outcome == COMMITTED && creates)
        load->users[load->nusers++ % MAX_USERS] = receipt.key;
    if (!write_line(load->ledger, outcome, change->type, &receipt)) {
        perror("publisher: ledger");
        return false;
    }
    return outcome == COMMITTED || outcome == ROLLED_BACK;
}

static bool run_steps(struct load *load)
{
    const struct load_options *options = load->options;
    int64_t started = now_us(CLOCK_MONOTONIC);
    bool going = true;

    for (long done = 1; done <= options->transactions && going; done++) {
        going = step(load);
        if (options->progress && done % 100 == 0)
            fprintf(stderr, "%ld of %ld transactions\n", done, options->transactions);
        keep_pace(started, done, options->rate);
    }
    return going;
}

int run_load(PGconn *conn, const struct load_options *options)
{
    struct load load = {.conn = conn, .options = options};
    bool done;

    if (options->ledger && !(load.ledger = fopen(options->ledger, "a"))) {
        perror(options->ledger);
        return 1;
    }
    done = run_steps(&load);
    if (load.ledger && fclose(load.ledger) != 0)
        done = false;
    /* Each transaction has one event. */
    printf("committed=%ld rolled_back=%ld events=%ld unknown=%ld failed=%ld\n", load.counts[COMMITTED],
           load.counts[ROLLED_BACK], load.counts[COMMITTED], load.counts[UNKNOWN], load.counts[FAILED]);
    return done ? 0 : 1;
}
