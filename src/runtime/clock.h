/* Time in microseconds.  Deadlines are moments of the monotonic clock. */
#ifndef RUNTIME_CLOCK_H
#define RUNTIME_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef int64_t mono_us; /* a moment of the monotonic clock, or a length of time */

#define SECONDS(n) ((mono_us)(n)*1000000)
#define MILLISECONDS(n) ((mono_us)(n)*1000)

mono_us clock_now(void);
/* Wall clock, microseconds since 1970: for people and for protocols, never for waiting. */
int64_t clock_wall(void);
/* Milliseconds from now until deadline, rounded up, at least 0, as poll(2) wants them. */
int clock_until_ms(mono_us deadline);
/* For waits of milliseconds that nothing can shorten; returns at once if it is past. */
void clock_sleep_until(mono_us moment);
/* Joins the thread if it ends by the deadline.  pthread_timedjoin_np() goes by the wall clock:
 * set back meanwhile, that would keep us waiting. */
bool clock_join(pthread_t thread, mono_us deadline);
/* Random bits from the kernel. */
uint64_t random_u64(void);

#endif
