#include "webhook/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct network {
    uint8_t bytes[16];
    int bits;
    bool v6;
};

struct address_rules {
    struct network *allowed;
    size_t count;
};

/* Not "globally reachable" in the IANA registry, with what was once and what is obsolete.
 * Source: https://www.iana.org/assignments/iana-ipv4-special-registry/ */
static const struct network denied_v4[] = {
    {{0}, 8, false},             /* "this network"; Linux takes 0.0.0.0 for itself */
    {{10}, 8, false},            /* private */
    {{100, 64}, 10, false},      /* carrier-grade NAT */
    {{127}, 8, false},           /* loopback */
    {{169, 254}, 16, false},     /* link-local, and the metadata services of clouds */
    {{172, 16}, 12, false},      /* private */
    {{192, 0, 0}, 24, false},    /* protocol assignments */
    {{192, 0, 2}, 24, false},    /* documentation */
    {{192, 88, 99}, 24, false},  /* 6to4 relays, obsolete */
    {{192, 168}, 16, false},     /* private */
    {{198, 18}, 15, false},      /* benchmarks */
    {{198, 51, 100}, 24, false}, /* documentation */
    {{203, 0, 113}, 24, false},  /* documentation */
    {{224}, 4, false},           /* multicast */
    {{240}, 4, false},           /* reserved, and broadcast */
};

/* IPv6 that is in use on the Internet lies in 2000::/3 and nowhere else: that keeps out
 * ::, ::1, IPv4-compatible, fc00::/7, fe80::/10, fec0::/10, ff00::/8, 100::/64, 5f00::/16
 * and whatever will be assigned later.  Within 2000::/3 these are not destinations.
 * Source: https://www.iana.org/assignments/iana-ipv6-special-registry/ */
static const struct network global_v6 = {{0x20}, 3, true};
static const struct network denied_v6[] = {
    {{0x20, 0x01, 0x00}, 23, true},       /* protocol assignments; Teredo is looked at before */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, true}, /* documentation */
    {{0x3f, 0xff, 0x00}, 20, true},       /* documentation */
};

static const struct network mapped = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, true};
static const struct network nat64 = {{0x00, 0x64, 0xff, 0x9b}, 96, true};
static const struct network sixtofour = {{0x20, 0x02}, 16, true};
static const struct network teredo = {{0x20, 0x01, 0, 0}, 32, true};

static bool contains(const struct network *network, const uint8_t *bytes)
{
    int whole = network->bits / 8;
    int rest = network->bits % 8;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));

    return memcmp(network->bytes, bytes, (size_t)whole) == 0 &&
           (rest == 0 || ((network->bytes[whole] ^ bytes[whole]) & mask) == 0);
}

static bool in_any(const struct network *networks, size_t count, const uint8_t *bytes)
{
    for (size_t i = 0; i < count; i++) {
        if (contains(&networks[i], bytes))
            return true;
    }
    return false;
}

static bool public_v4(const uint8_t bytes[4])
{
    return !in_any(denied_v4, sizeof(denied_v4) / sizeof(denied_v4[0]), bytes);
}

/* Teredo carries the server's address, and the client's with every bit turned over. */
static bool public_teredo(const uint8_t bytes[16])
{
    uint8_t client[4];

    for (int i = 0; i < 4; i++)
        client[i] = bytes[12 + i] ^ 0xff;
    return public_v4(bytes + 4) && public_v4(client);
}

static bool public_v6(const uint8_t bytes[16])
{
    /* ISATAP: under any prefix, the interface identifier holds the address. */
    static const uint8_t isatap[2][4] = {{0, 0, 0x5e, 0xfe}, {2, 0, 0x5e, 0xfe}};

    if (contains(&nat64, bytes))
        return public_v4(bytes + 12);
    if (!contains(&global_v6, bytes))
        return false;
    if (contains(&sixtofour, bytes))
        return public_v4(bytes + 2);
    if (contains(&teredo, bytes))
        return public_teredo(bytes);
    if (memcmp(bytes + 8, isatap[0], 4) == 0 || memcmp(bytes + 8, isatap[1], 4) == 0)
        return public_v4(bytes + 12);
    return !in_any(denied_v6, sizeof(denied_v6) / sizeof(denied_v6[0]), bytes);
}

