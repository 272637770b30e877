/* Which addresses webhooks may go to.  First line: the networks allowed; second: an address. */
#include "fuzz.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "webhook/address.h"

union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

static bool parse(const char *text, union address *ret, socklen_t *ret_size)
{
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, text, &ret->four.sin_addr) == 1) {
        ret->four.sin_family = AF_INET;
        *ret_size = sizeof(ret->four);
        return true;
    }
    ret->six.sin6_family = AF_INET6;
    *ret_size = sizeof(ret->six);
    return inet_pton(AF_INET6, text, &ret->six.sin6_addr) == 1;
}

/* In which form an IPv4 address comes makes no difference. */
static void check_mapped(const struct address_rules *rules, const struct sockaddr_in *four)
{
    union address mapped = {.six = {.sin6_family = AF_INET6}};

    memset(&mapped.six.sin6_addr.s6_addr[10], 0xff, 2);
    memcpy(&mapped.six.sin6_addr.s6_addr[12], &four->sin_addr, 4);
    FUZZ_CHECK(address_judge(rules, &mapped.any, sizeof(mapped.six)) ==
               address_judge(rules, (const struct sockaddr *)(const void *)four, sizeof(*four)));
}

static bool is_private(const union address *address)
{
    uint32_t four = ntohl(address->four.sin_addr.s_addr);

    if (address->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&address->six.sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&address->six.sin6_addr) ||
               IN6_IS_ADDR_MULTICAST(&address->six.sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&address->six.sin6_addr);
    return four >> 24 == 127 || four >> 24 == 10 || four >> 24 == 0 || four >> 16 == 0xc0a8 || four >> 16 == 0xa9fe;
}

static void check(const struct address_rules *rules, const union address *address, socklen_t size)
{
    enum address_verdict verdict = address_judge(rules, &address->any, size);
    char text[ADDRESS_TEXT];
    union address again;
    socklen_t again_size;

    FUZZ_CHECK(verdict != ADDRESS_PUBLIC || !is_private(address));
    FUZZ_CHECK(address_judge(rules, &address->any, size - 1) == ADDRESS_DENIED);
    address_format(&address->any, size, text);
    FUZZ_CHECK(parse(text, &again, &again_size) && address_judge(rules, &again.any, again_size) == verdict);
    if (address->any.sa_family == AF_INET)
        check_mapped(rules, &address->four);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    struct address_rules *none = address_rules_new(NULL, NULL);
    outbox_error *err = NULL;
    struct address_rules *rules = address_rules_new(fuzz_line(&input), &err);
    union address address;
    socklen_t address_size;

    FUZZ_CHECK(none && (rules != NULL) == (err == NULL));
    if (parse(fuzz_line(&input), &address, &address_size)) {
        check(none, &address, address_size);
        FUZZ_CHECK(address_judge(none, &address.any, address_size) != ADDRESS_LISTED);
        if (rules)
            check(rules, &address, address_size);
    }
    address_rules_free(rules);
    address_rules_free(none);
    outbox_error_free(err);
    fuzz_end(&input);
    return 0;
}
