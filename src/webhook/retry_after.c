#include "webhook/retry_after.h"

#include <curl/curl.h>
#include <string.h>

#define SECOND INT64_C(1000000)
/* What is longer than this is longer than any delivery lives. */
#define LONGEST (INT64_C(10) * 365 * 86400 * SECOND)

int64_t retry_after_parse(const char *value, int64_t now)
{
    size_t digits = strspn(value, "0123456789");
    int64_t wait = 0;
    time_t date;

    if (digits > 0 && value[digits] == '\0') {
        for (; *value && wait < LONGEST; value++)
            wait = wait * 10 + (*value - '0') * SECOND;
        return wait < LONGEST ? wait : LONGEST;
    }
    /* curl_getdate() takes "20301231" and more for dates, which this header does not allow. */
    if (digits > 0 || !*value)
        return -1;
    date = curl_getdate(value, NULL);
    if (date < 0)
        return -1;
    if (date > (now + LONGEST) / SECOND)
        return LONGEST;
    wait = (int64_t)date * SECOND - now;
    return wait > 0 ? wait : 0;
}
