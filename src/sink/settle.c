#include "sink/settle.h"

/* Source: https://kafka.apache.org/protocol#protocol_api_keys */
#define API_ADD_PARTITIONS_TO_TXN 24
/* Requests for further partitions follow one another sooner than this. */
#define ASKED_AGAIN MILLISECONDS(18)

void settle_init(struct settle *settle)
{
    settle->pause = MILLISECONDS(3);
    settle->ended_at = 0;
    settle_begin(settle);
}

void settle_begin(struct settle *settle)
{
    atomic_store(&settle->asked_at, 0);
    atomic_store(&settle->refused, false);
}

void settle_sent(struct settle *settle, int16_t api_key, mono_us now)
{
    mono_us before;

    if (api_key != API_ADD_PARTITIONS_TO_TXN)
        return;
    before = atomic_exchange(&settle->asked_at, now);
    if (before != 0 && now - before >= ASKED_AGAIN)
        atomic_store(&settle->refused, true);
}

void settle_ended(struct settle *settle, bool long_one, mono_us now)
{
    mono_us pause = settle->pause;

    settle->ended_at = now;
    if (long_one)
        return;
    pause = atomic_load(&settle->refused) ? pause * 3 / 2 : pause - pause / 64;
    if (pause < SETTLE_LEAST)
        pause = SETTLE_LEAST;
    if (pause > SETTLE_MOST)
        pause = SETTLE_MOST;
    settle->pause = pause;
}

mono_us settle_until(const struct settle *settle)
{
    return settle->ended_at == 0 ? 0 : settle->ended_at + settle->pause;
}
