#include "webhook/url.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

static int fail(const char *why, outbox_error **reterr)
{
    return outbox__fail(reterr, OUTBOX_EINVAL, "url", "url: %s", why);
}

static bool has_part(CURLU *parts, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(parts, part, &text, 0) == CURLUE_OK;

    curl_free(text);
    return has;
}

/* libcurl decodes %XX in it, as it connects to it, but for what it refuses itself. */
static int check_host(CURLU *parts, outbox_error **reterr)
{
    char *host = NULL;
    int status = OUTBOX_OK;

    if (curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        return fail("has no host", reterr);
    if (outbox__has_control(host, strlen(host)) || strpbrk(host, " \\"))
        status = fail("has a control character, space or backslash in its host", reterr);
    curl_free(host);
    return status;
}

static int check_parts(CURLU *parts, bool *ret_tls, outbox_error **reterr)
{
    char *scheme = NULL;
    bool https;
    bool http;

    if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
        return fail("has no scheme; begin it with https://", reterr);
    https = strcasecmp(scheme, "https") == 0;
    http = strcasecmp(scheme, "http") == 0;
    curl_free(scheme);
    if (!https && !http)
        return fail("its scheme is neither https nor http", reterr);
    if (check_host(parts, reterr) < 0)
        return OUTBOX_EINVAL;
    if (has_part(parts, CURLUPART_USER) || has_part(parts, CURLUPART_PASSWORD))
        return fail("has a user or password; receivers tell their sender by the signature", reterr);
    if (has_part(parts, CURLUPART_FRAGMENT))
        return fail("has a fragment (#...), which is never sent", reterr);
    *ret_tls = https;
    return OUTBOX_OK;
}

int url_check(const char *url, bool *ret_tls, outbox_error **reterr)
{
    size_t size = strlen(url);
    CURLU *parts;
    int status;

    if (size > 2048)
        return fail("is longer than 2048 bytes", reterr);
    if (outbox__has_control(url, size) || strchr(url, ' ') || strchr(url, '\\'))
        return fail("has a control character, space or backslash; encode it as %XX", reterr);
    parts = curl_url();
    if (!parts)
        return outbox__fail_memory(reterr);
    if (curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        status = fail("is not a URL", reterr);
    else
        status = check_parts(parts, ret_tls, reterr);
    curl_url_cleanup(parts);
    return status;
}
