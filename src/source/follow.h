/* Ticks that another relay takes: how it tells of them, and how others learn of them. */
#ifndef SOURCE_FOLLOW_H
#define SOURCE_FOLLOW_H

#include <stdbool.h>

#include "core/position.h"
#include "pg/conn.h"

/* Tells whoever listens that there is a new tick. */
int follow_tell(struct pg *pg, mono_us deadline, outbox_error **reterr);
int follow_listen(struct pg *pg, mono_us deadline, outbox_error **reterr);
/* The newest tick after that one, by a synchronous commit: then it is durable whoever took it.
 * *ret_found is false if there is none.  OUTBOX_ESERVER also when the commit was not waited
 * for (then the tick must not be published). */
int follow_newest(struct pg *pg, int64_t after, mono_us deadline, bool *ret_found, struct tick_id *ret,
                  outbox_error **reterr);

#endif
