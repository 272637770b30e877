/* What enable, adopt and rebase look at before they change anything: where this database
 * is, and what Kafka has of its lanes. */
#ifndef CLI_PLACE_H
#define CLI_PLACE_H

#include "cli/cli.h"
#include "cli/markers.h"
#include "cli/relay_config.h"

struct place {
    struct cli *cli;
    struct config *config;
    struct kafka *kafka;
    char host[256]; /* this machine: where the relay runs */
    char state[32]; /* in which a relay would halt because of the database; empty: in none */
    char detail[256];
    struct lane_markers markers;
};

/* Connects and reads all of it.  An exit code; the caller closes ret in any case. */
int place_open(struct cli *cli, struct place *ret);
void place_close(struct place *place);
/* Says what was found. */
void place_print(const struct place *place);
/* The same as an object; done: whether anything was changed. */
json_t *place_json(const struct place *place, bool done);

#define YES_FLAG {"yes", NULL, "do it; else it is only explained"}

#endif
