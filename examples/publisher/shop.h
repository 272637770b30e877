/* What the shop can do, asked by hand (publisher.c) or for load (load.c). */
#ifndef SHOP_H
#define SHOP_H

#include <inttypes.h>
#include <libpq-fe.h>
#include <outbox/outbox.h>
#include <stdbool.h>

/* One business fact: the change of rows, and what it is called. */
struct change {
    const char *type;
    const char *sql;
    const char *params[3];
    int nparams;
};

/* What a transaction told of. */
struct receipt {
    char event_id[OUTBOX_ID_SIZE];
    int64_t key;
    int64_t n;
};

enum outcome { COMMITTED, ROLLED_BACK, UNKNOWN, FAILED, OUTCOMES };

/* Creates the tables.  Returns the exit status. */
int set_up(PGconn *conn);

/* Parameters: name, email. */
extern const char create_user_sql[];
/* Parameters: user's id, item, amount. */
extern const char place_order_sql[];

/* One transaction: changes the rows and emits the event. */
enum outcome transact(PGconn *conn, const struct change *change, bool roll_back, struct receipt *ret);

struct load_options {
    const char *ledger;
    long transactions;
    long rollback_percent;
    long rate; /* transactions a second; 0: as many as possible */
    bool progress;
};

/* Returns the exit status. */
int run_load(PGconn *conn, const struct load_options *options);

#endif
