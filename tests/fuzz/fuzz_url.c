/* Addresses of endpoints.  The input is the URL. */
#include "fuzz.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "webhook/url.h"

/* libcurl, which will send there, must see the same in it. */
static void check_accepted(const char *url, bool tls)
{
    CURLU *parts = curl_url();
    char *again = NULL, *part = NULL;
    bool tls_again = !tls;

    FUZZ_CHECK(parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK);
    FUZZ_CHECK(strncasecmp(url, tls ? "https:" : "http:", tls ? 6 : 5) == 0);
    FUZZ_CHECK(curl_url_get(parts, CURLUPART_USER, &part, 0) == CURLUE_NO_USER);
    FUZZ_CHECK(curl_url_get(parts, CURLUPART_HOST, &part, 0) == CURLUE_OK && *part);
    curl_free(part);
    FUZZ_CHECK(curl_url_get(parts, CURLUPART_URL, &again, 0) == CURLUE_OK);
    if (strlen(again) <= 2048)
        FUZZ_CHECK(url_check(again, &tls_again, NULL) == OUTBOX_OK && tls_again == tls);
    curl_free(again);
    curl_url_cleanup(parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    const char *url = fuzz_text(&input);
    outbox_error *err = NULL;
    bool tls = false;
    int r = url_check(url, &tls, &err);

    FUZZ_CHECK((r == OUTBOX_OK) == (err == NULL));
    if (r == OUTBOX_OK)
        check_accepted(url, tls);
    else /* it may hold a secret */
        FUZZ_CHECK(r == OUTBOX_EINVAL && (strlen(url) < 12 || !strstr(outbox_error_message(err), url)));
    outbox_error_free(err);
    fuzz_end(&input);
    return 0;
}
