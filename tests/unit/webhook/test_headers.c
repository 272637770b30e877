#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "webhook/endpoint.h"
#include "webhook/headers.h"
#include "webhook/task.h"

/* V1 of Standard Webhooks' vectors has an id that is no UUID; this one is our own:
 * printf '0123abcd-4567-89ef-fedc-ba9876543210.1614265330.{"a":1}' |
 *     openssl dgst -sha256 -mac HMAC -macopt hexkey:0001...17 -binary | base64 */
#define SECRET "000102030405060708090a0b0c0d0e0f1011121314151617"
#define SIGNATURE "v1,Povv1tVv/VqEQ0VqJ3FH+Ur1KuztS6zdi/iEMrXW/ms="

static struct endpoint *make_endpoint(const char *secrets)
{
    const struct endpoint_row row = {
        .id = "00000000-0000-0000-0000-000000000001",
        .url = "https://example.org/hook",
        .policy = "resend",
        .secrets = secrets,
        .max_age_us = 1000000,
        .timeout = 2000000,
        .concurrency = 3,
    };
    struct endpoint *endpoint = endpoint_new(&row, NULL);

    assert_non_null(endpoint);
    return endpoint;
}

static struct claim make_claim(void)
{
    struct claim claim = {.present = true,
                          .event_type = "order_placed",
                          .content_type = "application/json",
                          .payload = "{\"a\":1}",
                          .payload_size = 7};

    assert_true(outbox__uuid_parse("0123abcd-4567-89ef-fedc-ba9876543210", &claim.event_id));
    return claim;
}

static struct curl_slist *make(const struct claim *claim, const char *secrets)
{
    struct endpoint *endpoint = make_endpoint(secrets);
    struct curl_slist *list = headers_new(claim, endpoint, 1614265330);

    assert_non_null(list);
    endpoint_unref(endpoint);
    return list;
}

/* The line that begins with the name, or NULL; fails if there are two. */
static const char *line_of(const struct curl_slist *list, const char *name)
{
    const char *found = NULL;

    for (; list; list = list->next) {
        if (strncasecmp(list->data, name, strlen(name)) == 0 && strchr(":;", list->data[strlen(name)])) {
            assert_null(found);
            found = list->data;
        }
    }
    return found;
}

static void test_standard_headers(void **state)
{
    struct claim claim = make_claim();
    struct curl_slist *list = make(&claim, SECRET "," SECRET);

    (void)state;
    assert_string_equal(line_of(list, "webhook-id"), "webhook-id: 0123abcd-4567-89ef-fedc-ba9876543210");
    assert_string_equal(line_of(list, "webhook-timestamp"), "webhook-timestamp: 1614265330");
    assert_string_equal(line_of(list, "webhook-signature"), "webhook-signature: " SIGNATURE " " SIGNATURE);
    assert_string_equal(line_of(list, "content-type"), "content-type: application/json");
    assert_string_equal(line_of(list, "outbox-type"), "outbox-type: order_placed");
    assert_string_equal(line_of(list, "expect"), "Expect:");
    assert_null(line_of(list, "traceparent"));
    assert_null(line_of(list, "outbox-replay"));
    curl_slist_free_all(list);

    claim.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    claim.tracestate = "a=b";
    claim.replay = 3;
    claim.content_type = NULL;
    list = make(&claim, SECRET);
    assert_string_equal(line_of(list, "traceparent"),
                        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_string_equal(line_of(list, "tracestate"), "tracestate: a=b");
    assert_string_equal(line_of(list, "outbox-replay"), "outbox-replay: 3");
    assert_string_equal(line_of(list, "content-type"), "content-type: application/octet-stream");
    curl_slist_free_all(list);
}

static void test_events_own_headers(void **state)
{
    struct claim claim = make_claim();
    struct curl_slist *list;

    (void)state;
    claim.headers = "x-one: 1\nx-empty: \nX_Two.: a: b\nlast: \xc3\xa4";
    list = make(&claim, SECRET);
    assert_string_equal(line_of(list, "x-one"), "x-one: 1");
    assert_string_equal(line_of(list, "x-empty"), "x-empty;");
    assert_string_equal(line_of(list, "X_Two."), "X_Two.: a: b");
    assert_string_equal(line_of(list, "last"), "last: \xc3\xa4");
    curl_slist_free_all(list);
}

/* However they got into the database. */
static void test_hostile_headers(void **state)
{
    struct claim claim = make_claim();
    struct curl_slist *list;
    size_t count = 0;

    (void)state;
    claim.headers =
        "webhook-id: forged\nWebhook-Signature: v1,x\noutbox-type: forged\nHost: evil.example\n"
        "content-length: 1\nTransfer-Encoding: chunked\nauthorization: Basic x\ncookie: a\n"
        "content-type: text/html\nconnection: close\nuser-agent: x\nexpect: 100-continue\n"
        "bad name: x\n: x\nno-colon\ncarriage: a\rb\ntab: a\tb\ndelete: \x7f\nshort:\n\nx;y: z\n@file: x";
    list = make(&claim, SECRET);
    for (const struct curl_slist *line = list; line; line = line->next) {
        assert_null(strpbrk(line->data, "\r\n\t\x7f"));
        count++;
    }
    assert_int_equal(count, 6); /* id, timestamp, signature, content type, type, Expect */
    curl_slist_free_all(list);
}

static void test_oversized_header(void **state)
{
    struct claim claim = make_claim();
    struct curl_slist *list;
    char *huge = malloc(100000);

    (void)state;
    assert_non_null(huge);
    memset(huge, 'a', 99999);
    memcpy(huge, "huge: ", 6);
    huge[99999] = '\0';
    claim.headers = huge;
    list = make(&claim, SECRET);
    assert_null(line_of(list, "huge"));
    curl_slist_free_all(list);
    free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standard_headers),
        cmocka_unit_test(test_events_own_headers),
        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_oversized_header),
    };

    return cmocka_run_group_tests_name("headers", tests, NULL, NULL);
}