/* The bytes of the address; a mapped IPv4 address counts as what it is.  NULL: not IP. */
static const uint8_t *bytes_of(const struct sockaddr *address, socklen_t size, bool *ret_v6)
{
    const uint8_t *bytes;

    if (address->sa_family == AF_INET && size >= (socklen_t)sizeof(struct sockaddr_in)) {
        *ret_v6 = false;
        return (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
    }
    if (address->sa_family != AF_INET6 || size < (socklen_t)sizeof(struct sockaddr_in6))
        return NULL;
    bytes = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
    *ret_v6 = !contains(&mapped, bytes);
    return *ret_v6 ? bytes : bytes + 12;
}

enum address_verdict address_judge(const struct address_rules *rules, const struct sockaddr *address,
                                   socklen_t size)
{
    bool v6 = false;
    const uint8_t *bytes = bytes_of(address, size, &v6);

    if (!bytes)
        return ADDRESS_DENIED;
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->allowed[i].v6 == v6 && contains(&rules->allowed[i], bytes))
            return ADDRESS_LISTED;
    }
    return (v6 ? public_v6(bytes) : public_v4(bytes)) ? ADDRESS_PUBLIC : ADDRESS_DENIED;
}

void address_format(const struct sockaddr *address, socklen_t size, char ret_text[ADDRESS_TEXT])
{
    bool v6 = false;
    const uint8_t *bytes = bytes_of(address, size, &v6);

    if (!bytes || !inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, ret_text, ADDRESS_TEXT))
        ret_text[0] = '\0';
}

static int fail_network(const char *text, const char *why, outbox_error **reterr)
{
    return outbox__fail(
        reterr, OUTBOX_EINVAL, "allowed_addresses",
        "allowed_addresses: \"%s\" %s; write networks such as 10.1.0.0/16, 127.0.0.1 or ::1/128", text, why);
}

static bool parse_bits(const char *text, int most, int *ret)
{
    char *end;
    long bits = strtol(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || bits > most)
        return false;
    *ret = (int)bits;
    return true;
}

/* Are the bits behind the prefix zero? */
static bool is_clean(const struct network *network)
{
    for (int bit = network->bits; bit < (network->v6 ? 128 : 32); bit++) {
        if (network->bytes[bit / 8] & (0x80 >> bit % 8))
            return false;
    }
    return true;
}

static int parse_network(char *text, struct network *ret, outbox_error **reterr)
{
    char *slash = strchr(text, '/');

    memset(ret, 0, sizeof(*ret));
    ret->v6 = strchr(text, ':') != NULL;
    ret->bits = ret->v6 ? 128 : 32;
    if (slash)
        *slash = '\0';
    if (inet_pton(ret->v6 ? AF_INET6 : AF_INET, text, ret->bytes) != 1)
        return fail_network(text, "is not an IP address", reterr);
    if (slash && !parse_bits(slash + 1, ret->bits, &ret->bits))
        return fail_network(text, "has a wrong prefix length", reterr);
    if (!is_clean(ret))
        return fail_network(text, "has bits beyond its prefix", reterr);
    /* Such addresses are compared as IPv4, so this would never match. */
    if (ret->v6 && ret->bits >= 96 && contains(&mapped, ret->bytes))
        return fail_network(text, "is an IPv4 network in IPv6 form", reterr);
    return OUTBOX_OK;
}

static int add_network(struct address_rules *rules, char *text, outbox_error **reterr)
{
    struct network *grown = realloc(rules->allowed, (rules->count + 1) * sizeof(*grown));

    if (!grown)
        return outbox__fail_memory(reterr);
    rules->allowed = grown;
    return parse_network(text, &grown[rules->count++], reterr);
}

struct address_rules *address_rules_new(const char *allowed, outbox_error **reterr)
{
    struct address_rules *rules = calloc(1, sizeof(*rules));
    char *copy = strdup(allowed ? allowed : "");
    char *rest = NULL;

    if (!rules || !copy) {
        outbox__fail_memory(reterr);
        goto fail;
    }
    for (char *word = strtok_r(copy, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest)) {
        if (add_network(rules, word, reterr) < 0)
            goto fail;
    }
    free(copy);
    return rules;

fail:
    free(copy);
    address_rules_free(rules);
    return NULL;
}

void address_rules_free(struct address_rules *rules)
{
    if (!rules)
        return;
    free(rules->allowed);
    free(rules);
}
