/* dispatch-raw URL REQUESTS IN-FLIGHT: libcurl alone sends requests like those of the relay: 300
 * bytes, the same headers with a signature that is computed for each, over kept connections;
 * prints how many a second.  No database, no evidence, no checks: what is left is libcurl. */
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/signature.h"
#include "runtime/clock.h"

#define PAYLOAD_SIZE 300
#define MOST 1024

struct raw {
    CURLM *multi;
    const char *url;
    struct outbox__secret secret;
    char payload[PAYLOAD_SIZE];
    int64_t begun, wanted, answered;
};

struct request {
    struct curl_slist *headers;
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "dispatch-raw: %s\n", what);
    exit(1);
}

static size_t ignore(char *data, size_t one, size_t size, void *argument)
{
    (void)data;
    (void)one;
    (void)argument;
    return size;
}

static void add(struct request *request, const char *line)
{
    request->headers = curl_slist_append(request->headers, line);
    if (!request->headers)
        die("no memory");
}

static void make_headers(struct raw *raw, struct request *request)
{
    char id[40], timestamp[24], signature[OUTBOX__SIGNATURE_TEXT], line[256];
    struct outbox__signed message = {id, timestamp, raw->payload, PAYLOAD_SIZE};

    curl_slist_free_all(request->headers);
    request->headers = NULL;
    snprintf(id, sizeof(id), "01234567-89ab-4cde-8f01-%012" PRIx64, (uint64_t)raw->begun);
    snprintf(timestamp, sizeof(timestamp), "%" PRId64, clock_wall() / 1000000);
    if (!outbox__sign(&message, &raw->secret, signature))
        die("cannot sign");
    snprintf(line, sizeof(line), "webhook-id: %s", id);
    add(request, line);
    snprintf(line, sizeof(line), "webhook-timestamp: %s", timestamp);
    add(request, line);
    snprintf(line, sizeof(line), "webhook-signature: %s", signature);
    add(request, line);
    add(request, "content-type: application/json");
    add(request, "outbox-type: bench");
    add(request, "Expect:");
}

static void begin(struct raw *raw, CURL *easy)
{
    struct request *request = NULL;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &request);
    make_headers(raw, request);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
    if (curl_multi_add_handle(raw->multi, easy) != CURLM_OK)
        die("libcurl took no request");
    raw->begun++;
}

static CURL *new_easy(struct raw *raw)
{
    CURL *easy = curl_easy_init();
    struct request *request = calloc(1, sizeof(*request));

    if (!easy || !request)
        die("no memory");
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(easy, CURLOPT_URL, raw->url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "outbox/bench");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)PAYLOAD_SIZE);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, raw->payload);
    return easy;
}

static void take_answers(struct raw *raw)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(raw->multi, &left)) != NULL) {
        CURL *easy = message->easy_handle;
        long status = 0;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (message->data.result != CURLE_OK || status != 200)
            die(curl_easy_strerror(message->data.result));
        raw->answered++;
        curl_multi_remove_handle(raw->multi, easy);
        if (raw->begun < raw->wanted)
            begin(raw, easy);
    }
}

int main(int argc, char **argv)
{
    static struct raw raw;
    mono_us started;
    long in_flight = argc == 4 ? strtol(argv[3], NULL, 10) : 0;

    if (argc != 4 || in_flight < 1 || in_flight > MOST)
        die("usage: dispatch-raw URL REQUESTS IN-FLIGHT");
    raw.url = argv[1];
    raw.wanted = strtoll(argv[2], NULL, 10);
    raw.secret.size = 32;
    memset(raw.payload, 'x', sizeof(raw.payload));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(raw.multi = curl_multi_init()))
        die("libcurl cannot be initialised");
    curl_multi_setopt(raw.multi, CURLMOPT_MAXCONNECTS, in_flight);
    started = clock_now();
    for (long i = 0; i < in_flight && raw.begun < raw.wanted; i++)
        begin(&raw, new_easy(&raw));
    while (raw.answered < raw.wanted) {
        int running = 0, ready = 0;

        if (curl_multi_perform(raw.multi, &running) != CURLM_OK)
            die("curl_multi_perform failed");
        take_answers(&raw);
        if (raw.answered < raw.wanted)
            curl_multi_poll(raw.multi, NULL, 0, 1000, &ready);
    }
    printf("%.0f\n", (double)raw.wanted * 1e6 / (double)(clock_now() - started));
    return 0;
}
