#include "runtime/loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

static bool loopback4(const unsigned char *bytes)
{
    return bytes[0] == 127;
}

static bool loopback6(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) || (IN6_IS_ADDR_V4MAPPED(address) && loopback4(&address->s6_addr[12]));
}

bool loopback_name(const char *host, size_t size)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr six;
    struct in_addr four;

    if (size >= sizeof(text))
        return false;
    memcpy(text, host, size);
    text[size] = '\0';
    if (strcasecmp(text, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, text, &four) == 1)
        return loopback4((const unsigned char *)&four);
    return inet_pton(AF_INET6, text, &six) == 1 && loopback6(&six);
}

bool loopback_address(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return loopback4((const unsigned char *)&((const struct sockaddr_in *)(const void *)address)->sin_addr);
    if (address->sa_family == AF_INET6)
        return loopback6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    return address->sa_family == AF_UNIX;
}
