/* What systemd, or another supervisor that speaks its protocol, is told. */
#ifndef RELAY_SUPERVISOR_H
#define RELAY_SUPERVISOR_H

#include "relay/lanes.h"
#include "runtime/notify.h"

struct supervisor {
    struct notify notify;
    bool ready;       /* has been told */
    mono_us alive_at; /* the next sign of life is due */
    char status[160]; /* last told */
};

/* Reads the environment. */
void supervisor_open(struct supervisor *supervisor);
void supervisor_close(struct supervisor *supervisor);
/* Tells what is new.  Returns when to call again at the latest; the main loop does, so that
 * a sign of life is one of the main loop.  There is none while a thread hangs: what a library
 * does not let go of, a restart does. */
mono_us supervisor_tell(struct supervisor *supervisor, const struct vitals *vitals, const struct lanes_view *view,
                        mono_us now);
void supervisor_reloading(struct supervisor *supervisor);
void supervisor_reloaded(struct supervisor *supervisor);
void supervisor_stopping(struct supervisor *supervisor);

#endif
