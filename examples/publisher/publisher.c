/* The command line of a small shop.  It creates users and places orders, and with each row, in the
 * same transaction, the event that tells of it: `user_created` and `order_placed` (shop.c). */
#include "shop.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int once(PGconn *conn, const struct change *change)
{
    struct receipt receipt;

    switch (transact(conn, change, false, &receipt)) {
    case COMMITTED:
        printf("%s key=%" PRId64 " event=%s\n", change->type, receipt.key, receipt.event_id);
        return 0;
    case UNKNOWN:
        fprintf(stderr, "publisher: the connection broke during COMMIT; event %s may or may not exist\n",
                receipt.event_id);
        return 1;
    default:
        return 1;
    }
}

static int usage(void)
{
    fputs("usage: publisher [--dsn DSN] setup | user NAME EMAIL | order USER_ID ITEM AMOUNT\n"
          "       publisher [--dsn DSN] load [--transactions N] [--rollback-percent P] [--rate N]\n"
          "                 [--ledger FILE] [--progress]\n"
          "The DSN is also taken from OUTBOX_DSN.\n",
          stderr);
    return 2;
}

static int dispatch(PGconn *conn, const struct load_options *options, char *const *args, int nargs)
{
    if (nargs == 1 && strcmp(args[0], "setup") == 0)
        return set_up(conn);
    if (nargs == 3 && strcmp(args[0], "user") == 0)
        return once(conn, &(struct change){"user_created", create_user_sql, {args[1], args[2]}, 2});
    if (nargs == 4 && strcmp(args[0], "order") == 0)
        return once(conn, &(struct change){"order_placed", place_order_sql, {args[1], args[2], args[3]}, 3});
    if (nargs == 1 && strcmp(args[0], "load") == 0)
        return run_load(conn, options);
    return usage();
}

int main(int argc, char **argv)
{
    static const struct option longopts[] = {{"dsn", required_argument, NULL, 'd'},
                                             {"ledger", required_argument, NULL, 'l'},
                                             {"transactions", required_argument, NULL, 't'},
                                             {"rollback-percent", required_argument, NULL, 'r'},
                                             {"rate", required_argument, NULL, 'R'},
                                             {"progress", no_argument, NULL, 'p'},
                                             {NULL, 0, NULL, 0}};
    struct load_options options = {.transactions = 1000, .rollback_percent = 10};
    const char *dsn = getenv("OUTBOX_DSN");
    PGconn *conn;
    int status = 1;
    int c;

    while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        switch (c) {
        case 'd':
            dsn = optarg;
            break;
        case 'l':
            options.ledger = optarg;
            break;
        case 't':
            options.transactions = strtol(optarg, NULL, 10);
            break;
        case 'r':
            options.rollback_percent = strtol(optarg, NULL, 10);
            break;
        case 'R':
            options.rate = strtol(optarg, NULL, 10);
            break;
        case 'p':
            options.progress = true;
            break;
        default:
            return usage();
        }
    }
    if (!dsn || optind == argc)
        return usage();
    conn = PQconnectdbParams(
        (const char *const[]){"dbname", "client_encoding", "fallback_application_name", NULL},
        (const char *const[]){dsn, "UTF8", "publisher", NULL}, 1);
    if (PQstatus(conn) == CONNECTION_OK)
        status = dispatch(conn, &options, argv + optind, argc - optind);
    else
        fprintf(stderr, "publisher: %s", PQerrorMessage(conn));
    PQfinish(conn);
    return status;
}
