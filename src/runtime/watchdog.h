/* Every wait has a deadline; this tells which one did not keep it, since a library or the
 * kernel did not come back.  A thread says what it begins and when that must have ended:
 *
 *     watchdog_expect("PostgreSQL", deadline);
 *     ...
 *     watchdog_met();
 *
 * One at a time: what is begun in between takes the former one's place.  A thread that
 * waits for work does not say so, as it may do that for ever. */
#ifndef RUNTIME_WATCHDOG_H
#define RUNTIME_WATCHDOG_H

#include <stdbool.h>

#include "runtime/clock.h"

/* What a machine that is busy may take beyond a deadline. */
#define WATCHDOG_GRACE SECONDS(5)

/* Any thread.  `what` must outlive the process. */
void watchdog_expect(const char *what, mono_us deadline);
/* The same, of what waits for a look-up of a name, too, which has its own idea of time
 * (resolv.conf): it is told of, but a restart would not help. */
void watchdog_expect_name(const char *what, mono_us deadline);
void watchdog_met(void);

struct watchdog_view {
    int hung;    /* so many do not come back, and would be ended by a restart */
    int overdue; /* so many do not; the one that is so for longest: */
    char thread[16];
    const char *what;
    mono_us since; /* its deadline */
};

/* Any thread, whether or not there is one that looks. */
void watchdog_look(mono_us now, struct watchdog_view *ret);

/* The thread that looks every second, and logs and counts what it finds; one in a process. */
bool watchdog_start(void);
void watchdog_stop(void);

#endif
