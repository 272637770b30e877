/* Named points at which a test makes the process die.  Compiled in only with
 * --enable-fault-points; then OUTBOX_FAULT="name" (or "name:3" for the third
 * passage) kills the process with SIGKILL there, "name:3:stop" stops all of it
 * until SIGCONT.  OUTBOX_PLANTED="name" plants a mistake, to see that a test would
 * notice it. */
#ifndef RUNTIME_FAULT_H
#define RUNTIME_FAULT_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef OUTBOX_FAULT_POINTS
#include <stdbool.h>

void fault_point(const char *name);
bool fault_planted(const char *name);
#define FAULT(name) fault_point(name)
#define PLANTED(name) fault_planted(name)
#else
#define FAULT(name) ((void)0)
#define PLANTED(name) 0
#endif

#endif
