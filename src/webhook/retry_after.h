#ifndef WEBHOOK_RETRY_AFTER_H
#define WEBHOOK_RETRY_AFTER_H

#include <stdint.h>

/* The value of a Retry-After header, in seconds or as a date (RFC 9110, 10.2.3), as
 * microseconds from now (microseconds since 1970); -1 if it is neither. */
int64_t retry_after_parse(const char *value, int64_t now);

#endif
