/* The headers of a webhook, from what stands in the database.  Lines: type, content type,
 * traceparent, tracestate, replay; the rest are the event's own, "name: value". */
#include "fuzz.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "webhook/headers.h"
#include "webhook/task.h"

/* How often must, and may, a header be there?  Nobody else may set what we or HTTP speak by. */
static void check_names(const struct curl_slist *list)
{
    static const char *const once[] = {"webhook-id", "webhook-timestamp", "webhook-signature", "expect"};
    static const char *const never[] = {"host", "content-length", "transfer-encoding", "authorization", "connection"};
    int counts[4] = {0};

    for (; list; list = list->next) {
        size_t size = strcspn(list->data, ":;");

        FUZZ_CHECK(size > 0 && list->data[size]);
        for (const char *c = list->data; *c; c++)
            FUZZ_CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
        for (size_t i = 0; i < 4; i++)
            counts[i] += strlen(once[i]) == size && strncasecmp(list->data, once[i], size) == 0;
        for (size_t i = 0; i < 5; i++)
            FUZZ_CHECK(strlen(never[i]) != size || strncasecmp(list->data, never[i], size) != 0);
    }
    for (size_t i = 0; i < 4; i++)
        FUZZ_CHECK(counts[i] == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    struct endpoint endpoint = {.secret_count = 2};
    struct claim claim = {.payload = "{}", .payload_size = 2};
    struct curl_slist *list;

    endpoint.secrets[0].size = 16;
    endpoint.secrets[1].size = OUTBOX__SECRET_MAX;
    claim.event_type = fuzz_line(&input);
    claim.content_type = fuzz_optional(&input);
    claim.traceparent = fuzz_optional(&input);
    claim.tracestate = fuzz_optional(&input);
    claim.replay = (int)fuzz_number(&input);
    claim.headers = fuzz_text(&input);
    list = headers_new(&claim, &endpoint, 1700000000);
    FUZZ_CHECK(list != NULL);
    check_names(list);
    curl_slist_free_all(list);
    fuzz_end(&input);
    return 0;
}
