/* A lane's actions in the database. */
#ifndef RELAY_LANE_DB_H
#define RELAY_LANE_DB_H

#include "relay/executor.h"
#include "relay/settings.h"
#include "source/tick_memory.h"

struct lane_db;

/* NULL without memory.  Connects when the lease is to be acquired. */
struct lane_db *lane_db_new(struct settings *settings, struct tick_memory *ticks, int lane);
/* NULL is allowed. */
void lane_db_free(struct lane_db *db);
executor_run lane_db_run;
executor_end lane_db_end;

#endif
