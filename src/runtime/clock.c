#include "runtime/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now;

    if (clock_gettime(id, &now) != 0)
        abort(); /* cannot fail for these clocks */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

mono_us clock_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

int clock_until_ms(mono_us deadline)
{
    mono_us left = deadline - clock_now();

    if (left <= 0)
        return 0;
    left = (left + 999) / 1000;
    return left > INT_MAX ? INT_MAX : (int)left;
}

void clock_sleep_until(mono_us moment)
{
    const struct timespec until = {.tv_sec = moment / 1000000, .tv_nsec = moment % 1000000 * 1000};

    while (moment > clock_now() && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

/* Not by pthread_clockjoin_np(), which ThreadSanitizer does not know. */
bool clock_join(pthread_t thread, mono_us deadline)
{
    mono_us pause = MILLISECONDS(1);

    while (pthread_tryjoin_np(thread, NULL) != 0) {
        mono_us now = clock_now();

        if (now >= deadline)
            return false;
        clock_sleep_until(now + pause < deadline ? now + pause : deadline);
        if (pause < MILLISECONDS(16))
            pause *= 2;
    }
    return true;
}

uint64_t random_u64(void)
{
    uint64_t bits;

    if (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
        abort(); /* up to 256 bytes are never cut short */
    return bits;
}
