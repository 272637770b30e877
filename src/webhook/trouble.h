/* What an operator can do about an exchange that failed before its answer. */
#ifndef WEBHOOK_TROUBLE_H
#define WEBHOOK_TROUBLE_H

#include <stdbool.h>

/* code: libcurl's; verdict: OpenSSL's on the certificate (CURLINFO_SSL_VERIFYRESULT);
 * text: libcurl's.  "" if there is nothing to say. */
const char *trouble_advice(int code, long verdict, const char *text, bool tls);

#endif
