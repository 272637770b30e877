/* The last few ticks that this process has taken, so that a lane need not read them again.
 * Any thread.  A tick that is not remembered is read: nothing depends on this. */
#ifndef SOURCE_TICK_MEMORY_H
#define SOURCE_TICK_MEMORY_H

#include "source/tick.h"

struct tick_memory;

/* NULL without memory. */
struct tick_memory *tick_memory_new(void);
/* NULL is allowed. */
void tick_memory_free(struct tick_memory *memory);

/* Takes over what the tick owns. */
void tick_memory_put(struct tick_memory *memory, struct tick *tick);
/* Is it remembered?  Then *ret is a copy that the caller clears with tick_clear(). */
bool tick_memory_get(struct tick_memory *memory, const struct tick_id *id, struct tick *ret);

#endif
