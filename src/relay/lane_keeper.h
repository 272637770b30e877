/* Renews a lane's lease on a connection of its own, so that no long read delays it. */
#ifndef RELAY_LANE_KEEPER_H
#define RELAY_LANE_KEEPER_H

#include "relay/executor.h"
#include "relay/settings.h"

struct lane_keeper;

/* NULL without memory.  Connects at the first renewal. */
struct lane_keeper *lane_keeper_new(struct settings *settings, int map, int lane);
/* NULL is allowed. */
void lane_keeper_free(struct lane_keeper *keeper);
executor_run lane_keeper_run;
executor_end lane_keeper_end;

#endif
