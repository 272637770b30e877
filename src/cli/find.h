/* What the operands of several commands name. */
#ifndef CLI_FIND_H
#define CLI_FIND_H

#include "base/uuid.h"
#include "cli/cli.h"

/* The endpoint of this name or id that is not removed.  An exit code. */
int find_endpoint(struct cli *cli, const char *name, char ret_id[OUTBOX__UUID_TEXT]);
/* A number of a delivery.  An exit code. */
int find_delivery_id(const char *text, int64_t *ret);

#endif
