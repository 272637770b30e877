#include "config/redact.h"

#include <string.h>

#include "../cmocka_all.h"

static void assert_redacted(const char *dsn, const char *wanted)
{
    char text[256];

    redact_dsn(dsn, text, sizeof(text));
    assert_string_equal(text, wanted);
}

static void keywords(void **state)
{
    (void)state;
    assert_redacted("", "");
    assert_redacted("host=a  port=1 user=u password=geheim dbname=d",
                    "host=a port=1 user=u password=*** dbname=d");
    assert_redacted("password = 'a b\\' c' host = x", "password=*** host=x");
    assert_redacted("password=a\\ b host=x", "password=*** host=x");
    assert_redacted("sslpassword=x passfile=/f", "sslpassword=*** passfile=***");
    assert_redacted("host='/a b' password=x", "host='/a b' password=***");
    assert_redacted("password=", "password=***");
}

/* What a later libpq brings is not known to be harmless. */
static void unknown_keywords_are_hidden(void **state)
{
    (void)state;
    assert_redacted("oauth_client_secret=x host=a", "oauth_client_secret=*** host=a");
}

static void uris(void **state)
{
    (void)state;
    assert_redacted("postgresql://u:geheim@h:1,i:2/d?sslmode=require",
                    "postgresql://u:***@h:1,i:2/d?sslmode=require");
    assert_redacted("postgres://u@h/d", "postgres://u@h/d");
    assert_redacted("postgres://u:p@ss@h/d", "postgres://u:***@h/d");
    assert_redacted("postgres:///d?host=/tmp&password=x&user=u",
                    "postgres:///d?host=/tmp&password=***&user=u");
    assert_redacted("postgres://u:@h", "postgres://u:***@h");
    assert_redacted("postgresql://", "postgresql://");
}

/* Hostile or broken texts: whatever is printed, the secret is not. */
static void secrets_never_appear(void **state)
{
    static const char *const texts[] = {
        "GEHEIM",
        "host=a GEHEIM",
        "password='GEHEIM",
        "password=GEHEIM' x",
        "postgres://u:GEHEIM/x@h/d",
        "postgres://u:GEHEIM?x@h/d",
        "postgres://u:a:GEHEIM@h/d",
        "postgres://h/d?password=GEHEIM",
        "postgres://h/d?GEHEIM",
        "postgres://h/d?sslpassword=GEHEIM&x",
        "postgres://h/d?x=GEHEIM",
        "=GEHEIM",
        "pass word=GEHEIM",
        "password\n=\nGEHEIM",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[256];

        redact_dsn(texts[i], text, sizeof(text));
        if (strstr(text, "GEHEIM"))
            fail_msg("\"%s\" is shown as \"%s\"", texts[i], text);
    }
}

static void a_small_room_is_not_exceeded(void **state)
{
    char text[16];

    (void)state;
    memset(text, 'x', sizeof(text));
    redact_dsn("host=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa password=b", text, 12);
    assert_string_equal(text, "host=aaaaaa");
    assert_int_equal(text[12], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keywords),
        cmocka_unit_test(unknown_keywords_are_hidden),
        cmocka_unit_test(uris),
        cmocka_unit_test(secrets_never_appear),
        cmocka_unit_test(a_small_room_is_not_exceeded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
