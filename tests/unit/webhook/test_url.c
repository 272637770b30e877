#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "webhook/url.h"

static void test_good(void **state)
{
    static const struct {
        const char *url;
        bool tls;
    } good[] = {
        {"https://example.org", true},
        {"HTTPS://example.org/hook?key=1&b=%20", true},
        {"http://127.0.0.1:8080/hook", false},
        {"https://[2001:db8::1]:8443/", true},
        {"https://xn--bcher-kva.example/", true},
        {"http://localhost", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        bool tls = !good[i].tls;

        assert_int_equal(url_check(good[i].url, &tls, NULL), OUTBOX_OK);
        assert_int_equal(tls, good[i].tls);
    }
}

static void test_bad(void **state)
{
    static const char *const bad[] = {
        "",
        "example.org",
        "//example.org/",
        "https://",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "dict://127.0.0.1/",
        "javascript:alert(1)",
        "https://user@example.org/",
        "https://user:secret@example.org/",
        "https://:secret@example.org/",
        "https://example.org/#part",
        "https://example.org/a b",
        "https://example.org/\r\nHost: x",
        "https://example.org\\@evil.example/",
        "https://example.org:99999/",
        "https://example.org:port/",
        "https://[::1",
        "https://exa\tmple.org/",
        "https://0%7f.1/",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        outbox_error *error = NULL;
        bool tls;

        if (url_check(bad[i], &tls, &error) == OUTBOX_OK)
            fail_msg("%s is accepted", bad[i]);
        assert_int_equal(outbox_error_code(error), OUTBOX_EINVAL);
        assert_string_equal(outbox_error_field(error), "url");
        /* no message repeats what may hold a secret */
        assert_null(strstr(outbox_error_message(error), "secret"));
        outbox_error_free(error);
    }
}

static void test_length(void **state)
{
    char url[2100] = "https://example.org/";
    bool tls;

    (void)state;
    memset(url + strlen(url), 'a', 2048 - strlen(url));
    url[2048] = '\0';
    assert_int_equal(url_check(url, &tls, NULL), OUTBOX_OK);
    url[2048] = 'a';
    url[2049] = '\0';
    assert_int_equal(url_check(url, &tls, NULL), OUTBOX_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
                                       cmocka_unit_test(test_length)};

    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
