#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "webhook/address.h"

/* The verdict on an address given as text. */
static enum address_verdict judge(const char *allowed, const char *text)
{
    struct address_rules *rules = address_rules_new(allowed, NULL);
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    enum address_verdict verdict;

    assert_non_null(rules);
    if (strchr(text, ':')) {
        assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
        verdict = address_judge(rules, (struct sockaddr *)&v6, sizeof(v6));
    } else {
        assert_int_equal(inet_pton(AF_INET, text, &v4.sin_addr), 1);
        verdict = address_judge(rules, (struct sockaddr *)&v4, sizeof(v4));
    }
    address_rules_free(rules);
    return verdict;
}

/* First and last of each denied network, and their public neighbours. */
static const struct {
    const char *first;
    const char *last;
    const char *before; /* NULL: denied as well, for another reason */
    const char *after;
} denied_v4[] = {
    {"0.0.0.0", "0.255.255.255", NULL, "1.0.0.0"},
    {"10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
    {"100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
    {"127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
    {"169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
    {"172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
    {"192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},
    {"192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
    {"192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
    {"192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
    {"198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
    {"198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
    {"203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
    {"224.0.0.0", "239.255.255.255", "223.255.255.255", NULL},
    {"240.0.0.0", "255.255.255.255", NULL, NULL},
};

/* An IPv4 address in each IPv6 form that carries one. */
static void embed(const char *v4, int form, char *ret, size_t room)
{
    uint8_t b[4];

    assert_int_equal(inet_pton(AF_INET, v4, b), 1);
    switch (form) {
    case 0: /* mapped */
        snprintf(ret, room, "::ffff:%s", v4);
        break;
    case 1: /* NAT64 */
        snprintf(ret, room, "64:ff9b::%s", v4);
        break;
    case 2: /* 6to4 */
        snprintf(ret, room, "2002:%02x%02x:%02x%02x::1", b[0], b[1], b[2], b[3]);
        break;
    case 3: /* Teredo, as the server */
        snprintf(ret, room, "2001:0:%02x%02x:%02x%02x:0:0:f7f7:f7f7", b[0], b[1], b[2], b[3]);
        break;
    case 4: /* Teredo, as the client: every bit turned over */
        snprintf(ret, room, "2001:0:808:808:0:0:%02x%02x:%02x%02x", b[0] ^ 0xff, b[1] ^ 0xff, b[2] ^ 0xff,
                 b[3] ^ 0xff);
        break;
    case 5: /* ISATAP */
        snprintf(ret, room, "2600:1234::5efe:%s", v4);
        break;
    default: /* ISATAP, universal */
        snprintf(ret, room, "2600:1234::200:5efe:%s", v4);
        break;
    }
}

#define FORMS 7

static void assert_all_forms(const char *v4, enum address_verdict verdict)
{
    char v6[INET6_ADDRSTRLEN + 16];

    if (judge(NULL, v4) != verdict)
        fail_msg("%s has the wrong verdict", v4);
    for (int form = 0; form < FORMS; form++) {
        embed(v4, form, v6, sizeof(v6));
        if (judge(NULL, v6) != verdict)
            fail_msg("%s has the wrong verdict", v6);
    }
}

static void test_v4_in_all_forms(void **state)
{
    static const char *const public[] = {"8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "192.169.0.1"};
    static const char *const denied[] = {"169.254.169.254", "127.0.0.1", "10.1.2.3",
                                         "192.168.1.1",     "0.0.0.0",   "255.255.255.255",
                                         "100.100.100.200"};

    (void)state;
    for (size_t i = 0; i < sizeof(denied_v4) / sizeof(denied_v4[0]); i++) {
        assert_all_forms(denied_v4[i].first, ADDRESS_DENIED);
        assert_all_forms(denied_v4[i].last, ADDRESS_DENIED);
        if (denied_v4[i].before)
            assert_all_forms(denied_v4[i].before, ADDRESS_PUBLIC);
        if (denied_v4[i].after)
            assert_all_forms(denied_v4[i].after, ADDRESS_PUBLIC);
    }
    for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++)
        assert_all_forms(public[i], ADDRESS_PUBLIC);
    for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
        assert_all_forms(denied[i], ADDRESS_DENIED);
}

static void test_v6(void **state)
{
    static const char *const public[] = {
        "2000::1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450:4001:81b::200e",
        "3ffe:ffff::1",
        "3fff:1000::1",
        "2001:db7:ffff::1",
        "2001:db9::1",
    };
    static const char *const denied[] = {
        "::",
        "::1",
        "::2",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8", /* IPv4-compatible, and translated (RFC 2765) */
        "64:ff9b:1::1",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b:0:1::8.8.8.8", /* the last is not the well-known prefix */
        "100::1",
        "1fff:ffff::1",
        "2001:1::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff::1",
        "3fff:fff:ffff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++) {
        if (judge(NULL, public[i]) != ADDRESS_PUBLIC)
            fail_msg("%s is not public", public[i]);
    }
    for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
        if (judge(NULL, denied[i]) != ADDRESS_DENIED)
            fail_msg("%s is not denied", denied[i]);
    }
}

static void test_other_families(void **state)
{
    struct address_rules *rules = address_rules_new("0.0.0.0/0,::/0", NULL);
    struct sockaddr_un unix_socket = {.sun_family = AF_UNIX, .sun_path = "/run/docker.sock"};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr nothing = {.sa_family = AF_UNSPEC};
    char text[ADDRESS_TEXT];

    (void)state;
    assert_non_null(rules);
    assert_int_equal(address_judge(rules, (struct sockaddr *)&unix_socket, sizeof(unix_socket)),
                     ADDRESS_DENIED);
    assert_int_equal(address_judge(rules, &nothing, sizeof(nothing)), ADDRESS_DENIED);
    /* cut short */
    assert_int_equal(address_judge(rules, (struct sockaddr *)&v4, 4), ADDRESS_DENIED);
    address_format((struct sockaddr *)&unix_socket, sizeof(unix_socket), text);
    assert_string_equal(text, "");
    address_rules_free(rules);
}

static void test_allowed(void **state)
{
    (void)state;
    assert_int_equal(judge("127.0.0.0/8,::1/128", "127.0.0.1"), ADDRESS_LISTED);
    assert_int_equal(judge("127.0.0.0/8,::1/128", "127.255.0.1"), ADDRESS_LISTED);
    assert_int_equal(judge("127.0.0.0/8 ::1/128", "::1"), ADDRESS_LISTED);
    assert_int_equal(judge("127.0.0.0/8, ::1/128", "::ffff:127.0.0.1"), ADDRESS_LISTED);
    assert_int_equal(judge("127.0.0.0/8,::1/128", "128.0.0.1"), ADDRESS_PUBLIC);
    assert_int_equal(judge("127.0.0.0/8,::1/128", "10.0.0.1"), ADDRESS_DENIED);
    assert_int_equal(judge("127.0.0.0/8,::1/128", "::2"), ADDRESS_DENIED);
    assert_int_equal(judge("10.1.2.3", "10.1.2.3"), ADDRESS_LISTED);
    assert_int_equal(judge("10.1.2.3", "10.1.2.4"), ADDRESS_DENIED);
    assert_int_equal(judge("10.1.2.4/30", "10.1.2.7"), ADDRESS_LISTED);
    assert_int_equal(judge("10.1.2.4/30", "10.1.2.8"), ADDRESS_DENIED);
    assert_int_equal(judge("fd00::/8", "fd12::1"), ADDRESS_LISTED);
    assert_int_equal(judge("fd00::/8", "fc12::1"), ADDRESS_DENIED);
    assert_int_equal(judge("8.8.8.8", "8.8.8.8"), ADDRESS_LISTED);
    /* What tunnels to an allowed address is another address. */
    assert_int_equal(judge("10.0.0.0/8", "64:ff9b::10.0.0.1"), ADDRESS_DENIED);
    assert_int_equal(judge("10.0.0.0/8", "2002:a00:1::1"), ADDRESS_DENIED);
    /* IPv6 networks do not take in IPv4 ones. */
    assert_int_equal(judge("::/0", "127.0.0.1"), ADDRESS_DENIED);
    assert_int_equal(judge("::/0", "::ffff:127.0.0.1"), ADDRESS_DENIED);
    assert_int_equal(judge("0.0.0.0/0", "127.0.0.1"), ADDRESS_LISTED);
    assert_int_equal(judge("", "127.0.0.1"), ADDRESS_DENIED);
    assert_int_equal(judge(NULL, "127.0.0.1"), ADDRESS_DENIED);
}

static void test_malformed_lists(void **state)
{
    static const char *const malformed[] = {
        "localhost",      "127.0.0.0/33", "127.0.0.0/-1",     "127.0.0.0/",          "127.0.0.0/8x",
        "127.0.0.1/8",    "127.1",        "0x7f.0.0.1",       "010.0.0.1",           "::1/129",
        "::1/64",         "[::1]",        "::ffff:127.0.0.1", "::ffff:10.0.0.0/104", "10.0.0.0/8;::1",
        "127.0.0.0/8,,x",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        outbox_error *error = NULL;

        if (address_rules_new(malformed[i], &error))
            fail_msg("%s is accepted", malformed[i]);
        assert_int_equal(outbox_error_code(error), OUTBOX_EINVAL);
        assert_string_equal(outbox_error_field(error), "allowed_addresses");
        outbox_error_free(error);
    }
}

static void test_format(void **state)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    char text[ADDRESS_TEXT];

    (void)state;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.1", &v6.sin6_addr), 1);
    address_format((struct sockaddr *)&v6, sizeof(v6), text);
    assert_string_equal(text, "10.0.0.1");
    assert_int_equal(inet_pton(AF_INET6, "fe80::1", &v6.sin6_addr), 1);
    address_format((struct sockaddr *)&v6, sizeof(v6), text);
    assert_string_equal(text, "fe80::1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v4_in_all_forms), cmocka_unit_test(test_v6),
        cmocka_unit_test(test_other_families),  cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_malformed_lists), cmocka_unit_test(test_format),
    };

    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
