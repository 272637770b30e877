/* The end of a process that cannot go on and must not wait for ever. */
#ifndef RUNTIME_DIE_H
#define RUNTIME_DIE_H

/* The exit code, documented in the manual: let the supervisor start it again. */
#define RUNTIME_EXIT_DIED 70 /* EX_SOFTWARE of sysexits.h */

/* Logs the event, which docs/logs.md lists, and where it came to it; then ends the process at
 * once.  To others it is as if it had been killed: nothing is lost by that. */
_Noreturn void runtime_die(const char *event, const char *where);

#endif
