/* Keeps a trouble that lasts from filling the log. */
#ifndef RUNTIME_REPEAT_H
#define RUNTIME_REPEAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/clock.h"

#define REPEAT_KEPT 8
#define REPEAT_AFTER SECONDS(60)

/* Zeroed is ready.  Any thread: two that come at once may both be told to log. */
struct repeat {
    _Atomic uint64_t texts[REPEAT_KEPT];
    _Atomic mono_us since[REPEAT_KEPT];
};

/* Was a text like this one, but for its numbers, given within the last minute?  Then it
 * is worth a line for debugging at most. */
bool repeat_seen(struct repeat *repeat, const char *text, mono_us now);

#endif
