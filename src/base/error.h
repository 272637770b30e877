/* How the library makes its errors. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <outbox/error.h>

/* Puts an error into *reterr (if reterr is not NULL) and returns code, so that a
 * failing function can `return outbox__fail(...)`.  field and sqlstate may be NULL.
 * An earlier error in *reterr is freed.  Never fails: without memory a static
 * error is used. */
int outbox__fail(outbox_error **reterr, int code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int outbox__fail_sqlstate(outbox_error **reterr, int code, const char *field, const char *sqlstate,
                          const char *format, ...) __attribute__((format(printf, 5, 6)));
int outbox__fail_memory(outbox_error **reterr);

#endif
