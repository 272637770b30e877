#include "runtime/die.h"

#include <unistd.h>

#include "runtime/log.h"

/* Not abort(): that is a crash to supervisors and to those who collect core files. */
void runtime_die(const char *event, const char *where)
{
    log_error(event, LOG_TEXT("where", where), LOG_NUMBER("exit", RUNTIME_EXIT_DIED));
    _exit(RUNTIME_EXIT_DIED);
}
