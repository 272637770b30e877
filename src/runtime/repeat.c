#include "runtime/repeat.h"

#include <ctype.h>

/* Without the digits: "after 5ms in state" is not news when it was 3 ms before. */
static uint64_t hash(const char *text)
{
    uint64_t value = 14695981039346656037u; /* FNV-1a */

    for (; *text; text++) {
        if (!isdigit((unsigned char)*text))
            value = (value ^ (unsigned char)*text) * 1099511628211u;
    }
    return value ? value : 1;
}

bool repeat_seen(struct repeat *repeat, const char *text, mono_us now)
{
    uint64_t wanted = hash(text);
    int oldest = 0;

    for (int i = 0; i < REPEAT_KEPT; i++) {
        if (atomic_load(&repeat->texts[i]) == wanted) {
            if (now - atomic_load(&repeat->since[i]) < REPEAT_AFTER)
                return true;
            oldest = i;
            break;
        }
        if (atomic_load(&repeat->since[i]) < atomic_load(&repeat->since[oldest]))
            oldest = i;
    }
    atomic_store(&repeat->texts[oldest], wanted);
    atomic_store(&repeat->since[oldest], now);
    return false;
}
