/* What may be shown of a connection string. */
#ifndef CONFIG_REDACT_H
#define CONFIG_REDACT_H

#include <stddef.h>

/* Puts dsn (keywords or URI) into ret with the values of password, sslpassword, passfile
 * and the like replaced by "***".  What it does not understand is not shown at all. */
void redact_dsn(const char *dsn, char *ret, size_t room);

#endif
