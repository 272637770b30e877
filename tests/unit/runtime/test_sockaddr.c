#include "runtime/sockaddr.h"

#include "../cmocka_all.h"

static void takes_a_numeric_address_and_a_port(void **state)
{
    static const char *const good[] = {"127.0.0.1:9464", "0.0.0.0:0", "[::1]:9464", "[::]:65535", "[fd00::1:2]:80"};
    struct sockaddr_storage address;
    socklen_t size;
    char text[128];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(sockaddr_parse(good[i], &address, &size));
        sockaddr_text(&address, text, sizeof(text));
        assert_string_equal(text, good[i]);
    }
}

static void takes_nothing_else(void **state)
{
    static const char *const bad[] = {"",           "9464",       ":9464",      "localhost:9464",  "127.0.0.1",
                                      "127.0.0.1:", "1.2.3.4:-1", "1.2.3.4:65536", "1.2.3.4:123456", "1.2.3.4: 80",
                                      "1.2.3:80",   "::1:9464",   "[::1]",      "[::1:9464",       "[127.0.0.1]:80",
                                      "[]:80",      "[::1]x:80",  "1.2.3.4:80x", "]:80", "[:80",
                                      "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:80"};
    struct sockaddr_storage address;
    socklen_t size;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (sockaddr_parse(bad[i], &address, &size))
            fail_msg("takes \"%s\"", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_numeric_address_and_a_port),
        cmocka_unit_test(takes_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
